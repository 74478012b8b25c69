//! Version, and the requests of drivers of all ages.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::driver::attributes::parse;
use coffer_tests::driver::{DriverVersion, Kubelet, Published};
use coffer_tests::scripted::Reply;
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Notify;
use tonic::Code;

use crate::stage::{ONE, Stage, leased};

/// §17 case 1: Version names the contract, the provider and its own version, and asks no store.
#[tokio::test]
async fn version_answers_without_a_store() -> Result<()> {
    let stage = Stage::set().await?;
    let version = stage.driver.version().await?;
    assert_eq!(version.version, "v1alpha1");
    assert_eq!(version.runtime_name, "vault-csi-provider");
    assert_eq!(version.runtime_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(stage.store.connections(), 0);
    Ok(())
}

/// P8: Version answers while every request of the process is busy with a store that hangs.
#[tokio::test]
async fn version_answers_while_everything_is_busy() -> Result<()> {
    let stage = Stage::with(&["--inflight", "2", "--vault-client-timeout", "2s"]).await?;
    stage.content(&stage.volume(ONE)?).await?;
    stage.store.on("/v1/secret/data/a", Reply::silence());
    let volumes: Vec<_> = (0..30)
        .map(|at| stage.volume(&ONE.replace("data/a", &format!("data/a?version={at}"))))
        .collect::<Result<_>>()?;
    let requests: Vec<_> = volumes
        .iter()
        .map(coffer_tests::driver::Volume::first_mount)
        .collect();
    let busy = join_all(
        requests
            .iter()
            .map(|request| stage.driver.mount_raw(request)),
    );
    let version = async {
        coffer_tests::fixture::eventually(Duration::from_secs(10), "a busy provider", async || {
            ensure!(stage.store.in_flight() == 2);
            Ok(())
        })
        .await?;
        stage.driver.version().await?;
        ensure!(
            stage.store.in_flight() > 0,
            "it answered only when the store had"
        );
        Ok::<_, anyhow::Error>(())
    };
    tokio::select! {
        done = version => done,
        _ = busy => Err(anyhow::anyhow!("the mounts ended before Version answered")),
    }
}

/// M3: drivers up to 1.5.6 send no class name at a rotation; the volume is the same one all the same.
#[tokio::test]
async fn a_rotation_of_an_old_driver_is_served() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on(
        "/v1/database/creds/app",
        leased("database/creds/app/1", "user-1", 3600),
    );
    let objects = format!(
        "{ONE}\n- {{objectName: user, secretPath: database/creds/app, secretKey: username}}"
    );
    let volume = stage.volume(&objects)?.by(DriverVersion::V1_5);
    let first = stage.mount(&volume).await?;
    let rotation = volume.rotation(&first.response()?.object_version);
    ensure!(!parse(&rotation.attributes)?.contains_key("secretProviderClass"));
    let second = stage.driver.mount(&rotation).await?;
    assert_eq!(second.files()?, first.files()?);
    assert_eq!(second.versions()?, first.versions()?);
    assert_eq!(stage.asked("database/creds/app"), 1);
    Ok(())
}

/// D4, O4: over a pod's life files are written when they change and only then; a failed rotation leaves them.
#[tokio::test]
async fn a_volume_is_written_only_when_it_changes() -> Result<()> {
    let stage = Stage::set().await?;
    let volume = stage.volume(ONE)?;
    let mut kubelet = Kubelet::new(stage.driver.clone(), volume, Duration::ZERO)?;
    stage.store.on("/v1/secret/data/a", Reply::errors(404, &[]));
    let refused = kubelet.publish().await?;
    ensure!(
        matches!(&refused, Published::Refused(status) if status.code() == Code::NotFound),
        "{refused:?}"
    );
    stage.store.heal();
    ensure!(matches!(kubelet.publish().await?, Published::Written));
    ensure!(matches!(kubelet.publish().await?, Published::Unchanged));
    stage.store.put("secret/data/a", json!({"k": "w"}));
    ensure!(matches!(kubelet.publish().await?, Published::Written));
    stage.store.on(
        "/v1/secret/data/a",
        Reply::errors(403, &["permission denied"]),
    );
    ensure!(matches!(kubelet.publish().await?, Published::Masked(_)));
    assert_eq!(kubelet.files()?["a"], "w");
    Ok(())
}

/// One connection carries many mounts: one that waits does not hold up those behind it.
#[tokio::test]
async fn calls_on_one_connection_do_not_wait_for_each_other() -> Result<()> {
    let stage = Stage::set().await?;
    let gate = Arc::new(Notify::new());
    let slow = Reply::data(&json!({"k": "slow"})).behind(&gate);
    stage.store.on("/v1/kv/slow", slow);
    let waiting = stage.volume("- {objectName: a, secretPath: kv/slow, secretKey: k}")?;
    let (driver, request) = (stage.driver.clone(), waiting.first_mount());
    let call = tokio::spawn(async move { driver.mount(&request).await });
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    ensure!(!call.is_finished());
    gate.notify_one();
    assert_eq!(call.await??.files()?["a"], "slow");
    Ok(())
}
