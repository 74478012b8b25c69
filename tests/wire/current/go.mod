// The programs of tests/wire with the grpc-go of driver v1.6.0. A module of its own, because one module
// holds one version of grpc-go.
module coffer/tests/wire/current

go 1.24.0

require coffer/tests/wire v0.0.0

require (
	golang.org/x/net v0.48.0 // indirect
	golang.org/x/sys v0.39.0 // indirect
	golang.org/x/text v0.32.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20251202230838-ff82c1b0f217 // indirect
	google.golang.org/grpc v1.79.3 // indirect
	google.golang.org/protobuf v1.36.10 // indirect
)

replace coffer/tests/wire => ..
