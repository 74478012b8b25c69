//! The last good bytes of running pods while the store gives no usable answer: for whom, for how long, and
//! when never.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::{Kubelet, Published};
use coffer_tests::provider::DEFAULT_MEMORY;
use coffer_tests::scripted::Reply;
use serde_json::json;
use tonic::Code;

use crate::stage::{ONE, Simulation, Stage, class, leased};

/// Answers of a store that cannot be used, with the reason of each.
fn unusable() -> [(Reply, &'static str); 6] {
    [
        (Reply::errors(503, &["Vault is sealed"]), "store_state"),
        (Reply::errors(500, &[]), "store_error"),
        (
            Reply::errors(429, &["busy"]).header("retry-after", "120"),
            "store_busy",
        ),
        (Reply::hang_up(), "store_unreachable"),
        (Reply::text(200, "<html>"), "bad_answer"),
        (Reply::text(200, ""), "bad_answer"),
    ]
}

/// D35, O1: whatever the store says instead of an answer, running pods get their last good bytes with the same
/// versions, also when their login has long run out; a pod that starts gets an honest error.
#[tokio::test]
async fn running_pods_get_their_last_good_bytes_while_the_store_is_away() -> Result<()> {
    for (reply, reason) in unusable() {
        let simulation = Simulation::set(&[]).await?;
        let volume = simulation.volume("web", class(ONE))?;
        let good = simulation
            .provider
            .mount(&volume.first_mount())
            .await
            .ok()
            .context("first")?;
        simulation.store.rule(move |_| Some(reply.clone()));
        for hours in [1, 24] {
            simulation
                .provider
                .clock
                .advance(Duration::from_secs(hours * 3600));
            let volume = simulation.renewed(&volume)?;
            let old = simulation.provider.mount(&volume.first_mount()).await;
            let old = old
                .ok()
                .with_context(|| format!("{reason} after {hours} h"))?;
            assert_eq!(old.files[0].contents.expose(), b"v");
            assert_eq!(old.files[0].version, good.files[0].version);
            ensure!(!old.changed && old.source.as_str() == "stale", "{reason}");
        }
        let started = simulation.volume("web", class(ONE))?;
        let text = simulation.fault(&started).await?;
        ensure!(text.ends_with(&format!("[{reason}]")), "{text}");
    }
    Ok(())
}

/// O2: when the store is back the next republish is fresh.
#[tokio::test]
async fn when_the_store_is_back_the_next_republish_is_fresh() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    let volume = simulation.volume("web", class(ONE))?;
    simulation.mount(&volume).await?;
    simulation.store.rule(|_| Some(Reply::hang_up()));
    simulation.provider.clock.advance(Duration::from_secs(75));
    assert_eq!(simulation.mount(&volume).await?[0].1, "v");
    simulation.store.heal();
    simulation
        .store
        .put("secret/data/a", json!({"k": "rotated meanwhile"}));
    simulation.provider.clock.advance(Duration::from_secs(75));
    assert_eq!(simulation.mount(&volume).await?[0].1, "rotated meanwhile");
    Ok(())
}

/// O3: a denial and a missing secret are answers; they are told, and nothing older comes back later.
#[tokio::test]
async fn old_bytes_never_cover_a_denial_or_a_missing_secret() -> Result<()> {
    for (status, reason) in [(403, "denied"), (404, "not_found")] {
        let simulation = Simulation::set(&[]).await?;
        let volume = simulation.volume("web", class(ONE))?;
        simulation.mount(&volume).await?;
        simulation
            .store
            .on("/v1/secret/data/a", Reply::errors(status, &[]));
        simulation.provider.clock.advance(Duration::from_secs(75));
        let text = simulation.fault(&volume).await?;
        ensure!(text.ends_with(&format!("[{reason}]")), "{text}");
        // The store goes away after it has said so: what was good before that does not come back.
        simulation.store.rule(|_| Some(Reply::hang_up()));
        simulation.provider.clock.advance(Duration::from_secs(75));
        simulation.fault(&volume).await?;
    }
    Ok(())
}

/// O3: one path is denied while another cannot be read: the denial is told.
#[tokio::test]
async fn a_denial_beside_an_outage_is_told() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    simulation.store.put("secret/data/b", json!({"k": "b"}));
    let objects = "
- {objectName: a, secretPath: secret/data/a, secretKey: k}
- {objectName: b, secretPath: secret/data/b, secretKey: k}";
    let volume = simulation.volume("web", class(objects))?;
    simulation.mount(&volume).await?;
    simulation
        .store
        .on("/v1/secret/data/a", Reply::errors(500, &[]));
    simulation.store.on(
        "/v1/secret/data/b",
        Reply::errors(403, &["permission denied"]),
    );
    simulation.provider.clock.advance(Duration::from_secs(75));
    let text = simulation.fault(&volume).await?;
    ensure!(
        text.contains("\"b\"") && text.ends_with("[denied]"),
        "{text}"
    );
    Ok(())
}

