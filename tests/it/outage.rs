//! A store that is away for a while, under pods that run and pods that start.

use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::driver::{Kubelet, Published};
use coffer_tests::fixture::eventually;
use coffer_tests::scripted::Reply;
use serde_json::json;
use tonic::Code;

use crate::stage::{ONE, Stage, leased};

/// D35, O1: running pods keep files and versions through an outage, and nothing is written when it ends.
#[tokio::test]
async fn running_pods_keep_their_files_through_an_outage() -> Result<()> {
    let stage = Stage::set().await?;
    let mut kubelet = Kubelet::new(stage.driver.clone(), stage.volume(ONE)?, Duration::ZERO)?;
    ensure!(matches!(kubelet.publish().await?, Published::Written));
    let versions = kubelet.versions().to_vec();
    for reply in [
        Reply::errors(503, &["Vault is sealed"]),
        Reply::errors(500, &[]),
        Reply::hang_up(),
        Reply::text(200, ""),
    ] {
        stage.store.rule(move |_| Some(reply.clone()));
        let published = kubelet.publish().await?;
        ensure!(
            matches!(published, Published::Masked(_) | Published::Unchanged),
            "{published:?}"
        );
        assert_eq!(kubelet.files()?["a"], "v");
        assert_eq!(kubelet.versions(), versions);
    }
    stage.store.heal();
    // The breaker has opened meanwhile, and a probe must find the store well.
    eventually(Duration::from_secs(30), "a good republish", async || {
        let published = kubelet.publish().await?;
        ensure!(matches!(published, Published::Unchanged), "{published:?}");
        Ok(())
    })
    .await?;
    assert_eq!(stage.store.logins(), 1, "an outage takes no login away");
    Ok(())
}

/// O1, L1: what was issued for a pod is answered from memory while the store is away.
#[tokio::test]
async fn what_was_issued_survives_an_outage() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on(
        "/v1/database/creds/app",
        leased("database/creds/app/1", "user-1", 3600),
    );
    let volume =
        stage.volume("- {objectName: a, secretPath: database/creds/app, secretKey: username}")?;
    assert_eq!(stage.content(&volume).await?, "user-1");
    stage.store.rule(|_| Some(Reply::hang_up()));
    assert_eq!(stage.content(&volume).await?, "user-1");
    Ok(())
}

/// O1, O3: a pod that starts in an outage, or after a restart in one, gets an honest error and no files.
#[tokio::test]
async fn a_first_mount_in_an_outage_fails_honestly() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.rule(|_| Some(Reply::hang_up()));
    let mut kubelet = Kubelet::new(
        stage.driver.clone(),
        stage.volume(ONE)?,
        Duration::from_secs(3600),
    )?;
    let published = kubelet.publish().await?;
    ensure!(
        matches!(&published, Published::Refused(status) if status.code() == Code::Unknown),
        "{published:?}"
    );
    stage.store.heal();
    ensure!(
        matches!(kubelet.publish().await?, Published::Written),
        "the next attempt really mounts"
    );
    Ok(())
}

/// O3: in the middle of it all a denial and a missing secret are told, not covered by old bytes.
#[tokio::test]
async fn a_denial_is_never_covered_by_old_bytes() -> Result<()> {
    let stage = Stage::set().await?;
    let volume = stage.volume(ONE)?;
    assert_eq!(stage.content(&volume).await?, "v");
    stage.store.on(
        "/v1/secret/data/a",
        Reply::errors(403, &["permission denied"]),
    );
    stage
        .refused(&volume, Code::PermissionDenied, "denied")
        .await?;
    stage.store.on("/v1/secret/data/a", Reply::errors(404, &[]));
    stage.refused(&volume, Code::NotFound, "not_found").await?;
    // A deleted version of KV 2 is a 404 with a body.
    let gone = json!({"data": {"data": null, "metadata": {"deletion_time": "2026-01-01T00:00:00Z", "destroyed": false}}});
    stage.store.on("/v1/secret/data/a", Reply::json(404, &gone));
    stage.refused(&volume, Code::NotFound, "not_found").await?;
    Ok(())
}

/// O4: for each reason a first mount that fails leaves nothing that keeps the next one from mounting.
#[tokio::test]
async fn after_every_failure_the_next_attempt_mounts() -> Result<()> {
    let stage = Stage::with(&["--vault-client-timeout", "1s"]).await?;
    let day = Duration::from_secs(24 * 3600);
    for reply in [
        Reply::errors(403, &["permission denied"]),
        Reply::errors(404, &[]),
        Reply::errors(400, &["no"]),
        Reply::errors(429, &["busy"]).header("retry-after", "1"),
        Reply::errors(500, &[]),
        Reply::errors(503, &["Vault is sealed"]),
        Reply::hang_up(),
        Reply::silence(),
        Reply::text(200, "<html>"),
        Reply::data(&json!({"k": "x".repeat(5 << 20)})),
    ] {
        let mut kubelet = Kubelet::new(stage.driver.clone(), stage.volume(ONE)?, day)?;
        stage.store.on("/v1/secret/data/a", reply);
        let published = kubelet.publish().await?;
        ensure!(matches!(published, Published::Refused(_)), "{published:?}");
        stage.store.heal();
        let published = kubelet.publish().await?;
        ensure!(matches!(published, Published::Written), "{published:?}");
        assert_eq!(kubelet.files()?["a"], "v");
    }
    Ok(())
}
