#!/bin/sh
# A URL, a token and a file of an application. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/orders api-token=demo-api-token \
    database-url=postgres://orders:demo-password@db.example.com:5432/orders properties=- <<'TEXT'
color=blue
page.size=50
TEXT

# The service account secret-opaque in the namespace default may read it.
bao policy write secret-opaque - <<'HCL'
path "secret/data/shop/orders" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-opaque \
    bound_service_account_names=secret-opaque bound_service_account_namespaces=default \
    audience=vault token_policies=secret-opaque token_ttl=20m
