#!/bin/sh
# The kubernetes auth method, and a secret. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The variables of enable.sh count here too.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

"$(dirname "$0")/enable.sh"

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/kubernetes token=demo-kubernetes-token

# Pods of the service account kubernetes-auth in the namespace default may read it.
bao policy write kubernetes-auth - <<'HCL'
path "secret/data/shop/kubernetes" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/kubernetes-auth \
    bound_service_account_names=kubernetes-auth bound_service_account_namespaces=default \
    audience=vault token_policies=kubernetes-auth token_ttl=20m
