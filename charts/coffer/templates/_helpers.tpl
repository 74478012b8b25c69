{{- /* Names, labels, images and arguments. What an object is stands in its own template. */ -}}

{{- define "coffer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "coffer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "coffer.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "coffer.provider.fullname" -}}
{{- include "coffer.fullname" . }}-provider
{{- end -}}

{{- define "coffer.sync.fullname" -}}
{{- include "coffer.fullname" . }}-sync
{{- end -}}

{{- define "coffer.namespace" -}}
{{- default .Release.Namespace .Values.global.namespace -}}
{{- end -}}

{{- /* coffer.labels COMPONENT: of every object. */ -}}
{{- define "coffer.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "coffer.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* coffer.selector COMPONENT: never changes for an object. */ -}}
{{- define "coffer.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "coffer.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- /* coffer.yaml VALUE: the peers take YAML or a text of it, which may be a template. */ -}}
{{- define "coffer.yaml" -}}
{{- $root := index . 0 -}}
{{- $value := index . 1 -}}
{{- if kindIs "string" $value -}}
{{- tpl $value $root | trim -}}
{{- else -}}
{{- toYaml $value -}}
{{- end -}}
{{- end -}}

{{- define "coffer.csi.enabled" -}}
{{- if eq (toString .Values.csi.enabled) "-" -}}
{{- if eq (toString .Values.global.enabled) "true" }}true{{ end -}}
{{- else if eq (toString .Values.csi.enabled) "true" -}}
true
{{- end -}}
{{- end -}}

{{- define "coffer.image.of" -}}
{{- $image := index . 0 -}}
{{- $version := index . 1 -}}
{{- $name := $image.repository -}}
{{- if $image.registry }}{{ $name = printf "%s/%s" $image.registry $image.repository }}{{ end -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ default $version $image.tag }}
{{- end -}}
{{- end -}}

{{- define "coffer.image" -}}
{{- include "coffer.image.of" (list .Values.csi.image .Chart.AppVersion) -}}
{{- end -}}

{{- define "coffer.sync.image" -}}
{{- $image := deepCopy .Values.csi.image -}}
{{- $own := .Values.sync.image -}}
{{- /* Another tag of another repository is never mixed with a digest of the first. */ -}}
{{- if or $own.registry $own.repository $own.tag $own.digest -}}
{{- $_ := set $image "digest" $own.digest -}}
{{- range $key := list "registry" "repository" "tag" -}}
{{- if index $own $key }}{{ $_ := set $image $key (index $own $key) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- include "coffer.image.of" (list $image .Chart.AppVersion) -}}
{{- end -}}

{{- define "coffer.hmacSecretName" -}}
{{- default (printf "%s-csi-provider-hmac-key" .Values.csi.providerName) .Values.csi.hmacSecretName -}}
{{- end -}}

{{- define "coffer.addresses" -}}
{{- if .Values.store.addresses -}}
{{- join "," .Values.store.addresses -}}
{{- else -}}
{{- .Values.global.externalVaultAddr -}}
{{- end -}}
{{- end -}}

{{- /* The ports of networkPolicy.storePorts and of the addresses, as a list. */ -}}
{{- define "coffer.storePorts" -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.storePorts }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- range splitList "," (include "coffer.addresses" .) }}
{{- if hasPrefix "http" . }}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $ports = append $ports (int (default (ternary 443 80 (eq $url.scheme "https")) $port)) -}}
{{- end }}
{{- end }}
{{- uniq $ports | toYaml -}}
{{- end -}}

{{- define "coffer.audience" -}}
{{- default .Values.csi.providerName .Values.store.audience -}}
{{- end -}}

{{- /* Whether the provider needs the API server at all. */ -}}
{{- define "coffer.provider.usesApi" -}}
{{- if or (eq .Values.csi.hmacSource "api") .Values.csi.tokenRequest.enabled .Values.csi.events.enabled .Values.csi.watchPods.enabled -}}
true
{{- end -}}
{{- end -}}

