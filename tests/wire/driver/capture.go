package driver

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"coffer/tests/wire/messages"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
)

// socketPath is the path that a capture is dialled with: the one of a real node. The bytes go elsewhere.
const socketPath = "/var/run/secrets-store-csi-providers/vault.sock"

// publishLimit is kubelet's deadline of a publish, which the driver hands on.
const publishLimit = 2 * time.Minute

// decoded says what a capture holds, for a test to compare with.
type decoded struct {
	Grpc      string           `json:"grpc"`
	Authority string           `json:"authority"`
	Requests  []decodedRequest `json:"requests"`
}

type decodedRequest struct {
	Stream  uint32  `json:"stream"`
	Headers []field `json:"headers"`
	Body    string  `json:"body_hex"`
}

type field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// captureTo makes two Mounts on one connection, the first with kubelet's deadline and the second without
// one as a rotation of drivers up to v1.5.6, and writes what the client sent: NAME.hex, and decoded
// beside it as decoded/NAME.json.
func captureTo(flavour Flavour, name string) error {
	sent, err := record(flavour)
	if err != nil {
		return err
	}
	requests, err := decode(sent)
	if err != nil {
		return err
	}
	authority := flavour.Authority
	if authority == "" {
		authority = socketPath
	}
	text, err := json.MarshalIndent(decoded{grpc.Version, authority, requests}, "", "  ")
	if err != nil {
		return err
	}
	beside := filepath.Join(filepath.Dir(name), "decoded", filepath.Base(name)+".json")
	if err := os.MkdirAll(filepath.Dir(beside), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(beside, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(name+".hex", hexLines(sent), 0o644)
}

// record returns every byte the client sent, from the preface on.
func record(flavour Flavour) ([]byte, error) {
	listener, stop, err := serve()
	if err != nil {
		return nil, err
	}
	defer stop()
	tape := new(recording)
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		connection, err := dialUnix(ctx, listener)
		return taped{connection, tape}, err
	}
	client, err := connect(context.Background(), flavour, socketPath, dial)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for ready := client.connection.GetState(); ready.String() != "READY"; ready = client.connection.GetState() {
		client.connection.WaitForStateChange(context.Background(), ready)
	}
	request := &messages.MountRequest{
		Attributes: `{"secretProviderClass":"vault-foo"}`, Secrets: "null", Permission: "420",
		TargetPath: "/var/lib/kubelet/pods/0a1b2c3d-0000-4000-8000-000000000001/volumes/kubernetes.io~csi/secrets/mount",
	}
	limited, cancel := context.WithTimeout(context.Background(), publishLimit)
	defer cancel()
	for _, ctx := range []context.Context{limited, context.Background()} {
		if _, err := client.Mount(ctx, request); err != nil {
			return nil, err
		}
	}
	return tape.bytes(), nil
}

// serve starts a provider that answers every Mount with one object version, and returns its socket.
func serve() (string, func(), error) {
	directory, err := os.MkdirTemp("", "wire")
	if err != nil {
		return "", nil, err
	}
	socket := filepath.Join(directory, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return "", nil, err
	}
	mount := func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		reply := &messages.MountResponse{ObjectVersion: []messages.ObjectVersion{{ID: "foo", Version: "1"}}}
		return reply, read(new(messages.MountRequest))
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "v1alpha1.CSIDriverProvider",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Mount", Handler: mount}},
	}, nil)
	go server.Serve(listener)
	return socket, func() { server.Stop(); os.RemoveAll(directory) }, nil
}

// recording is filled by the transport's writer and read when the calls are over.
type recording struct {
	lock sync.Mutex
	sent bytes.Buffer
}

func (r *recording) bytes() []byte {
	r.lock.Lock()
	defer r.lock.Unlock()
	return bytes.Clone(r.sent.Bytes())
}

type taped struct {
	net.Conn
	tape *recording
}

func (t taped) Write(data []byte) (int, error) {
	t.tape.lock.Lock()
	defer t.tape.lock.Unlock()
	written, err := t.Conn.Write(data)
	t.tape.sent.Write(data[:written])
	return written, err
}

// decode reads the requests back, by order of their streams.
func decode(sent []byte) ([]decodedRequest, error) {
	rest, found := strings.CutPrefix(string(sent), http2.ClientPreface)
	if !found {
		return nil, fmt.Errorf("the connection does not open with the preface of HTTP/2")
	}
	var requests []decodedRequest
	framer := http2.NewFramer(io.Discard, strings.NewReader(rest))
	table := hpack.NewDecoder(4096, nil)
	for {
		frame, err := framer.ReadFrame()
		if err == io.EOF {
			return requests, nil
		}
		if err != nil {
			return nil, err
		}
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			headers, err := fields(table, frame)
			if err != nil {
				return nil, err
			}
			requests = append(requests, decodedRequest{Stream: frame.StreamID, Headers: headers})
		case *http2.DataFrame:
			last := &requests[len(requests)-1]
			last.Body += hex.EncodeToString(frame.Data())
		case *http2.ContinuationFrame:
			return nil, fmt.Errorf("a header list was split")
		}
	}
}

func fields(table *hpack.Decoder, frame *http2.HeadersFrame) ([]field, error) {
	decoded, err := table.DecodeFull(frame.HeaderBlockFragment())
	if err != nil {
		return nil, err
	}
	var fields []field
	for _, one := range decoded {
		fields = append(fields, field{one.Name, one.Value})
	}
	return fields, nil
}

// hexLines writes 32 bytes a line.
func hexLines(data []byte) []byte {
	var lines bytes.Buffer
	for len(data) > 0 {
		size := min(32, len(data))
		lines.WriteString(hex.EncodeToString(data[:size]) + "\n")
		data = data[size:]
	}
	return lines.Bytes()
}
