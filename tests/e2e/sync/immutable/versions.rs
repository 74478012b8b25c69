//! `coffer.rs/immutable: Versioned`: each content is a Secret of its own, and consumers are pointed to it.
//!
//! Old versions are younger than a day here, so that none may go.

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use serde_json::{Value, json};

use super::deployment;
use crate::stage::SOON;
use crate::sync::Scene;
use crate::sync::drift::{good, noted, rotate, there};
use crate::sync_objects::{stored, with};
use crate::world::run;

/// The object `a` with versions, of which file `f` is key `k`, and what it restarts.
async fn versioned(scene: &Scene, restart: &str) -> Result<Value> {
    scene.vendor.put("f", "one");
    scene.class("c").await?;
    let options = json!({
        "coffer.rs/immutable": "Versioned",
        "coffer.rs/keep-versions": "1",
        "coffer.rs/restart": restart,
        "coffer.rs/restart-window": "0s",
    });
    let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
    let sync = scene
        .create(with(sync, "/metadata/annotations", options))
        .await?;
    good(scene, &sync).await?;
    Ok(sync)
}

/// The name of the version that the status tells of, if it is another than that one.
pub(in crate::sync) async fn version(scene: &Scene, sync: &Value, but: &str) -> Result<String> {
    eventually(SOON, "a version", async || {
        let now = stored(&scene.ground.admin, sync).await?;
        let hash = now["status"]["syncHash"].as_str().unwrap_or_default();
        let hex = hash.rsplit(':').next().unwrap_or_default();
        let version = format!("a-{}", hex.get(..10).context("no hash")?);
        ensure!(version != but, "still {but}");
        Ok(version)
    })
    .await
    .with_context(|| scene.controller.log())
}

/// A Pod that refers to a Secret in every way, and to one whose name looks alike.
pub(in crate::sync) fn consumer(secret: &str) -> Value {
    json!({
        "imagePullSecrets": [{"name": secret}],
        "volumes": [
            {"name": "plain", "secret": {"secretName": secret}},
            {"name": "projected", "projected": {"sources": [{"secret": {"name": secret}}]}},
            {"name": "other", "secret": {"secretName": "a-other"}},
        ],
        "containers": [{
            "name": "main",
            "image": "none",
            "envFrom": [{"secretRef": {"name": secret}}],
            "env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}}],
        }],
    })
}

/// How often a Pod template names a Secret.
pub(in crate::sync) fn named(app: &Value, secret: &str) -> usize {
    let spec = app["spec"]["template"]["spec"].to_string();
    spec.matches(&format!("\"{secret}\"")).count()
}

/// Sync §9, Versioned: `<name>-<10 hex of the hash>`, immutable, none of the plain name, and the old one stays
#[test]
fn each_content_is_a_version_of_its_own_and_none_goes_before_its_day() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = versioned(&scene, "Never").await?;
        let one = version(&scene, &sync, "").await?;
        let first = scene.holds(&one, "k", b"one").await?;
        ensure!(first["immutable"] == true, "{}", first["metadata"]);
        let owner = &first["metadata"]["ownerReferences"][0]["uid"];
        ensure!(*owner == sync["metadata"]["uid"], "{}", first["metadata"]);
        noted(&scene, "a", "Synced", &format!("Version {one} was created")).await?;
        let mut known = vec![one];
        for content in ["two", "three"] {
            rotate(&scene, content).await?;
            let last = known.last().cloned().unwrap_or_default();
            let next = version(&scene, &sync, &last).await?;
            let secret = scene.holds(&next, "k", content.as_bytes()).await?;
            ensure!(secret["immutable"] == true, "{}", secret["metadata"]);
            known.push(next);
        }
        good(&scene, &sync).await?;
        for (name, content) in known.iter().zip(["one", "two", "three"]) {
            scene.holds(name, "k", content.as_bytes()).await?;
        }
        let now = there(&scene, &known[0]).await?;
        ensure!(now == first, "{first} became {now}");
        ensure!(
            scene.secret("a").await?.is_none(),
            "there is one of the plain name"
        );
        Ok(())
    })
}

/// Sync §9, Versioned: restart targets get the new name wherever they have the old one, and nowhere else
#[test]
fn workloads_are_pointed_to_the_newest_version() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = versioned(&scene, "Deployment/app").await?;
        let one = version(&scene, &sync, "").await?;
        let app = scene.create(deployment("app", consumer(&one))).await?;
        let bystander = scene
            .create(deployment("bystander", consumer(&one)))
            .await?;
        ensure!(named(&app, &one) == 5, "{app}");
        rotate(&scene, "two").await?;
        let two = version(&scene, &sync, &one).await?;
        eventually(SOON, "a workload that names the new version", async || {
            let app = stored(&scene.ground.admin, &app).await?;
            ensure!(
                named(&app, &two) == 5 && named(&app, &one) == 0,
                "{}",
                app["spec"]
            );
            ensure!(named(&app, "a-other") == 1, "{}", app["spec"]);
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        scene.told("a", "RestartTriggered").await?;
        let bystander = stored(&scene.ground.admin, &bystander).await?;
        ensure!(named(&bystander, &one) == 5, "{}", bystander["spec"]);
        scene.holds(&one, "k", b"one").await.map(|_| ())
    })
}

/// Sync §9, Versioned: a content that was there before has its version still, and workloads are pointed back to it.
/// Their last restart is too young for another one, so that it waits.
#[test]
fn a_content_that_comes_back_is_pointed_to_as_well() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = versioned(&scene, "Deployment/app").await?;
        let one = version(&scene, &sync, "").await?;
        scene.create(deployment("app", consumer(&one))).await?;
        rotate(&scene, "two").await?;
        let two = version(&scene, &sync, &one).await?;
        scene.told("a", "RestartTriggered").await?;
        rotate(&scene, "one").await?;
        let back = version(&scene, &sync, &two).await?;
        ensure!(back == one, "{back} is not {one}");
        let pending = "coffer.rs/RestartPending";
        let pending = scene.says(&sync, pending, "True", "RestartPending").await?;
        let message = pending["message"].as_str().unwrap_or_default();
        ensure!(message.contains("Deployment/app"), "{message}");
        Ok(())
    })
}
