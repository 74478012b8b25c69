//! What cannot change in place: the type of a Secret, and the data of an immutable one.
//!
//! Deleting is a right that not every installation grants; without it the old Secret stays and a condition says why.

/// A Secret per content.
pub(super) mod versions;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::adoption::restarted_for;
use super::drift::{good, noted, rotate, synced, synced_with, there};
use super::{Scene, keys, value};
use crate::world::run;

/// A Deployment whose Pods have this beside one container; no controller makes any.
pub(super) fn deployment(name: &str, pod: Value) -> Value {
    let mut template = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    });
    for (field, part) in pod.as_object().into_iter().flatten() {
        template["spec"][field] = part.clone();
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    })
}

/// The Secret of another type: file `f` is the user name and the password.
async fn change_type(scene: &Scene, sync: &Value) -> Result<()> {
    let patch = json!({"spec": {"secretObject": {
        "type": "kubernetes.io/basic-auth",
        "data": [
            {"sourcePath": "f", "targetKey": "username"},
            {"sourcePath": "f", "targetKey": "password"},
        ],
    }}});
    scene.merge(sync, &patch).await.map(|_| ())
}

/// The spec of `Scene::sync` again.
async fn change_back(scene: &Scene, sync: &Value) -> Result<()> {
    let patch = json!({"spec": {"secretObject": {
        "type": "Opaque",
        "data": [{"sourcePath": "f", "targetKey": "k"}],
    }}});
    scene.merge(sync, &patch).await.map(|_| ())
}

/// Waits until the conditions say that the last good Secret stays, and for which reason.
async fn is_kept(scene: &Scene, sync: &Value, reason: &str) -> Result<()> {
    scene
        .says(sync, "SecretUpdated", "False", "ControllerPatchError")
        .await?;
    scene
        .says(sync, "SecretCreated", "True", "CreateSuccessful")
        .await?;
    let ready = scene.says(sync, "Ready", "True", "ServingLastGood").await?;
    let message = ready["message"].as_str().unwrap_or_default();
    ensure!(message.starts_with(&format!("{reason}: ")), "{message}");
    noted(scene, "a", "SyncRefused", reason).await.map(|_| ())
}

/// Sync §9, type change: with the right to delete it is done, and the Event tells of the gap
#[test]
fn a_change_of_type_recreates_the_secret_where_that_is_granted() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced(&scene).await?;
        let before = there(&scene, "a").await?;
        change_type(&scene, &sync).await?;
        let after = scene.holds("a", "password", b"value").await?;
        ensure!(
            after["type"] == "kubernetes.io/basic-auth",
            "{}",
            after["type"]
        );
        ensure!(keys(&after) == ["password", "username"]);
        ensure!(before["metadata"]["uid"] != after["metadata"]["uid"]);
        let owners = "ownerReferences";
        ensure!(before["metadata"][owners] == after["metadata"][owners]);
        noted(&scene, "a", "Synced", "for a moment there was none").await?;
        good(&scene, &sync).await?;
        change_back(&scene, &sync).await?;
        let last = scene.holds("a", "k", b"value").await?;
        ensure!(last["type"] == "Opaque" && keys(&last) == ["k"]);
        good(&scene, &sync).await
    })
}

/// Sync §9, type change: without that right the old Secret stays as it is, until the spec is as it was
#[test]
fn without_the_right_to_delete_the_old_type_stays_and_the_old_spec_heals() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let before = there(&scene, "a").await?;
        change_type(&scene, &sync).await?;
        is_kept(&scene, &sync, "TypeChange").await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        change_back(&scene, &sync).await?;
        good(&scene, &sync).await
    })
}

/// Sync §3, `coffer.rs/on-type-change: Fail`: the same where the right is there
#[test]
fn who_wants_no_change_of_type_keeps_the_old_secret() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced_with(&scene, json!({"coffer.rs/on-type-change": "Fail"})).await?;
        let before = there(&scene, "a").await?;
        change_type(&scene, &sync).await?;
        is_kept(&scene, &sync, "TypeChange").await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        // The option acts at once.
        let recreate = json!({"coffer.rs/on-type-change": "Recreate"});
        let patch = json!({"metadata": {"annotations": recreate}});
        scene.merge(&sync, &patch).await?;
        scene.holds("a", "password", b"value").await?;
        good(&scene, &sync).await
    })
}

