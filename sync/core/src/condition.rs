//! The status of one object: one outcome becomes all conditions together, and whether they are written.
//!
//! No condition holds a value, a token or an unkeyed digest. When something is tried again is not decided here.

mod annotation;
mod event;
mod fault;
mod mask;
mod message;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

pub use self::annotation::{Recorded, class_annotation, written_secrets};
pub use self::event::{Deed, Event, Told, event, note_of};
pub use self::fault::{Fault, Fine, Upstream};
pub use self::mask::masked;
pub use self::message::{Summary, ready_message};
use crate::fingerprint::Fingerprint;
use crate::instant::age;
use crate::options::names::{HELD, RESTART_PENDING};
use crate::validate::Check;

/// Condition of upstream: whether the Secret is there.
pub const SECRET_CREATED: &str = "SecretCreated";
/// Condition of upstream: whether it holds what was observed last.
pub const SECRET_UPDATED: &str = "SecretUpdated";
/// Our condition: whether all is well, with the finer reason.
pub const READY: &str = "Ready";

/// The schema of SecretSync refuses longer messages.
const MESSAGE: usize = 32_768;

/// How many polls may fail before last good values count as stale, and for how long at least.
const STALE_POLLS: u32 = 3;
const STALE_LEAST: Duration = Duration::from_secs(600);

/// Three values, as Kubernetes has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// `True`.
    True,
    /// `False`.
    False,
    /// `Unknown`.
    Unknown,
}

impl Truth {
    /// The text of the field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds.
    pub status: Truth,
    /// Why, as one word without dots.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Of which spec.
    pub observed_generation: i64,
    /// When `status` changed last.
    pub since: Timestamp,
}

/// The status of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Our conditions by type.
    pub conditions: BTreeMap<String, Condition>,
    /// Fingerprint of what the Secret holds.
    pub sync_hash: Option<String>,
    /// The last fetch that ended in a verified Secret.
    pub last_success: Option<Timestamp>,
}

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The object was accepted; nothing was tried yet.
    Accepted,
    /// The Secret holds what was fetched, whether it had to be written or not.
    Synced {
        /// What it holds.
        fingerprint: Fingerprint,
        /// The message of Ready, from [`ready_message`].
        message: String,
    },
    /// It was not written.
    Failed {
        /// Why.
        fault: Fault,
        /// Whether the Secret is there, where that is known; otherwise as the status says.
        exists: Option<bool>,
    },
    /// A worse value was held back.
    Held(BTreeSet<Check>),
    /// The object is suspended.
    Suspended,
}

/// What else goes into a status.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Generation of the object that the round saw.
    pub generation: i64,
    /// Poll period of the object.
    pub interval: Option<Duration>,
    /// After which time an unchanged status is written for its time alone.
    pub heartbeat: Duration,
    /// The newest success that is known, this round's included.
    pub last_success: Option<Timestamp>,
    /// Workloads that wait for their restart, in words.
    pub restart_pending: Option<String>,
}

/// A status and whether it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The status.
    pub status: Status,
    /// False when nothing changed but time.
    pub write: bool,
}

/// How old the last good value may be before the object is no longer ready.
#[must_use]
pub fn stale_after(interval: Option<Duration>) -> Duration {
    interval.map_or(STALE_LEAST, |interval| {
        (interval * STALE_POLLS).max(STALE_LEAST)
    })
}

/// The status after a round.
#[must_use]
pub fn update(before: &Status, outcome: &Outcome, facts: &Facts, now: Timestamp) -> Update {
    let mut next = Next {
        before,
        facts,
        now,
        conditions: BTreeMap::new(),
    };
    let mut sync_hash = before.sync_hash.clone();
    match outcome {
        Outcome::Accepted => next.accepted(),
        Outcome::Synced {
            fingerprint,
            message,
        } => {
            next.is_there();
            next.set(
                SECRET_UPDATED,
                Truth::True,
                "SecretUpToDate",
                "Secret contains last observed values.",
            );
            next.set(READY, Truth::True, Fine::Synced.as_str(), message);
            sync_hash = Some(fingerprint.to_string());
        }
        Outcome::Failed { fault, exists } => next.failed(fault, *exists),
        Outcome::Held(ids) => next.held(ids),
        Outcome::Suspended => next.suspended(),
    }
    if let Some(pending) = &facts.restart_pending {
        next.set(RESTART_PENDING, Truth::True, "RestartPending", pending);
    }
    let conditions = next.conditions;
    let changed = differ(&before.conditions, &conditions) || sync_hash != before.sync_hash;
    let newest = facts.last_success.max(before.last_success);
    let due = match (newest, before.last_success) {
        (Some(newest), Some(written)) => age(newest, written) >= facts.heartbeat,
        (newest, _) => newest.is_some(),
    };
    let write = changed || due;
    let last_success = if write { newest } else { before.last_success };
    Update {
        status: Status {
            conditions,
            sync_hash,
            last_success,
        },
        write,
    }
}

/// The status when nothing happened but that other workloads wait for their restart than before.
#[must_use]
pub fn update_pending(before: &Status, facts: &Facts, now: Timestamp) -> Update {
    let mut next = Next {
        before,
        facts,
        now,
        conditions: before.conditions.clone(),
    };
    match &facts.restart_pending {
        Some(pending) => next.set(RESTART_PENDING, Truth::True, "RestartPending", pending),
        None => {
            next.conditions.remove(RESTART_PENDING);
        }
    }
    let conditions = next.conditions;
    let write = differ(&before.conditions, &conditions);
    Update {
        status: Status {
            conditions,
            ..before.clone()
        },
        write,
    }
}

