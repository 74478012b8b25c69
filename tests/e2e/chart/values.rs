//! What the chart refuses, and what each value comes to.
//!
//! Whole renders are compared in the file above.

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::repository;
use coffer_tests::helm;

/// A value that must be refused, and a piece of what is said.
const REFUSED: [(&str, &str); 43] = [
    ("replicas=3", "additional properties 'replicas' not allowed"),
    (
        "sync.enable=true",
        "additional properties 'enable' not allowed",
    ),
    (
        "csi.daemonSet.providerDir=/x",
        "additional properties 'providerDir' not allowed",
    ),
    (
        "store.address={http://x}",
        "additional properties 'address' not allowed",
    ),
    ("store.addresses={vault:8200}", "at '/store/addresses/0'"),
    ("store.addresses=http://x", "at '/store/addresses'"),
    ("store.caBundle.key=", "at '/store/caBundle/key'"),
    (
        "global.externalVaultAddr=vault",
        "at '/global/externalVaultAddr'",
    ),
    ("policy.profile=loose", "at '/policy/profile'"),
    ("policy.profile=strict", "at '/store/addresses'"),
    (
        "policy.allowedMethods={DELETE}",
        "at '/policy/allowedMethods/0'",
    ),
    (
        "policy.allowedTLSDirs={tls}",
        "at '/policy/allowedTLSDirs/0'",
    ),
    ("limits.inflight=0", "at '/limits/inflight'"),
    ("limits.replyBytes=4MB", "at '/limits/replyBytes'"),
    ("limits.mountDeadline=soon", "at '/limits/mountDeadline'"),
    ("refreshInterval=-1", "at '/refreshInterval'"),
    ("csi.enabled=maybe", "at '/csi/enabled'"),
    ("csi.providerName=a.b", "at '/csi/providerName'"),
    ("csi.image.digest=sha256:1", "at '/csi/image/digest'"),
    (
        "csi.image.pullPolicy=Sometimes",
        "at '/csi/image/pullPolicy'",
    ),
    (
        "csi.image.repository=hashicorp/vault-csi-provider",
        "the image of another provider",
    ),
    (
        "csi.image.repository=openbao/openbao-csi-provider",
        "the image of another provider",
    ),
    ("csi.logLevel=loud", "at '/csi/logLevel'"),
    ("csi.hmacSource=generate", "at '/csi/hmacSource'"),
    ("csi.stateDir=run", "at '/csi/stateDir'"),
    ("csi.healthPort=0", "at '/csi/healthPort'"),
    (
        "csi.daemonSet.updateStrategy.type=Recreate",
        "at '/csi/daemonSet/updateStrategy/type'",
    ),
    ("sync.audiences.vault=", "at '/sync/audiences/vault'"),
    ("sync.socket=tcp", "at '/sync/socket'"),
    ("sync.concurrency=0", "at '/sync/concurrency'"),
    ("sync.kubeApi.qps=0", "at '/sync/kubeApi/qps'"),
    (
        "networkPolicy.storeCIDRs={10.0.0.1}",
        "at '/networkPolicy/storeCIDRs/0'",
    ),
    (
        "prometheusRule.runbookURL=docs",
        "at '/prometheusRule/runbookURL'",
    ),
    (
        "policy.allowedNamespaces={}",
        "at '/policy/allowedNamespaces",
    ),
    (
        "policy.allowedAuthMounts={}",
        "at '/policy/allowedAuthMounts",
    ),
    ("policy.allowedTLSDirs={}", "at '/policy/allowedTLSDirs"),
    ("limits.bufferedBytes=4M", "at '/limits/bufferedBytes'"),
    ("sync.refreshInterval=300", "at '/sync/refreshInterval'"),
    (
        "sync.allowedSecretTypes={a'b}",
        "at '/sync/allowedSecretTypes/0'",
    ),
    ("sync.watchNamespaces={a.b}", "at '/sync/watchNamespaces/0'"),
    (
        "networkPolicy.storePorts={}",
        "at '/networkPolicy/storePorts",
    ),
    (
        "csi.livenessProbe.successThreshold=2",
        "at '/csi/livenessProbe/successThreshold'",
    ),
    ("podMonitor.interval=often", "at '/podMonitor/interval'"),
];

#[test]
fn what_could_not_work_is_refused_with_the_value_named() -> Result<()> {
    for (value, expected) in REFUSED {
        let said = helm::refusal(&[value])?;
        let said = said.with_context(|| format!("{value} is taken"))?;
        ensure!(said.contains(expected), "{value}: {said}");
    }
    Ok(())
}

#[test]
fn values_that_contradict_each_other_are_refused_with_the_remedy() -> Result<()> {
    for (values, expected) in [
        (
            &["store.caBundle.secret=a", "store.caBundle.configMap=b"][..],
            "store.caBundle names a configMap and a secret",
        ),
        (
            &[
                "sync.enabled=true",
                "sync.socket=hostPath",
                "csi.nonRoot.enabled=true",
            ],
            "set sync.socket=sidecar",
        ),
        (
            &[
                "csi.hostNetwork=true",
                "csi.daemonSet.updateStrategy.maxSurge=1",
            ],
            "cannot have the same port",
        ),
        (
            &["sync.enabled=true", "csi.providerName=openbao"],
            "sync.audiences has no entry openbao",
        ),
    ] {
        let said = helm::refusal(values)?.with_context(|| format!("{values:?} are taken"))?;
        ensure!(said.contains(expected), "{values:?}: {said}");
    }
    Ok(())
}

/// A number of a file is no text, and must not become one with an exponent.
#[test]
fn numbers_stay_numbers_of_bytes() -> Result<()> {
    let values = repository().join("charts/examples/sync/values.yaml");
    let rendered = helm::render_with(&values, "limits.replyBytes", "4194304")?;
    let rendered = rendered.context("refused")?;
    for expected in ["--reply-bytes=4194304\n", "--max-response-bytes=4194304\n"] {
        ensure!(rendered.contains(expected), "no {expected}");
    }
    Ok(())
}

#[test]
fn what_the_peers_take_is_taken() -> Result<()> {
    for values in [
        &["csi.enabled=-"][..],
        &["global.imagePullSecrets={registry}"],
        &["csi.pod.tolerations=- operator: Exists"],
        &[
            "csi.pod.nodeSelector=a: b",
            "csi.daemonSet.annotations=c: d",
        ],
        &[
            "csi.agent.enabled=true",
            "csi.agent.image.repository=hashicorp/vault",
        ],
        &[
            "csi.daemonSet.kubeletRootDir=/data/kubelet",
            "csi.debug=true",
        ],
        &[
            "global.tlsDisable=false",
            "global.externalVaultAddr=https://vault.example.com:8200",
        ],
        &["csi.extraArgs={-vault-addr=http://x,-debug}"],
        &[
            "policy.profile=strict",
            "policy.allowedAddresses={https://x}",
        ],
        &[
            "policy.profile=strict",
            "global.externalVaultAddr=https://x",
        ],
    ] {
        let said = helm::refusal(values)?;
        ensure!(said.is_none(), "{values:?}: {said:?}");
    }
    Ok(())
}
