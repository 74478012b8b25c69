//! Restarts that wait: collected in a window, tried again, and told in a condition that outlives a process.

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use serde_json::{Value, json};

use super::{LATER, PENDING, RESTARTED, generation, left_alone, reads, restarted, settled, synced};
use crate::stage::SOON;
use crate::sync::lines::maker;
use crate::sync::outages::{asked_anew, is_well, refetched};
use crate::sync::{Scene, condition_of};
use crate::sync_objects::stored;
use crate::world::run;

const NOT_RESTARTED: &str = "coffer_sync_restarts_total{result=\"error\"}";

/// Waits until the condition says this, among other things.
async fn pending(scene: &Scene, sync: &Value, part: &str) -> Result<()> {
    eventually(SOON, "a pending restart", async || {
        let now = stored(&scene.ground.admin, sync).await?;
        let found = condition_of(&now, PENDING).context("nothing is pending")?;
        let message = found["message"].as_str().unwrap_or_default();
        ensure!(
            found["status"] == "True" && message.contains(part),
            "{found}"
        );
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Waits until the annotation of a class says this of the restarts that wait for its Secret `a`.
async fn told_on_class(scene: &Scene, class: &Value, pending: &str) -> Result<()> {
    eventually(SOON, "a state of the class", async || {
        let now = stored(&scene.ground.admin, class).await?;
        let text = now["metadata"]["annotations"]["coffer.rs/sync-status"].as_str();
        let state: Value = serde_json::from_str(text.context("no state")?)?;
        let found = state["a"]["restartPending"].as_str().unwrap_or_default();
        ensure!(found == pending, "{state}");
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Sync §10: a window collects the changes of two Secrets into one rollout.
#[test]
fn two_secrets_that_change_together_cost_a_workload_one_rollout() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let both = scene.create(reads("both", &["a", "b"])).await?;
        let options = [("restart", "Auto"), ("restart-window", "5s")];
        let a = synced(&scene, "a", "f", &options).await?;
        let b = synced(&scene, "b", "f", &options).await?;
        scene.vendor.put("f", "new");
        asked_anew(&scene, &class).await?;
        pending(&scene, &a, "Deployment/both").await?;
        pending(&scene, &b, "Deployment/both").await?;
        left_alone(&scene, &both).await?;
        restarted(&scene, &both, &[&a, &b]).await?;
        settled(&scene, &a).await?;
        settled(&scene, &b).await?;
        for name in ["a", "b"] {
            scene.told(name, "RestartTriggered").await?;
        }
        ensure!(scene.controller.metric(RESTARTED).await? == 1.0);
        Ok(())
    })
}

/// Sync §10: a workload that is not there is told, tried again and restarted once it is there; its Secret is synced
/// all the while.
#[test]
fn a_workload_that_comes_late_is_restarted_all_the_same() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let options = [("restart", "Deployment/late"), ("restart-window", "0s")];
        let sync = synced(&scene, "a", "f", &options).await?;
        scene.vendor.put("f", "new");
        refetched(&scene, &class, &sync).await?;
        scene.holds("a", "k", b"new").await?;
        let told = scene.told("a", "RestartFailed").await?;
        let note = told["note"].as_str().unwrap_or_default();
        ensure!(
            told["type"] == "Warning" && note.contains("Deployment/late"),
            "{told}"
        );
        pending(&scene, &sync, "; Deployment/late failed: ").await?;
        is_well(&scene, &sync).await?;
        let late = scene.create(reads("late", &["a"])).await?;
        restarted(&scene, &late, &[&sync]).await?;
        settled(&scene, &sync).await?;
        scene.told("a", "RestartTriggered").await.map(|_| ())
    })
}

/// Sync §11: what keeps failing is told again after an hour and not at every try.
#[test]
fn a_restart_that_fails_again_is_told_once() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let options = [("restart", "Deployment/never"), ("restart-window", "0s")];
        let sync = synced(&scene, "a", "f", &options).await?;
        scene.vendor.put("f", "new");
        refetched(&scene, &class, &sync).await?;
        eventually(SOON, "a second try", async || {
            ensure!(scene.controller.metric(NOT_RESTARTED).await? >= 2.0);
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        // A round that ended after the second try has told whatever there was to tell of it.
        scene.round(&sync).await?;
        let events = scene.events("a").await?;
        let failed = events
            .iter()
            .filter(|event| event["reason"] == "RestartFailed");
        ensure!(failed.count() == 1, "{events:?}");
        Ok(())
    })
}

