#!/bin/sh
# A certificate authority whose answers have leases. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"pki-leased/"'; then
    bao secrets enable -path=pki-leased pki
    bao secrets tune -max-lease-ttl=8760h pki-leased
    bao write pki-leased/root/generate/internal common_name="Example root" ttl=8760h >/dev/null
fi
bao write pki-leased/roles/web allowed_domains=default.svc allow_subdomains=true max_ttl=72h generate_lease=true

# Pods of the service account leased in the namespace default may read it.
bao policy write leased - <<'HCL'
path "pki-leased/issue/web" { capabilities = ["update"] }
# What nobody needs any more is given back; the default policy grants only renewal.
path "sys/leases/revoke" { capabilities = ["update"] }
HCL
bao write auth/kubernetes/role/leased \
    bound_service_account_names=leased bound_service_account_namespaces=default \
    audience=vault token_policies=leased token_ttl=20m
