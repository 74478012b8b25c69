//! An API server that is killed and started again, or that hangs: the round that finds it away is made again.
//!
//! Each case breaks a server of its own and ends it.

use std::mem::ManuallyDrop;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use coffer_tests::process::Running;
use rustix::process::Signal;
use serde_json::Value;
use tonic::Status;

use super::{arrives, asked_anew, ground_of, is_well, scene_in, serves_last_good};
use crate::sync::{Ground, LATER, POLICIES, Scene};
use crate::sync_objects::{CLASS, RBAC, SECRET_SYNC};
use crate::world::{end_with_us, run};

/// Rounds that ended because the API server did not take what they wrote.
const REFUSED: &str = "coffer_sync_failures_total{reason=\"ControllerPatchError\"}";

/// A cluster of one's own that may be broken; without controllers.
pub(in crate::sync) async fn frail() -> Result<&'static Ground> {
    let files = [&[SECRET_SYNC, CLASS, RBAC][..], &POLICIES].concat();
    let ground = ground_of(&files).await?;
    ground.guarded().await?;
    Ok(ground)
}

/// A server in the place of a killed one. Nobody waits for its end, so that its pid stays its own until ours.
pub(in crate::sync) async fn revived(ground: &Ground) -> Result<ManuallyDrop<Running>> {
    let server = ManuallyDrop::new(ground.api.revive().await?);
    end_with_us(&format!("kill -KILL {}", server.pid()))?;
    Ok(server)
}

/// A SecretSync `a` whose Secret holds `old`, and whose provider has just failed once: it will be asked again in five
/// seconds, whatever becomes of the API server.
async fn about_to_retry(scene: &Scene) -> Result<(Value, Value)> {
    scene.vendor.put("f", "old");
    let class = scene.class("c").await?;
    let sync = scene.sync("a").await?;
    let before = scene.holds("a", "k", b"old").await?;
    is_well(scene, &sync).await?;
    let away = Status::unavailable("away");
    scene.vendor.change(|script| script.failure = Some(away));
    asked_anew(scene, &class).await?;
    serves_last_good(scene, &sync, "ProviderError").await?;
    Ok((sync, before))
}

/// The provider has a new value, and the API server does not take it.
async fn refused(scene: &Scene) -> Result<()> {
    scene.vendor.put("f", "new");
    scene.vendor.change(|script| script.failure = None);
    eventually(LATER, "a round without the API server", async || {
        ensure!(scene.controller.metric(REFUSED).await? > 0.0);
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())?;
    let (status, text) = scene.controller.ask("/livez").await?;
    ensure!(status == 200, "an outage of others is no death: {text}");
    Ok(())
}

/// The value of the outage is written, to the same Secret, and whatever is asked from now on is done.
async fn recovered(scene: &Scene, sync: &Value, before: &Value) -> Result<()> {
    let after = arrives(scene, "a", "k", b"new").await?;
    ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
    is_well(scene, sync).await?;
    scene.force(sync).await?;
    is_well(scene, sync).await
}

/// Sync §15, row "API server down".
#[test]
fn an_api_server_that_is_killed_and_started_again_costs_no_round_for_good() -> Result<()> {
    run(async {
        let ground = frail().await?;
        let scene = scene_in(ground, &ground.namespace().await?, &[]).await?;
        let (sync, before) = about_to_retry(&scene).await?;
        ground.api.signal(Signal::KILL)?;
        refused(&scene).await?;
        let server = revived(ground).await?;
        recovered(&scene, &sync, &before).await?;
        server.signal(Signal::KILL)
    })
}

/// Sync §15, row "API server down": requests end without an answer, and may have been carried out all the same.
#[test]
fn an_api_server_that_hangs_costs_no_round_for_good() -> Result<()> {
    run(async {
        let ground = frail().await?;
        let scene = scene_in(ground, &ground.namespace().await?, &[]).await?;
        let (sync, before) = about_to_retry(&scene).await?;
        ground.api.signal(Signal::STOP)?;
        refused(&scene).await?;
        ground.api.signal(Signal::CONT)?;
        recovered(&scene, &sync, &before).await?;
        ground.api.signal(Signal::KILL)
    })
}
