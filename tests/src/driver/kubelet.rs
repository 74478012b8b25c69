//! What kubelet and driver 1.6.0 do with one volume over time: publish, write, mask, retry.
//!
//! No tmpfs is mounted; a flag stands for the mount, the rest happens on a directory. The order of
//! checks is the driver's (`pkg/secrets-store/nodeserver.go`), with the one that starts a pod on an
//! empty volume: a young directory counts as done before anybody asks whether it is mounted.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use bytes::Bytes;
use coffer_proto::v1alpha1::ObjectVersion;
use tempfile::TempDir;
use tonic::Status;

use super::attributes::{DriverVersion, Volume};
use super::client::Driver;
use super::oracle::is_final;
use super::writer;
use crate::fixture::directory;

/// How one NodePublishVolume ended.
#[derive(Debug)]
pub enum Published {
    /// Mounted, or new bytes written.
    Written,
    /// Asked the provider, nothing to write.
    Unchanged,
    /// Mounted and asked less than a poll interval ago: the provider was not called.
    Young,
    /// Failed on a mounted volume: kubelet sees success, the old files stay.
    Masked(String),
    /// A first mount failed for good: the directory is removed, the pod gets an Event, kubelet tries anew.
    Refused(Status),
    /// A first mount failed with a code that is not final: the directory stays behind, unmounted.
    InDoubt(Status),
    /// Success although nothing is mounted: the pod starts on an empty volume, for good.
    EmptyVolume,
}

/// One volume of one pod on one node.
pub struct Kubelet {
    driver: Driver,
    poll_interval: Duration,
    volume: Volume,
    parent: TempDir,
    mounted: bool,
    versions: Vec<ObjectVersion>,
}

impl Kubelet {
    /// A node with rotation on. With a zero `poll_interval` every publish reaches the provider.
    ///
    /// # Errors
    /// When no directory can be made.
    pub fn new(driver: Driver, volume: Volume, poll_interval: Duration) -> Result<Self> {
        let (parent, versions) = (directory("pod")?, Vec::new());
        Ok(Self {
            driver,
            poll_interval,
            volume,
            parent,
            mounted: false,
            versions,
        })
    }