{{- define "coffer.openshift" -}}
{{- if or .Values.global.openshift (.Capabilities.APIVersions.Has "security.openshift.io/v1/SecurityContextConstraints") -}}
true
{{- end -}}
{{- end -}}

{{- define "coffer.securityContext.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* Flags that speak of the store, the policy and the limits: for the DaemonSet and for the provider beside sync. */ -}}
{{- define "coffer.provider.args" -}}
{{- with include "coffer.addresses" . }}
- --vault-addr={{ . }}
{{- end }}
- --vault-mount={{ .Values.store.authMount }}
{{- with .Values.store.namespace }}
- --vault-namespace={{ . }}
{{- end }}
- --audience={{ include "coffer.audience" . }}
{{- with .Values.store.tlsServerName }}
- --vault-tls-server-name={{ . }}
{{- end }}
{{- if or .Values.store.caBundle.configMap .Values.store.caBundle.secret }}
- --vault-tls-ca-cert=/etc/coffer/tls/ca/{{ .Values.store.caBundle.key }}
{{- end }}
{{- if .Values.store.clientCertSecret }}
- --vault-tls-client-cert=/etc/coffer/tls/client/tls.crt
- --vault-tls-client-key=/etc/coffer/tls/client/tls.key
{{- end }}
- --policy-profile={{ .Values.policy.profile }}
{{- with .Values.policy.allowedAddresses }}
- --allowed-addresses={{ join "," . }}
{{- end }}
{{- /* A list binds under either profile, so that compat gets those alone that somebody changed. */ -}}
{{- $strict := eq .Values.policy.profile "strict" }}
{{- $methods := join "," .Values.policy.allowedMethods }}
{{- if ne (join "," .Values.policy.allowedNamespaces) "*" }}
- --allowed-namespaces={{ join "," .Values.policy.allowedNamespaces }}
{{- end }}
{{- if ne (join "," .Values.policy.allowedAuthMounts) "*" }}
- --allowed-auth-mounts={{ join "," .Values.policy.allowedAuthMounts }}
{{- end }}
{{- if or $strict (ne $methods "GET,LIST,PUT,POST") }}
- --allowed-methods={{ $methods }}
{{- end }}
{{- $directories := .Values.policy.allowedTLSDirs }}
{{- if or $strict (ne (join "," $directories) "/etc/coffer/tls") }}
{{- range .Values.csi.volumeMounts }}
{{- $directories = append $directories .mountPath }}
{{- end }}
- --allowed-tls-dirs={{ join "," (uniq $directories) }}
{{- end }}
{{- if .Values.policy.allowPlainHTTP }}
- --allow-plain-http
{{- end }}
{{- if .Values.policy.allowSkipTLSVerify }}
- --allow-skip-tls-verify
{{- end }}
{{- if .Values.policy.allowAPIServerAudience }}
- --allow-api-server-audience
{{- end }}
{{- if .Values.policy.lockConnection }}
- --lock-connection
{{- end }}
- --mount-deadline={{ .Values.limits.mountDeadline }}
- --inflight-per-mount={{ .Values.limits.inflightPerMount }}
- --inflight={{ .Values.limits.inflight }}
- --store-body-bytes={{ include "coffer.bytes" .Values.limits.storeBodyBytes }}
- --buffered-bytes={{ include "coffer.bytes" .Values.limits.bufferedBytes }}
- --reply-bytes={{ include "coffer.bytes" .Values.limits.replyBytes }}
{{- end -}}

{{- define "coffer.store.volumeMounts" -}}
{{- if or .Values.store.caBundle.configMap .Values.store.caBundle.secret }}
- name: store-ca
  mountPath: /etc/coffer/tls/ca
  readOnly: true
{{- end }}
{{- if .Values.store.clientCertSecret }}
- name: store-client
  mountPath: /etc/coffer/tls/client
  readOnly: true
{{- end }}
{{- with .Values.csi.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "coffer.store.volumes" -}}
{{- with .Values.store.caBundle }}
{{- if .configMap }}
- name: store-ca
  configMap:
    name: {{ .configMap }}
{{- else if .secret }}
- name: store-ca
  secret:
    secretName: {{ .secret }}
    # Its key alone: the Secret may hold a private key too.
    items:
      - key: {{ .key }}
        path: {{ .key }}
{{- end }}
{{- end }}
{{- with .Values.store.clientCertSecret }}
- name: store-client
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.csi.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* coffer.bytes SIZE: a number of a file of values would be written with an exponent. */ -}}
{{- define "coffer.bytes" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ int64 . }}{{ end -}}
{{- end -}}

