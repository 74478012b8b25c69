//! From what was really done to what is told of it: status, Event, metrics, and when the object is due again.
//!
//! Pure but for the memory that it brings up to date. Nothing is sent here.

use std::collections::BTreeSet;

use coffer_sync_core::answer::Effect;
use coffer_sync_core::claim::Holder;
use coffer_sync_core::condition::{Deed, Fault, Outcome, Summary, ready_message};
use coffer_sync_core::decide::{
    Content, Failure, FailureKind, Plan, Recreation, Refusal, Skip, Target, Wanted, Why, Written,
};
use coffer_sync_core::restart::changes_content;
use coffer_sync_core::schedule::Last;
use coffer_sync_core::validate::{Check, Class};
use jiff::Timestamp;

use super::act::Done;
use super::gather::{Gathered, Made};
use crate::memory::Memory;
use crate::world::Job;

/// So many waits are a second long.
const QUICK_WAITS: u32 = 5;

/// What a round comes to.
pub(super) struct Concluded {
    /// For the status; none where it stays as it is.
    pub(super) outcome: Option<Outcome>,
    /// For Events; none where the round says nothing about the object.
    pub(super) deed: Option<Deed>,
    /// For the schedule.
    pub(super) last: Last,
    /// The label of the metric of rounds.
    pub(super) result: &'static str,
    /// The reason label of the metric of failures.
    pub(super) reason: Option<&'static str>,
    /// Whether consumers may have read content that is no longer true.
    pub(super) changed: bool,
}

pub(super) fn conclude(
    job: &Job,
    memory: &mut Memory,
    gathered: &Gathered,
    done: &Done,
    now: Timestamp,
) -> Concluded {
    let waits = std::mem::take(&mut memory.waits);
    match done {
        Done::Written {
            plan,
            effect,
            opponent,
            differed,
        } => {
            let told = deed((plan, *effect), memory, opponent.as_deref(), *differed);
            let result = (told, effect.as_str());
            let mut concluded = success(job, memory, gathered, result, now);
            concluded.changed = consumers_wait((plan, *effect), *differed);
            concluded
        }
        _ if done.is_unchanged() => {
            memory.history.contest.calm(now);
            success(job, memory, gathered, (Deed::Unchanged, "unchanged"), now)
        }
        Done::Left(plan) => left(memory, gathered, plan, waits),
        Done::Failed(failure) => interrupted(memory, failure),
        Done::Refused(refusal) => refused(memory, refusal),
        Done::Forgotten => nothing(Last::Suspended, "failed"),
    }
}

fn deed(
    (plan, effect): (&Plan, Effect),
    memory: &Memory,
    opponent: Option<&str>,
    differed: bool,
) -> Deed {
    let secret = &memory.target_name;
    match effect {
        // It was written before, and the answer was lost, or the process that wrote it told nobody.
        Effect::Unchanged if differed => {
            Deed::Synced(format!("Secret {secret} holds new content."))
        }
        Effect::Unchanged | Effect::Vanishing => Deed::Unchanged,
        Effect::Repaired => Deed::Repaired(repaired(plan, secret, opponent)),
        Effect::Created | Effect::Updated => Deed::Synced(synced(plan, secret)),
    }
}

/// Whether workloads may have read content that is no longer true: by the plan, or because it differs from what was
/// last told, by whichever plan it came to be.
fn consumers_wait((plan, effect): (&Plan, Effect), differed: bool) -> bool {
    let restored = matches!(effect, Effect::Repaired | Effect::Unchanged);
    let taken = match plan {
        Plan::Adopt { .. } => true,
        Plan::Apply(apply) => apply.why == Why::Takeover,
        _ => false,
    };
    !restored && changes_content(plan, differed) || differed && !taken
}