/// D25, K1: an optional object that does not exist costs one read per interval, not one per republish, and is
/// still left out while the store is away.
#[tokio::test]
async fn an_absent_optional_object_is_known_to_be_absent() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    let objects = "
- {objectName: a, secretPath: secret/data/a, secretKey: k}
- {objectName: maybe, secretPath: secret/data/maybe, secretKey: k, optional: true}";
    let volume = simulation.volume("web", class(objects))?;
    for _ in 0..10 {
        assert_eq!(simulation.mount(&volume).await?.len(), 1);
        simulation.provider.clock.advance(Duration::from_secs(4));
    }
    assert_eq!(simulation.asked("secret/data/maybe"), 1);
    simulation.store.rule(|_| Some(Reply::hang_up()));
    simulation.provider.clock.advance(Duration::from_secs(3600));
    assert_eq!(simulation.mount(&volume).await?.len(), 1);
    simulation.store.heal();
    simulation
        .store
        .put("secret/data/maybe", json!({"k": "now"}));
    simulation.provider.clock.advance(Duration::from_secs(3600));
    assert_eq!(simulation.mount(&volume).await?.len(), 2);
    Ok(())
}

/// A login that the store refuses is an answer as well: a deleted role ends the files' life.
#[tokio::test]
async fn old_bytes_never_cover_a_refused_login() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    let volume = simulation.volume("web", class(ONE))?;
    simulation.mount(&volume).await?;
    simulation.store.revoke_all();
    simulation
        .store
        .on_login(Reply::errors(403, &["permission denied"]));
    simulation.provider.clock.advance(Duration::from_secs(7200));
    let text = simulation.fault(&simulation.renewed(&volume)?).await?;
    ensure!(text.ends_with("[login_refused]"), "{text}");
    Ok(())
}

/// `--max-stale`: old bytes have an age beyond which they answer no more; zero is never.
#[tokio::test]
async fn old_bytes_have_the_age_that_the_operator_allows() -> Result<()> {
    for (allowed, wait, expected) in [("10m", 590, true), ("10m", 610, false), ("0", 50, false)] {
        let simulation = Simulation::set(&[("max-stale", allowed)]).await?;
        let volume = simulation.volume("web", class(ONE))?;
        simulation.mount(&volume).await?;
        simulation.store.rule(|_| Some(Reply::hang_up()));
        simulation.provider.clock.advance(Duration::from_secs(wait));
        let mounted = simulation.provider.mount(&volume.first_mount()).await;
        assert_eq!(mounted.is_ok(), expected, "{allowed} after {wait} s");
    }
    Ok(())
}

/// L1: what was issued for a pod is still the pod's while the store is away.
#[tokio::test]
async fn a_lease_is_answered_through_an_outage_until_its_end() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    simulation.store.on(
        "/v1/database/creds/app",
        leased("database/creds/app/1", "user-1", 3600),
    );
    let objects = "- {objectName: a, secretPath: database/creds/app, secretKey: username}";
    let volume = simulation.volume("web", class(objects))?;
    simulation.mount(&volume).await?;
    simulation.store.rule(|_| Some(Reply::hang_up()));
    for _ in 0..40 {
        assert_eq!(simulation.mount(&volume).await?[0].1, "user-1");
        simulation.provider.clock.advance(Duration::from_secs(75));
    }
    Ok(())
}

/// A store that does not answer at all: the republish still ends in time, with the old bytes.
#[tokio::test]
async fn a_silent_store_does_not_cost_a_running_pod_its_files() -> Result<()> {
    let arguments = ["--mount-deadline", "2s", "--refresh-interval", "1ms"];
    let stage = Stage::with_environment(&arguments, &DEFAULT_MEMORY).await?;
    let volume = stage.volume(ONE)?;
    assert_eq!(stage.content(&volume).await?, "v");
    stage.store.rule(|_| Some(Reply::silence()));
    assert_eq!(stage.content(&volume).await?, "v");
    let stale = "coffer_served_stale_total{reason=\"store_timeout\"}";
    assert_eq!(stage.provider.metric(stale).await?, Some(1.0));
    stage
        .refused(&stage.volume(ONE)?, Code::Unknown, "store_timeout")
        .await?;
    Ok(())
}

/// D35 over the socket, as shipped: kubelet sees unchanged files, and metrics and log say what happened.
#[tokio::test]
async fn an_outage_is_visible_in_metrics_and_log() -> Result<()> {
    let arguments = ["--refresh-interval", "1ms", "--log-level", "debug"];
    let mut stage = Stage::with_environment(&arguments, &DEFAULT_MEMORY).await?;
    let mut kubelet = Kubelet::new(stage.driver.clone(), stage.volume(ONE)?, Duration::ZERO)?;
    ensure!(matches!(kubelet.publish().await?, Published::Written));
    stage
        .store
        .rule(|_| Some(Reply::errors(503, &["Vault is sealed"])));
    for _ in 0..5 {
        ensure!(matches!(kubelet.publish().await?, Published::Unchanged));
    }
    let stale = "coffer_served_stale_total{reason=\"store_state\"}";
    assert_eq!(stage.provider.metric(stale).await?, Some(5.0));
    stage.store.heal();
    ensure!(matches!(kubelet.publish().await?, Published::Unchanged));
    assert_eq!(kubelet.files()?["a"], "v");
    let log = stage.provider.whole_log().await?;
    ensure!(log.contains("\"source\":\"stale\""), "{log}");
    Ok(())
}

/// O3: a process that was started in the outage remembers nothing and says so.
#[tokio::test]
async fn a_restart_in_an_outage_is_honest() -> Result<()> {
    let before = Simulation::set(&[]).await?;
    let volume = before.volume("web", class(ONE))?;
    before.mount(&volume).await?;
    let after = before.restarted(&[]).await?;
    before.store.rule(|_| Some(Reply::hang_up()));
    let text = after
        .mount(&volume.first_mount())
        .await
        .err()
        .context("mounted")?
        .to_string();
    ensure!(text.ends_with("[store_unreachable]"), "{text}");
    Ok(())
}
