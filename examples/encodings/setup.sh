#!/bin/sh
# Bytes that are not text, as base64 and as hexadecimal digits. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/binary keystore=AAECA/3+/w== hmac=c0ffee00 greeting='Grüezi, 世界'

# Pods of the service account encodings in the namespace default may read it.
bao policy write encodings - <<'HCL'
path "secret/data/shop/binary" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/encodings \
    bound_service_account_names=encodings bound_service_account_namespaces=default \
    audience=vault token_policies=encodings token_ttl=20m