/// The Secret holds what was fetched.
fn success(
    job: &Job,
    memory: &mut Memory,
    gathered: &Gathered,
    (deed, result): (Deed, &'static str),
    now: Timestamp,
) -> Concluded {
    memory.failures = 0;
    memory.half_reads = 0;
    memory.last_success = Some(now);
    let (Wanted::Content(content), Some(made)) = (&gathered.wanted, &gathered.made) else {
        return nothing(Last::Done, result);
    };
    memory.history.written = Some(Written {
        fingerprint: content.fingerprint.clone(),
        revision: content.revision,
    });
    memory.expires = content
        .verdict
        .as_ref()
        .and_then(coffer_sync_core::validate::Verdict::expires);
    Concluded {
        outcome: Some(Outcome::Synced {
            fingerprint: content.fingerprint.clone(),
            message: message(job, content, made),
        }),
        deed: Some(deed),
        ..nothing(Last::Done, result)
    }
}

/// Nothing is told of the round.
fn nothing(last: Last, result: &'static str) -> Concluded {
    Concluded {
        outcome: None,
        deed: None,
        last,
        result,
        reason: None,
        changed: false,
    }
}

/// The text of Ready: keys, provider, expiry, interval, and what the checks advise.
fn message(job: &Job, content: &Content, made: &Made) -> String {
    let findings = made.findings.list().iter();
    let told = findings.filter(|finding| finding.check.class() != Class::Structure);
    let mut advice: Vec<String> = told
        .map(|finding| format!("{} ({})", finding.check.as_str(), finding.field))
        .collect();
    advice.extend(made.advice.iter().map(ToString::to_string));
    ready_message(&Summary {
        keys: &made.rendered.outline(),
        provider: &made.identity,
        expires: content
            .verdict
            .as_ref()
            .and_then(|verdict| verdict.expires()),
        interval: job
            .options
            .as_ref()
            .ok()
            .and_then(|options| options.refresh_interval),
        advice: &advice,
    })
}

fn left(memory: &mut Memory, gathered: &Gathered, plan: &Plan, waits: u32) -> Concluded {
    match plan {
        Plan::Skip(Skip::Suspended) => Concluded {
            outcome: Some(Outcome::Suspended),
            ..nothing(Last::Suspended, "unchanged")
        },
        Plan::Skip(Skip::LastGood(failure)) => interrupted(memory, failure),
        Plan::Skip(Skip::BeingDeleted) => {
            memory.waits = waits.saturating_add(1);
            waiting(memory, waits)
        }
        Plan::Hold(checks) => {
            memory.failures = 0;
            Concluded {
                outcome: Some(Outcome::Held(checks.clone())),
                deed: Some(Deed::Held(short(gathered), checks.clone())),
                ..nothing(held(memory, checks), "held")
            }
        }
        Plan::Refuse(refusal) => refused(memory, refusal),
        Plan::Skip(Skip::Unchanged)
        | Plan::Probe
        | Plan::Compare
        | Plan::Create { .. }
        | Plan::Apply(_)
        | Plan::Adopt { .. }
        | Plan::Recreate { .. }
        | Plan::NewVersion { .. } => nothing(Last::Done, "unchanged"),
    }
}

/// A Secret disappears within a second or two, unless something holds it.
fn waiting(memory: &mut Memory, waits: u32) -> Concluded {
    if waits < QUICK_WAITS {
        return nothing(Last::BeingDeleted, "failed");
    }
    let failure = Failure {
        kind: FailureKind::Api,
        message: "the Secret is being deleted, or its owner is gone, and something holds it"
            .to_owned(),
        retry_after: None,
    };
    interrupted(memory, &failure)
}

/// Where nothing but the pair got worse, its halves were probably read around an update.
fn held(memory: &mut Memory, checks: &BTreeSet<Check>) -> Last {
    if checks.iter().any(|check| *check != Check::TlsPair) {
        return Last::Done;
    }
    let before = memory.half_reads;
    memory.half_reads = before.saturating_add(1);
    Last::HalfRead { before }
}

fn short(gathered: &Gathered) -> String {
    match &gathered.wanted {
        Wanted::Content(content) => content.fingerprint.short(),
        Wanted::Refused(_) | Wanted::Suspended | Wanted::Failed(_) => String::new(),
    }
}

fn interrupted(memory: &mut Memory, failure: &Failure) -> Concluded {
    let mut concluded = failed(memory, Fault::from(failure), Deed::Failed, "failed");
    if let Last::Failed { retry_after, .. } = &mut concluded.last {
        *retry_after = failure.retry_after;
    }
    concluded
}

fn refused(memory: &mut Memory, refusal: &Refusal) -> Concluded {
    let mut concluded = failed(memory, Fault::from(refusal), Deed::Refused, "refused");
    if let (Refusal::Contested(_), Some(until)) = (refusal, memory.history.contest.until()) {
        concluded.last = Last::Contested { until };
    }
    concluded
}

fn failed(
    memory: &mut Memory,
    fault: Fault,
    deed: impl FnOnce(Fault) -> Deed,
    result: &'static str,
) -> Concluded {
    let before = memory.failures;
    memory.failures = before.saturating_add(1);
    let last = if fault.permanent {
        Last::Permanent
    } else {
        Last::Failed {
            before,
            retry_after: None,
        }
    };
    Concluded {
        reason: Some(fault.reason()),
        outcome: Some(Outcome::Failed {
            fault: fault.clone(),
            exists: exists(memory),
        }),
        deed: Some(deed(fault)),
        last,
        result,
        changed: false,
    }
}

/// Whether our Secret is there, where that is known.
fn exists(memory: &Memory) -> Option<bool> {
    match &memory.target {
        Target::Unknown => None,
        Target::Absent => Some(false),
        Target::Present(present) => Some(matches!(
            present.holder,
            Holder::Ours { .. } | Holder::Upstream(_)
        )),
    }
}

fn synced(plan: &Plan, secret: &str) -> String {
    match plan {
        Plan::Create { .. } => format!("Secret {secret} was created."),
        Plan::NewVersion { .. } => format!("Version {secret} was created."),
        Plan::Adopt { .. } => format!("Secret {secret} was adopted; keys of others stay."),
        Plan::Recreate {
            why: Recreation::Type,
            ..
        } => format!(
            "Secret {secret} was deleted and created with its new type; for a moment there was none."
        ),
        Plan::Recreate {
            why: Recreation::Immutable,
            ..
        } => format!(
            "The immutable Secret {secret} was deleted and created with new content; for a moment there was none."
        ),
        Plan::Apply(apply) => match apply.why {
            Why::Rotation => format!("Secret {secret} holds new content."),
            Why::Takeover => {
                format!("Secret {secret} was taken over from the upstream controller.")
            }
            Why::Metadata | Why::First | Why::KeyLost | Why::Drifted | Why::Confirm => {
                format!("Secret {secret} was written; its content did not change.")
            }
        },
        Plan::Probe | Plan::Compare | Plan::Hold(_) | Plan::Skip(_) | Plan::Refuse(_) => {
            String::new()
        }
    }
}

fn repaired(plan: &Plan, secret: &str, opponent: Option<&str>) -> String {
    if matches!(plan, Plan::Create { .. }) {
        return format!("Secret {secret} had been deleted and was written again.");
    }
    match opponent {
        Some(manager) => format!("Edits of Secret {secret} by {manager} were undone."),
        None => format!("Edits of Secret {secret} were undone."),
    }
}