    /// Where the volume is on this machine.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        self.parent.path().join("mount")
    }

    /// The volume, for a new token or a changed class before the next publish.
    pub const fn volume(&mut self) -> &mut Volume {
        &mut self.volume
    }

    /// Whether the files are there for the pod.
    #[must_use]
    pub const fn is_mounted(&self) -> bool {
        self.mounted
    }

    /// The files that the pod sees.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn files(&self) -> Result<BTreeMap<String, Bytes>> {
        writer::read(&self.target())
    }

    /// The mode of a file that the pod sees.
    ///
    /// # Errors
    /// When it is not there.
    pub fn mode(&self, path: &str) -> Result<u32> {
        writer::mode(&self.target(), path)
    }

    /// The versions in the pod's status object.
    #[must_use]
    pub fn versions(&self) -> &[ObjectVersion] {
        &self.versions
    }

    /// One NodePublishVolume. The reply is not judged: how the node takes a bad one is the point here.
    ///
    /// # Errors
    /// When the directory itself cannot be worked with.
    pub async fn publish(&mut self) -> Result<Published> {
        if self.is_young()? {
            return Ok(if self.mounted {
                Published::Young
            } else {
                Published::EmptyVolume
            });
        }
        fs::create_dir_all(self.target())?;
        let request = if self.mounted {
            self.volume.rotation(&self.versions)
        } else {
            self.volume.first_mount()
        };
        let reply = match self.driver.mount_raw(&request).await.reply {
            Ok(reply) => reply,
            Err(status) => return self.failed(status),
        };
        if reply.object_version.is_empty() {
            return self.failed(Status::unknown("missing object versions"));
        }
        match writer::write(&self.target(), &reply.files) {
            Ok(written) => {
                let first = !std::mem::replace(&mut self.mounted, true);
                self.versions = reply.object_version;
                Ok(if written || first {
                    Published::Written
                } else {
                    Published::Unchanged
                })
            }
            Err(error) => self.failed(Status::unknown(format!("{error:#}"))),
        }
    }

    /// NodeUnpublishVolume: the provider is not called.
    ///
    /// # Errors
    /// When the directory cannot be removed.
    pub fn unpublish(&mut self) -> Result<()> {
        self.mounted = false;
        self.versions.clear();
        Ok(fs::remove_dir_all(self.target())?)
    }

    /// Drivers up to 1.5 have no such check.
    fn is_young(&self) -> Result<bool> {
        if self.volume.driver == DriverVersion::V1_5 {
            return Ok(false);
        }
        let Ok(metadata) = fs::metadata(self.target()) else {
            return Ok(false);
        };
        Ok(SystemTime::now() < metadata.modified()? + self.poll_interval)
    }

    fn failed(&mut self, status: Status) -> Result<Published> {
        if self.mounted {
            return Ok(Published::Masked(status.message().to_owned()));
        }
        if is_final(status.code()) {
            fs::remove_dir_all(self.target())?;
            return Ok(Published::Refused(status));
        }
        Ok(Published::InDoubt(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::attributes::{Class, Pod};
    use crate::driver::client::tests::{Served, good};

    const LONG: Duration = Duration::from_secs(3600);

    fn node(served: &Served, poll_interval: Duration) -> Kubelet {
        let volume = Volume::new(
            Pod::new("default", "p").unwrap(),
            Class::new("c").with("k", "v"),
        );
        Kubelet::new(served.driver(), volume, poll_interval).unwrap()
    }

    #[tokio::test]
    async fn files_are_written_once_and_again_when_they_change() {
        let served = Served::start(|n| {
            Ok(if n < 2 {
                good("one", "1")
            } else {
                good("two", "2")
            })
        });
        let mut node = node(&served, Duration::ZERO);
        assert!(matches!(node.publish().await.unwrap(), Published::Written));
        assert!(matches!(
            node.publish().await.unwrap(),
            Published::Unchanged
        ));
        assert!(matches!(node.publish().await.unwrap(), Published::Written));
        assert_eq!(node.files().unwrap()["a"], "two");
        assert_eq!(node.mode("a").unwrap(), 0o644);
        assert_eq!(node.versions()[0].version, "2");
        node.unpublish().unwrap();
        assert!(!node.is_mounted());
    }

    #[tokio::test]
    async fn within_the_poll_interval_the_provider_is_not_asked() {
        let served = Served::start(|_| Ok(good("one", "1")));
        let mut node = node(&served, LONG);
        node.publish().await.unwrap();
        assert!(matches!(node.publish().await.unwrap(), Published::Young));
        assert_eq!(served.calls(), 1);
    }

    #[tokio::test]
    async fn a_failed_rotation_is_masked_and_the_files_stay() {
        let served = Served::start(|n| {
            if n == 0 {
                Ok(good("one", "1"))
            } else {
                Err(Status::internal("no"))
            }
        });
        let mut node = node(&served, Duration::ZERO);
        node.publish().await.unwrap();
        let second = node.publish().await.unwrap();
        assert!(
            matches!(&second, Published::Masked(text) if text == "no"),
            "{second:?}"
        );
        assert_eq!(node.files().unwrap()["a"], "one");
    }

    #[tokio::test]
    async fn a_final_code_leaves_nothing_behind_and_the_next_try_mounts() {
        let served = Served::start(|n| {
            if n == 0 {
                Err(Status::internal("no"))
            } else {
                Ok(good("one", "1"))
            }
        });
        let mut node = node(&served, LONG);
        assert!(matches!(
            node.publish().await.unwrap(),
            Published::Refused(_)
        ));
        assert!(!node.target().exists());
        assert!(matches!(node.publish().await.unwrap(), Published::Written));
    }

    #[tokio::test]
    async fn a_code_that_is_not_final_starts_the_pod_on_an_empty_volume() {
        let served = Served::start(|n| {
            if n == 0 {
                Err(Status::aborted("no"))
            } else {
                Ok(good("one", "1"))
            }
        });
        let mut node = node(&served, LONG);
        assert!(matches!(
            node.publish().await.unwrap(),
            Published::InDoubt(_)
        ));
        assert!(matches!(
            node.publish().await.unwrap(),
            Published::EmptyVolume
        ));
        assert!(node.files().unwrap().is_empty());
    }
}
