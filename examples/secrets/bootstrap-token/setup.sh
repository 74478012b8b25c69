#!/bin/sh
# A token by which machines join the cluster. Each run makes a new one, which ends after a day. Safe to repeat.
# Needs BAO_ADDR and BAO_TOKEN of an operator (or VAULT_ADDR and VAULT_TOKEN, with the vault CLI).
# The auth method is that of ../../kubernetes-auth/enable.sh: run it once before.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao secrets list -format=json | grep -q '"secret/"'; then
    bao secrets enable -path=secret -version=2 kv
fi
end=$(($(date +%s) + 86400))
expiration=$(date -u -d "@$end" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$end" +%Y-%m-%dT%H:%M:%SZ)
bao kv put -mount=secret cluster/bootstrap/c0ffee token="c0ffee.$(openssl rand -hex 8)" usage=true \
    expiration="$expiration" description="Joins machines to the demo cluster" \
    groups=system:bootstrappers:kubeadm:default-node-token

# The service account secret-bootstrap-token in the namespace kube-system may read it.
bao policy write secret-bootstrap-token - <<'HCL'
path "secret/data/cluster/bootstrap/c0ffee" { capabilities = ["read"] }
HCL
bao write auth/kubernetes/role/secret-bootstrap-token \
    bound_service_account_names=secret-bootstrap-token bound_service_account_namespaces=kube-system \
    audience=vault token_policies=secret-bootstrap-token token_ttl=20m
