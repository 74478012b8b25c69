#!/bin/sh
# The kubernetes auth method for one cluster. Safe to repeat.
# A store that is no pod of the cluster needs these: KUBERNETES_HOST, the URL of its API server; the
# files KUBERNETES_CA, its authority as PEM, and REVIEWER_TOKEN, a token that may create TokenReviews.
set -eu
command -v bao >/dev/null || bao() { vault "$@"; }

if ! bao auth list -format=json | grep -q '"kubernetes/"'; then
    bao auth enable kubernetes
fi
bao write auth/kubernetes/config \
    kubernetes_host="${KUBERNETES_HOST:-https://kubernetes.default.svc}" \
    ${KUBERNETES_CA:+kubernetes_ca_cert=@"$KUBERNETES_CA"} \
    ${REVIEWER_TOKEN:+token_reviewer_jwt=@"$REVIEWER_TOKEN"}
