#!/bin/sh
# A key for a Git server, and the host key by which the server is known. Both are made here, once. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
if ! bao kv get -mount=secret shop/git >/dev/null 2>&1; then
    keys=$(mktemp -d)
    trap 'rm -r "$keys"' EXIT
    ssh-keygen -q -t ed25519 -N '' -C deploy@shop.example.com -f "$keys/deploy"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$keys/host"
    bao kv put -mount=secret shop/git key=@"$keys/deploy" \
        known_hosts="git.example.com $(cut -d ' ' -f 1,2 "$keys/host.pub")"
fi

# The service account secret-ssh-auth in the namespace default may read it.
bao policy write secret-ssh-auth - <<'HCL'
path "secret/data/shop/git" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-ssh-auth \
    bound_service_account_names=secret-ssh-auth bound_service_account_namespaces=default \
    audience=vault token_policies=secret-ssh-auth token_ttl=20m