/// Sync §9, type change: nothing is deleted for content that fails a check
#[test]
fn nothing_is_recreated_for_content_that_no_consumer_can_use() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced(&scene).await?;
        let before = there(&scene, "a").await?;
        let patch = json!({"spec": {"secretObject": {
            "type": "kubernetes.io/tls",
            "data": [
                {"sourcePath": "f", "targetKey": "tls.crt"},
                {"sourcePath": "f", "targetKey": "tls.key"},
            ],
        }}});
        scene.merge(&sync, &patch).await?;
        scene.says(&sync, "Ready", "True", "Held").await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        Ok(())
    })
}

/// Sync §13, delete: what is to outlive its source is not deleted for another type either
#[test]
fn a_secret_that_is_to_be_retained_is_not_recreated() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced_with(&scene, json!({"coffer.rs/deletion-policy": "Retain"})).await?;
        let before = there(&scene, "a").await?;
        change_type(&scene, &sync).await?;
        scene
            .says(&sync, "SecretUpdated", "False", "ControllerPatchError")
            .await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        change_back(&scene, &sync).await?;
        good(&scene, &sync).await
    })
}

/// Sync §9, `coffer.rs/immutable: Recreate`: each content is a new Secret, and consumers restart for it
#[test]
fn an_immutable_secret_is_made_anew_for_each_content() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let app = scene.create(deployment("app", json!({}))).await?;
        let options = json!({
            "coffer.rs/immutable": "Recreate",
            "coffer.rs/restart": "Deployment/app",
            "coffer.rs/restart-window": "0s",
        });
        let sync = synced_with(&scene, options).await?;
        let before = there(&scene, "a").await?;
        ensure!(before["immutable"] == true, "{}", before["metadata"]);
        rotate(&scene, "new").await?;
        let after = scene.holds("a", "k", b"new").await?;
        ensure!(after["immutable"] == true, "{}", after["metadata"]);
        ensure!(before["metadata"]["uid"] != after["metadata"]["uid"]);
        noted(&scene, "a", "Synced", "The immutable Secret a was deleted").await?;
        good(&scene, &sync).await?;
        restarted_for(&scene, &app, &sync, 2).await
    })
}

/// Sync §9: without the right to delete an immutable Secret keeps its content
#[test]
fn without_the_right_to_delete_an_immutable_secret_stays() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let options = json!({"coffer.rs/immutable": "Recreate"});
        let sync = synced_with(&scene, options).await?;
        let before = there(&scene, "a").await?;
        rotate(&scene, "new").await?;
        is_kept(&scene, &sync, "ImmutableConflict").await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        rotate(&scene, "value").await?;
        good(&scene, &sync).await
    })
}

/// Sync §9, `Never` and a foreign `immutable: true`: a conflict for as long as the content is another
#[test]
fn what_somebody_else_made_immutable_is_a_conflict_on_rotation() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let secret = scene.secret_named("a");
        scene.merge(&secret, &json!({"immutable": true})).await?;
        let before = there(&scene, "a").await?;
        rotate(&scene, "new").await?;
        is_kept(&scene, &sync, "ImmutableConflict").await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        rotate(&scene, "value").await?;
        good(&scene, &sync).await
    })
}

/// Sync §9, immutable target, data unchanged: labels and annotations still sync, whoever set the field
#[test]
fn labels_of_an_immutable_secret_still_follow_the_spec() -> Result<()> {
    run(async {
        for (options, foreign) in [
            (json!({"coffer.rs/immutable": "Recreate"}), false),
            (json!({}), true),
        ] {
            let scene = Scene::plain(&[]).await?;
            let sync = synced_with(&scene, options).await?;
            if foreign {
                let secret = scene.secret_named("a");
                scene.merge(&secret, &json!({"immutable": true})).await?;
            }
            let before = there(&scene, "a").await?;
            let names = json!({"labels": {"tier": "x"}, "annotations": {"team": "y"}});
            scene
                .merge(&sync, &json!({"spec": {"secretObject": names}}))
                .await?;
            good(&scene, &sync).await?;
            let after = there(&scene, "a").await?;
            let metadata = &after["metadata"];
            ensure!(metadata["labels"]["tier"] == "x", "{metadata}");
            ensure!(metadata["annotations"]["team"] == "y", "{metadata}");
            ensure!(before["metadata"]["uid"] == metadata["uid"], "{metadata}");
            ensure!(after["immutable"] == true, "{metadata}");
            ensure!(value(&after, "k") == Some(b"value".to_vec()), "{metadata}");
        }
        Ok(())
    })
}
