// Package messages holds the five messages of v1alpha1.CSIDriverProvider and their protobuf encoding,
// written by hand: so few fields need no code generator, and no generated file has to be kept equal to
// proto/csi/v1alpha1/service.proto.
//
// Importing it replaces gRPC's codec named "proto" for the whole program. A codec forced by a call
// option would show on the wire as content-type application/grpc+proto, which the driver does not send.
package messages

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // Registers itself first, so that ours replaces it.
	"google.golang.org/protobuf/encoding/protowire"
)

// VersionRequest is the question of the driver's health check.
type VersionRequest struct {
	Version string
}

// VersionResponse names the contract and the provider.
type VersionResponse struct {
	Version        string
	RuntimeName    string
	RuntimeVersion string
}

// MountRequest is what the driver sends for one volume.
type MountRequest struct {
	Attributes           string          `json:"attributes"`
	Secrets              string          `json:"secrets"`
	TargetPath           string          `json:"target_path"`
	Permission           string          `json:"permission"`
	CurrentObjectVersion []ObjectVersion `json:"current_object_version"`
}

// MountResponse carries the files of one volume. ErrorCode is the code of the message Error.
type MountResponse struct {
	ObjectVersion []ObjectVersion
	ErrorCode     string
	Files         []File
}

// ObjectVersion is the version of one object.
type ObjectVersion struct {
	ID      string `json:"id"`
	Version string `json:"version"`
}

// File is one file of a volume.
type File struct {
	Path     string `json:"path"`
	Mode     int32  `json:"mode"`
	Contents []byte `json:"contents_base64"`
}

// message is what the codec can carry.
type message interface {
	marshal() []byte
	// field takes one field: its number, and the bytes of a length-delimited one or the value of
	// a varint. Unknown fields are ignored, as protobuf asks.
	field(number protowire.Number, bytes []byte, varint uint64) error
}

func init() { encoding.RegisterCodec(codec{}) }

type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(message)
	if !ok {
		return nil, fmt.Errorf("no message of the contract: %T", v)
	}
	return m.marshal(), nil
}

func (codec) Unmarshal(data []byte, v any) error {
	m, ok := v.(message)
	if !ok {
		return fmt.Errorf("no message of the contract: %T", v)
	}
	return eachField(data, m)
}

func eachField(data []byte, m message) error {
	for len(data) > 0 {
		number, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return protowire.ParseError(size)
		}
		data = data[size:]
		var bytes []byte
		var varint uint64
		switch kind {
		case protowire.BytesType:
			bytes, size = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			varint, size = protowire.ConsumeVarint(data)
		default:
			size = protowire.ConsumeFieldValue(number, kind, data)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := m.field(number, bytes, varint); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// text appends a string field unless it is empty, as proto3 does.
func text(to []byte, number protowire.Number, value string) []byte {
	if value == "" {
		return to
	}
	return protowire.AppendString(protowire.AppendTag(to, number, protowire.BytesType), value)
}

// nested appends a message field, empty or not.
func nested(to []byte, number protowire.Number, m message) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), m.marshal())
}

func (m *VersionRequest) marshal() []byte { return text(nil, 1, m.Version) }

func (m *VersionRequest) field(number protowire.Number, bytes []byte, _ uint64) error {
	if number == 1 {
		m.Version = string(bytes)
	}
	return nil
}

func (m *VersionResponse) marshal() []byte {
	return text(text(text(nil, 1, m.Version), 2, m.RuntimeName), 3, m.RuntimeVersion)
}

func (m *VersionResponse) field(number protowire.Number, bytes []byte, _ uint64) error {
	switch number {
	case 1:
		m.Version = string(bytes)
	case 2:
		m.RuntimeName = string(bytes)
	case 3:
		m.RuntimeVersion = string(bytes)
	}
	return nil
}

func (m *MountRequest) marshal() []byte {
	to := text(text(text(text(nil, 1, m.Attributes), 2, m.Secrets), 3, m.TargetPath), 4, m.Permission)
	for i := range m.CurrentObjectVersion {
		to = nested(to, 5, &m.CurrentObjectVersion[i])
	}
	return to
}

func (m *MountRequest) field(number protowire.Number, bytes []byte, _ uint64) error {
	switch number {
	case 1:
		m.Attributes = string(bytes)
	case 2:
		m.Secrets = string(bytes)
	case 3:
		m.TargetPath = string(bytes)
	case 4:
		m.Permission = string(bytes)
	case 5:
		m.CurrentObjectVersion = append(m.CurrentObjectVersion, ObjectVersion{})
		return eachField(bytes, &m.CurrentObjectVersion[len(m.CurrentObjectVersion)-1])
	}
	return nil
}

func (m *MountResponse) marshal() []byte {
	var to []byte
	for i := range m.ObjectVersion {
		to = nested(to, 1, &m.ObjectVersion[i])
	}
	if m.ErrorCode != "" {
		to = nested(to, 2, &providerError{m.ErrorCode})
	}
	for i := range m.Files {
		to = nested(to, 3, &m.Files[i])
	}
	return to
}

func (m *MountResponse) field(number protowire.Number, bytes []byte, _ uint64) error {
	switch number {
	case 1:
		m.ObjectVersion = append(m.ObjectVersion, ObjectVersion{})
		return eachField(bytes, &m.ObjectVersion[len(m.ObjectVersion)-1])
	case 2:
		var e providerError
		err := eachField(bytes, &e)
		m.ErrorCode = e.code
		return err
	case 3:
		m.Files = append(m.Files, File{Contents: []byte{}})
		return eachField(bytes, &m.Files[len(m.Files)-1])
	}
	return nil
}

func (m *ObjectVersion) marshal() []byte { return text(text(nil, 1, m.ID), 2, m.Version) }

func (m *ObjectVersion) field(number protowire.Number, bytes []byte, _ uint64) error {
	switch number {
	case 1:
		m.ID = string(bytes)
	case 2:
		m.Version = string(bytes)
	}
	return nil
}

// providerError is the message Error.
type providerError struct{ code string }

func (m *providerError) marshal() []byte { return text(nil, 1, m.code) }

func (m *providerError) field(number protowire.Number, bytes []byte, _ uint64) error {
	if number == 1 {
		m.code = string(bytes)
	}
	return nil
}

func (m *File) marshal() []byte {
	to := text(nil, 1, m.Path)
	if m.Mode != 0 {
		to = protowire.AppendVarint(protowire.AppendTag(to, 2, protowire.VarintType), uint64(int64(m.Mode)))
	}
	return text(to, 3, string(m.Contents))
}

func (m *File) field(number protowire.Number, bytes []byte, varint uint64) error {
	switch number {
	case 1:
		m.Path = string(bytes)
	case 2:
		m.Mode = int32(varint)
	case 3:
		m.Contents = append([]byte{}, bytes...)
	}
	return nil
}
