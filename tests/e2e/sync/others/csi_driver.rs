//! The Secrets Store CSI driver's own sync: Secrets of others, Pods, nodes that lag behind, owners that come and go.

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::eventually;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tonic::Status;

use super::{add_owner, has_owner, open_class, other_owner, owners};
use crate::sync::adoption::strangers;
use crate::sync::drift::{ask_anew, encoded, good, noted, rotate, synced, there};
use crate::sync::{LATER, Scene};
use crate::world::run;

/// A Secret of a class: file `f` is key `k`.
fn entry(name: &str) -> Value {
    json!({
        "secretName": name,
        "type": "Opaque",
        "data": [{"objectName": "f", "key": "k"}],
    })
}

/// The Pods of the namespace.
async fn pods(scene: &Scene) -> Result<usize> {
    let path = format!("/api/v1/namespaces/{}/pods", scene.namespace);
    let request = http::Request::get(path).body(Vec::new())?;
    let list: Value = scene.ground.admin.request(request).await?;
    Ok(list["items"].as_array().map_or(0, Vec::len))
}

/// Sync §16, CSI driver: a Secret of that name that is somebody else's keeps its owners, labels and keys
#[test]
fn csi_driver_line_a_foreign_secret_of_that_name_is_not_overwritten() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        let owner = other_owner(&scene).await?;
        strangers(&scene, "a", "").await?;
        add_owner(&scene, &owner).await?;
        let before = there(&scene, "a").await?;
        open_class(&scene, "c", json!([entry("a"), entry("b")])).await?;
        let ours = scene.holds("b", "k", b"value").await?;
        let reference = &ours["metadata"]["ownerReferences"][0];
        ensure!(reference["kind"] == "SecretProviderClass", "{reference}");
        noted(&scene, "c", "SyncRefused", "AdoptionRefused").await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        // The driver's controllers select on its label, so that it is never on ours.
        let label = "secrets-store.csi.k8s.io/managed";
        ensure!(
            ours["metadata"]["labels"][label].is_null(),
            "{}",
            ours["metadata"]
        );
        Ok(())
    })
}

/// Sync §16, CSI driver: no Pod has to run for a Secret to be there and to follow the store
#[test]
fn csi_driver_line_a_secret_needs_no_pod() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        open_class(&scene, "c", json!([entry("a")])).await?;
        scene.holds("a", "k", b"value").await?;
        rotate(&scene, "new").await?;
        scene.holds("a", "k", b"new").await?;
        ensure!(pods(&scene).await? == 0, "there are Pods");
        Ok(())
    })
}

/// Sync §16, CSI driver: an old value that a node writes back is undone, and it is said who wrote it
#[test]
fn csi_driver_line_an_old_value_that_is_written_back_is_undone() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced(&scene).await?;
        rotate(&scene, "new").await?;
        scene.holds("a", "k", b"new").await?;
        good(&scene, &sync).await?;
        let secret = scene.secret_named("a");
        let objects = ApiServer::objects(scene.ground.admin.clone(), &secret)?;
        let how = PatchParams {
            field_manager: Some("csi-secrets-store".to_owned()),
            ..PatchParams::default()
        };
        let old = json!({"data": {"k": encoded("value")}});
        objects.patch("a", &how, &Patch::Merge(&old)).await?;
        scene.holds("a", "k", b"new").await?;
        noted(&scene, "a", "Repaired", "csi-secrets-store").await?;
        good(&scene, &sync).await
    })
}

/// Sync §16, CSI driver: owners never vanish, ours and those of others; who else owns the Secret keeps it
#[test]
fn csi_driver_line_owners_never_vanish() -> Result<()> {
    run(async {
        let mut scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let owner = other_owner(&scene).await?;
        add_owner(&scene, &owner).await?;
        let ours = sync["metadata"]["uid"].clone();
        let both = |secret: &Value| -> Result<()> {
            has_owner(secret, &owner)?;
            ensure!(owners(secret).contains(&&ours), "{}", secret["metadata"]);
            Ok(())
        };
        rotate(&scene, "new").await?;
        both(&scene.holds("a", "k", b"new").await?)?;
        let down = Status::unavailable("down");
        scene.vendor.change(|script| script.failure = Some(down));
        ask_anew(&scene, "c").await?;
        scene
            .says(&sync, "SecretUpdated", "False", "ProviderError")
            .await?;
        both(&there(&scene, "a").await?)?;
        scene.vendor.change(|script| script.failure = None);
        scene.restart().await?;
        rotate(&scene, "newer").await?;
        both(&scene.holds("a", "k", b"newer").await?)?;
        good(&scene, &sync).await?;
        scene.delete(&sync).await?;
        eventually(LATER, "a Secret of one owner", async || {
            let secret = there(&scene, "a").await?;
            has_owner(&secret, &owner)?;
            ensure!(owners(&secret).len() == 1, "{}", secret["metadata"]);
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())
    })
}
