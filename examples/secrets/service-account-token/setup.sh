#!/bin/sh
# The address of the cluster, which goes with the token. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret cluster/api server=https://api.cluster.example.com:6443

# The service account secret-service-account-token in the namespace default may read it.
bao policy write secret-service-account-token - <<'HCL'
path "secret/data/cluster/api" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-service-account-token \
    bound_service_account_names=secret-service-account-token bound_service_account_namespaces=default \
    audience=vault token_policies=secret-service-account-token token_ttl=20m
