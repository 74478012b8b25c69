//! The pods of the demo: their volumes on disk, what changed in them, and a table of what they see.
//!
//! Each is published as kubelet does it, with a new token each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;

use super::example::Example;
use super::store::{MOUNT, Store};
use crate::driver::{Kubelet, Pod, Published};
use crate::provider::ProviderProcess;

/// Enough of a version to tell it from others.
const VERSION_SHOWN: usize = 10;

/// All pods.
pub(super) struct Pods(Vec<Mounted>);

struct Mounted {
    example: String,
    pod: Pod,
    kubelet: Kubelet,
}

/// A file as a pod sees it.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    mode: u32,
    contents: Vec<u8>,
    version: String,
}

/// A file that is not as it was before.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) pod: String,
    pub(super) path: String,
    /// Versions, shortened.
    pub(super) before: String,
    pub(super) after: String,
    pub(super) new_version: bool,
}

impl Pods {
    /// The pods of some examples, not yet mounted.
    pub(super) fn new(provider: &ProviderProcess, examples: &[(Example, usize)]) -> Result<Self> {
        let mut pods = Vec::new();
        for (example, count) in examples {
            for number in 0..*count {
                let name = format!("{}-{number}", example.name);
                let pod = Pod::new("default", &name)?.with_service_account(&example.name);
                let volume = example.volume(pod.clone());
                let kubelet = Kubelet::new(provider.driver()?, volume, Duration::ZERO)?;
                pods.push(Mounted {
                    example: example.name.clone(),
                    pod,
                    kubelet,
                });
            }
        }
        Ok(Self(pods))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many service accounts they run as.
    pub(super) fn service_accounts(&self) -> usize {
        let accounts = self.0.iter().map(|mounted| &mounted.pod.service_account);
        accounts.collect::<BTreeSet<_>>().len()
    }

    /// The names of an example's pods.
    pub(super) fn names_of(&self, example: &str) -> Vec<String> {
        let of_example = self.0.iter().filter(|mounted| mounted.example == example);
        of_example.map(|mounted| mounted.pod.name.clone()).collect()
    }

    /// How many files they see together.
    pub(super) fn files(&self) -> Result<usize> {
        let counts = self.0.iter().map(|mounted| Ok(mounted.seen()?.len()));
        counts.sum()
    }

    /// Publishes every volume once, all at the same time as when a node starts.
    pub(super) async fn publish(&mut self, store: &Store) -> Result<()> {
        let all = self.0.iter_mut().map(|mounted| mounted.publish(store));
        try_join_all(all).await.map(|_| ())
    }

    /// Publishes every volume again; what changed, in the order of the pods.
    pub(super) async fn republish(&mut self, store: &Store) -> Result<Vec<Change>> {
        let before: Vec<_> = self.0.iter().map(Mounted::seen).collect::<Result<_>>()?;
        self.publish(store).await?;
        let mut changes = Vec::new();
        for (mounted, before) in self.0.iter().zip(before) {
            changes.extend(mounted.changes_since(&before)?);
        }
        Ok(changes)
    }

    /// Fails unless every pod finds what `expected.yaml` of its example says.
    pub(super) fn verify(&self, examples: &[(Example, usize)]) -> Result<()> {
        for mounted in &self.0 {
            let example = examples.iter().find(|(e, _)| e.name == mounted.example);
            let (example, _) = example.context("a pod of no example")?;
            let seen = mounted.seen()?.into_iter();
            let found = seen.map(|(path, file)| (path, (file.mode, file.contents)));
            example
                .verify(&found.collect())
                .with_context(|| mounted.pod.name.clone())?;
        }
        Ok(())
    }

    /// All files: pod, name, mode, size, version.
    pub(super) fn table(&self) -> Result<Vec<Vec<String>>> {
        let heading = ["POD", "FILE", "MODE", "BYTES", "VERSION"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for mounted in &self.0 {
            let mut name = mounted.pod.name.clone();
            for (path, seen) in mounted.seen()? {
                let (mode, size) = (format!("{:04o}", seen.mode), seen.contents.len());
                let version = shortened(&seen.version);
                rows.push(vec![name, path, mode, format!("{size:>5}"), version]);
                name = String::new();
            }
        }
        Ok(rows)
    }

    /// Copies the files of all pods, with their modes, below a directory that is made anew.
    pub(super) fn copy_to(&self, place: &Path) -> Result<()> {
        if place.exists() {
            fs::remove_dir_all(place)?;
        }
        for mounted in &self.0 {
            for (path, seen) in mounted.seen()? {
                let path = place.join(&mounted.pod.name).join(path);
                fs::create_dir_all(path.parent().unwrap_or(place))?;
                fs::write(&path, &seen.contents)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(seen.mode))?;
            }
        }
        Ok(())
    }
}

impl Mounted {
    async fn publish(&mut self, store: &Store) -> Result<()> {
        let token = store.token(&self.pod)?;
        let volume = self.kubelet.volume();
        volume.tokens = Some(vec![token]);
        for (key, value) in [
            ("vaultAddress", store.address()),
            ("vaultAuthMountPath", MOUNT),
            // Kubelet comes back after a minute or more; the demo does not wait for the default to pass.
            ("refreshInterval", "0"),
        ] {
            volume
                .volume_attributes
                .insert(key.to_owned(), value.to_owned());
        }
        let name = &self.pod.name;
        match self.kubelet.publish().await? {
            Published::Written | Published::Unchanged => Ok(()),
            Published::Refused(status) => bail!("{name}: {}", status.message()),
            other => bail!("{name}: {other:?}"),
        }
    }

    fn seen(&self) -> Result<BTreeMap<String, Seen>> {
        let versions = self.kubelet.versions();
        let files = self.kubelet.files()?.into_iter();
        files
            .map(|(path, contents)| {
                let version = versions.iter().find(|object| object.id == path);
                let version = version.with_context(|| format!("{path} has no version"))?;
                let seen = Seen {
                    mode: self.kubelet.mode(&path)?,
                    contents: contents.to_vec(),
                    version: version.version.clone(),
                };
                Ok((path, seen))
            })
            .collect()
    }

    fn changes_since(&self, before: &BTreeMap<String, Seen>) -> Result<Vec<Change>> {
        let now = self.seen()?;
        let paths: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        let changed = paths
            .into_iter()
            .filter(|path| before.get(*path) != now.get(*path));
        let version = |files: &BTreeMap<String, Seen>, path: &String| {
            let file = files.get(path);
            file.map(|seen| seen.version.clone()).unwrap_or_default()
        };
        Ok(changed
            .map(|path| {
                let (before, after) = (version(before, path), version(&now, path));
                Change {
                    pod: self.pod.name.clone(),
                    path: path.clone(),
                    new_version: before != after,
                    before: shortened(&before),
                    after: shortened(&after),
                }
            })
            .collect())
    }
}

fn shortened(version: &str) -> String {
    version.chars().take(VERSION_SHOWN).collect()
}
