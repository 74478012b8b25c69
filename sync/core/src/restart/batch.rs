//! When pending restarts are carried out: changes are collected, and no workload or namespace restarts too often.
//!
//! What is pending is kept in a condition by the shell, so that a crash loses none.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::fingerprint::Fingerprint;
use crate::instant::after;
use crate::options::Target;

const BACKOFF: Duration = Duration::from_secs(5);
const MOST_BACKOFF: Duration = Duration::from_secs(300);

/// How often restarts may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Between two restarts of one workload: a rollout takes its time.
    pub pause: Duration,
    /// Restarts of one namespace at the same time.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(300),
            at_once: 5,
        }
    }
}

/// A restart that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The workload.
    pub target: Target,
    /// Secrets and what they hold now.
    pub changes: BTreeMap<String, Fingerprint>,
}

/// A restart that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Secrets and what they hold now.
    pub changes: BTreeMap<String, Fingerprint>,
    /// Not before then.
    pub not_before: Timestamp,
    /// How often it failed.
    pub failures: u32,
    /// What the last failure said.
    pub error: Option<String>,
}

/// The restarts of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pending: BTreeMap<Target, Pending>,
    running: BTreeMap<Target, BTreeMap<String, Fingerprint>>,
    restarted: BTreeMap<Target, Timestamp>,
}

impl Batch {
    /// Notes that a workload has to restart, because the Secret holds something else now. The window begins with
    /// the first change, so that changes without end do not put it off for ever; a newer one supersedes.
    pub fn add(
        &mut self,
        target: Target,
        secret: &str,
        fingerprint: Fingerprint,
        window: Duration,
        now: Timestamp,
    ) {
        let pending = self.pending.entry(target).or_insert_with(|| Pending {
            changes: BTreeMap::new(),
            not_before: after(now, window),
            failures: 0,
            error: None,
        });
        pending.changes.insert(secret.to_owned(), fingerprint);
    }

    /// Takes the restarts that may begin now, the longest waiting first.
    pub fn take(&mut self, limits: Limits, now: Timestamp) -> Vec<Ready> {
        self.restarted
            .retain(|_, at| after(*at, limits.pause) > now);
        let mut due: Vec<(Timestamp, Target)> = self
            .pending
            .iter()
            .filter(|(target, pending)| {
                pending.not_before <= now
                    && !self.restarted.contains_key(*target)
                    && !self.running.contains_key(*target)
            })
            .map(|(target, pending)| (pending.not_before, target.clone()))
            .collect();
        due.sort();
        due.truncate(limits.at_once.saturating_sub(self.running.len()));
        let take = |(_, target): (Timestamp, Target)| {
            let changes = self.pending.get(&target)?.changes.clone();
            self.running.insert(target.clone(), changes.clone());
            Some(Ready { target, changes })
        };
        due.into_iter().filter_map(take).collect()
    }

    /// Notes that a restart went through. What changed in the meantime still waits.
    pub fn done(&mut self, target: &Target, now: Timestamp) {
        let Some(sent) = self.running.remove(target) else {
            return;
        };
        self.restarted.insert(target.clone(), now);
        let Some(pending) = self.pending.get_mut(target) else {
            return;
        };
        pending
            .changes
            .retain(|secret, fingerprint| sent.get(secret) != Some(fingerprint));
        pending.failures = 0;
        pending.error = None;
        if pending.changes.is_empty() {
            self.pending.remove(target);
        }
    }

    /// Notes that a restart failed: it is tried again, and its own error is kept.
    pub fn failed(&mut self, target: &Target, error: &str, now: Timestamp) {
        self.running.remove(target);
        if let Some(pending) = self.pending.get_mut(target) {
            let wait = BACKOFF
                .saturating_mul(2_u32.saturating_pow(pending.failures))
                .min(MOST_BACKOFF);
            pending.failures = pending.failures.saturating_add(1);
            pending.not_before = after(now, wait);
            pending.error = Some(error.to_owned());
        }
    }

    /// Forgets what waits because of a Secret, but for workloads that still have to restart for it.
    pub fn narrow(&mut self, secret: &str, still: impl Fn(&Target) -> bool) {
        self.pending.retain(|target, pending| {
            if !still(target) {
                pending.changes.remove(secret);
            }
            !pending.changes.is_empty()
        });
    }

    /// What waits or runs, for the condition.
    #[must_use]
    pub const fn pending(&self) -> &BTreeMap<Target, Pending> {
        &self.pending
    }

    /// When to look again.
    #[must_use]
    pub fn wake(&self, limits: Limits) -> Option<Timestamp> {
        // Whoever ends makes room, and is heard of.
        if self.running.len() >= limits.at_once {
            return None;
        }
        let waiting = self
            .pending
            .iter()
            .filter(|(target, _)| !self.running.contains_key(*target));
        let when = waiting.map(|(target, pending)| {
            let pause = self
                .restarted
                .get(target)
                .map(|at| after(*at, limits.pause));
            pause.map_or(pending.not_before, |pause| pause.max(pending.not_before))
        });
        when.min()
    }
}
