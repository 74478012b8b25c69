// Package driver calls a provider as the Secrets Store CSI driver does: the same dial options, the same
// retry policy, one connection for all calls. The version of grpc-go is chosen by the module that links it.
package driver

import (
	"context"
	"net"

	"coffer/tests/wire/messages"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// serviceConfig is the retry policy of the driver: it waits for the socket and tries Unavailable again.
const serviceConfig = `{"methodConfig":[{"name":[{"service":"v1alpha1.CSIDriverProvider"}],"waitForReady":true,` +
	`"retryPolicy":{"maxAttempts":3,"initialBackoff":"1s","maxBackoff":"10s","backoffMultiplier":1.1,` +
	`"retryableStatusCodes":["UNAVAILABLE"]}}]}`

// maxReply is the driver's --max-call-recv-msg-size, which happens to be the default of grpc-go.
const maxReply = 4194304

// Flavour tells one generation of drivers from another, apart from the grpc-go that is linked.
type Flavour struct {
	// Name of the program.
	Name string
	// Authority to send. Empty: the socket path, as drivers up to v1.5.6 do.
	Authority string
}

// Client is one connection to one provider.
type Client struct{ connection *grpc.ClientConn }

// dialer opens the connection to a socket path.
type dialer func(ctx context.Context, socket string) (net.Conn, error)

func dialUnix(ctx context.Context, socket string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", socket)
}

// connect dials in the background, as the driver does.
func connect(ctx context.Context, flavour Flavour, socket string, dial dialer) (*Client, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply)),
	}
	if flavour.Authority != "" {
		options = append(options, grpc.WithAuthority(flavour.Authority))
	}
	// DialContext, not NewClient: only it exists in grpc-go 1.56.3, and it takes the bare path as the target.
	connection, err := grpc.DialContext(ctx, socket, options...)
	if err != nil {
		return nil, err
	}
	return &Client{connection}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.connection.Close() }

// Version asks which contract the provider speaks.
func (c *Client) Version(ctx context.Context) (*messages.VersionResponse, error) {
	reply := new(messages.VersionResponse)
	err := c.connection.Invoke(ctx, "/v1alpha1.CSIDriverProvider/Version", &messages.VersionRequest{Version: "v1alpha1"}, reply)
	return reply, err
}

// Mount asks for the files of one volume.
func (c *Client) Mount(ctx context.Context, request *messages.MountRequest) (*messages.MountResponse, error) {
	reply := new(messages.MountResponse)
	err := c.connection.Invoke(ctx, "/v1alpha1.CSIDriverProvider/Mount", request, reply)
	return reply, err
}