/// Sync §3, §10: an option acts at once, so what it names no more is waited for no more.
#[test]
fn a_workload_that_nobody_names_any_more_is_not_waited_for() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let options = [("restart", "Deployment/wrong"), ("restart-window", "0s")];
        let sync = synced(&scene, "a", "f", &options).await?;
        scene.vendor.put("f", "new");
        refetched(&scene, &class, &sync).await?;
        pending(&scene, &sync, "; Deployment/wrong failed: ").await?;
        let corrected = json!({"metadata": {"annotations": {"coffer.rs/restart": "Never"}}});
        scene.merge(&sync, &corrected).await?;
        settled(&scene, &sync).await?;
        is_well(&scene, &sync).await
    })
}

/// Sync §10: what is pending stands in a condition, so a process that is killed in the window loses none of it.
#[test]
fn a_pending_restart_outlives_the_process_that_planned_it() -> Result<()> {
    run(async {
        let mut scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let reader = scene.create(reads("reader", &["a"])).await?;
        let options = [("restart", "Auto"), ("restart-window", "20s")];
        let sync = synced(&scene, "a", "f", &options).await?;
        scene.vendor.put("f", "new");
        refetched(&scene, &class, &sync).await?;
        scene.says(&sync, PENDING, "True", "RestartPending").await?;
        scene.controller.kill()?;
        left_alone(&scene, &reader).await?;
        scene.again().await?;
        restarted(&scene, &reader, &[&sync]).await?;
        settled(&scene, &sync).await?;
        ensure!(scene.controller.metric(RESTARTED).await? == 1.0);
        is_well(&scene, &sync).await
    })
}

/// Sync §1, §10: of a class what is pending stands in its annotation, and is not lost either.
#[test]
fn a_pending_restart_of_a_class_outlives_the_process_that_planned_it() -> Result<()> {
    run(async {
        let mut scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "old");
        let reader = scene.create(reads("reader", &["a"])).await?;
        let class = maker(&scene, "c", "a").await?;
        let options = json!({"metadata": {"annotations": {
            "coffer.rs/restart": "Auto",
            "coffer.rs/restart-window": "20s",
        }}});
        let class = scene.merge(&class, &options).await?;
        scene.holds("a", "k", b"old").await?;
        scene.vendor.put("f", "new");
        asked_anew(&scene, &class).await?;
        told_on_class(&scene, &class, "Waiting for a restart: Deployment/reader").await?;
        scene.holds("a", "k", b"new").await?;
        scene.controller.kill()?;
        left_alone(&scene, &reader).await?;
        scene.again().await?;
        eventually(LATER, "a restart", async || {
            let generation = generation(&scene, &reader).await?;
            ensure!(generation == Some(2), "{generation:?}");
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        told_on_class(&scene, &class, "").await?;
        ensure!(scene.controller.metric(RESTARTED).await? == 1.0);
        Ok(())
    })
}

/// Sync §10, §18: that a restart is done is news about the workload and not about the store, which would give a
/// dynamic credential for every look, and so a reason for the next restart.
#[test]
fn a_restart_that_is_done_costs_the_provider_no_call() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let reader = scene.create(reads("reader", &["a"])).await?;
        // Longer than an answer serves those who come after it.
        let options = [("restart", "Auto"), ("restart-window", "7s")];
        let sync = synced(&scene, "a", "f", &options).await?;
        scene.vendor.put("f", "new");
        refetched(&scene, &class, &sync).await?;
        scene.holds("a", "k", b"new").await?;
        is_well(&scene, &sync).await?;
        let calls = scene.vendor.calls();
        restarted(&scene, &reader, &[&sync]).await?;
        settled(&scene, &sync).await?;
        let more = scene.vendor.calls() - calls;
        ensure!(more == 0, "{more} calls");
        Ok(())
    })
}
