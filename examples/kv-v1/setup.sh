#!/bin/sh
# A secret in a key-value engine of version 1. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"kv1/"'; then
    bao secrets enable -path=kv1 -version=1 kv
fi
bao write kv1/shop/database username=shop password=demo-kv1-password

# Pods of the service account kv-v1 in the namespace default may read it.
bao policy write kv-v1 - <<'HCL'
path "kv1/shop/*" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/kv-v1 \
    bound_service_account_names=kv-v1 bound_service_account_namespaces=default \
    audience=vault token_policies=kv-v1 token_ttl=20m
