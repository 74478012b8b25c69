package main

import "coffer/tests/wire/messages"

const objects = "- objectName: bar\n  secretPath: secret/data/foo\n  secretKey: bar\n"

// class is the parameters of the usual class with more of them added or replaced.
func class(more map[string]string) map[string]string {
	all := map[string]string{"roleName": "csi", "vaultAddress": "http://vault.vault:8200", "objects": objects}
	for name, value := range more {
		all[name] = value
	}
	return all
}

// pod is the volumeAttributes of the usual pod with more of them added or replaced.
func pod(more map[string]string) map[string]string {
	all := map[string]string{"secretProviderClass": className}
	for name, value := range more {
		all[name] = value
	}
	return all
}

// tokens are made up: what stands in them is of no matter here.
func tokens(audiences ...string) map[string]token {
	all := map[string]token{}
	for _, audience := range audiences {
		all[audience] = token{"made-up.token.for-" + audience, "2026-01-01T00:00:00Z"}
	}
	return all
}

var cases = []given{
	{
		name: "plain", about: "one object, one token for the audience vault",
		parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens("vault"),
	},
	{
		name: "no-tokens", about: "the CSIDriver asks for no tokens: the key is absent",
		parameters: class(nil), volumeAttributes: pod(nil),
	},
	{
		name: "two-audiences", about: "audiences come sorted by bytes",
		parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens("vault", "aud1"),
	},
	{
		name: "empty-audience", about: "an empty audience stands for the API server's own",
		parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens("", "vault"),
	},
	{
		name: "audience-with-ampersand", about: "the audience is escaped by kubelet and once more by the driver",
		parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens("https://vault.example/?a=1&b=<2>"),
	},
	{
		name: "audience-with-quote-and-non-ascii", about: "quote, backslash and non-ASCII in an audience",
		parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens(`the "safe" \ für алиса`),
	},
	{
		name: "html", about: "Go escapes <, > and & so that JSON is safe inside HTML",
		parameters:       class(map[string]string{"a<b>&c": "<script>&amp;</script>"}),
		volumeAttributes: pod(nil), tokens: tokens("vault"),
	},
	{
		name: "quotes-and-backslashes", about: "quotes of three kinds, backslashes and slashes",
		parameters:       class(map[string]string{`say "hi"`: `"double" 'single' ` + "`back`" + ` C:\temp\new a/b`}),
		volumeAttributes: pod(nil), tokens: tokens("vault"),
	},
	{
		name: "newlines-and-tabs", about: "line ends of both kinds, tabs, a trailing newline that must stay",
		parameters:       class(map[string]string{"text": "one\ntwo\r\nthree\tfour\n\n"}),
		volumeAttributes: pod(nil), tokens: tokens("vault"),
	},
	{
		name: "control-characters", about: "all of them from 0x00 to 0x1f, and 0x7f, which is written as it is",
		parameters:       class(map[string]string{"controls": controls()}),
		volumeAttributes: pod(nil), tokens: tokens("vault"),
	},
	{
		name: "line-separators", about: "U+2028 and U+2029 are escaped, their neighbours are not",
		parameters:       class(map[string]string{"separators": "a\u2027b\u2028c\u2029d\u202ae\u0085f\ufefeg"}),
		volumeAttributes: pod(nil), tokens: tokens("vault"),
	},
	{
		name: "non-ascii", about: "everything else above ASCII is raw UTF-8",
		parameters:       class(map[string]string{"pfad/größe": "Grüße, мир, 世界, 🔐, e\u0301, \u00a0, \U0010fffd"}),
		volumeAttributes: pod(nil), tokens: tokens("vault"),
	},
	{
		name: "key-order", about: "keys are sorted by their bytes: upper case before lower, non-ASCII last",
		parameters:       class(map[string]string{"b": "1", "B": "2", "a": "3", "é": "4", "": "5", "a.b": "6", "a/b": "7", "aa": "8", "\U0001f510": "9", "\uffee": "10"}),
		volumeAttributes: pod(nil), tokens: tokens("vault"),
	},
	{
		name: "volume-attributes-override", about: "the pod's author replaces a parameter of the class and adds one",
		parameters:       class(nil),
		volumeAttributes: pod(map[string]string{"roleName": "other", "vaultNamespace": "team-a"}), tokens: tokens("vault"),
	},
	{
		name: "kubelet-keys-planted", about: "kubelet's keys win over the class and the pod",
		parameters: class(map[string]string{kubelet + "pod.name": "forged", kubelet + "serviceAccount.name": "forged"}),
		volumeAttributes: pod(map[string]string{
			kubelet + "pod.namespace": "forged", kubelet + "ephemeral": "false",
		}),
		tokens: tokens("vault"),
	},
	{
		name: "tokens-planted", about: "without tokenRequests a class can plant tokens: the driver passes them on",
		parameters:       class(map[string]string{tokensKey: `{"vault":{"token":"planted","expirationTimestamp":"2026-01-01T00:00:00Z"}}`}),
		volumeAttributes: pod(nil),
	},
	{
		name: "no-objects", about: "parameters without objects",
		parameters: map[string]string{"roleName": "csi"}, volumeAttributes: pod(nil), tokens: tokens("vault"),
	},
	{
		name: "unknown-keys", about: "parameters of other providers, and the legacy providerName",
		parameters:       class(map[string]string{"keyvaultName": "kv", "usePodIdentity": "false"}),
		volumeAttributes: pod(map[string]string{"providerName": "vault"}), tokens: tokens("vault"),
	},
	{
		name: "secrets-empty", about: "a nodePublishSecretRef whose Secret holds no data",
		parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens("vault"), secret: map[string]string{},
	},
	{
		name: "secrets-with-data", about: "data of the nodePublishSecretRef, escaped as everything is",
		parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens("vault"),
		secret: map[string]string{"user": "admin", "password": "made-up <&> \"pass\"\nword"},
	},
	{
		name: "tokens-in-secrets", about: "Kubernetes 1.35 with serviceAccountTokenInSecrets: tokens in both fields",
		parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens("vault", ""), tokensInSecrets: true,
	},
	{
		name: "tokens-in-secrets-with-data", about: "tokens beside the data of the nodePublishSecretRef",
		parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens("a&b"), tokensInSecrets: true,
		secret: map[string]string{"user": "admin"},
	},
	{
		name: "rotation", about: "the ticker's call: no class name, no ephemeral, versions filled from the pod status",
		rotation: true, parameters: class(nil), volumeAttributes: pod(nil), tokens: tokens("vault"), secret: map[string]string{},
		current: []messages.ObjectVersion{{ID: "foo", Version: "w2"}, {ID: "bar", Version: "w1"}},
	},
	{
		name: "rotation-loses-overrides", about: "the ticker's call does not carry the pod's volumeAttributes",
		rotation: true, parameters: class(nil), volumeAttributes: pod(map[string]string{"roleName": "other"}),
		tokens: tokens("vault"), secret: map[string]string{}, current: []messages.ObjectVersion{{ID: "bar", Version: ""}},
	},
	{
		name: "rotation-without-tokens", about: "the ticker's call with a cached nodePublishSecretRef and no tokens",
		rotation: true, parameters: class(nil), volumeAttributes: pod(nil), secret: map[string]string{"user": "admin"},
		current: []messages.ObjectVersion{{ID: "bar", Version: "w1"}},
	},
}

func controls() string {
	var all []byte
	for c := byte(0); c < 0x20; c++ {
		all = append(all, c)
	}
	return string(append(all, 0x7f))
}
