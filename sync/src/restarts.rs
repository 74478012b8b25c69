//! Restarts of workloads: who has to, when, and that it happens.
//!
//! Targets, patches and batches are decided in the core. What is pending stands in a condition, so that a crash
//! loses none. A restart that fails never keeps a Secret from being synced.

mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_sync_core::claim::Source;
use coffer_sync_core::condition::masked;
use coffer_sync_core::decide::is_version;
use coffer_sync_core::fingerprint::Fingerprint;
use coffer_sync_core::options::{Restart, Target};
use coffer_sync_core::restart::{Batch, Workload, pending_message, repoint, targets};
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::world::Key;

/// When nothing waits, nothing is looked for.
const IDLE: Duration = Duration::from_secs(3600);
/// A failure that goes on is told again after this time: Events are kept for an hour.
const AGAIN: Duration = Duration::from_secs(3600);

/// All restarts that wait or run.
pub struct Restarts {
    enabled: bool,
    metrics: Arc<Metrics>,
    instance: String,
    wake: Notify,
    /// Held to add, take or tell.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    batches: BTreeMap<String, Batch>,
    /// Of each Secret with a pending restart: its source, and the name of its newest version.
    secrets: HashMap<Key, Secret>,
}

#[derive(Clone)]
struct Secret {
    source: Source,
    name: String,
    /// When a failure was told last of a workload.
    told: HashMap<Target, Timestamp>,
}

/// A Secret whose content changed.
pub struct Changed<'a> {
    /// Its source.
    pub source: &'a Source,
    /// Its name without a version.
    pub secret: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it holds now.
    pub fingerprint: &'a Fingerprint,
    /// Who restarts.
    pub restart: &'a Restart,
    /// How long changes are collected.
    pub window: Duration,
}

/// Why a restart was not noted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdded {
    /// The operator has not switched restarts on.
    #[error("restarts are switched off; an operator allows them by --restarts")]
    Off,
    /// Nobody knows who would have to restart: it is tried again.
    #[error("the workloads cannot be listed, which is tried again: {0}")]
    Listing(String),
}

impl Restarts {
    /// None waits. `enabled` says whether the right to patch workloads was granted.
    #[must_use]
    pub fn new(enabled: bool, instance: String, metrics: Arc<Metrics>) -> Self {
        Self {
            enabled,
            metrics,
            instance,
            wake: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// Whether the right to list and patch workloads was granted.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Notes what a changed Secret restarts.
    ///
    /// # Errors
    /// Why nobody can be restarted.
    pub async fn add(
        &self,
        cluster: &Cluster,
        changed: &Changed<'_>,
        now: Timestamp,
    ) -> Result<(), NotAdded> {
        if *changed.restart == Restart::Never {
            return Ok(());
        }
        if !self.enabled {
            return Err(NotAdded::Off);
        }
        let namespace = &changed.source.namespace;
        let workloads = match changed.restart {
            Restart::Named(_) | Restart::Never => Vec::new(),
            Restart::Auto | Restart::Selected(_) => {
                let listed = cluster.workloads(namespace).await;
                listed.map_err(|answer| NotAdded::Listing(masked(&answer.message, [])))?
            }
        };
        let targets = chosen(changed, &workloads);
        self.note(changed, targets, now);
        Ok(())
    }

    /// Takes up what a status says was pending when another process stopped.
    pub fn resume(&self, changed: &Changed<'_>, targets: BTreeSet<Target>, now: Timestamp) {
        let still = targets
            .into_iter()
            .filter(|target| is_meant(changed.restart, target));
        if self.enabled {
            self.note(changed, still.collect(), now);
        }
    }

    fn note(&self, changed: &Changed<'_>, targets: BTreeSet<Target>, now: Timestamp) {
        if targets.is_empty() {
            return;
        }
        let namespace = &changed.source.namespace;
        let mut state = self.lock();
        let key = (namespace.clone(), changed.secret.to_owned());
        let before = state.secrets.remove(&key);
        let secret = Secret {
            source: changed.source.clone(),
            name: changed.name.to_owned(),
            told: before.map(|before| before.told).unwrap_or_default(),
        };
        state.secrets.insert(key, secret);
        let batch = state.batches.entry(namespace.clone()).or_default();
        for target in targets {
            batch.add(
                target,
                changed.secret,
                changed.fingerprint.clone(),
                changed.window,
                now,
            );
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Forgets a Secret that no source makes any more.
    pub fn forget(&self, namespace: &str, secret: &str) {
        let mut state = self.lock();
        if let Some(batch) = state.batches.get_mut(namespace) {
            batch.narrow(secret, |_| false);
        }
        state
            .secrets
            .remove(&(namespace.to_owned(), secret.to_owned()));
    }

    /// Forgets workloads that the option of a source names no more.
    pub fn narrow(&self, namespace: &str, secret: &str, restart: &Restart) {
        if let Some(batch) = self.lock().batches.get_mut(namespace) {
            batch.narrow(secret, |target| is_meant(restart, target));
        }
    }

    /// Which workloads wait for a restart because of this Secret, in words.
    #[must_use]
    pub fn pending(&self, namespace: &str, secret: &str) -> Option<String> {
        let state = self.lock();
        pending_message(state.batches.get(namespace)?.pending(), secret)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who restarts: of a Secret with versions, by reference, those whose template names an older one.
fn chosen(changed: &Changed<'_>, workloads: &[Workload]) -> BTreeSet<Target> {
    if changed.name == changed.secret || *changed.restart != Restart::Auto {
        return targets(changed.restart, workloads, changed.secret);
    }
    let names_older = |workload: &&Workload| {
        let steps = repoint(&workload.template, changed.name, &|old| {
            old == changed.secret || is_version(changed.secret, old)
        });
        !steps.is_empty()
    };
    let older = workloads.iter().filter(names_older);
    older.map(|workload| workload.target.clone()).collect()
}

/// Whether a workload that waits may still have to restart. Who is meant by reference or labels is not looked up again.
fn is_meant(restart: &Restart, target: &Target) -> bool {
    match restart {
        Restart::Never => false,
        Restart::Auto | Restart::Selected(_) => true,
        Restart::Named(targets) => targets.contains(target),
    }
}
