//! Secrets that stood before us: left alone, adopted with their owner's consent, taken over from other controllers.
//!
//! What the write policy does beside the controller is in `sync_policies`; here both are at work.

/// Secrets that another controller made of the same store.
mod takeover;

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::eventually;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::drift::{collected, encoded, good, managers, noted, rotate, rounds, synced, there};
use super::immutable::deployment;
use super::{Scene, condition_of, keys, value};
use crate::stage::SOON;
use crate::sync_objects::{stored, with};
use crate::world::run;

/// Makes an object as this manager, by a plain creation.
pub(super) async fn made_by(scene: &Scene, manager: &str, object: &Value) -> Result<Value> {
    let objects = ApiServer::objects(scene.ground.admin.clone(), object)?;
    let how = PostParams {
        field_manager: Some(manager.to_owned()),
        ..PostParams::default()
    };
    let object = serde_json::from_value(object.clone())?;
    let made = objects.create(&how, &object).await?;
    Ok(serde_json::to_value(made)?)
}

/// A Secret of somebody else with the keys `k` and `other`, adoptable by whom it says.
pub(super) async fn strangers(scene: &Scene, name: &str, adoptable_by: &str) -> Result<Value> {
    let mut secret = scene.secret_named(name);
    secret["data"] = json!({"k": encoded("theirs"), "other": encoded("theirs")});
    if !adoptable_by.is_empty() {
        secret = with(secret, "/metadata/annotations", consent(adoptable_by));
    }
    made_by(scene, "somebody", &secret).await?;
    there(scene, name).await
}

/// The annotation by which the owner of a Secret lets a source have it.
pub(super) fn consent(adoptable_by: &str) -> Value {
    json!({"coffer.rs/adoptable-by": adoptable_by})
}

/// A SecretSync with these files as these keys, and this option `coffer.rs/adopt` unless it is empty.
fn adopting(scene: &Scene, name: &str, adopt: &str, pairs: &[(&str, &str)]) -> Value {
    let sync = scene.sync_of(name, "Opaque", pairs);
    match adopt {
        "" => sync,
        adopt => with(
            sync,
            "/metadata/annotations",
            json!({"coffer.rs/adopt": adopt}),
        ),
    }
}

/// Gives the Secret's owner's consent to a SecretSync of the same name.
async fn agree(scene: &Scene, name: &str) -> Result<()> {
    let annotations = consent(&format!("SecretSync/{name}"));
    let patch = json!({"metadata": {"annotations": annotations}});
    let secret = scene.secret_named(name);
    scene.merge(&secret, &patch).await.map(|_| ())
}

/// Fails unless the Secret is adopted by this source: marked, without an owner, with what was there besides.
fn is_adopted(secret: &Value, sync: &Value) -> Result<()> {
    let metadata = &secret["metadata"];
    let annotations = &metadata["annotations"];
    ensure!(
        annotations["coffer.rs/source-uid"] == sync["metadata"]["uid"],
        "{metadata}"
    );
    ensure!(annotations["coffer.rs/adopted"] == "true", "{metadata}");
    ensure!(metadata["labels"]["coffer.rs/sync"] == "true", "{metadata}");
    ensure!(metadata["ownerReferences"].is_null(), "{metadata}");
    ensure!(
        value(secret, "other") == Some(b"theirs".to_vec()),
        "{metadata}"
    );
    ensure!(managers(secret).contains("coffer-sync"), "{metadata}");
    Ok(())
}

/// Sync §8, adopt: what is missing for an adoption is told with the names of the keys that it would add and replace.
/// Without any consent the policy hides the Secret from us, and every key counts as one to add.
#[test]
fn a_strangers_secret_is_left_alone_and_the_message_names_the_keys() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let (not_ours, no_consent, differ) = (
            "a Secret of that name exists and is not ours",
            "its owner has not consented by coffer.rs/adoptable-by",
            "its values differ; adopt: Merge replaces them",
        );
        let (hidden, seen) = (
            "keys to add: k, new",
            "keys to add: new; keys to replace: k",
        );
        for (name, adopt, adoptable_by, why, which) in [
            ("never", "", "", not_ours, hidden),
            ("named", "Never", "SecretSync/named", not_ours, seen),
            ("matching", "IfMatching", "", no_consent, hidden),
            ("merge", "Merge", "", no_consent, hidden),
            ("others", "Merge", "SecretSync/x", no_consent, seen),
            (
                "kind",
                "Merge",
                "SecretProviderClass/kind",
                no_consent,
                seen,
            ),
            ("differs", "IfMatching", "SecretSync/differs", differ, seen),
        ] {
            let before = strangers(&scene, name, adoptable_by).await?;
            let sync = adopting(&scene, name, adopt, &[("f", "k"), ("f", "new")]);
            let sync = scene.create(sync).await?;
            let ready = scene
                .says(&sync, "Ready", "False", "AdoptionRefused")
                .await?;
            ensure!(
                ready["message"] == format!("{why}; {which}"),
                "{name}: {ready}"
            );
            scene
                .says(&sync, "SecretCreated", "False", "ControllerPatchError")
                .await?;
            noted(&scene, name, "SyncRefused", why).await?;
            let after = there(&scene, name).await?;
            ensure!(before == after, "{name}: {before} became {after}");
        }
        Ok(())
    })
}

