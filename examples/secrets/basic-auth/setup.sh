#!/bin/sh
# User name and password. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/mail username=mailer password=demo-mail-password

# The service account secret-basic-auth in the namespace default may read it.
bao policy write secret-basic-auth - <<'HCL'
path "secret/data/shop/mail" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-basic-auth \
    bound_service_account_names=secret-basic-auth bound_service_account_namespaces=default \
    audience=vault token_policies=secret-basic-auth token_ttl=20m
