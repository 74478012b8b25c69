//! Carries restarts out: takes what is due, patches workloads, tells how it went.
//!
//! Who restarts, and when, is noted in the parent module.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use coffer_sync_core::claim::Source;
use coffer_sync_core::condition::{Event, masked};
use coffer_sync_core::decide::is_version;
use coffer_sync_core::instant::age;
use coffer_sync_core::options::Target;
use coffer_sync_core::restart::{Limits, Ready, patch, repoint};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{AGAIN, IDLE, Restarts};
use crate::cluster::Cluster;
use crate::world::Key;

impl Restarts {
    /// Carries out what is due until the token is cancelled; `settled` hears of Secrets that wait for fewer
    /// workloads, or for other reasons, than before.
    pub async fn run(
        self: Arc<Self>,
        cluster: Arc<Cluster>,
        settled: mpsc::Sender<Key>,
        ended: CancellationToken,
    ) {
        let limits = Limits::default();
        let mut tasks = JoinSet::new();
        let mut running: HashMap<Id, (String, Ready)> = HashMap::new();
        loop {
            for (namespace, ready) in self.take(limits) {
                let (restarts, cluster) = (Arc::clone(&self), Arc::clone(&cluster));
                let settled = settled.clone();
                let named = (namespace.clone(), ready.clone());
                let task = tasks.spawn(async move {
                    restarts.one(&cluster, &namespace, &ready, &settled).await;
                });
                running.insert(task.id(), named);
            }
            let wait = self.wait(limits);
            tokio::select! {
                () = ended.cancelled() => return,
                () = self.wake.notified() => {}
                Some(task) = tasks.join_next_with_id(), if !tasks.is_empty() => match task {
                    Ok((id, ())) => drop(running.remove(&id)),
                    // A panic ends one restart, which is tried again.
                    Err(error) => {
                        if let Some((namespace, ready)) = running.remove(&error.id()) {
                            let error = "it was interrupted".to_owned();
                            self.settle(&namespace, &ready, Some(&error), Timestamp::now());
                        }
                    }
                },
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
