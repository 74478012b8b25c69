//! From what is wanted and what is there to the next write, or none.
//!
//! One table, without clock, network or randomness. A good Secret is never emptied, deleted for a worse one
//! or replaced by a worse value, and a Secret that is not ours is never touched without consent. How a plan is
//! carried out, and what is told of it, stands elsewhere.

mod contest;
mod orphan;
mod plan;
mod record;
mod seen;
mod versions;

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use self::contest::{Contest, Fight};
pub use self::orphan::{Orphan, orphan};
pub use self::plan::{Apply, Failure, FailureKind, Plan, Recreation, Refusal, Skip, Why};
pub use self::record::Record;
pub use self::seen::{
    Applied, Content, History, Matching, Policy, Present, Revision, Rights, Same, Target, Wanted,
    Written,
};
pub use self::versions::{VersionSeen, is_version, prunable, version_name};
use crate::claim::{Frozen, Holder};
use crate::fingerprint::Comparison;
use crate::options::{Adopt, Drift, Immutable, OnTypeChange};
use crate::secret_type::SecretType;
use crate::validate::{self, Check, Ruling};

/// Decides what to do about one Secret.
///
/// Applying the plan and deciding again gives [`Skip::Unchanged`] where the Secret is watched, and a
/// [`Why::Confirm`] that changes nothing where it is not.
#[must_use]
pub fn decide(
    wanted: &Wanted,
    target: &Target,
    history: &History,
    policy: &Policy,
    now: Timestamp,
) -> Plan {
    let content = match wanted {
        Wanted::Refused(refusal) => return Plan::Refuse(refusal.clone()),
        Wanted::Suspended => return Plan::Skip(Skip::Suspended),
        Wanted::Failed(failure) => return Plan::Skip(Skip::LastGood(failure.clone())),
        Wanted::Content(content) => content,
    };
    let question = Question {
        content,
        history,
        policy,
        now,
    };
    match target {
        Target::Unknown => Plan::Probe,
        Target::Absent => question.absent(),
        Target::Present(present) if present.deleting => Plan::Skip(Skip::BeingDeleted),
        Target::Present(present) => match &present.holder {
            Holder::Ours { adopted } => question.ours(present, *adopted, &[]),
            Holder::Upstream(managers) => question.ours(present, false, managers),
            Holder::Former => Plan::Skip(Skip::BeingDeleted),
            Holder::Driver => question.foreign(present, true),
            Holder::Stranger => question.foreign(present, false),
        },
    }
}

struct Question<'a> {
    content: &'a Content,
    history: &'a History,
    policy: &'a Policy,
    now: Timestamp,
}

