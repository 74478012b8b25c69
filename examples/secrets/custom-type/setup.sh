#!/bin/sh
# What a payment service wants to know. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/payments merchant-id=shop-4711 api-key=demo-payment-key

# The service account secret-custom-type in the namespace default may read it.
bao policy write secret-custom-type - <<'HCL'
path "secret/data/shop/payments" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-custom-type \
    bound_service_account_names=secret-custom-type bound_service_account_namespaces=default \
    audience=vault token_policies=secret-custom-type token_ttl=20m
