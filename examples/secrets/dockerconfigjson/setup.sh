#!/bin/sh
# The login of a registry, in parts. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/registry server=registry.example.com username=shop-puller password=demo-registry-password

# The service account secret-dockerconfigjson in the namespace default may read it.
bao policy write secret-dockerconfigjson - <<'HCL'
path "secret/data/shop/registry" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-dockerconfigjson \
    bound_service_account_names=secret-dockerconfigjson bound_service_account_namespaces=default \
    audience=vault token_policies=secret-dockerconfigjson token_ttl=20m
