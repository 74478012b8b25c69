#!/bin/sh
# The jwt auth method with the public key of a cluster, and a secret. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# PUBLIC_KEY is a PEM file with the key that signs the service account tokens of the cluster.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao auth list -format=json | grep -q '"jwt/"'; then
    bao auth enable jwt
fi
bao write auth/jwt/config jwt_validation_pubkeys=@"$PUBLIC_KEY" \
    bound_issuer="${ISSUER:-https://kubernetes.default.svc.cluster.local}"

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
bao kv put -mount=secret shop/jwt token=demo-jwt-token

# Pods of the service account jwt-auth in the namespace default may read it.
bao policy write jwt-auth - <<'HCL'
path "secret/data/shop/jwt" { capabilities = ["read"] }
HCL
bao write auth/jwt/role/jwt-auth role_type=jwt user_claim=sub \
    bound_audiences=vault bound_subject=system:serviceaccount:default:jwt-auth \
    token_policies=jwt-auth token_ttl=20m
