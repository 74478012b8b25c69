//! The end of the process: what is in flight, what comes too late, and what is given back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::driver::{MountOutcome, Volume};
use coffer_tests::fixture::eventually;
use coffer_tests::provider::ProviderProcess;
use coffer_tests::scripted::Reply;
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::stage::{ONE, Stage, leased};

const WAIT: Duration = Duration::from_secs(10);
const READ: &str = "/v1/secret/data/a";

fn call(stage: &Stage, volume: &Volume) -> JoinHandle<Result<MountOutcome>> {
    let (driver, request) = (stage.driver.draining(), volume.first_mount());
    tokio::spawn(async move { driver.mount(&request).await })
}

/// Waits until the store was asked for `a`, once.
async fn in_flight(stage: &Stage) -> Result<()> {
    eventually(WAIT, "a mount in flight", async || {
        ensure!(stage.asked("secret/data/a") == 1);
        Ok(())
    })
    .await
}

async fn draining(stage: &Stage) -> Result<()> {
    stage.provider.terminate()?;
    eventually(WAIT, "a provider that drains", async || {
        let (status, told) = stage.provider.ask("/readyz").await?;
        ensure!(
            status == 503 && told.contains("draining"),
            "{status} {told}"
        );
        Ok(())
    })
    .await
}

/// P4: 50 mounts in flight at SIGTERM finish; afterwards the process ends with 0 and its socket is gone.
#[tokio::test]
async fn mounts_in_flight_finish() -> Result<()> {
    let mut stage = Stage::with(&["--inflight-per-address", "64"]).await?;
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    stage.store.rule(move |asked| {
        let reply = Reply::data(&json!({"k": asked.query.clone()}));
        (asked.path == READ).then(|| reply.behind(&held))
    });
    let volumes: Vec<_> = (0..50)
        .map(|at| stage.volume(&ONE.replace("data/a", &format!("data/a?version={at}"))))
        .collect::<Result<_>>()?;
    let calls: Vec<_> = volumes.iter().map(|volume| call(&stage, volume)).collect();
    eventually(WAIT, "50 mounts in flight", async || {
        ensure!(stage.store.in_flight() == 50, "{}", stage.store.in_flight());
        Ok(())
    })
    .await?;
    draining(&stage).await?;
    ensure!(calls.iter().all(|call| !call.is_finished()));
    for _ in 0..50 {
        gate.notify_one();
        let left = stage.store.in_flight();
        eventually(WAIT, "an answer", async || {
            ensure!(stage.store.in_flight() < left.max(1));
            Ok(())
        })
        .await?;
    }
    for (at, outcome) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(outcome??.files()?["a"], format!("version={at}"));
    }
    let status = stage.provider.ended().await?;
    assert_eq!(status.code(), Some(0), "{}", stage.provider.log());
    ensure!(!stage.provider.socket().exists());
    Ok(())
}

/// P4: while it drains no new work is taken: the driver's attempts end as Unavailable or wait for the successor.
#[tokio::test]
async fn new_work_is_not_taken_while_draining() -> Result<()> {
    let mut stage = Stage::set().await?;
    let gate = Arc::new(Notify::new());
    stage
        .store
        .on(READ, Reply::data(&json!({"k": "v"})).behind(&gate));
    let first = call(&stage, &stage.volume(ONE)?);
    in_flight(&stage).await?;
    draining(&stage).await?;
    let late = stage.volume(&ONE.replace("data/a", "data/late"))?;
    let mut late = call(&stage, &late);
    let answered = tokio::time::timeout(Duration::from_millis(500), &mut late).await;
    if let Ok(outcome) = answered {
        let outcome = outcome??;
        assert_eq!(outcome.failure()?.code(), Code::Unavailable);
    }
    late.abort();
    assert_eq!(stage.asked("secret/data/late"), 0);
    gate.notify_one();
    assert_eq!(first.await??.files()?["a"], "v");
    assert_eq!(stage.provider.ended().await?.code(), Some(0));
    Ok(())
}

/// P4: what cannot finish in the time for it gets the one code that the driver repeats by itself.
#[tokio::test]
async fn what_cannot_finish_in_time_is_left_to_the_successor() -> Result<()> {
    let mut stage = Stage::with(&["--drain", "1s"]).await?;
    stage.store.on(READ, Reply::silence());
    let mut request = stage.volume(ONE)?.first_mount();
    request.secrets = "null".to_owned();
    let driver = stage.driver.clone();
    let mount = tokio::spawn(async move { driver.mount_raw(&request).await });
    in_flight(&stage).await?;
    stage.provider.terminate()?;
    let status = stage.provider.ended().await?;
    assert_eq!(status.code(), Some(0), "{}", stage.provider.log());
    // The driver's own second attempt waits for a socket; the first got the answer of the leaving process.
    let log = stage.provider.log();
    ensure!(
        log.contains("\"reason\":\"draining\"") && log.contains("\"code\":\"Unavailable\""),
        "{log}"
    );
    mount.abort();
    Ok(())
}

