//! What is kept of one object between its rounds: a few hundred bytes, never a value.
//!
//! After a restart of the controller it begins with what the source's status tells.

use coffer_sync_core::answer::Before;
use coffer_sync_core::claim::Holder;
use coffer_sync_core::condition::{READY, Status, Told};
use coffer_sync_core::decide::{History, Present, Recreation, Revision, Target, Written};
use coffer_sync_core::fingerprint::Fingerprint;
use jiff::Timestamp;

use crate::cluster::Seen;

/// The memory of one object.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The Secret as it was seen last.
    pub target: Target,
    /// Its name: that of a version where there are versions.
    pub target_name: String,
    /// Whether the last round left nothing open about it. Otherwise what was seen may no longer be true, and the
    /// next round looks again.
    pub settled: bool,
    /// What was known of it before the next write.
    pub before: Option<Before>,
    /// It was deleted to be made anew, and was not yet.
    pub recreating: Option<Recreation>,
    /// Rounds in a row that waited for it to disappear.
    pub waits: u32,
    /// A restart that could not be noted, because workloads could not be listed.
    pub owes_restart: bool,
    /// What happened.
    pub history: History,
    /// The status as it was written.
    pub status: Status,
    /// What was told by Events.
    pub told: Told,
    /// The last fetch that ended in a verified Secret.
    pub last_success: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
    /// Rounds in a row in which a pair did not match.
    pub half_reads: u32,
    /// Of which content an Event said that it expires soon.
    pub expiring: Option<Fingerprint>,
    /// Of which revision an Event named unknown options.
    pub unknown_told: Option<Revision>,
    /// When old versions are looked at again that could not go yet.
    pub prune_due: Option<Timestamp>,
    /// When the content stops being of use.
    pub expires: Option<Timestamp>,
}

impl Memory {
    /// What the status of a source tells. The options are taken as they are now, if the spec is the one that was
    /// written.
    #[must_use]
    pub fn new(status: Status, revision: Revision) -> Self {
        let generation = status
            .conditions
            .get(READY)
            .map(|ready| ready.observed_generation);
        let written = status.sync_hash.as_deref().and_then(Fingerprint::parse);
        let written = written.map(|fingerprint| Written {
            fingerprint,
            revision: Revision {
                generation: generation.unwrap_or_default(),
                options: revision.options,
            },
        });
        Self {
            target: Target::Unknown,
            target_name: String::new(),
            settled: false,
            before: None,
            recreating: None,
            waits: 0,
            owes_restart: false,
            history: History {
                written,
                ..History::default()
            },
            last_success: status.last_success,
            status,
            told: Told::default(),
            failures: 0,
            half_reads: 0,
            expiring: None,
            unknown_told: None,
            // Another process may have left some.
            prune_due: Some(Timestamp::UNIX_EPOCH),
            expires: None,
        }
    }

    /// Whether the Secret was written before, by this process or another.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.last_success.is_some() || self.history.written.is_some()
    }

    /// Notes a Secret that was seen.
    pub fn see(&mut self, mut present: Present, seen: &Seen) {
        // Which keys there are is asked of Secrets of others only.
        if matches!(present.holder, Holder::Ours { .. } | Holder::Upstream(_)) {
            present.all_keys.clear();
        }
        self.before = Some(Before {
            uid: seen.uid.clone(),
            resource_version: seen.resource_version.clone(),
            written: seen.written,
        });
        self.target = Target::Present(Box::new(present));
    }

    /// Notes that nothing is known of the Secret any more.
    pub fn unsee(&mut self, target: Target) {
        self.before = None;
        self.target = target;
    }

    /// Notes that the Secret was seen to go. Whether it has come back is looked at before it is written.
    pub fn lose(&mut self) {
        self.unsee(Target::Absent);
        self.settled = false;
    }

    /// Turns to a Secret of another name.
    pub fn aim(&mut self, name: &str) {
        if self.target_name != name {
            self.unsee(Target::Unknown);
            self.history.applied = None;
            name.clone_into(&mut self.target_name);
        }
    }
}
