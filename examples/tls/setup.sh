#!/bin/sh
# A secret in a store that speaks TLS: BAO_CACERT names its authority. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/tls token=demo-tls-token

# Pods of the service account tls in the namespace default may read it.
bao policy write tls - <<'HCL'
path "secret/data/shop/tls" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/tls \
    bound_service_account_names=tls bound_service_account_namespaces=default \
    audience=vault token_policies=tls token_ttl=20m
