//! Workloads that restart because a Secret changed: which of them, by one mark in their Pod template, and when.
//!
//! No controller rolls anything out here: the generation of a workload counts its restarts.

/// Restarts that wait: for a window, for a workload, for another process.
mod pending;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use coffer_sync_core::restart::mark;
use coffer_tests::fixture::eventually;
use serde_json::{Value, json};

use super::outages::{asked_anew, is_well, refetched};
use super::{LATER, Scene, condition_of};
use crate::stage::SOON;
use crate::sync_objects::{stored, with};
use crate::world::run;

/// The condition that workloads wait.
const PENDING: &str = "coffer.rs/RestartPending";
const RESTARTED: &str = "coffer_sync_restarts_total{result=\"ok\"}";

/// A workload whose Pod template has these fields, and its container those.
fn workload(kind: &str, name: &str, pod: &Value, container: &Value) -> Value {
    let mut main = json!({"name": "main", "image": "none"});
    extend(&mut main, container);
    let mut spec = json!({"containers": [main]});
    extend(&mut spec, pod);
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": spec});
    let mut workload = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    });
    if kind == "StatefulSet" {
        workload["spec"]["serviceName"] = json!(name);
    }
    workload
}

fn extend(object: &mut Value, fields: &Value) {
    for (name, value) in fields.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
}

/// A Deployment whose container reads these Secrets into its environment.
pub(super) fn reads(name: &str, secrets: &[&str]) -> Value {
    let from: Vec<Value> = secrets
        .iter()
        .map(|secret| json!({"secretRef": {"name": secret}}))
        .collect();
    workload("Deployment", name, &json!({}), &json!({"envFrom": from}))
}

/// A SecretSync whose key `k` is this file, with these options.
async fn synced(scene: &Scene, name: &str, file: &str, options: &[(&str, &str)]) -> Result<Value> {
    let sync = scene.sync_of(name, "Opaque", &[(file, "k")]);
    let mut annotations = json!({});
    for (option, text) in options {
        annotations[format!("coffer.rs/{option}")] = json!(text);
    }
    let sync = with(sync, "/metadata/annotations", annotations);
    let sync = scene.create(sync).await?;
    is_well(scene, &sync).await?;
    Ok(sync)
}

/// Our marks in the template of a workload.
async fn marks(scene: &Scene, workload: &Value) -> Result<BTreeMap<String, String>> {
    let now = stored(&scene.ground.admin, workload).await?;
    let annotations = now.pointer("/spec/template/metadata/annotations");
    let annotations = annotations.and_then(Value::as_object).into_iter().flatten();
    let ours = annotations.filter(|(name, _)| name.starts_with("coffer.rs/"));
    let text = |text: &Value| text.as_str().unwrap_or_default().to_owned();
    Ok(ours
        .map(|(name, value)| (name.clone(), text(value)))
        .collect())
}

/// How often the spec of a workload was written.
async fn generation(scene: &Scene, workload: &Value) -> Result<Option<i64>> {
    let now = stored(&scene.ground.admin, workload).await?;
    Ok(now["metadata"]["generation"].as_i64())
}