/// Points in time alone make no difference.
fn differ(before: &BTreeMap<String, Condition>, after: &BTreeMap<String, Condition>) -> bool {
    let ours = [SECRET_CREATED, SECRET_UPDATED, READY, HELD, RESTART_PENDING];
    ours.into_iter()
        .any(|name| match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) => {
                Condition {
                    since: after.since,
                    ..before.clone()
                } != *after
            }
            (before, after) => before.is_some() != after.is_some(),
        })
}

struct Next<'a> {
    before: &'a Status,
    facts: &'a Facts,
    now: Timestamp,
    conditions: BTreeMap<String, Condition>,
}

impl Next<'_> {
    fn set(&mut self, name: &str, status: Truth, reason: &str, message: &str) {
        let before = self
            .before
            .conditions
            .get(name)
            .filter(|before| before.status == status);
        let condition = Condition {
            status,
            reason: reason.to_owned(),
            message: message[..message.floor_char_boundary(MESSAGE)].to_owned(),
            observed_generation: self.facts.generation,
            since: before.map_or(self.now, |before| before.since),
        };
        self.conditions.insert(name.to_owned(), condition);
    }

    fn keep(&mut self, name: &str) -> bool {
        let Some(before) = self.before.conditions.get(name).cloned() else {
            return false;
        };
        self.set(name, before.status, &before.reason, &before.message);
        true
    }

    fn was(&self, name: &str) -> bool {
        self.before
            .conditions
            .get(name)
            .is_some_and(|before| before.status == Truth::True)
    }

    fn is_there(&mut self) {
        self.set(
            SECRET_CREATED,
            Truth::True,
            "CreateSuccessful",
            "Secret created successfully.",
        );
    }

    fn accepted(&mut self) {
        if !self.keep(SECRET_CREATED) {
            self.set(
                SECRET_CREATED,
                Truth::Unknown,
                "SyncStarting",
                "The first sync has not ended yet.",
            );
        }
        self.not_updated();
        if !self.keep(READY) {
            self.set(
                READY,
                Truth::Unknown,
                "SyncStarting",
                "The first sync has not ended yet.",
            );
        }
        self.keep(HELD);
    }

    /// As it was; but a Secret that was never written holds no last observed values.
    fn not_updated(&mut self) {
        let untrue = self.was(SECRET_UPDATED) && !self.was(SECRET_CREATED);
        if untrue || !self.keep(SECRET_UPDATED) {
            self.set(
                SECRET_UPDATED,
                Truth::Unknown,
                "NoUpdatesAttemptedYet",
                "No update was tried yet.",
            );
        }
    }

    fn failed(&mut self, fault: &Fault, exists: Option<bool>) {
        let there = exists.unwrap_or_else(|| self.was(SECRET_CREATED)) && !fault.secret_is_gone();
        let upstream = fault.upstream.as_str();
        if !there {
            self.not_updated();
            if self.was(SECRET_CREATED) {
                self.set(SECRET_UPDATED, Truth::False, upstream, &fault.message);
            }
            self.set(SECRET_CREATED, Truth::False, upstream, &fault.message);
            self.set(READY, Truth::False, fault.reason(), &fault.message);
            return;
        }
        self.is_there();
        self.set(SECRET_UPDATED, Truth::False, upstream, &fault.message);
        let (status, reason) = if !fault.last_good_stands() {
            (Truth::False, fault.reason())
        } else if self.is_stale() {
            (Truth::False, Fine::Stale.as_str())
        } else {
            (Truth::True, Fine::ServingLastGood.as_str())
        };
        let message = match reason == fault.reason() {
            true => fault.message.clone(),
            false => format!("{}: {}{}", fault.reason(), fault.message, self.since_when()),
        };
        self.set(READY, status, reason, &message);
    }

    fn is_stale(&self) -> bool {
        let newest = self.facts.last_success.max(self.before.last_success);
        newest.is_none_or(|success| age(self.now, success) >= stale_after(self.facts.interval))
    }

    fn since_when(&self) -> String {
        let newest = self.facts.last_success.max(self.before.last_success);
        newest.map_or_else(String::new, |success| {
            format!(
                "; the Secret holds the value of {}",
                success.strftime("%Y-%m-%dT%H:%M:%SZ")
            )
        })
    }

    fn held(&mut self, ids: &BTreeSet<Check>) {
        let ids: Vec<&str> = ids.iter().map(|check| check.as_str()).collect();
        let message = format!(
            "A new value is held back, it fails {}; the last good one stays.",
            ids.join(", ")
        );
        self.is_there();
        self.set(
            SECRET_UPDATED,
            Truth::False,
            Upstream::ControllerSync.as_str(),
            &message,
        );
        self.set(READY, Truth::True, Fine::Held.as_str(), &message);
        self.set(HELD, Truth::True, "SemanticRegression", &message);
    }

    fn suspended(&mut self) {
        let message = "Suspended by coffer.rs/suspend; the Secret is left as it is.";
        if !self.keep(SECRET_CREATED) {
            self.set(SECRET_CREATED, Truth::Unknown, "SyncStarting", message);
        }
        self.not_updated();
        let status = if self.was(SECRET_CREATED) {
            Truth::True
        } else {
            Truth::Unknown
        };
        self.set(READY, status, Fine::Suspended.as_str(), message);
        self.keep(HELD);
    }
}

#[cfg(test)]
mod tests;