/// Sync §8, IfMatching: equal and absent keys only, and of the other keys none is touched
#[test]
fn a_secret_that_matches_is_adopted() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "theirs");
        scene.vendor.put("g", "new");
        scene.class("c").await?;
        let before = strangers(&scene, "a", "SecretSync/a").await?;
        let sync = adopting(&scene, "a", "IfMatching", &[("f", "k"), ("g", "new")]);
        let sync = scene.create(sync).await?;
        good(&scene, &sync).await?;
        let after = scene.holds("a", "new", b"new").await?;
        is_adopted(&after, &sync)?;
        ensure!(before["metadata"]["uid"] == after["metadata"]["uid"]);
        ensure!(value(&after, "k") == Some(b"theirs".to_vec()));
        noted(&scene, "a", "Synced", "was adopted; keys of others stay")
            .await
            .map(|_| ())
    })
}

/// Sync §8, Merge: our keys win and foreign ones stay; nothing goes with the source of a Secret that stood before it
#[test]
fn a_merged_secret_follows_the_store_and_outlives_its_source() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        strangers(&scene, "a", "SecretSync/a").await?;
        let sync = adopting(&scene, "a", "Merge", &[("f", "k")]);
        let sync = scene.create(sync).await?;
        good(&scene, &sync).await?;
        is_adopted(&scene.holds("a", "k", b"value").await?, &sync)?;
        rotate(&scene, "new").await?;
        is_adopted(&scene.holds("a", "k", b"new").await?, &sync)?;
        // It is ours from then on, with or without the word of before.
        let withdrawn = json!({"metadata": {"annotations": {"coffer.rs/adoptable-by": null}}});
        scene.merge(&scene.secret_named("a"), &withdrawn).await?;
        rotate(&scene, "newer").await?;
        is_adopted(&scene.holds("a", "k", b"newer").await?, &sync)?;
        // One that goes with its source shows that the collector has been there.
        let owned = scene.sync("b").await?;
        good(&scene, &owned).await?;
        let before = there(&scene, "a").await?;
        scene.delete(&sync).await?;
        scene.delete(&owned).await?;
        collected(&scene, "b").await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        Ok(())
    })
}

/// Sync §8: consent may come after the refusal; the next round looks again
#[test]
fn consent_that_comes_later_counts() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        strangers(&scene, "a", "").await?;
        let sync = adopting(&scene, "a", "Merge", &[("f", "k")]);
        let sync = scene.create(sync).await?;
        scene
            .says(&sync, "Ready", "False", "AdoptionRefused")
            .await?;
        agree(&scene, "a").await?;
        scene.force(&sync).await?;
        is_adopted(&scene.holds("a", "k", b"value").await?, &sync)?;
        good(&scene, &sync).await
    })
}

/// Sync §8: a refusal is about what stands there now
#[test]
fn a_name_that_becomes_free_is_used() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let theirs = strangers(&scene, "a", "").await?;
        let sync = scene.sync("a").await?;
        scene
            .says(&sync, "Ready", "False", "AdoptionRefused")
            .await?;
        scene.delete(&theirs).await?;
        scene.force(&sync).await?;
        let secret = scene.holds("a", "k", b"value").await?;
        ensure!(keys(&secret) == ["k"]);
        good(&scene, &sync).await
    })
}

/// Sync §7, steady state with the uid guard: who replaced our Secret by another one has nothing forced on it
#[test]
fn a_secret_that_took_the_place_of_ours_is_left_alone() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        for adoptable_by in ["", "SecretSync/x"] {
            scene.delete(&scene.secret_named("a")).await?;
            let before = strangers(&scene, "a", adoptable_by).await?;
            rotate(
                &scene,
                if adoptable_by.is_empty() {
                    "one"
                } else {
                    "two"
                },
            )
            .await?;
            scene
                .says(&sync, "Ready", "False", "AdoptionRefused")
                .await?;
            scene
                .says(&sync, "SecretCreated", "False", "ControllerPatchError")
                .await?;
            let after = there(&scene, "a").await?;
            ensure!(before == after, "{before} became {after}");
            scene.delete(&before).await?;
            scene.force(&sync).await?;
            good(&scene, &sync).await?;
        }
        Ok(())
    })
}