impl Question<'_> {
    /// Nothing of that name is there.
    fn absent(&self) -> Plan {
        if self.vanished() {
            return Plan::Refuse(Refusal::Vanished);
        }
        if let Some(fight) = self.contested() {
            return Plan::Refuse(Refusal::Contested(fight));
        }
        let versioned = self.policy.immutable == Immutable::Versioned;
        let before = self.history.latest.as_ref().filter(|_| versioned);
        let changed = before.filter(|record| {
            record.fingerprint.compare(&self.content.fingerprint) != Comparison::Same
        });
        if changed.is_some() && self.content.keys.is_empty() {
            return Plan::Refuse(Refusal::WouldEmpty);
        }
        if let Some(worse) = self.worse(before) {
            return worse;
        }
        if versioned {
            return Plan::NewVersion {
                name: version_name(&self.content.secret, &self.content.fingerprint),
            };
        }
        Plan::Create {
            again: self.history.written.is_some(),
        }
    }

    /// Controllers delete such Secrets when no account or a past expiration stands behind them; writing again
    /// would be a fight that nobody sees.
    fn vanished(&self) -> bool {
        let Some(written) = &self.history.written else {
            return false;
        };
        let spec = written.revision == self.content.revision;
        let content = written.fingerprint.compare(&self.content.fingerprint) == Comparison::Same;
        match SecretType::parse(&self.content.type_) {
            SecretType::ServiceAccountToken => spec,
            SecretType::BootstrapToken => spec && content,
            _ => false,
        }
    }

    /// It is there and this source's.
    fn ours(&self, present: &Present, adopted: bool, upstream: &[String]) -> Plan {
        let change = self.change(present);
        if present.same_type == Same::No {
            return self.other_type(present, adopted);
        }
        if change.of_data && self.content.keys.is_empty() && !present.our_keys.is_empty() {
            return Plan::Refuse(Refusal::WouldEmpty);
        }
        let worse = change
            .of_data
            .then(|| self.worse(present.record.as_ref()))
            .flatten();
        if let Some(worse) = worse {
            return worse;
        }
        if let Some(worse) = self.returned(adopted) {
            return worse;
        }
        if self.unchanged(present, change) && upstream.is_empty() {
            return Plan::Skip(Skip::Unchanged);
        }
        if let Some(fight) = self.contested() {
            return Plan::Refuse(Refusal::Contested(fight));
        }
        // Without a comparable record an equal write is tried first: the API server takes it.
        let frozen = match present.frozen {
            Frozen::No => false,
            Frozen::Ours => change.why == Why::Rotation || present.same_data == Same::No,
            Frozen::Perhaps => present.same_data == Same::No,
        };
        if frozen {
            return self.frozen(present, adopted);
        }
        Plan::Apply(Apply {
            uid: present.uid.clone(),
            why: if upstream.is_empty() {
                change.why
            } else {
                Why::Takeover
            },
            force: self.policy.drift == Drift::Repair || !upstream.is_empty(),
            // Once it is set the API server refuses every write that leaves it out.
            immutable: present.frozen == Frozen::Ours
                || self.policy.immutable != Immutable::Never && !adopted,
            clear: upstream.to_vec(),
        })
    }

    fn change(&self, present: &Present) -> Change {
        let compared = present
            .record
            .as_ref()
            .map(|record| record.fingerprint.compare(&self.content.fingerprint));
        let applied = self
            .history
            .applied
            .as_ref()
            .filter(|applied| applied.uid == present.uid);
        let why = match (compared, applied) {
            (Some(Comparison::Different), _) => Why::Rotation,
            (Some(Comparison::Unknown), _) => Why::KeyLost,
            (None, _) => Why::First,
            (_, None) => Why::Confirm,
            (_, Some(applied)) if applied.metadata != self.content.metadata => Why::Metadata,
            (_, Some(applied))
                if self.policy.rights.watch
                    && applied.resource_version != present.resource_version =>
            {
                Why::Drifted
            }
            _ => Why::Confirm,
        };
        Change {
            of_data: compared != Some(Comparison::Same),
            why,
        }
    }

    /// Only a watch proves that nobody else wrote; without one, equal content is applied again.
    fn unchanged(&self, present: &Present, change: Change) -> bool {
        let applied = self.history.applied.as_ref();
        let untouched = applied.is_some_and(|applied| {
            applied.uid == present.uid
                && applied.resource_version == present.resource_version
                && applied.metadata == self.content.metadata
        });
        self.policy.rights.watch && !change.of_data && untouched
    }

    /// Checks that the new value fails and the old one passed, by the policy of the object.
    fn worse(&self, old: Option<&Record>) -> Option<Plan> {
        let same = |record: &Record| {
            record.fingerprint.compare(&self.content.fingerprint) == Comparison::Same
        };
        if old.is_some_and(same) {
            return None;
        }
        let before = old.and_then(|record| record.verdict.as_ref());
        match self
            .policy
            .validation
            .rule(self.content.verdict.as_ref(), before, self.now)
        {
            Ruling::Write(_) => None,
            Ruling::Hold(checks) => Some(Plan::Hold(checks)),
            Ruling::Refuse(checks) => Some(Plan::Refuse(Refusal::Unusable(checks))),
        }
    }

    /// Of immutable versions, one that was there before is about to be the current one again: it is judged against the
    /// newest, which consumers read.
    fn returned(&self, adopted: bool) -> Option<Plan> {
        let versioned = self.policy.immutable == Immutable::Versioned && !adopted;
        let newest = self.history.latest.as_ref().filter(|_| versioned)?;
        if newest.fingerprint.compare(&self.content.fingerprint) == Comparison::Same {
            return None;
        }
        if self.content.keys.is_empty() {
            return Some(Plan::Refuse(Refusal::WouldEmpty));
        }
        self.worse(Some(newest))
    }

    fn failing(&self) -> BTreeSet<Check> {
        let verdict = self.content.verdict.as_ref();
        verdict
            .map(|verdict| verdict.failing(self.now))
            .unwrap_or_default()
    }

    /// The type cannot change in place. New content has to be without fault before the old goes.
    fn other_type(&self, present: &Present, adopted: bool) -> Plan {
        let may = self.policy.on_type_change == OnTypeChange::Recreate
            && self.policy.rights.delete
            && !adopted;
        if !may || matches!(present.holder, Holder::Upstream(_)) {
            return Plan::Refuse(Refusal::TypeChange);
        }
        self.recreate(present, Recreation::Type)
    }

    /// It is immutable and its data would change.
    fn frozen(&self, present: &Present, adopted: bool) -> Plan {
        let may =
            self.policy.immutable == Immutable::Recreate && self.policy.rights.delete && !adopted;
        if !may || matches!(present.holder, Holder::Upstream(_)) {
            return Plan::Refuse(Refusal::ImmutableConflict);
        }
        self.recreate(present, Recreation::Immutable)
    }

    fn recreate(&self, present: &Present, why: Recreation) -> Plan {
        if self.content.keys.is_empty() && !present.our_keys.is_empty() {
            return Plan::Refuse(Refusal::WouldEmpty);
        }
        let failing = self.failing();
        let guarded = matches!(
            self.policy.validation,
            validate::Policy::Hold | validate::Policy::Strict
        );
        if why == Recreation::Type && guarded && !failing.is_empty() {
            return Plan::Hold(failing);
        }
        if let Some(fight) = self.contested() {
            return Plan::Refuse(Refusal::Contested(fight));
        }
        Plan::Recreate {
            uid: present.uid.clone(),
            resource_version: present.resource_version.clone(),
            why,
        }
    }

    /// It is there and not this source's.
    fn foreign(&self, present: &Present, driver: bool) -> Plan {
        let refused = |why: &'static str| {
            let keys = self
                .content
                .keys
                .iter()
                .map(|key| (key.clone(), present.all_keys.contains(key)));
            Plan::Refuse(Refusal::AdoptionRefused {
                why,
                keys: keys.collect(),
            })
        };
        match self.policy.adopt {
            Adopt::Never => return refused("a Secret of that name exists and is not ours"),
            Adopt::IfMatching if driver => {
                return refused("the CSI driver syncs it; adopt: Merge takes it over");
            }
            _ if self.policy.immutable == Immutable::Versioned => {
                return refused("a Secret of the version's name exists and is not ours");
            }
            _ if !present.consent => {
                return refused("its owner has not consented by coffer.rs/adoptable-by");
            }
            _ => {}
        }
        let Some(matching) = &present.matching else {
            return Plan::Compare;
        };
        if !matching.type_ {
            return Plan::Refuse(Refusal::TypeChange);
        }
        let changes =
            matching.differing.len() + self.content.keys.difference(&present.all_keys).count() > 0;
        if matching.immutable && changes {
            return Plan::Refuse(Refusal::ImmutableConflict);
        }
        if self.policy.adopt == Adopt::IfMatching && !matching.differing.is_empty() {
            return refused("its values differ; adopt: Merge replaces them");
        }
        // What stood there before cannot be judged, so this is a first write.
        if let Some(worse) = self.worse(None) {
            return worse;
        }
        if let Some(fight) = self.contested() {
            return Plan::Refuse(Refusal::Contested(fight));
        }
        Plan::Adopt {
            uid: present.uid.clone(),
            clear_driver: driver,
        }
    }

    fn contested(&self) -> Option<Fight> {
        self.history
            .contest
            .blocked(self.content.revision, self.now)
    }
}

/// What is new about the content, and why it would be written.
#[derive(Clone, Copy)]
struct Change {
    /// Unless the record proves that the data is the same.
    of_data: bool,
    why: Why,
}

#[cfg(test)]
mod tests;