/// Waits until a workload has exactly the marks of these Secrets as they are now, and that in one rollout.
pub(super) async fn restarted(scene: &Scene, workload: &Value, syncs: &[&Value]) -> Result<()> {
    let what = format!("a restart of {}", workload["metadata"]["name"]);
    eventually(LATER, &what, async || {
        let mut expected = BTreeMap::new();
        for sync in syncs {
            let now = stored(&scene.ground.admin, sync).await?;
            let hash = now["status"]["syncHash"].as_str();
            let hash = hash.and_then(|hash| hash.rsplit(':').next()?.get(..10));
            let name = now["metadata"]["name"].as_str().unwrap_or_default();
            expected.insert(mark(name), hash.context("no hash")?.to_owned());
        }
        let found = marks(scene, workload).await?;
        ensure!(found == expected, "{found:?} and not {expected:?}");
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())?;
    ensure!(generation(scene, workload).await? == Some(2));
    Ok(())
}

/// Fails unless a workload is as it was made.
pub(super) async fn left_alone(scene: &Scene, workload: &Value) -> Result<()> {
    let found = marks(scene, workload).await?;
    let generation = generation(scene, workload).await?;
    let name = &workload["metadata"]["name"];
    ensure!(
        found.is_empty() && generation == Some(1),
        "{name}: {found:?}, generation {generation:?}"
    );
    Ok(())
}

/// Waits until nothing waits because of this object.
pub(super) async fn settled(scene: &Scene, sync: &Value) -> Result<()> {
    eventually(LATER, "no pending restart", async || {
        let now = stored(&scene.ground.admin, sync).await?;
        ensure!(condition_of(&now, PENDING).is_none(), "{}", now["status"]);
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Sync §10: those restart that read the Secret at their start; what updates by itself is left alone.
#[test]
fn workloads_restart_that_cannot_see_a_change_otherwise() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let options = [("restart", "Auto"), ("restart-window", "1s")];
        let sync = synced(&scene, "a", "f", &options).await?;
        let none = json!({});
        let env = json!([{"name": "K", "valueFrom": {"secretKeyRef": {"name": "a", "key": "k"}}}]);
        let from = json!([{"secretRef": {"name": "a"}}]);
        let volumes = json!([{"name": "v", "secret": {"secretName": "a"}}]);
        let below = json!([{"name": "v", "mountPath": "/k", "subPath": "k"}]);
        let whole = json!([{"name": "v", "mountPath": "/v"}]);
        let init = json!([{"name": "init", "image": "none", "envFrom": from}]);
        let yes = [
            workload("Deployment", "env", &none, &json!({"env": env})),
            workload("StatefulSet", "from", &none, &json!({"envFrom": from})),
            workload(
                "DaemonSet",
                "below",
                &json!({"volumes": volumes}),
                &json!({"volumeMounts": below}),
            ),
            workload(
                "Deployment",
                "init",
                &json!({"initContainers": init}),
                &none,
            ),
        ];
        let no = [
            workload(
                "Deployment",
                "whole",
                &json!({"volumes": volumes}),
                &json!({"volumeMounts": whole}),
            ),
            workload(
                "Deployment",
                "pull",
                &json!({"imagePullSecrets": [{"name": "a"}]}),
                &none,
            ),
            reads("other", &["b"]),
        ];
        let mut made = Vec::new();
        for one in yes.iter().chain(&no) {
            made.push(scene.create(one.clone()).await?);
        }
        let (yes, no) = made.split_at(yes.len());

        scene.vendor.put("f", "new");
        refetched(&scene, &class, &sync).await?;
        for one in yes {
            restarted(&scene, one, &[&sync]).await?;
        }
        settled(&scene, &sync).await?;
        for one in no {
            left_alone(&scene, one).await?;
        }
        let told = scene.told("a", "RestartTriggered").await?;
        ensure!(told["type"] == "Normal", "{told}");
        let name = mark("a");
        let digits = name.strip_prefix("coffer.rs/s-").context("another mark")?;
        ensure!(digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
        ensure!(scene.controller.metric(RESTARTED).await? == 4.0);
        Ok(())
    })
}

/// Sync §10: named workloads restart whether they read the Secret or not, and so do those of a selector.
#[test]
fn workloads_restart_that_are_named_or_selected() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let named = [
            ("restart", "Deployment/x, StatefulSet/y"),
            ("restart-window", "0s"),
        ];
        let named = synced(&scene, "named", "f", &named).await?;
        let selected = [("restart", "selector:app=web"), ("restart-window", "0s")];
        let selected = synced(&scene, "selected", "f", &selected).await?;
        let labels = json!({"app": "web"});
        let web = with(reads("web", &[]), "/metadata/labels", labels);
        let mut made = Vec::new();
        for one in [
            reads("x", &[]),
            workload("StatefulSet", "y", &json!({}), &json!({})),
            web,
            reads("z", &["named", "selected"]),
        ] {
            made.push(scene.create(one).await?);
        }
        scene.vendor.put("f", "new");
        asked_anew(&scene, &class).await?;
        for (at, sync) in [(0, &named), (1, &named), (2, &selected)] {
            restarted(&scene, &made[at], &[sync]).await?;
        }
        settled(&scene, &named).await?;
        settled(&scene, &selected).await?;
        left_alone(&scene, &made[3]).await
    })
}

/// Sync §10: not at the first sync, not at an adoption, not for metadata, not for a repair. The one restart at the end
/// would have had to wait for minutes behind any before it.
#[test]
fn nothing_restarts_unless_content_changed_between_two_writes() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("fa", "adopted");
        scene.vendor.put("fb", "one");
        let class = scene.class("c").await?;
        let both = scene.create(reads("both", &["a", "b"])).await?;
        let theirs = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "a", "annotations": {"coffer.rs/adoptable-by": "SecretSync/a"}},
            "stringData": {"k": "theirs", "own": "x"},
        });
        scene.create(theirs).await?;
        let restart = [("restart", "Auto"), ("restart-window", "0s")];
        let adopt = [&restart[..], &[("adopt", "Merge")]].concat();
        synced(&scene, "a", "fa", &adopt).await?;
        scene.holds("a", "k", b"adopted").await?;
        left_alone(&scene, &both).await?;

        let sync = synced(&scene, "b", "fb", &restart).await?;
        left_alone(&scene, &both).await?;

        let label = json!({"spec": {"secretObject": {"labels": {"team": "x"}}}});
        scene.merge(&sync, &label).await?;
        let labelled = |secret: &Value| secret["metadata"]["labels"]["team"] == "x";
        scene.until("b", "a label", labelled).await?;
        is_well(&scene, &sync).await?;
        left_alone(&scene, &both).await?;

        let edit = json!({"data": {"k": "ZWRpdGVk"}});
        scene.merge(&scene.secret_named("b"), &edit).await?;
        scene.told("b", "Repaired").await?;
        scene.holds("b", "k", b"one").await?;
        left_alone(&scene, &both).await?;

        scene.vendor.put("fb", "two");
        refetched(&scene, &class, &sync).await?;
        restarted(&scene, &both, &[&sync]).await?;
        ensure!(scene.controller.metric(RESTARTED).await? == 1.0);
        Ok(())
    })
}

/// Sync §10, §13: without the operator's word nothing restarts. People are told of that and of the new content.
#[test]
fn nothing_restarts_where_the_operator_does_not_allow_it() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let reader = scene.create(reads("reader", &["a"])).await?;
        let options = [("restart", "Auto"), ("restart-window", "0s")];
        let sync = synced(&scene, "a", "f", &options).await?;
        scene.vendor.put("f", "new");
        refetched(&scene, &class, &sync).await?;
        scene.holds("a", "k", b"new").await?;
        let told = scene.told("a", "RestartFailed").await?;
        let note = told["note"].as_str().unwrap_or_default();
        ensure!(note.contains("--restarts"), "{note}");
        eventually(SOON, "an Event of new content", async || {
            let events = scene.events("a").await?;
            let holds = |event: &Value| {
                event["note"]
                    .as_str()?
                    .contains("new content")
                    .then_some(())
            };
            ensure!(
                events.iter().any(|event| holds(event).is_some()),
                "{events:?}"
            );
            Ok(())
        })
        .await?;
        is_well(&scene, &sync).await?;
        left_alone(&scene, &reader).await
    })
}
