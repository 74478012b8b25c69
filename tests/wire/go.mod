// Programs that speak to a provider as the Secrets Store CSI driver does, and the generator of corpus/.
//
// grpc-go stays at 1.56.3 on purpose: drivers up to v1.5.6 are linked with it, and what it puts on the
// wire is what is tested. The driver v1.6.0 is played by ./current, the same code with its grpc-go.
// Nothing of this is shipped.
module coffer/tests/wire

go 1.24.0

require (
	golang.org/x/net v0.9.0
	google.golang.org/grpc v1.56.3
	google.golang.org/protobuf v1.30.0
)

require (
	github.com/golang/protobuf v1.5.3 // indirect
	golang.org/x/sys v0.7.0 // indirect
	golang.org/x/text v0.9.0 // indirect
	google.golang.org/genproto v0.0.0-20230410155749-daa745c078e1 // indirect
)
