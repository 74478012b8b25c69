#!/bin/sh
# A namespace of the store with an auth method and a secret of its own. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The variables of ../kubernetes-auth/enable.sh count here too.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

bao namespace list -format=json | grep -q '"team-a/"' || bao namespace create team-a
export BAO_NAMESPACE=team-a VAULT_NAMESPACE=team-a

"$(dirname "$0")/../kubernetes-auth/enable.sh"

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/api token=demo-token-of-team-a

# Pods of the service account namespaces in the namespace default may read it.
bao policy write namespaces - <<'HCL'
path "secret/data/shop/api" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/namespaces \
    bound_service_account_names=namespaces bound_service_account_namespaces=default \
    audience=vault token_policies=namespaces token_ttl=20m
