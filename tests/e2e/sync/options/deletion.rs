//! What becomes of the Secret when its source goes: it goes with it, or it stays.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{noted, set, shown, with_options};
use crate::sync::{Scene, value};
use crate::world::run;

/// Whether the Secret is tied to this source by an ownerReference, and by nothing else.
fn is_owned(secret: &Value, source: &Value) -> bool {
    let metadata = &secret["metadata"];
    let owners = metadata["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.len() == 1 && owners[0]["uid"] == source["metadata"]["uid"])
        && metadata["annotations"]["coffer.rs/source-uid"].is_null()
}

/// Whether it says whose it is by the annotation, and by nothing else.
fn is_marked(secret: &Value, source: &Value) -> bool {
    let metadata = &secret["metadata"];
    metadata["ownerReferences"].is_null()
        && metadata["annotations"]["coffer.rs/source-uid"] == source["metadata"]["uid"]
}

/// Sync §9, Retain: the Secret has no owner from its first write on, and outlives its SecretSync.
#[test]
fn a_retained_secret_outlives_its_source() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let sync = scene.sync_of("kept", "Opaque", &[("f", "k")]);
        let sync = scene
            .create(with_options(sync, &[("deletion-policy", "Retain")]))
            .await?;
        let kept = scene.holds("kept", "k", b"value").await?;
        ensure!(is_marked(&kept, &sync), "{}", kept["metadata"]);
        let other = scene.sync("other").await?;
        let owned = scene.holds("other", "k", b"value").await?;
        ensure!(is_owned(&owned, &other), "{}", owned["metadata"]);

        scene.delete(&sync).await?;
        scene.delete(&other).await?;
        // The collector has been there when this one is gone.
        scene.gone("other").await?;
        let left = scene.secret("kept").await?.context("it went too")?;
        ensure!(left["metadata"]["uid"] == kept["metadata"]["uid"]);
        ensure!(value(&left, "k") == Some(b"value".to_vec()));
        Ok(())
    })
}

/// Sync §9: switched later, the next apply adds or drops the owner, and leaves the content.
#[test]
fn a_switch_of_the_policy_adds_and_drops_the_owner() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let first = scene.holds("a", "k", b"value").await?;
        ensure!(is_owned(&first, &sync), "{}", first["metadata"]);
        shown(&scene, "a", "ready", "Synced").await?;

        set(&scene, &sync, "deletion-policy", Some("Retain")).await?;
        scene
            .until("a", "a mark and no owner", |secret| {
                is_marked(secret, &sync)
            })
            .await?;
        let told = "Secret a was written; its content did not change.";
        noted(&scene, "a", "Synced", told).await?;
        set(&scene, &sync, "deletion-policy", Some("Delete")).await?;
        let last = scene
            .until("a", "an owner and no mark", |secret| {
                is_owned(secret, &sync)
            })
            .await?;
        ensure!(first["metadata"]["uid"] == last["metadata"]["uid"]);
        ensure!(first["data"] == last["data"]);
        scene
            .says(&sync, "Ready", "True", "Synced")
            .await
            .map(|_| ())
    })
}
