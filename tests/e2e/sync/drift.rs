//! Edits and deletions by others: undone at the next poll, or within seconds where Secrets are watched; and fights.
//!
//! A class that changes makes its objects due although their specs stay as they are, and no earlier answer of the
//! provider serves then: cases have their rounds in that way where a change of the spec would say something else.

/// Where Secrets are watched.
mod watched;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_tests::fixture::eventually;
use coffer_tests::vendor::Arrived;
use jiff::Timestamp;
use kube::api::PatchParams;
use serde_json::{Value, json};

use super::{LATER, Scene, keys, value};
use crate::stage::{SOON, unique};
use crate::sync_objects::{applied, judge, with};
use crate::world::run;

/// Bytes as a Secret's document has them.
pub(super) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Has a class change, so that no earlier answer serves, and waits until the vendor is asked.
pub(super) async fn ask_anew(scene: &Scene, class: &str) -> Result<()> {
    let turn = unique("turn");
    let class = json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": class, "namespace": scene.namespace},
    });
    let patch = json!({"spec": {"parameters": {"turn": turn}}});
    scene.merge(&class, &patch).await?;
    eventually(SOON, "another call", async || {
        let arrived = scene.vendor.arrived();
        let asked = |call: &Arrived| call.attributes.get("turn") == Some(&turn);
        ensure!(arrived.iter().any(asked), "{} calls", arrived.len());
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// File `f` of class `c` gets other contents, and the vendor is asked for them.
pub(super) async fn rotate(scene: &Scene, contents: &str) -> Result<()> {
    scene.vendor.put("f", contents.to_owned());
    ask_anew(scene, "c").await
}

/// Waits until so many rounds ended like this.
pub(super) async fn rounds(scene: &Scene, result: &str, count: usize) -> Result<()> {
    let series = format!("coffer_sync_reconciles_total{{result=\"{result}\"}}");
    eventually(LATER, &series, async || {
        let ended = scene.controller.metric(&series).await?;
        ensure!(ended >= count as f64, "{ended} of {count}");
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Waits until all three conditions of an object are good.
pub(super) async fn good(scene: &Scene, sync: &Value) -> Result<()> {
    for (condition, reason) in [
        ("SecretCreated", "CreateSuccessful"),
        ("SecretUpdated", "SecretUpToDate"),
        ("Ready", "Synced"),
    ] {
        scene.says(sync, condition, "True", reason).await?;
    }
    Ok(())
}

/// The object `a` with these annotations, when its first round is over to the last word: file `f`, which holds
/// `value`, is key `k`.
pub(super) async fn synced_with(scene: &Scene, options: Value) -> Result<Value> {
    scene.vendor.put("f", "value");
    scene.class("c").await?;
    let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
    let sync = scene
        .create(with(sync, "/metadata/annotations", options))
        .await?;
    good(scene, &sync).await?;
    rounds(scene, "created", 1).await?;
    Ok(sync)
}

/// The same without annotations.
pub(super) async fn synced(scene: &Scene) -> Result<Value> {
    synced_with(scene, json!({})).await
}

/// The Secret of a name, which is there.
pub(super) async fn there(scene: &Scene, name: &str) -> Result<Value> {
    let secret = scene.secret(name).await?;
    secret.with_context(|| format!("there is no Secret {name}"))
}

/// Waits for an Event about an object whose note has this part.
pub(super) async fn noted(scene: &Scene, object: &str, reason: &str, part: &str) -> Result<Value> {
    let what = format!("an Event {reason} about {object}: {part}");
    eventually(SOON, &what, async || {
        let events = scene.events(object).await?;
        let found = events.iter().find(|event| {
            let note = event["note"].as_str().unwrap_or_default();
            event["reason"] == reason && note.contains(part)
        });
        found.cloned().with_context(|| format!("{events:?}"))
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Waits until the garbage collector took a Secret. It hears of new kinds every half a minute only.
pub(super) async fn collected(scene: &Scene, name: &str) -> Result<()> {
    eventually(LATER, "a Secret that is collected", async || {
        ensure!(scene.secret(name).await?.is_none(), "{name} is there");
        Ok(())
    })
    .await
}

/// Who has an entry in managedFields.
pub(super) fn managers(secret: &Value) -> BTreeSet<&str> {
    let entries = secret["metadata"]["managedFields"].as_array();
    let names = entries.into_iter().flatten();
    names
        .filter_map(|entry| entry["manager"].as_str())
        .collect()
}

/// What somebody else applies to the Secret `a`: a key, a label and an annotation of their own.
async fn add_theirs(scene: &Scene) -> Result<()> {
    let theirs = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "a",
            "namespace": scene.namespace,
            "labels": {"theirs": "x"},
            "annotations": {"theirs": "x"},
        },
        "data": {"theirs": encoded("x")},
    });
    let how = PatchParams::apply("somebody");
    let said = applied(&scene.ground.admin, &theirs, &how).await?;
    judge("what somebody else applies", &said, "ok")
}

fn has_theirs(secret: &Value) -> Result<()> {
    let metadata = &secret["metadata"];
    ensure!(value(secret, "theirs") == Some(b"x".to_vec()), "{metadata}");
    ensure!(metadata["labels"]["theirs"] == "x", "{metadata}");
    ensure!(metadata["annotations"]["theirs"] == "x", "{metadata}");
    Ok(())
}

/// Somebody edits the Secret `a`.
async fn edit(scene: &Scene, patch: &Value) -> Result<()> {
    let secret = scene.secret_named("a");
    scene.merge(&secret, patch).await.map(|_| ())
}

/// Somebody gives key `k` another value.
async fn edit_key(scene: &Scene) -> Result<()> {
    edit(scene, &json!({"data": {"k": encoded("edited")}})).await
}

/// Waits for the next second of the clock: what the API server notes of writes has no finer one.
async fn another_second() -> Result<()> {
    let then = Timestamp::now().as_second();
    eventually(SOON, "another second", async || {
        ensure!(Timestamp::now().as_second() > then);
        Ok(())
    })
    .await
}

/// Sync §8, write-only mode: an edited key is as before after the next round, and the Event says who edited it
#[test]
fn an_edited_key_is_restored_at_the_next_round_and_the_editor_is_named() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        edit_key(&scene).await?;
        scene.force(&sync).await?;
        scene.holds("a", "k", b"value").await?;
        let note = "Edits of Secret a by hand were undone.";
        noted(&scene, "a", "Repaired", note).await?;
        rounds(&scene, "repaired", 1).await?;
        good(&scene, &sync).await
    })
}

/// Sync §8, write-only mode: a key that somebody took out comes back
#[test]
fn a_key_that_was_taken_out_comes_back_at_the_next_round() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        another_second().await?;
        edit(&scene, &json!({"data": {"k": null}})).await?;
        scene.force(&sync).await?;
        scene.holds("a", "k", b"value").await?;
        noted(&scene, "a", "Repaired", "Secret a").await.map(|_| ())
    })
}

