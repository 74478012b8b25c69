//! Restarts of workloads: who has to, when, and that it happens.
//!
//! Targets, patches and batches are decided in the core. What is pending stands in a condition, so that a crash
//! loses none. A restart that fails never keeps a Secret from being synced.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_sync_core::claim::Source;
use coffer_sync_core::condition::{Event, masked};
use coffer_sync_core::fingerprint::Fingerprint;
use coffer_sync_core::instant::age;
use coffer_sync_core::options::{Restart, Target};
use coffer_sync_core::restart::{
    Batch, Limits, Ready, Workload, patch, pending_message, repoint, targets,
};
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::world::Key;

/// When nothing waits, nothing is looked for.
const IDLE: Duration = Duration::from_secs(3600);
/// A failure that goes on is told again after this time: Events are kept for an hour.
const AGAIN: Duration = Duration::from_secs(3600);
/// Digits behind the name of a version.
const DIGITS: usize = 10;

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

    /// Carries out what is due until the token is cancelled; `settled` hears of Secrets that wait for fewer
    /// workloads, or for other reasons, than before.
    pub async fn run(
        self: Arc<Self>,
        cluster: Arc<Cluster>,
        settled: mpsc::Sender<Key>,
        ended: CancellationToken,
    ) {
        let limits = Limits::default();
        loop {
            for (namespace, ready) in self.take(limits) {
                let (restarts, cluster) = (Arc::clone(&self), Arc::clone(&cluster));
                let settled = settled.clone();
                tokio::spawn(async move {
                    restarts.one(&cluster, &namespace, &ready, &settled).await;
                });
            }
            let wait = self.wait(limits);
            tokio::select! {
                () = ended.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn take(&self, limits: Limits) -> Vec<(String, Ready)> {
        let now = Timestamp::now();
        let mut state = self.lock();
        let taken = state.batches.iter_mut().flat_map(|(namespace, batch)| {
            let ready = batch.take(limits, now).into_iter();
            ready
                .map(|ready| (namespace.clone(), ready))
                .collect::<Vec<_>>()
        });
        taken.collect()
    }

    fn wait(&self, limits: Limits) -> Duration {
        let state = self.lock();
        let next = state
            .batches
            .values()
            .filter_map(|batch| batch.wake(limits))
            .min();
        next.map_or(IDLE, |next| {
            next.duration_since(Timestamp::now())
                .try_into()
                .unwrap_or(Duration::ZERO)
        })
    }

    async fn one(
        &self,
        cluster: &Cluster,
        namespace: &str,
        ready: &Ready,
        settled: &mpsc::Sender<Key>,
    ) {
        let outcome = self.carry_out(cluster, namespace, ready).await;
        self.metrics
            .restart(if outcome.is_ok() { "ok" } else { "error" });
        let now = Timestamp::now();
        let error = outcome.as_ref().err();
        let settled_secrets = self.settle(namespace, ready, error, now);
        self.wake.notify_one();
        for (key, source, is_news) in settled_secrets {
            if is_news {
                let event = event(&ready.target, &key.1, error);
                let written = cluster.write_event(&source, &event, &self.instance, now);
                if let Err(answer) = written.await {
                    tracing::debug!(error = answer.message, "an Event cannot be written");
                }
            }
            // The receiver is gone only when nobody leads any more.
            let _ = settled.send(key).await;
        }
    }

    /// The Secrets whose restart this was, their sources, and whether it is to be told: a failure once an hour.
    fn settle(
        &self,
        namespace: &str,
        ready: &Ready,
        error: Option<&String>,
        now: Timestamp,
    ) -> Vec<(Key, Source, bool)> {
        let mut state = self.lock();
        if let Some(batch) = state.batches.get_mut(namespace) {
            match error {
                None => batch.done(&ready.target, now),
                Some(error) => batch.failed(&ready.target, error, now),
            }
        }
        let keys = ready
            .changes
            .keys()
            .map(|secret| (namespace.to_owned(), secret.clone()));
        let settled = keys.filter_map(|key| {
            let secret = state.secrets.get_mut(&key)?;
            let told = secret.told.get(&ready.target);
            let is_news = error.is_none() || told.is_none_or(|told| age(now, *told) >= AGAIN);
            if is_news && error.is_some() {
                secret.told.insert(ready.target.clone(), now);
            }
            Some((key, secret.source.clone(), is_news))
        });
        settled.collect()
    }

    async fn carry_out(
        &self,
        cluster: &Cluster,
        namespace: &str,
        ready: &Ready,
    ) -> Result<(), String> {
        let told = |answer: coffer_sync_core::answer::Answer| masked(&answer.message, []);
        let mut marks = ready.changes.clone();
        for (secret, name) in self.versions(namespace, ready) {
            marks.remove(&secret);
            let found = cluster.workload(namespace, &ready.target).await;
            let workload = found.map_err(told)?.ok_or("it does not exist")?;
            let steps = repoint(&workload.template, &name, &|old| {
                old == secret || is_version(&secret, old)
            });
            if !steps.is_empty() {
                let patched = cluster
                    .repoint_workload(namespace, &ready.target, &steps, &name)
                    .await;
                patched.map_err(told)?;
            }
        }
        if marks.is_empty() {
            return Ok(());
        }
        let patched = cluster
            .merge_workload(namespace, &ready.target, &patch(&marks))
            .await;
        patched.map_err(told)
    }

    /// Those of the changed Secrets that have versions, with the name of the newest.
    fn versions(&self, namespace: &str, ready: &Ready) -> Vec<(String, String)> {
        let state = self.lock();
        let changed = ready.changes.keys().filter_map(|secret| {
            let known = state.secrets.get(&(namespace.to_owned(), secret.clone()))?;
            (known.name != *secret).then(|| (secret.clone(), known.name.clone()))
        });
        changed.collect()
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

/// Whether the name is one that a version of this Secret gets.
#[must_use]
pub fn is_version(secret: &str, name: &str) -> bool {
    let digits = name
        .strip_prefix(secret)
        .and_then(|rest| rest.strip_prefix('-'));
    digits.is_some_and(|digits| {
        digits.len() == DIGITS
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn event(target: &Target, secret: &str, error: Option<&String>) -> Event {
    match error {
        None => Event {
            warning: false,
            reason: "RestartTriggered",
            note: format!("{target} restarts, because Secret {secret} changed."),
        },
        Some(error) => Event {
            warning: true,
            reason: "RestartFailed",
            note: format!(
                "{target} could not be restarted for Secret {secret} and is tried again: {error}"
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_by_ten_digits() {
        for (name, expected) in [
            ("db-0123456789", true),
            ("db-0123456789a", false),
            ("db-012345678", false),
            ("db-012345678G", false),
            ("db", false),
            ("other-0123456789", false),
        ] {
            assert_eq!(is_version("db", name), expected, "{name}");
        }
    }
}
