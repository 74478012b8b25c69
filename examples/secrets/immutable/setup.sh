#!/bin/sh
# A key that must not change under running pods. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/signature key=demo-signing-key-number-one

# The service account secret-immutable in the namespace default may read it.
bao policy write secret-immutable - <<'HCL'
path "secret/data/shop/signature" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-immutable \
    bound_service_account_names=secret-immutable bound_service_account_namespaces=default \
    audience=vault token_policies=secret-immutable token_ttl=20m
