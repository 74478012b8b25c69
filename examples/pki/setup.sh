#!/bin/sh
# A certificate authority, and a role that issues certificates for services. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"pki/"'; then
    bao secrets enable -path=pki pki
    bao secrets tune -max-lease-ttl=8760h pki
    bao write pki/root/generate/internal common_name="Example root" ttl=8760h >/dev/null
fi
bao write pki/roles/web allowed_domains=default.svc allow_subdomains=true max_ttl=72h

# Pods of the service account pki in the namespace default may read it.
bao policy write pki - <<'HCL'
path "pki/issue/web" { capabilities = ["update"] }
HCL
bao write auth/kubernetes/role/pki \
    bound_service_account_names=pki bound_service_account_namespaces=default \
    audience=vault token_policies=pki token_ttl=20m
