#!/bin/sh
# A secret with more than texts in it. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/features - <<'JSON'
{"checkout": true, "currencies": ["EUR", "CHF"], "limits": {"basket": 40}}
JSON

# Pods of the service account whole-json in the namespace default may read it.
bao policy write whole-json - <<'HCL'
path "secret/data/shop/features" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/whole-json \
    bound_service_account_names=whole-json bound_service_account_namespaces=default \
    audience=vault token_policies=whole-json token_ttl=20m
