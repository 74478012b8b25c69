//! The driver's part, played from the node: Mounts over the socket that the provider's pod serves.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinHandle;

use super::ground::Ground;
use crate::demo::example::Example;
use crate::driver::{Driver, Volume};
use crate::fixture::eventually;

/// As the chart has it by default.
const SOCKET: &str = "/var/run/secrets-store-csi-providers/vault.sock";
/// The example that is mounted.
const EXAMPLE: &str = "kv-v2";
const SOON: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A volume of a pod, and the driver that keeps it.
pub(super) struct Mounted {
    volume: Volume,
    /// Object versions of the first Mount.
    versions: Vec<coffer_proto::v1alpha1::ObjectVersion>,
}

/// Republishes that go on until they are ended.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    task: JoinHandle<Result<()>>,
}

/// What came of them.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) answered: AtomicUsize,
    pub(super) refused: AtomicUsize,
    /// What the first refusal said.
    pub(super) first: OnceLock<String>,
}

/// Sets the example up and mounts it for a pod of its account, as the driver of this node does.
pub(super) async fn mount(ground: &Ground) -> Result<(Mounted, Vec<String>)> {
    let example = Example::read(EXAMPLE)?;
    example.set_up(&ground.environment).await?;
    ground
        .api
        .create_service_account("default", EXAMPLE)
        .await?;
    let pod = ground.api.create_pod("default", "mounted", EXAMPLE).await?;
    let token = ground
        .api
        .create_token("default", EXAMPLE, &["vault"], Some(&pod), 3600)
        .await?;
    let volume = example.volume(pod).with_token(token);
    let driver = driver()?;
    let request = volume.first_mount();
    let outcome = driver.mount_raw(&request).await;
    let files = outcome.files()?;
    let told = files
        .iter()
        .map(|(path, bytes)| format!("{path}: {} bytes", bytes.len()))
        .collect();
    ensure!(!files.is_empty(), "no file was mounted");
    let versions = outcome.response()?.object_version.clone();
    Ok((Mounted { volume, versions }, told))
}

fn driver() -> Result<Driver> {
    ensure!(
        PathBuf::from(SOCKET).exists(),
        "there is no socket {SOCKET}"
    );
    Driver::connect(SOCKET)
}

impl Mounted {
    /// Republishes once: the versions are those of the first Mount.
    async fn again(&self) -> Result<()> {
        republish(&self.volume, &self.versions).await
    }

    /// Republishes until it works.
    pub(super) async fn recovers(&self) -> Result<()> {
        eventually(SOON, "a republish", async || self.again().await).await
    }

    /// Republishes without end, as many pods do.
    pub(super) fn load(&self) -> Load {
        let (volume, versions) = (self.volume.clone(), self.versions.clone());
        let stop = Arc::<AtomicBool>::default();
        let counts = Arc::<Counts>::default();
        let (ended, counted) = (Arc::clone(&stop), Arc::clone(&counts));
        let task = tokio::spawn(async move {
            while !ended.load(Ordering::Acquire) {
                // A connection of its own, as after the socket was replaced.
                match republish(&volume, &versions).await {
                    Ok(()) => counted.answered.fetch_add(1, Ordering::Relaxed),
                    Err(error) if error.is::<Changed>() => return Err(error),
                    Err(error) => {
                        // The first says enough.
                        let _ = counted.first.set(format!("{error:#}"));
                        counted.refused.fetch_add(1, Ordering::Relaxed)
                    }
                };
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        });
        Load { stop, counts, task }
    }
}

impl Load {
    /// Ends it; fails where an answer was not that of the first Mount.
    pub(super) async fn end(self) -> Result<Arc<Counts>> {
        self.stop.store(true, Ordering::Release);
        self.task.await.context("the load panicked")??;
        Ok(self.counts)
    }
}

/// An answer that is none of the first Mount's.
#[derive(Debug)]
struct Changed;

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the versions of an unchanged secret changed")
    }
}

impl std::error::Error for Changed {}

async fn republish(
    volume: &Volume,
    versions: &[coffer_proto::v1alpha1::ObjectVersion],
) -> Result<()> {
    let outcome = driver()?.mount_raw(&volume.first_mount()).await;
    let response = outcome.response()?;
    if response.object_version != versions {
        return Err(Changed.into());
    }
    Ok(())
}
