//! The chart: what Helm renders of it, what it refuses, and what a real API server makes of that.
//!
//! How it runs on a node is for `make cluster-test`; what the controller's rights are worth is in `sync_rights`.

mod effects;
mod rights;
mod values;

use std::fs;

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::repository;
use coffer_tests::helm;
use kube::api::{Api, ApiResource, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::sync_objects::{CLASS, SECRET_SYNC};
use crate::world::{end_with_us, run};

/// Namespaces that take pods of this Pod Security level alone, by its name.
const RESTRICTED: &str = "restricted";
const BASELINE: &str = "baseline";
/// A kind of OpenShift.
const CONSTRAINTS: &str = "SecurityContextConstraints";
/// The namespace that the renders are for.
const NAMESPACE: &str = "coffer-system";

/// A server with the definitions that Coffer ships, and with kinds that the chart may render for others.
async fn server() -> Result<&'static ApiServer> {
    static SERVER: OnceCell<ApiServer> = OnceCell::const_new();
    SERVER.get_or_try_init(start).await
}

async fn start() -> Result<ApiServer> {
    let api = ApiServer::start().await?;
    end_with_us(&api.farewell())?;
    for namespace in [NAMESPACE, "secrets", "shop", "billing", "kube-system"] {
        api.create_namespace(namespace).await?;
    }
    for level in [RESTRICTED, BASELINE] {
        api.create_namespace(level).await?;
        let labels = json!({"pod-security.kubernetes.io/enforce": level});
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": level, "labels": labels},
        });
        api.apply(&namespace).await?;
    }
    for definition in [SECRET_SYNC, CLASS] {
        api.install(definition).await?;
    }
    for (group, kind, plural, scope) in [
        (
            "monitoring.coreos.com",
            "PodMonitor",
            "podmonitors",
            "Namespaced",
        ),
        (
            "monitoring.coreos.com",
            "PrometheusRule",
            "prometheusrules",
            "Namespaced",
        ),
        (
            "security.openshift.io",
            CONSTRAINTS,
            "securitycontextconstraints",
            "Cluster",
        ),
    ] {
        api.apply(&definition(group, kind, plural, scope)).await?;
    }
    Ok(api)
}

/// A kind of others, as far as its being known goes.
fn definition(group: &str, kind: &str, plural: &str, scope: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"), "annotations": {
            // The second group belongs to nobody who would approve it here.
            "api-approved.kubernetes.io": "unapproved, for tests",
        }},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    })
}

/// What is rendered is what is committed, so that a change shows in a review.
#[test]
fn renders_are_those_that_are_committed() -> Result<()> {
    for example in helm::examples()? {
        let rendered = helm::render(&example.join("values.yaml"))?;
        let committed = fs::read_to_string(example.join("rendered.yaml"))?;
        let body = committed.split_once('\n').context("an empty file")?.1;
        ensure!(body == rendered, "{}: `make manifests`", example.display());
    }
    let default = helm::render(&repository().join("charts/examples/default/values.yaml"))?;
    let manifest = fs::read_to_string(repository().join("charts/coffer.yaml"))?;
    // Below two lines of its own.
    let body = manifest.splitn(3, '\n').nth(2);
    ensure!(
        body == Some(default.as_str()),
        "charts/coffer.yaml: `make manifests`"
    );
    Ok(())
}

#[test]
fn helm_finds_nothing_to_say_about_any_example() -> Result<()> {
    for example in helm::examples()? {
        helm::lint(&example.join("values.yaml")).with_context(|| example.display().to_string())?;
    }
    Ok(())
}

/// Every object is valid, as far as a server can tell without making it, and no field of it is unknown.
#[test]
fn a_server_takes_everything_that_is_rendered() -> Result<()> {
    run(async {
        let server = server().await?;
        for example in helm::examples()? {
            let path = example.join("rendered.yaml");
            for document in ApiServer::documents(&path.display().to_string())? {
                let tried = dry_run(server, &document).await;
                tried.with_context(|| format!("{}: {}", path.display(), document["kind"]))?;
            }
        }
        Ok(())
    })
}

