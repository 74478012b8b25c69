//! Every value of the chart changes what is rendered, somewhere.
//!
//! What it changes shows in the renders that are committed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::repository;
use coffer_tests::helm;
use serde_json::{Value, json};

/// Values without effect: those of the peers that are taken and ignored, two that only ask a cluster, and one of which
/// Kubernetes takes no other.
const WITHOUT: [&str; 6] = [
    "lookups",
    "csi.livenessProbe.successThreshold",
    "global.tlsDisable",
    "csi.agent",
    "csi.daemonSet.kubeletRootDir",
    "csi.failOnMissingAudience",
];

/// Renders in which a value may show: some hide each other.
const EXAMPLES: [&str; 7] = [
    "everything",
    "default",
    "strict",
    "sync",
    "openshift",
    "renamed",
    "peer-block",
];

/// Texts that a schema lets through, by the end of their names; others become `changed`.
const TEXTS: [(&str, &str); 24] = [
    ("nterval", "7s"),
    ("Deadline", "7s"),
    ("Timeout", "7s"),
    ("Bytes", "7Mi"),
    ("logLevel", "warn"),
    ("logFormat", "text"),
    ("pullPolicy", "Always"),
    ("profile", "strict"),
    ("hmacSource", "file"),
    ("socket", "hostPath"),
    ("dnsPolicy", "Default"),
    ("updateStrategy.type", "OnDelete"),
    ("externalVaultAddr", "https://changed"),
    ("Dir", "/changed"),
    ("runbookURL", "https://changed"),
    ("maxUnavailable", "3"),
    ("maxSurge", "3"),
    ("audiences.vault", "changed"),
    ("cpu", "7m"),
    ("memory", "7Mi"),
    ("kubernetes.io/os", "changed"),
    ("providerName", "vault2"),
    ("controllerName", "changed"),
    (
        "digest",
        "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
    ),
];

/// Lists that a schema lets through, by the end of their names; others are of objects.
const LISTS: [(&str, &str); 13] = [
    ("store.addresses", r#"["https://changed"]"#),
    ("allowedMethods", r#"["GET"]"#),
    ("allowedTLSDirs", r#"["/changed"]"#),
    ("allowedAddresses", r#"["https://changed"]"#),
    ("allowedNamespaces", r#"["changed"]"#),
    ("allowedAuthMounts", r#"["changed"]"#),
    ("watchNamespaces", r#"["changed"]"#),
    ("allowedSecretTypes", r#"["changed"]"#),
    ("xtraArgs", r#"["--changed"]"#),
    ("CIDRs", r#"["192.0.2.7/32"]"#),
    ("Ports", "[7]"),
    ("imagePullSecrets", r#"["changed"]"#),
    ("tolerations", r#"[{"key": "changed"}]"#),
];

/// The leaves of the values, by their paths.
fn leaves(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) if !map.is_empty() && !is_free(path) => {
            for (key, value) in map {
                let key = key.replace('.', "\\.");
                let path = match path {
                    "" => key,
                    path => format!("{path}.{key}"),
                };
                leaves(&path, value, found);
            }
        }
        leaf => found.push((path.to_owned(), leaf.clone())),
    }
}

/// Maps that are taken whole.
fn is_free(path: &str) -> bool {
    ["affinity", "nodeSelector"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// Another value of the same kind.
fn other(path: &str, value: &Value) -> String {
    let by_end = |table: &[(&str, &str)]| {
        let found = table.iter().find(|(end, _)| path.ends_with(end));
        found.map(|(_, text)| (*text).to_owned())
    };
    match value {
        Value::Bool(value) => (!value).to_string(),
        Value::Number(number) => (number.as_i64().unwrap_or_default() + 1).to_string(),
        Value::Array(_) => by_end(&LISTS)
            .unwrap_or_else(|| r#"[{"name": "changed", "mountPath": "/changed"}]"#.to_owned()),
        Value::Object(_) => json!({"changed": "changed"}).to_string(),
        _ => json!(by_end(&TEXTS).unwrap_or_else(|| "changed".to_owned())).to_string(),
    }
}

fn example(name: &str) -> PathBuf {
    repository()
        .join("charts/examples")
        .join(name)
        .join("values.yaml")
}

#[test]
fn every_value_has_an_effect() -> Result<()> {
    let text = fs::read_to_string(repository().join("charts/coffer/values.yaml"))?;
    let values: Value = serde_saphyr::from_str(&text)?;
    let mut all = Vec::new();
    leaves("", &values, &mut all);
    ensure!(all.len() > 120, "only {} values were found", all.len());
    let before: Vec<(PathBuf, String)> = EXAMPLES
        .iter()
        .map(|name| Ok((example(name), helm::render(&example(name))?)))
        .collect::<Result<_>>()?;
    let mut idle = Vec::new();
    for (path, value) in &all {
        if WITHOUT.contains(&path.as_str()) {
            continue;
        }
        let other = other(path, value);
        let mut shows = false;
        for (values, before) in &before {
            let rendered = helm::render_with(values, path, &other)?;
            shows |= rendered.is_some_and(|rendered| rendered != *before);
            if shows {
                break;
            }
        }
        if !shows {
            idle.push(format!("{path}={other}"));
        }
    }
    ensure!(idle.is_empty(), "values that change nothing: {idle:#?}");
    Ok(())
}

/// The peers' chart has these too, and a block that is pasted may set them.
#[test]
fn what_is_ignored_is_taken() -> Result<()> {
    let before = helm::render(&example("default"))?;
    for (path, value) in [
        ("global.tlsDisable", "false"),
        ("csi.agent", r#"{"enabled": true}"#),
        ("csi.daemonSet.kubeletRootDir", r#""/data""#),
        ("global.psp", "{}"),
    ] {
        let rendered = helm::render_with(&example("default"), path, value)?;
        let rendered = rendered.with_context(|| format!("{path} is refused"))?;
        ensure!(rendered == before, "{path} has an effect");
    }
    Ok(())
}