{{- /* coffer.pullSecrets: the peers take names too. */ -}}
{{- define "coffer.pullSecrets" -}}
{{- range .Values.global.imagePullSecrets }}
- name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}
{{- end }}
{{- end -}}

{{- /* coffer.probe VALUES: the fields that a probe may have. */ -}}
{{- define "coffer.probe" -}}
failureThreshold: {{ .failureThreshold }}
initialDelaySeconds: {{ .initialDelaySeconds }}
periodSeconds: {{ .periodSeconds }}
successThreshold: {{ .successThreshold }}
timeoutSeconds: {{ .timeoutSeconds }}
{{- end -}}

{{- /*
coffer.sync.file FILE: a manifest of files/sync under the names of this release. Where namespaces are watched, what is
for the cluster becomes the same for each of them.
*/ -}}
{{- define "coffer.sync.file" -}}
{{- $root := index . 0 -}}
{{- /* Names alone: the controller knows the policies' sentences by their words. */ -}}
{{- $text := replace "coffer-system" (include "coffer.namespace" $root) ($root.Files.Get (index . 1)) -}}
{{- $names := "(name: |policyName: |resourceNames: \\[|serviceaccount:[^:']*:|metadata\\.name == ')coffer-sync" -}}
{{- $text = regexReplaceAll $names $text (printf "${1}%s" (include "coffer.sync.fullname" $root)) -}}
{{- $labels := include "coffer.labels" (list $root "sync") | indent 4 -}}
{{- $text = replace "\nmetadata:\n" (printf "\nmetadata:\n  labels:\n%s\n" $labels) $text -}}
{{- $account := "" -}}
{{- range $name, $value := $root.Values.sync.serviceAccount.extraLabels }}
{{- $account = printf "%s\n    %s: %s" $account $name ($value | quote) -}}
{{- end }}
{{- with $root.Values.sync.serviceAccount.annotations }}
{{- $account = printf "%s\n  annotations:\n%s" $account (toYaml . | indent 4) -}}
{{- end }}
{{- if $account }}
{{- $text = replace (printf "\nkind: ServiceAccount\nmetadata:\n  labels:\n%s" $labels) (printf "\nkind: ServiceAccount\nmetadata:\n  labels:\n%s%s" $labels $account) $text -}}
{{- end }}
{{- range $document := splitList "\n---\n" (trimSuffix "\n" $text) }}
{{- if and $root.Values.sync.watchNamespaces (contains "\nkind: ClusterRole" $document) }}
{{- range $namespace := $root.Values.sync.watchNamespaces }}
---
{{- $name := include "coffer.sync.fullname" $root }}
{{- /* Another name than the Role's of our own namespace, which may be among these. Subjects are indented deeper. */}}
{{ replace "kind: ClusterRole" "kind: Role" $document | replace (printf "\n  name: %s" $name) (printf "\n  name: %s-objects" $name) | replace "\nmetadata:\n" (printf "\nmetadata:\n  namespace: %s\n" $namespace) }}
{{- end }}
{{- else }}
---
{{ $document }}
{{- end }}
{{- end }}
{{- end -}}
