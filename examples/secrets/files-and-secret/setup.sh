#!/bin/sh
# A login and a file of an application. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/reports username=reports password=demo-reports-password settings=- <<'TEXT'
[export]
format = csv
TEXT

# The service account secret-files-and-secret in the namespace default may read it.
bao policy write secret-files-and-secret - <<'HCL'
path "secret/data/shop/reports" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-files-and-secret \
    bound_service_account_names=secret-files-and-secret bound_service_account_namespaces=default \
    audience=vault token_policies=secret-files-and-secret token_ttl=20m