/// P4: the driver's repeat of a mount that was cut off by the shutdown reaches the successor.
#[tokio::test]
async fn a_mount_cut_off_by_a_restart_succeeds_at_the_successor() -> Result<()> {
    let mut stage = Stage::with(&["--drain", "1s"]).await?;
    stage.store.on(READ, Reply::silence());
    let volume = stage.volume(ONE)?;
    let mount = call(&stage, &volume);
    in_flight(&stage).await?;
    let socket = stage.provider.socket().to_path_buf();
    let address = stage.store.address();
    let arguments = ["-kubeconfig", "off", "-vault-addr", &address];
    let _second = ProviderProcess::start_on(&socket, &arguments, &[]).await?;
    stage.provider.terminate()?;
    stage.store.heal();
    let outcome = mount.await??;
    assert_eq!(outcome.files()?["a"], "v");
    assert_eq!(outcome.attempts, [Code::Unavailable, Code::Ok]);
    assert_eq!(stage.provider.ended().await?.code(), Some(0));
    Ok(())
}

/// P4: a second SIGTERM ends it at once, whatever is in flight.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    let mut stage = Stage::set().await?;
    stage.store.on(READ, Reply::silence());
    let mount = call(&stage, &stage.volume(ONE)?);
    in_flight(&stage).await?;
    draining(&stage).await?;
    let asked = std::time::Instant::now();
    stage.provider.terminate()?;
    let status = stage.provider.ended().await?;
    ensure!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(status.code(), Some(1));
    mount.abort();
    Ok(())
}

/// D8: at the end the tokens are given back, each once.
#[tokio::test]
async fn tokens_are_revoked_at_the_end() -> Result<()> {
    let mut stage = Stage::set().await?;
    for account in ["one", "two", "three"] {
        stage
            .content(&stage.volume_of(account, crate::stage::class(ONE))?)
            .await?;
    }
    assert_eq!(stage.provider.stop().await?.code(), Some(0));
    let mut revoked: Vec<_> = stage
        .store
        .requests()
        .into_iter()
        .filter(|asked| asked.path.ends_with("/revoke-self"))
        .filter_map(|asked| asked.header("x-vault-token").map(str::to_owned))
        .collect();
    revoked.sort();
    assert_eq!(
        revoked,
        ["hvs.scripted-1", "hvs.scripted-2", "hvs.scripted-3"]
    );
    Ok(())
}

/// D8: a token on which the lease of a running pod hangs is not: that would take the pod's credentials away.
#[tokio::test]
async fn a_token_with_a_live_lease_is_not_revoked() -> Result<()> {
    let mut stage = Stage::set().await?;
    stage.store.on(
        "/v1/database/creds/app",
        leased("database/creds/app/1", "user-1", 3600),
    );
    let objects = "- {objectName: a, secretPath: database/creds/app, secretKey: username}";
    stage.content(&stage.volume(objects)?).await?;
    stage
        .content(&stage.volume_of("plain", crate::stage::class(ONE))?)
        .await?;
    assert_eq!(stage.provider.stop().await?.code(), Some(0));
    let revoked: Vec<_> = stage
        .store
        .requests()
        .into_iter()
        .filter(|asked| asked.path.contains("revoke"))
        .filter_map(|asked| asked.header("x-vault-token").map(str::to_owned))
        .collect();
    assert_eq!(revoked, ["hvs.scripted-2"]);
    Ok(())
}

/// D8: a store that hangs at the end holds the process up for a moment only.
#[tokio::test]
async fn a_store_that_hangs_does_not_hold_up_the_end() -> Result<()> {
    let mut stage = Stage::with(&["--vault-client-timeout", "1s"]).await?;
    stage.content(&stage.volume(ONE)?).await?;
    stage
        .store
        .on("/v1/auth/token/revoke-self", Reply::silence());
    let asked = std::time::Instant::now();
    assert_eq!(stage.provider.stop().await?.code(), Some(0));
    ensure!(
        asked.elapsed() < Duration::from_secs(8),
        "{:?}",
        asked.elapsed()
    );
    Ok(())
}

/// P5: the driver's repeat of a mount whose process was killed reaches the next process, and the pod has its files.
#[tokio::test]
async fn a_mount_of_a_killed_process_succeeds_at_the_next() -> Result<()> {
    let mut stage = Stage::set().await?;
    stage.store.on(READ, Reply::silence());
    let volume = stage.volume(ONE)?;
    let mount = call(&stage, &volume);
    in_flight(&stage).await?;
    stage.provider.kill()?;
    stage.store.heal();
    let address = stage.store.address();
    let arguments = ["-kubeconfig", "off", "-vault-addr", &address];
    let socket = stage.provider.socket().to_path_buf();
    let _second = ProviderProcess::start_on(&socket, &arguments, &[]).await?;
    let outcome = mount.await??;
    assert_eq!(outcome.files()?["a"], "v");
    assert_eq!(outcome.attempts.last(), Some(&Code::Ok));
    Ok(())
}
