//! What the API server does not take: more Secrets than a quota has, anything new in a namespace that goes, a status
//! without the right to write it.

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::eventually;
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::maker;
use crate::stage::SOON;
use crate::sync::drift::rounds;
use crate::sync::options::{message, shown, time};
use crate::sync::outages::{asked_anew, frail, is_well, scene_in, untouched};
use crate::sync::{LATER, Scene};
use crate::sync_objects::{ACCOUNT, RBAC, SYSTEM, judge, stored, tried};
use crate::world::run;

const FAILED: &str = "coffer_sync_reconciles_total{result=\"failed\"}";
const REFUSED: &str = "coffer_sync_reconciles_total{result=\"refused\"}";

/// Waits until the API server says this to a new Secret of the namespace: `ok`, or a code and a part of its text.
async fn says_to_a_new_secret(scene: &Scene, expected: &str) -> Result<()> {
    let probe = scene.secret_named("probe");
    eventually(LATER, expected, async || {
        let said = tried(&scene.ground.admin, &probe).await?;
        judge("a new Secret", &said, expected)
    })
    .await
}

/// The namespace of a scene as a document.
fn namespace_of(scene: &Scene) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": scene.namespace},
    })
}

/// Sync §13, quota: it is told by its own reason, is not tried again and again, and its end heals the object.
#[test]
fn a_quota_that_is_used_up_is_told_and_its_end_heals_the_object() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let quota = json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "q"},
            "spec": {"hard": {"count/secrets": "0"}},
        });
        let quota = scene.create(quota).await?;
        says_to_a_new_secret(&scene, "403 exceeded quota: q").await?;

        let sync = scene.sync("a").await?;
        scene
            .says(&sync, "SecretCreated", "False", "ControllerPatchError")
            .await?;
        scene
            .says(&sync, "SecretUpdated", "Unknown", "NoUpdatesAttemptedYet")
            .await?;
        let ready = scene.says(&sync, "Ready", "False", "QuotaExceeded").await?;
        ensure!(message(&ready).contains("exceeded quota: q"), "{ready}");
        scene.told("a", "SyncFailed").await?;
        let row = shown(&scene, "a", "failing", "QuotaExceeded").await?;
        // The interval is ten minutes.
        let wait = time(&row["nextRefresh"])?.as_second() - Timestamp::now().as_second();
        ensure!(wait > 300, "{row}");
        let series = "coffer_sync_failures_total{reason=\"QuotaExceeded\"}";
        let failures = scene.controller.metric(series).await?;
        ensure!(failures == 1.0, "{failures}");

        scene.delete(&quota).await?;
        says_to_a_new_secret(&scene, "ok").await?;
        scene.force(&sync).await?;
        scene.holds("a", "k", b"value").await?;
        is_well(&scene, &sync).await
    })
}

/// Sync §13, terminating namespaces, and §9: nothing of ours holds a namespace up, and it costs each object a round or
/// two; in a namespace of the same name all is made again.
#[test]
fn a_namespace_that_goes_takes_its_objects_along_without_a_storm() -> Result<()> {
    const OBJECTS: usize = 6;
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        maker(&scene, "d", "made").await?;
        for at in 0..OBJECTS {
            let sync = scene.sync(&format!("s-{at}")).await?;
            is_well(&scene, &sync).await?;
        }
        scene.holds("made", "k", b"value").await?;
        let errors = async || -> Result<f64> {
            let (failed, refused) = (
                scene.controller.metric(FAILED).await?,
                scene.controller.metric(REFUSED).await?,
            );
            Ok(failed + refused)
        };
        let before = errors().await?;

        let namespace = namespace_of(&scene);
        scene.delete(&namespace).await?;
        eventually(LATER, "a namespace that is gone", async || {
            let all = ApiServer::objects(scene.ground.admin.clone(), &namespace)?;
            let found = all.get_opt(&scene.namespace).await?;
            ensure!(found.is_none(), "{:?}", found.map(|found| found.data));
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        eventually(SOON, "no objects", async || {
            let objects = scene.controller.objects().await?;
            ensure!(objects == json!([]), "{objects}");
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        let more = errors().await? - before;
        let most = 3 * (OBJECTS + 1);
        ensure!(
            more <= most as f64,
            "{more} rounds failed: {}",
            scene.controller.log()
        );
        let (status, text) = scene.controller.ask("/livez").await?;
        ensure!(status == 200, "livez answers {status}: {text}");

        let api = &scene.ground.api;
        api.create_namespace(&scene.namespace).await?;
        api.create_service_account(&scene.namespace, "app").await?;
        scene.class("c").await?;
        let sync = scene.sync("s-0").await?;
        scene.holds("s-0", "k", b"value").await?;
        is_well(&scene, &sync).await
    })
}

/// Sync §13, terminating namespaces: where nobody empties it, what cannot be made there is not tried again by itself.
#[test]
fn what_a_namespace_that_goes_does_not_take_is_left_until_something_changes() -> Result<()> {
    run(async {
        let ground = frail().await?;
        let scene = scene_in(ground, &ground.namespace().await?, &[]).await?;
        scene.vendor.put("f", "value");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"value").await?;
        is_well(&scene, &sync).await?;
        shown(&scene, "a", "ready", "Synced").await?;

        scene.delete(&namespace_of(&scene)).await?;
        says_to_a_new_secret(&scene, "403 being terminated").await?;
        scene.delete(&scene.secret_named("a")).await?;
        for count in 1..=2 {
            asked_anew(&scene, &class).await?;
            rounds(&scene, "failed", count).await?;
            eventually(SOON, "no next round", async || {
                let row = shown(&scene, "a", "ready", "Synced").await?;
                ensure!(row["nextRefresh"].is_null(), "{row}");
                Ok(())
            })
            .await?;
            let failed = scene.controller.metric(FAILED).await?;
            ensure!(failed == count as f64, "{failed} of {count}");
        }
        ensure!(scene.secret("a").await?.is_none(), "it was made");
        ground.api.signal(Signal::KILL)
    })
}

/// Sync §2: a status that could not be written is written a moment later, and not at the next poll in ten minutes; the
/// Secret does not wait for it.
#[test]
fn a_status_that_could_not_be_written_is_written_a_moment_later() -> Result<()> {
    run(async {
        let ground = frail().await?;
        let scene = scene_in(ground, &ground.namespace().await?, &[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": ACCOUNT},
        });
        let rules = stored(&ground.admin, &role).await?["rules"].take();
        let rules = rules.as_array().into_iter().flatten();
        let fewer: Vec<&Value> = rules
            .filter(|rule| rule["resources"] != json!(["secretsyncs/status"]))
            .collect();
        scene.merge(&role, &json!({"rules": fewer})).await?;
        let controller = ground.api.client_for(SYSTEM, ACCOUNT).await?;
        let right = json!({
            "namespace": scene.namespace,
            "verb": "patch",
            "group": "secret-sync.x-k8s.io",
            "resource": "secretsyncs",
            "subresource": "status",
        });
        eventually(SOON, "a right that is missing", async || {
            let granted = ApiServer::reviewed(controller.clone(), &right).await?;
            ensure!(!granted, "it is granted");
            Ok(())
        })
        .await?;

        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"value").await?;
        eventually(SOON, "a status that is refused", async || {
            let log = scene.controller.log();
            ensure!(log.contains("the status cannot be written"), "{log}");
            Ok(())
        })
        .await?;
        let now = stored(&ground.admin, &sync).await?;
        ensure!(now["status"].is_null(), "{}", now["status"]);
        ground.api.install(RBAC).await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &before).await?;
        ground.api.signal(Signal::KILL)
    })
}
