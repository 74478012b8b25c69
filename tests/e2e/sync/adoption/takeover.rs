//! Secrets that upstream's controller or the CSI driver made of the same store.
//!
//! Neither of the two runs here: what they leave behind is made by their names.

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use kube::api::PatchParams;
use serde_json::{Map, Value, json};

use super::{consent, is_adopted, made_by};
use crate::stage::SOON;
use crate::sync::drift::{encoded, good, managers, noted, rotate, there};
use crate::sync::{Scene, keys, value};
use crate::sync_objects::{applied, judge, with};
use crate::world::run;

/// The names that upstream's controller has had as a field manager.
const UPSTREAM: [&str; 2] = [
    "secrets-store-sync-controller",
    "v1-secrets-store-sync-controller",
];
/// The name of the CSI driver's own sync.
const DRIVER: &str = "csi-secrets-store";

/// The Secret that upstream's controller would have made for a SecretSync, with these keys.
fn upstreams(sync: &Value, keys: &[&str]) -> Value {
    let metadata = &sync["metadata"];
    let data = keys
        .iter()
        .map(|key| ((*key).to_owned(), json!(encoded("old"))));
    let data: Map<String, Value> = data.collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {"secrets-store.sync.x-k8s.io": ""},
            "ownerReferences": [{
                "apiVersion": "secret-sync.x-k8s.io/v1alpha1",
                "kind": "SecretSync",
                "name": metadata["name"],
                "uid": metadata["uid"],
            }],
        },
        "type": "Opaque",
        "data": data,
    })
}

/// Leaves a SecretSync key `k` alone, and waits until its Secret has no more than these.
async fn drop_key(scene: &Scene, sync: &Value, left: &[&str]) -> Result<()> {
    let data = json!([{"sourcePath": "f", "targetKey": "k"}]);
    let patch = json!({"spec": {"secretObject": {"data": data}}});
    scene.merge(sync, &patch).await?;
    let name = sync["metadata"]["name"].as_str().unwrap_or_default();
    let what = "a Secret with one key less";
    scene
        .until(name, what, |secret| keys(secret) == left)
        .await?;
    good(scene, sync).await
}

/// Sync §8, takeover from upstream: one manager is left, and what the object does not want goes
#[test]
fn a_secret_of_upstreams_controller_is_taken_over_from_each_of_its_names() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.vendor.put("g", "value");
        scene.class("c").await?;
        for (name, theirs) in [
            ("now", &UPSTREAM[..1]),
            ("before", &UPSTREAM[1..]),
            ("both", &UPSTREAM[..]),
        ] {
            let sync = scene.sync_of(name, "Opaque", &[("f", "k"), ("g", "dropped")]);
            let place = "/spec/secretSyncControllerName";
            let sync = scene.create(with(sync, place, json!("upstream"))).await?;
            let secret = upstreams(&sync, &["k", "dropped", "stale"]);
            for manager in theirs {
                let how = PatchParams::apply(manager).force();
                let said = applied(&scene.ground.admin, &secret, &how).await?;
                judge(manager, &said, "ok")?;
            }
            let before = there(&scene, name).await?;
            let ours = json!({"spec": {"secretSyncControllerName": "coffer.rs/sync"}});
            scene.merge(&sync, &ours).await?;
            scene.holds(name, "k", b"value").await?;
            good(&scene, &sync).await?;
            let after = there(&scene, name).await?;
            let metadata = &after["metadata"];
            ensure!(keys(&after) == ["dropped", "k"], "{metadata}");
            ensure!(managers(&after) == ["coffer-sync"].into(), "{metadata}");
            for part in ["uid", "ownerReferences"] {
                ensure!(before["metadata"][part] == metadata[part], "{metadata}");
            }
            let label = &metadata["labels"]["secrets-store.sync.x-k8s.io"];
            ensure!(label == "", "{metadata}");
            noted(&scene, name, "Synced", "was taken over from the upstream").await?;
            drop_key(&scene, &sync, &["k"]).await?;
        }
        Ok(())
    })
}

/// Sync §8, takeover from the CSI driver: by Merge and consent alone, and its entry of managedFields goes
#[test]
fn a_secret_of_the_csi_driver_is_taken_over_by_merge_and_consent() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.vendor.put("g", "old");
        scene.class("c").await?;
        let mut secret = scene.secret_named("a");
        secret["metadata"]["labels"] = json!({"secrets-store.csi.k8s.io/managed": "true"});
        secret["metadata"]["annotations"] = consent("SecretSync/a");
        secret["data"] = json!({
            "k": encoded("old"),
            "dropped": encoded("old"),
            "other": encoded("theirs"),
        });
        let before = made_by(&scene, DRIVER, &secret).await?;
        let sync = scene.sync_of("a", "Opaque", &[("f", "k"), ("g", "dropped")]);
        let adopt = |how: &str| json!({"coffer.rs/adopt": how});
        let sync = with(sync, "/metadata/annotations", adopt("IfMatching"));
        let sync = scene.create(sync).await?;
        let ready = scene
            .says(&sync, "Ready", "False", "AdoptionRefused")
            .await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.starts_with("the CSI driver syncs it"), "{message}");
        ensure!(there(&scene, "a").await? == before, "it was touched");

        let merge = json!({"metadata": {"annotations": adopt("Merge")}});
        scene.merge(&sync, &merge).await?;
        scene.holds("a", "k", b"value").await?;
        eventually(SOON, "a Secret without the driver's entry", async || {
            let secret = there(&scene, "a").await?;
            ensure!(
                !managers(&secret).contains(DRIVER),
                "{}",
                secret["metadata"]
            );
            is_adopted(&secret, &sync)
        })
        .await
        .with_context(|| scene.controller.log())?;
        good(&scene, &sync).await?;
        drop_key(&scene, &sync, &["k", "other"]).await?;
        rotate(&scene, "new").await?;
        let after = scene.holds("a", "k", b"new").await?;
        ensure!(value(&after, "other") == Some(b"theirs".to_vec()));
        ensure!(before["metadata"]["uid"] == after["metadata"]["uid"]);
        Ok(())
    })
}