/// Sync §9: a foreign Secret of another type is never recreated, and an immutable one is not adopted for a change
#[test]
fn what_cannot_be_adopted_in_place_is_not_recreated() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let typed = json!({"type": "kubernetes.io/basic-auth", "data": {"username": encoded("u")}});
        let frozen = json!({"immutable": true, "data": {"k": encoded("theirs")}});
        for (name, rest, reason) in [
            ("typed", typed, "TypeChange"),
            ("frozen", frozen, "ImmutableConflict"),
        ] {
            let mut secret = scene.secret_named(name);
            for (field, value) in rest.as_object().into_iter().flatten() {
                secret[field] = value.clone();
            }
            let annotations = consent(&format!("SecretSync/{name}"));
            let secret = with(secret, "/metadata/annotations", annotations);
            let before = made_by(&scene, "somebody", &secret).await?;
            let sync = adopting(&scene, name, "Merge", &[("f", "k")]);
            let sync = scene.create(sync).await?;
            scene.says(&sync, "Ready", "False", reason).await?;
            scene
                .says(&sync, "SecretCreated", "False", "ControllerPatchError")
                .await?;
            let after = there(&scene, name).await?;
            ensure!(before == after, "{name}: {before} became {after}");
        }
        Ok(())
    })
}

/// Sync §8, the first write to an adopted Secret restarts nothing; §9: such a Secret is never recreated
#[test]
fn the_first_write_to_an_adopted_secret_restarts_nothing_and_none_recreates_it() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let app = scene.create(deployment("app", json!({}))).await?;
        let before = strangers(&scene, "a", "SecretSync/a").await?;
        let options = json!({
            "coffer.rs/adopt": "Merge",
            "coffer.rs/restart": "Deployment/app",
            "coffer.rs/restart-window": "0s",
        });
        let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
        let sync = scene
            .create(with(sync, "/metadata/annotations", options))
            .await?;
        good(&scene, &sync).await?;
        rounds(&scene, "updated", 1).await?;
        let now = stored(&scene.ground.admin, &sync).await?;
        ensure!(
            condition_of(&now, "coffer.rs/RestartPending").is_none(),
            "{}",
            now["status"]
        );
        // A restart for the adoption would have been the only one within five minutes.
        rotate(&scene, "new").await?;
        scene.holds("a", "k", b"new").await?;
        restarted_for(&scene, &app, &sync, 2).await?;
        let typed = json!({"spec": {"secretObject": {
            "type": "kubernetes.io/basic-auth",
            "data": [{"sourcePath": "f", "targetKey": "password"}],
        }}});
        scene.merge(&sync, &typed).await?;
        let updated = scene
            .says(&sync, "SecretUpdated", "False", "ControllerPatchError")
            .await?;
        let message = updated["message"].as_str().unwrap_or_default();
        ensure!(message.contains("of another type"), "{message}");
        let after = there(&scene, "a").await?;
        ensure!(before["metadata"]["uid"] == after["metadata"]["uid"]);
        ensure!(after["type"] == "Opaque" && keys(&after) == ["k", "other"]);
        Ok(())
    })
}

/// Waits until a Deployment is at this generation, its Pods marked with what a SecretSync's Secret holds now.
pub(super) async fn restarted_for(
    scene: &Scene,
    app: &Value,
    sync: &Value,
    generation: i64,
) -> Result<()> {
    eventually(SOON, "a restart", async || {
        let (app, sync) = (
            stored(&scene.ground.admin, app).await?,
            stored(&scene.ground.admin, sync).await?,
        );
        let marks = &app["spec"]["template"]["metadata"]["annotations"];
        let hash = sync["status"]["syncHash"].as_str().unwrap_or_default();
        let hash = hash.rsplit(':').next().unwrap_or_default();
        let short = hash.get(..10).context("no hash")?;
        let mut marks_now = marks.as_object().into_iter().flatten();
        ensure!(
            marks_now.any(|(name, mark)| name.starts_with("coffer.rs/s-") && mark == short),
            "{marks}, not {short}"
        );
        ensure!(
            app["metadata"]["generation"] == generation,
            "{}",
            app["metadata"]
        );
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}
