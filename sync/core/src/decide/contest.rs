//! Fights over a Secret: who undoes what others do, again and again, has to stop and say so.
//!
//! Which writes are repairs is known from the API server's answers, so the shell reports them here.

use std::time::Duration;

use jiff::Timestamp;

use super::seen::Revision;
use crate::instant::{after, age};

/// So many repairs or re-creations within [`WINDOW`] are a fight: two may be a person at work.
const ROUNDS: usize = 3;
const WINDOW: Duration = Duration::from_secs(600);
/// One attempt in an hour keeps the other side's log readable and ends the fight by itself when they stop.
const PAUSE: Duration = Duration::from_secs(3600);

/// Against whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fight {
    /// A field manager that edits our keys.
    Manager(String),
    /// Whoever deletes the Secret.
    Deletion,
}

/// The fights over one Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contest {
    rounds: Vec<(Timestamp, Fight)>,
    declared: Option<Declared>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Declared {
    against: Fight,
    last: Timestamp,
    revision: Revision,
}

impl Contest {
    /// Notes a repair or re-creation that was carried out.
    pub fn fought(&mut self, against: Fight, revision: Revision, now: Timestamp) {
        self.declared = self
            .declared
            .take()
            .filter(|declared| declared.revision == revision);
        if let Some(declared) = &mut self.declared {
            declared.last = now;
            return;
        }
        self.rounds.retain(|(then, _)| age(now, *then) <= WINDOW);
        self.rounds.push((now, against.clone()));
        if self
            .rounds
            .iter()
            .filter(|(_, fight)| *fight == against)
            .count()
            >= ROUNDS
        {
            self.rounds.clear();
            self.declared = Some(Declared {
                against,
                last: now,
                revision,
            });
        }
    }

    /// Notes an apply that had nothing to repair: after a quiet hour the fight is over.
    pub fn calm(&mut self, now: Timestamp) {
        if self
            .declared
            .as_ref()
            .is_some_and(|declared| age(now, declared.last) >= PAUSE)
        {
            self.declared = None;
        }
    }

    /// Against whom no write is made now; a change of the spec ends it, and once an hour one write is tried.
    #[must_use]
    pub fn blocked(&self, revision: Revision, now: Timestamp) -> Option<Fight> {
        let declared = self
            .declared
            .as_ref()
            .filter(|declared| declared.revision == revision)?;
        (age(now, declared.last) < PAUSE).then(|| declared.against.clone())
    }

    /// When the next write is tried.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.declared
            .as_ref()
            .map(|declared| after(declared.last, PAUSE))
    }

    /// Forgets everything: the spec changed.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}
