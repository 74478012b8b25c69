#!/bin/sh
# A file with line ends that have to stay as they are. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
printf 'value-2\r\n\r\n' | bao kv put -mount=secret shop/dotfile file=-

# The service account secret-dotfile in the namespace default may read it.
bao policy write secret-dotfile - <<'HCL'
path "secret/data/shop/dotfile" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-dotfile \
    bound_service_account_names=secret-dotfile bound_service_account_namespaces=default \
    audience=vault token_policies=secret-dotfile token_ttl=20m
