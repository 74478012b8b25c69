#!/bin/sh
# A whole file .dockercfg, as old tools wrote it. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
user=old-puller password=demo-legacy-password
auth=$(printf '%s:%s' "$user" "$password" | base64)
printf '{"registry.example.com:5000":{"username":"%s","password":"%s","auth":"%s"}}' "$user" "$password" "$auth" |
    bao kv put -mount=secret shop/registry-legacy file=-

# The service account secret-dockercfg in the namespace default may read it.
bao policy write secret-dockercfg - <<'HCL'
path "secret/data/shop/registry-legacy" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-dockercfg \
    bound_service_account_names=secret-dockercfg bound_service_account_namespaces=default \
    audience=vault token_policies=secret-dockercfg token_ttl=20m
