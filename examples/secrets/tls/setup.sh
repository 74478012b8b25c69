#!/bin/sh
# A certificate authority, and a role that issues certificates for one service. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"pki/"'; then
    bao secrets enable -path=pki pki
    bao secrets tune -max-lease-ttl=8760h pki
    bao write pki/root/generate/internal common_name="Example root" ttl=8760h >/dev/null
fi
bao write pki/roles/secret-tls allowed_domains=secret-tls.default.svc allow_bare_domains=true \
    key_type=ec key_bits=256 max_ttl=72h

# The service account secret-tls in the namespace default may have certificates issued.
bao policy write secret-tls - <<'HCL'
path "pki/issue/secret-tls" { capabilities = ["update"] }
HCL
bao write auth/kubernetes/role/secret-tls \
    bound_service_account_names=secret-tls bound_service_account_namespaces=default \
    audience=vault token_policies=secret-tls token_ttl=20m
