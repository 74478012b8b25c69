#!/bin/sh
# A secret in a key-value engine of version 2. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/api token=demo-api-token endpoint=https://api.example.com

# Pods of the service account kv-v2 in the namespace default may read it.
bao policy write kv-v2 - <<'HCL'
path "secret/data/shop/api" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/kv-v2 \
    bound_service_account_names=kv-v2 bound_service_account_namespaces=default \
    audience=vault token_policies=kv-v2 token_ttl=20m
