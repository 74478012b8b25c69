//! Where Secrets are watched: edits and deletions are undone within seconds, and a round without a change asks the
//! API server nothing.
//!
//! Nothing makes an object due here but what happens to its Secret, or a class that changes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use coffer_tests::fixture::eventually;
use kube::api::PatchParams;
use serde_json::json;
use tonic::Status;

use super::{add_theirs, ask_anew, edit, edit_key, good, has_theirs, noted, rounds, synced, there};
use crate::stage::SOON;
use crate::sync::Scene;
use crate::sync_objects::{applied, judge, with};
use crate::world::run;

/// Requests to the API server so far. Watches are none.
async fn requests(scene: &Scene) -> Result<f64> {
    let (_, text) = scene.controller.ask("/metrics").await?;
    let counts = text
        .lines()
        .filter(|line| line.starts_with("coffer_kube_requests_total{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(counts.sum())
}

/// Sync §8, watch mode: an edit leads to one apply within seconds, and the Event says who edited
#[test]
fn an_edited_key_is_restored_within_seconds() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        synced(&scene).await?;
        edit_key(&scene).await?;
        scene.holds("a", "k", b"value").await?;
        noted(&scene, "a", "Repaired", "by hand were undone").await?;
        edit(&scene, &json!({"data": {"k": null}})).await?;
        scene.holds("a", "k", b"value").await?;
        rounds(&scene, "repaired", 2).await
    })
}

/// Sync §8, watch mode: an edit through `stringData` too, which managedFields alone would not show
#[test]
fn an_edit_through_string_data_is_undone_within_seconds() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        synced(&scene).await?;
        edit(&scene, &json!({"stringData": {"k": "edited"}})).await?;
        scene.holds("a", "k", b"value").await?;
        rounds(&scene, "repaired", 1).await?;
        let theirs = with(scene.secret_named("a"), "/stringData/k", json!("edited"));
        let how = PatchParams::apply("somebody").force();
        let said = applied(&scene.ground.admin, &theirs, &how).await?;
        judge("an apply with stringData", &said, "ok")?;
        scene.holds("a", "k", b"value").await?;
        rounds(&scene, "repaired", 2).await
    })
}

/// Sync §8, watch mode: a deletion leads to one apply within seconds
#[test]
fn a_deleted_secret_comes_back_within_seconds() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced(&scene).await?;
        let before = there(&scene, "a").await?;
        scene.delete(&scene.secret_named("a")).await?;
        let after = scene.holds("a", "k", b"value").await?;
        ensure!(before["metadata"]["uid"] != after["metadata"]["uid"]);
        let note = "had been deleted and was written again";
        noted(&scene, "a", "Repaired", note).await?;
        good(&scene, &sync).await
    })
}

/// Sync §8, watch mode: what others add is looked at once, stays, and is no repair
#[test]
fn what_others_add_is_looked_at_and_left() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        synced(&scene).await?;
        add_theirs(&scene).await?;
        let before = there(&scene, "a").await?;
        rounds(&scene, "unchanged", 1).await?;
        let after = there(&scene, "a").await?;
        has_theirs(&after)?;
        ensure!(before == after, "{before} became {after}");
        let events = scene.events("a").await?;
        let repairs = events.iter().filter(|event| event["reason"] == "Repaired");
        ensure!(repairs.count() == 0, "{events:?}");
        Ok(())
    })
}

/// Sync §8, watch mode, and §14: equal content and the resourceVersion of our last apply: no request at all. The
/// status is due once in an hour and no token is wanted, so that no verb may move.
#[test]
fn a_round_without_a_change_asks_the_api_server_nothing() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        synced(&scene).await?;
        let before = requests(&scene).await?;
        ensure!(before > 0.0, "no request was counted");
        for count in 1..=3 {
            ask_anew(&scene, "c").await?;
            rounds(&scene, "unchanged", count).await?;
        }
        let after = requests(&scene).await?;
        ensure!(before == after, "{before} became {after}");
        Ok(())
    })
}

/// Sync §8: three repairs against one manager within ten minutes, then no more until the spec changes
#[test]
fn who_keeps_editing_is_named_and_no_longer_fought_until_the_spec_changes() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced(&scene).await?;
        for _ in 0..3 {
            edit_key(&scene).await?;
            scene.holds("a", "k", b"value").await?;
        }
        edit_key(&scene).await?;
        let edited = there(&scene, "a").await?;
        let ready = scene.says(&sync, "Ready", "False", "Contested").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.contains("hand keeps changing"), "{message}");
        noted(&scene, "a", "Contested", "hand keeps changing").await?;
        rounds(&scene, "refused", 1).await?;
        eventually(SOON, "a contested object", async || {
            let contested = scene
                .controller
                .metric("coffer_sync_contested_objects")
                .await?;
            ensure!(contested > 0.0);
            Ok(())
        })
        .await?;
        // One attempt in an hour: the edit that stands there makes nothing due again.
        let refused = "coffer_sync_reconciles_total{result=\"refused\"}";
        let refused = scene.controller.metric(refused).await?;
        ensure!(
            refused < 2.0,
            "{refused} rounds for one edit: {}",
            scene.controller.log()
        );
        ask_anew(&scene, "c").await?;
        rounds(&scene, "refused", 2).await?;
        let now = there(&scene, "a").await?;
        ensure!(edited == now, "{edited} became {now}");
        scene.force(&sync).await?;
        scene.holds("a", "k", b"value").await?;
        good(&scene, &sync).await
    })
}

/// Sync §8: three re-creations within ten minutes, then no more until the spec changes
#[test]
fn a_secret_that_somebody_keeps_deleting_is_no_longer_made_until_the_spec_changes() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced(&scene).await?;
        let secret = scene.secret_named("a");
        for _ in 0..3 {
            scene.delete(&secret).await?;
            scene.holds("a", "k", b"value").await?;
        }
        scene.delete(&secret).await?;
        let ready = scene.says(&sync, "Ready", "False", "Contested").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.contains("keeps deleting"), "{message}");
        scene
            .says(&sync, "SecretCreated", "False", "ControllerPatchError")
            .await?;
        ask_anew(&scene, "c").await?;
        rounds(&scene, "refused", 2).await?;
        ensure!(scene.secret("a").await?.is_none(), "it was made again");
        scene.force(&sync).await?;
        scene.holds("a", "k", b"value").await?;
        good(&scene, &sync).await
    })
}

/// Sync §5, failure: an edit has its one look; the provider that is away is asked no sooner for it than its pause says
#[test]
fn an_edit_while_the_provider_is_away_hurries_no_call_but_one() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced(&scene).await?;
        let down = Status::unavailable("down");
        scene.vendor.change(|script| script.failure = Some(down));
        ask_anew(&scene, "c").await?;
        scene
            .says(&sync, "SecretUpdated", "False", "ProviderError")
            .await?;
        let (calls, edited) = (scene.vendor.calls(), Instant::now());
        edit(&scene, &json!({"metadata": {"labels": {"theirs": "x"}}})).await?;
        // Its look and the next try make two calls; a third one is ten seconds after the second failure.
        let calls = eventually(SOON, "calls of the vendor", async || {
            let more = scene.vendor.calls() - calls;
            let over = edited.elapsed() >= Duration::from_secs(6);
            ensure!(more > 2 || over, "{more} more");
            Ok(more)
        })
        .await?;
        ensure!(
            (1..=2).contains(&calls),
            "{calls} calls: {}",
            scene.controller.log()
        );
        Ok(())
    })
}
