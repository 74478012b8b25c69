package driver

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"coffer/tests/wire/messages"

	"google.golang.org/grpc/status"
)

// versionLimit is how long the driver's health check waits for Version.
const versionLimit = 5 * time.Second

// answer is one line of output: what one call came to. Every line has all fields, so a reader needs one type.
type answer struct {
	Call           string                   `json:"call"`
	Code           string                   `json:"code"`
	Message        string                   `json:"message"`
	Version        string                   `json:"version"`
	RuntimeName    string                   `json:"runtime_name"`
	RuntimeVersion string                   `json:"runtime_version"`
	ErrorCode      string                   `json:"error_code"`
	Files          []messages.File          `json:"files"`
	ObjectVersion  []messages.ObjectVersion `json:"object_version"`
}

// Main runs the program and ends the process: 0 when every call was made and its answer printed, whatever
// the answer was; 64 for wrong usage, 1 when a file or the output failed.
func Main(flavour Flavour) {
	flags := flag.NewFlagSet(flavour.Name, flag.ContinueOnError)
	socket := flags.String("socket", "", "`path` of the provider's socket")
	request := flags.String("request", "", "`file` with the MountRequest as JSON; - is standard input")
	count := flags.Int("count", 1, "`number` of Mount calls, one after another")
	timeout := flags.Duration("timeout", 10*time.Second, "deadline of each Mount; 0 sends none")
	capture := flags.String("capture", "", "record the first bytes of a connection below this `name` and end")
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(64)
	}
	if (*capture == "" && (*socket == "" || *request == "")) || flags.NArg() > 0 {
		flags.Usage()
		os.Exit(64)
	}
	var err error
	if *capture != "" {
		err = captureTo(flavour, *capture)
	} else {
		err = callAll(flavour, *socket, *request, *count, *timeout, os.Stdout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", flavour.Name, err)
		os.Exit(1)
	}
}

func callAll(flavour Flavour, socket, file string, count int, timeout time.Duration, out io.Writer) error {
	request, err := readRequest(file)
	if err != nil {
		return err
	}
	client, err := connect(context.Background(), flavour, socket, dialUnix)
	if err != nil {
		return err
	}
	defer client.Close()
	lines := json.NewEncoder(out)
	if err := lines.Encode(version(client)); err != nil {
		return err
	}
	for range count {
		if err := lines.Encode(mount(client, request, timeout)); err != nil {
			return err
		}
	}
	return nil
}

func readRequest(file string) (*messages.MountRequest, error) {
	source := os.Stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer opened.Close()
		source = opened
	}
	request := new(messages.MountRequest)
	decoder := json.NewDecoder(source)
	// A misspelt field would otherwise be sent as an empty one.
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(request); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return request, nil
}

func version(client *Client) answer {
	ctx, cancel := context.WithTimeout(context.Background(), versionLimit)
	defer cancel()
	reply, err := client.Version(ctx)
	line := answered("Version", err)
	line.Version, line.RuntimeName, line.RuntimeVersion = reply.Version, reply.RuntimeName, reply.RuntimeVersion
	return line
}

func mount(client *Client, request *messages.MountRequest, timeout time.Duration) answer {
	ctx, cancel := context.WithCancel(context.Background())
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), timeout)
	}
	defer cancel()
	reply, err := client.Mount(ctx, request)
	line := answered("Mount", err)
	line.ErrorCode = reply.ErrorCode
	line.Files = append(line.Files, reply.Files...)
	line.ObjectVersion = append(line.ObjectVersion, reply.ObjectVersion...)
	return line
}

func answered(call string, err error) answer {
	state := status.Convert(err)
	return answer{
		Call: call, Code: state.Code().String(), Message: state.Message(),
		Files: []messages.File{}, ObjectVersion: []messages.ObjectVersion{},
	}
}
