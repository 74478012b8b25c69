//! A provider that is down for everybody is asked by one round at a time, and by all again as soon as it answers.

use anyhow::{Result, bail, ensure};
use coffer_tests::fixture::eventually;
use serde_json::Value;
use tonic::Status;

use super::line::Line;
use super::{asked_anew, class_of, is_well, of_account, serves_last_good, untouched};
use crate::stage::SOON;
use crate::sync::{Scene, VENDOR, condition_of};
use crate::sync_objects::stored;
use crate::world::run;

/// More than the ten calls and three objects that a pause takes.
const OBJECTS: usize = 12;
const FAILED: &str = "coffer_sync_reconciles_total{result=\"failed\"}";

/// Whether a provider is paused, as the metric says.
async fn is_paused(scene: &Scene, provider: &str) -> Result<bool> {
    let series = format!("coffer_sync_provider_paused{{provider=\"{provider}\"}}");
    Ok(scene.controller.metric(&series).await? == 1.0)
}

/// Objects of one provider with a call of their own each, and their Secrets. The provider is paused, because none of
/// the calls reached it.
async fn paused(scene: &Scene, provider: &str) -> Result<Vec<(Value, Value)>> {
    scene.vendor.put("f", "value");
    let class = class_of(scene, provider).await?;
    let mut objects = Vec::new();
    for at in 0..OBJECTS {
        let sync = of_account(scene, &format!("a-{at}"), &format!("app-{at}"));
        objects.push(scene.create(sync).await?);
    }
    let mut all = Vec::new();
    for (at, sync) in objects.into_iter().enumerate() {
        is_well(scene, &sync).await?;
        all.push((sync, scene.holds(&format!("a-{at}"), "k", b"value").await?));
    }
    let away = Status::unavailable("away");
    scene.vendor.change(|script| script.failure = Some(away));
    asked_anew(scene, &class).await?;
    eventually(SOON, "a paused provider", async || {
        ensure!(is_paused(scene, provider).await?);
        Ok(())
    })
    .await?;
    for (sync, _) in &all {
        serves_last_good(scene, sync, "ProviderError").await?;
    }
    Ok(all)
}

/// Sync §5: after ten calls of three objects that did not reach it.
#[test]
fn a_provider_that_nobody_reaches_is_paused_until_it_answers() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let all = paused(&scene, VENDOR).await?;
        for (_, secret) in &all {
            untouched(&scene, secret).await?;
        }
        scene.vendor.change(|script| script.failure = None);
        for (sync, secret) in &all {
            is_well(&scene, sync).await?;
            untouched(&scene, secret).await?;
        }
        ensure!(!is_paused(&scene, VENDOR).await?);
        Ok(())
    })
}

/// Sync §5: one probe ends a pause or prolongs it; all others wait for what becomes of it.
#[test]
fn the_end_of_a_pause_costs_a_provider_one_call() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        paused(&scene, VENDOR).await?;
        let calls = scene.vendor.calls();
        eventually(SOON, "a probe", async || {
            ensure!(scene.vendor.calls() > calls);
            Ok(())
        })
        .await?;
        // All others fail without a call. The second pause lasts ten seconds.
        let rounds = scene.controller.metric(FAILED).await?;
        eventually(SOON, "rounds of others", async || {
            ensure!(scene.controller.metric(FAILED).await? > rounds);
            Ok(())
        })
        .await?;
        let probes = scene.vendor.calls() - calls;
        ensure!(probes == 1, "{probes} calls at the end of the pause");
        ensure!(is_paused(&scene, VENDOR).await?);
        Ok(())
    })
}

/// Sync §5, §15: a probe that ends before there is a call, as where the socket is gone by now, settles nothing.
#[test]
fn a_paused_provider_whose_socket_goes_is_asked_again_when_it_is_back() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let (socket, vendor) = (scene.sockets.of("line"), scene.sockets.of(VENDOR));
        let line = Line::open(&socket, &vendor)?;
        let all = paused(&scene, "line").await?;
        line.down().await?;
        std::fs::remove_file(&socket)?;
        eventually(SOON, "a round that finds no socket", async || {
            for (sync, _) in &all {
                let now = stored(&scene.ground.admin, sync).await?;
                let updated = condition_of(&now, "SecretUpdated");
                if updated.is_some_and(|it| it["reason"] == "SecretProviderClassMisconfigured") {
                    return Ok(());
                }
            }
            bail!("none yet")
        })
        .await?;
        scene.vendor.change(|script| script.failure = None);
        let _line = Line::open(&socket, &vendor)?;
        for (sync, secret) in &all {
            is_well(&scene, sync).await?;
            untouched(&scene, secret).await?;
        }
        Ok(())
    })
}