/// Every manifest of the examples is valid too, in a namespace of its own where it names none.
#[test]
fn a_server_takes_every_manifest_of_the_examples() -> Result<()> {
    run(async {
        let server = server().await?;
        let mut tried = 0;
        let mut folders = vec![repository().join("examples")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if !name.ends_with(".yaml") || name == "expected.yaml" {
                    continue;
                }
                for mut document in ApiServer::documents(&path.display().to_string())? {
                    if document["metadata"]["namespace"].is_null() {
                        document["metadata"]["namespace"] = json!("shop");
                    }
                    if document["kind"] == "Pod" {
                        // Its account may be one of those that are only tried.
                        document["spec"]["serviceAccountName"] = json!("default");
                    }
                    let result = dry_run(server, &document).await;
                    result.with_context(|| path.display().to_string())?;
                    tried += 1;
                }
            }
        }
        ensure!(tried > 60, "only {tried} manifests were found");
        Ok(())
    })
}

/// The document of a kind.
fn of_kind<'d>(documents: &'d [Value], kind: &str) -> Result<&'d Value> {
    let found = documents.iter().find(|it| it["kind"] == *kind);
    found.with_context(|| format!("no {kind}"))
}

/// Chart §2: the controller passes the level `restricted`; the provider fails `baseline` for hostPath and nothing else.
#[test]
fn the_controller_is_restricted_and_the_provider_is_not_for_one_reason() -> Result<()> {
    run(async {
        let server = server().await?;
        for (kind, example, namespace, reason) in [
            ("Deployment", "everything", RESTRICTED, None),
            (
                "DaemonSet",
                "default",
                BASELINE,
                Some("hostPath volumes (volumes \"providers\", \"state\")"),
            ),
        ] {
            let path = format!("charts/examples/{example}/rendered.yaml");
            let documents = ApiServer::documents(&path)?;
            let mut spec = of_kind(&documents, kind)?["spec"]["template"]["spec"].clone();
            spec["serviceAccountName"] = json!("default");
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "x", "namespace": namespace}, "spec": spec,
            });
            let said = dry_run(server, &pod)
                .await
                .err()
                .map(|error| format!("{error:#}"));
            // All violations stand behind the level, to the end of the message.
            let found = said.as_deref().map(|said| {
                let behind = said.split_once("baseline:latest\": ").unwrap_or_default().1;
                behind.split(": Forbidden").next().unwrap_or_default()
            });
            ensure!(found == reason, "{kind}: {said:?}");
        }
        Ok(())
    })
}

/// Under other names and in another namespace everything fits together, and the policies keep their sentences, which
/// the controller knows.
#[test]
fn other_names_leave_nothing_of_the_default_ones() -> Result<()> {
    let path = "charts/examples/renamed/rendered.yaml";
    let documents = ApiServer::documents(path)?;
    for document in &documents {
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        ensure!(!name.contains("coffer-"), "{name}");
        let namespace = document["metadata"]["namespace"].as_str();
        ensure!(
            matches!(namespace, None | Some("secrets" | "shop")),
            "{name}"
        );
    }
    let deployment = of_kind(&documents, "Deployment")?;
    let pod = &deployment["spec"]["template"]["spec"];
    let account = pod["serviceAccountName"].as_str().context("no account")?;
    let arguments = pod["containers"][0]["args"].to_string();
    let role = documents.iter().find(|it| {
        it["kind"] == "Role"
            && it["metadata"]["name"] == account
            && it["metadata"]["namespace"] == "secrets"
    });
    let rules = role.context("no Role")?["rules"].to_string();
    for name in [format!("{account}-hmac"), account.to_owned()] {
        ensure!(rules.contains(&format!("[\"{name}\"]")), "{name}: {rules}");
        ensure!(arguments.contains(&name), "{name}: {arguments}");
    }
    let text = fs::read_to_string(repository().join(path))?;
    let user = format!("'system:serviceaccount:secrets:{account}'");
    ensure!(
        text.matches(&user).count() == 3,
        "the policies are for another account"
    );
    ensure!(text.contains("The Secret is not coffer-sync's."));
    Ok(())
}

async fn dry_run(server: &ApiServer, document: &Value) -> Result<()> {
    let objects = if document["kind"] == CONSTRAINTS {
        // Its plural is not what anybody would guess.
        let kind = GroupVersionKind::gvk("security.openshift.io", "v1", CONSTRAINTS);
        let resource = ApiResource::from_gvk_with_plural(&kind, "securitycontextconstraints");
        Api::all_with(server.client(), &resource)
    } else {
        ApiServer::objects(server.client(), document)?
    };
    let name = document["metadata"]["name"].as_str().context("no name")?;
    let how = PatchParams::apply("coffer-tests")
        .dry_run()
        .validation_strict();
    objects.patch(name, &how, &Patch::Apply(document)).await?;
    Ok(())
}
