#!/bin/sh
# One of two secrets that a class names. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/notify api-key=demo-notify-key

# The service account secret-optional in the namespace default may read both; without the
# second line the absent secret would be denied, which is not the same.
bao policy write secret-optional - <<'HCL'
path "secret/data/shop/notify" { capabilities = ["read"] }
path "secret/data/shop/webhook" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-optional \
    bound_service_account_names=secret-optional bound_service_account_namespaces=default \
    audience=vault token_policies=secret-optional token_ttl=20m
