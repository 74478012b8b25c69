// corpus writes one JSON file per case into a directory: what a driver is given, the plain maps it makes of
// it, and the MountRequest it sends, as text exactly as Go's encoding/json writes it. A harness in another
// language builds its own text from the maps and compares.
//
// usage: corpus DIRECTORY
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"coffer/tests/wire/messages"
)

const (
	podUID     = "0a1b2c3d-0000-4000-8000-000000000001"
	targetPath = "/var/lib/kubelet/pods/" + podUID + "/volumes/kubernetes.io~csi/secrets/mount"
	kubelet    = "csi.storage.k8s.io/"
	tokensKey  = kubelet + "serviceAccount.tokens"
	className  = "vault-foo"
)

// token is authentication.k8s.io/v1 TokenRequestStatus, in the order of its fields.
type token struct {
	Token               string `json:"token"`
	ExpirationTimestamp string `json:"expirationTimestamp"`
}

// given is one case: what stands in the cluster when the driver is called.
type given struct {
	name  string
	about string
	// rotation is the call of the ticker of drivers up to v1.5.6; all else is a publish of v1.6.0.
	rotation         bool
	parameters       map[string]string
	volumeAttributes map[string]string
	tokens           map[string]token
	// tokensInSecrets is spec.serviceAccountTokenInSecrets of the CSIDriver, Kubernetes 1.35 and later.
	tokensInSecrets bool
	// secret is the data of the nodePublishSecretRef; nil where there is none.
	secret  map[string]string
	current []messages.ObjectVersion
}

// file is what is written of a case.
type file struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Driver is the first or last release of the driver that makes this call.
	Driver string `json:"driver"`
	// Call is "publish" or "rotation".
	Call             string            `json:"call"`
	Parameters       map[string]string `json:"parameters"`
	VolumeAttributes map[string]string `json:"volume_attributes"`
	// Tokens by audience; null where the CSIDriver asks for none.
	Tokens          map[string]token `json:"tokens"`
	TokensInSecrets bool             `json:"tokens_in_secrets"`
	// Attributes and Secrets are the maps whose JSON the request carries; Secrets may be null.
	Attributes map[string]string `json:"attributes"`
	Secrets    map[string]string `json:"secrets"`
	// Request is the MountRequest: the same form that olddriver and newdriver read.
	Request messages.MountRequest `json:"request"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: corpus DIRECTORY")
		os.Exit(64)
	}
	for _, one := range cases {
		if err := write(os.Args[1], one); err != nil {
			fmt.Fprintln(os.Stderr, "corpus:", err)
			os.Exit(1)
		}
	}
}

func write(directory string, one given) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	// The files are for people too; the escapes that matter are inside the request's texts.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(one.file()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(directory, one.name+".json"), text.Bytes(), 0o644)
}

func (g given) file() file {
	driver, call := "1.6.0", "publish"
	if g.rotation {
		driver, call = "1.5.6", "rotation"
	}
	attributes, secrets := g.attributes(), g.secrets()
	return file{
		Name: g.name, About: g.about, Driver: driver, Call: call,
		Parameters: g.parameters, VolumeAttributes: g.volumeAttributes,
		Tokens: g.tokens, TokensInSecrets: g.tokensInSecrets,
		Attributes: attributes, Secrets: secrets,
		Request: messages.MountRequest{
			Attributes: compact(attributes), Secrets: compact(secrets),
			TargetPath: targetPath, Permission: compact(os.FileMode(0o644)),
			CurrentObjectVersion: append([]messages.ObjectVersion{}, g.current...),
		},
	}
}

// attributes joins in the driver's order, where the later wins: parameters of the class, volume context,
// tokens. The volume context is the pod's volumeAttributes and then what kubelet adds.
func (g given) attributes() map[string]string {
	all := maps.Clone(g.parameters)
	if !g.rotation {
		maps.Copy(all, g.volumeAttributes)
		all[kubelet+"ephemeral"] = "true"
	}
	all[kubelet+"pod.name"] = "web-0"
	all[kubelet+"pod.namespace"] = "default"
	all[kubelet+"pod.uid"] = podUID
	all[kubelet+"serviceAccount.name"] = "web"
	if g.tokens != nil {
		all[tokensKey] = compact(g.tokens)
	}
	return all
}

func (g given) secrets() map[string]string {
	all := maps.Clone(g.secret)
	if g.tokensInSecrets {
		if all == nil {
			all = map[string]string{}
		}
		all[tokensKey] = compact(g.tokens)
	}
	return all
}

// compact is what the driver and kubelet call: json.Marshal, with its escapes for HTML.
func compact(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // Maps of strings and numbers always encode.
	}
	return string(text)
}