/// Sync §8, write-only mode: a Secret that somebody deleted comes back as it was
#[test]
fn a_deleted_secret_comes_back_at_the_next_round() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let before = there(&scene, "a").await?;
        scene.delete(&scene.secret_named("a")).await?;
        scene.force(&sync).await?;
        let after = scene.holds("a", "k", b"value").await?;
        for place in ["labels", "annotations", "ownerReferences"] {
            let (before, after) = (&before["metadata"][place], &after["metadata"][place]);
            ensure!(before == after, "{place}: {before} became {after}");
        }
        ensure!(before["metadata"]["uid"] != after["metadata"]["uid"]);
        let note = "had been deleted and was written again";
        noted(&scene, "a", "Repaired", note).await?;
        good(&scene, &sync).await
    })
}

/// Sync §8, in both modes foreign keys are never reverted; labels and annotations of others are theirs too
#[test]
fn what_others_add_stays_over_rounds_and_rotations() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        add_theirs(&scene).await?;
        let before = there(&scene, "a").await?;
        scene.force(&sync).await?;
        good(&scene, &sync).await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        rotate(&scene, "new").await?;
        has_theirs(&scene.holds("a", "k", b"new").await?)?;
        // They may give their part up again.
        let none = scene.secret_named("a");
        let how = PatchParams::apply("somebody");
        let said = applied(&scene.ground.admin, &none, &how).await?;
        judge("what somebody else gives up", &said, "ok")?;
        scene.force(&sync).await?;
        good(&scene, &sync).await?;
        let last = there(&scene, "a").await?;
        ensure!(keys(&last) == ["k"], "{}", last["metadata"]);
        Ok(())
    })
}

/// Sync §7, an equal apply; §8, write-only mode: equal content moves nothing, not even the resourceVersion
#[test]
fn rounds_without_a_change_store_nothing() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let before = there(&scene, "a").await?;
        for count in 1..=3 {
            ask_anew(&scene, "c").await?;
            rounds(&scene, "unchanged", count).await?;
        }
        scene.force(&sync).await?;
        good(&scene, &sync).await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        Ok(())
    })
}

/// Sync §3, `coffer.rs/drift: Report`: the edit stays, a condition tells of it, and it ends with the edit
#[test]
fn where_drift_is_reported_the_edit_stays_and_a_condition_says_so() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced_with(&scene, json!({"coffer.rs/drift": "Report"})).await?;
        edit_key(&scene).await?;
        let edited = there(&scene, "a").await?;
        for _ in 0..2 {
            scene.force(&sync).await?;
            scene
                .says(&sync, "SecretUpdated", "False", "ControllerPatchError")
                .await?;
            let ready = scene.says(&sync, "Ready", "False", "Contested").await?;
            let message = ready["message"].as_str().unwrap_or_default();
            ensure!(message.contains("hand"), "{message}");
            let now = there(&scene, "a").await?;
            ensure!(edited == now, "{edited} became {now}");
        }
        edit(&scene, &json!({"data": {"k": encoded("value")}})).await?;
        scene.force(&sync).await?;
        good(&scene, &sync).await
    })
}

/// Sync §9: what was owned by a source of that name that is gone is collected, and the new source's is made then
#[test]
fn a_source_that_is_made_anew_gets_a_secret_of_its_own() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let old = synced(&scene).await?;
        // Once the collector has taken one it is quick.
        let first = scene.sync("first").await?;
        good(&scene, &first).await?;
        scene.delete(&first).await?;
        collected(&scene, "first").await?;
        scene.delete(&old).await?;
        let new = scene.sync("a").await?;
        ensure!(old["metadata"]["uid"] != new["metadata"]["uid"]);
        eventually(LATER, "the Secret of the new source", async || {
            let secret = there(&scene, "a").await?;
            let owner = &secret["metadata"]["ownerReferences"][0]["uid"];
            ensure!(*owner == new["metadata"]["uid"], "{}", secret["metadata"]);
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        good(&scene, &new).await
    })
}
