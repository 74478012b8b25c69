//! What the provider's account may do with the rights of the chart, asked of a real API server.
//!
//! The server has nothing but these rights, so everything else that is asked for has to be refused.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::{eventually, repository};
use coffer_tests::helm;
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::stage::SOON;
use crate::world::{end_with_us, run};

const ACCOUNT: &str = "coffer-provider";
const KEY: &str = "vault-csi-provider-hmac-key";
const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const RESOURCES: [(&str, &str); 10] = [
    ("", "configmaps"),
    ("", "events"),
    ("", "nodes"),
    ("", "pods"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "serviceaccounts/token"),
    ("apps", "daemonsets"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("secrets-store.csi.x-k8s.io", "secretproviderclasses"),
];

/// Everything that the account may do, as `verb resource name @ namespace`.
async fn allowed(rendered: &str, probe: &str) -> Result<BTreeSet<String>> {
    let server = ApiServer::start().await?;
    end_with_us(&server.farewell())?;
    for namespace in [NAMESPACE, "team"] {
        server.create_namespace(namespace).await?;
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(rendered)?;
    let rights = |document: &&Value| {
        let kind = document["kind"].as_str().unwrap_or_default();
        let component = &document["metadata"]["labels"]["app.kubernetes.io/component"];
        (kind == "ServiceAccount" || kind.contains("Role")) && component == "provider"
    };
    for document in documents.iter().filter(rights) {
        server.apply(document).await?;
    }
    let client = server.client_for(NAMESPACE, ACCOUNT).await?;
    eventually(SOON, "the account's rights", async || {
        let found = questions(&client).await?;
        ensure!(found.contains(probe), "{found:?}");
        Ok(())
    })
    .await?;
    questions(&client).await
}

async fn questions(client: &kube::Client) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for namespace in [NAMESPACE, "team"] {
        for (group, resource) in RESOURCES {
            let (plain, sub) = resource.split_once('/').unwrap_or((resource, ""));
            for verb in VERBS {
                for name in ["", KEY] {
                    if !name.is_empty() && resource != "secrets" {
                        continue;
                    }
                    let attributes = json!({
                        "namespace": namespace, "verb": verb, "group": group,
                        "resource": plain, "subresource": sub, "name": name,
                    });
                    if ApiServer::reviewed(client.clone(), &attributes).await? {
                        found.insert(format!("{verb} {resource} {name} @ {namespace}"));
                    }
                }
            }
        }
    }
    Ok(found)
}

fn values() -> PathBuf {
    repository().join("charts/examples/default/values.yaml")
}

/// What every provider has that makes its key.
fn own() -> [String; 3] {
    [
        format!("get secrets {KEY} @ {NAMESPACE}"),
        format!("create secrets {KEY} @ {NAMESPACE}"),
        format!("create secrets  @ {NAMESPACE}"),
    ]
}

/// Chart §3: nothing in the cluster; in its own namespace the key of versions, and to make it.
#[test]
fn by_default_the_provider_may_read_one_secret_and_nothing_of_the_cluster() -> Result<()> {
    run(async {
        let [probe, ..] = own();
        let found = allowed(&helm::render(&values())?, &probe).await?;
        ensure!(found == own().into(), "{found:#?}");
        Ok(())
    })
}

/// Chart §3: each switch adds its one rule.
#[test]
fn each_switch_adds_its_rule_and_nothing_more() -> Result<()> {
    run(async {
        for (switch, rights) in [
            (
                "csi.tokenRequest.enabled",
                &["create serviceaccounts/token"][..],
            ),
            ("csi.events.enabled", &["create events", "patch events"]),
            ("csi.watchPods.enabled", &["list pods", "watch pods"]),
        ] {
            let rendered = helm::render_with(&values(), switch, "true")?;
            let mut expected: BTreeSet<String> = own().into();
            for namespace in [NAMESPACE, "team"] {
                expected.extend(rights.iter().map(|right| format!("{right}  @ {namespace}")));
            }
            let probe = format!("{}  @ team", rights[0]);
            let found = allowed(&rendered.context("refused")?, &probe).await?;
            let more: Vec<&String> = found.symmetric_difference(&expected).collect();
            ensure!(more.is_empty(), "{switch}: {more:#?}");
        }
        Ok(())
    })
}

/// Chart §3: with the key as a file there is no account token at all.
#[test]
fn with_a_mounted_key_the_provider_has_no_account_token() -> Result<()> {
    let documents = ApiServer::documents("charts/examples/strict/rendered.yaml")?;
    let of = |kind: &str| documents.iter().filter(|it| it["kind"] == *kind).count();
    ensure!(of("Role") == 0 && of("ClusterRole") == 0, "a right is left");
    let set = documents.iter().find(|it| it["kind"] == "DaemonSet");
    let pod = &set.context("no DaemonSet")?["spec"]["template"]["spec"];
    ensure!(pod["automountServiceAccountToken"] == false);
    let arguments = &pod["containers"][0]["args"];
    ensure!(
        arguments.to_string().contains("--kubeconfig=off"),
        "{arguments}"
    );
    Ok(())
}
