//! The table of decisions, row by row. What holds for every row is in `properties`.

mod adoption;
mod properties;
mod records;
mod replacement;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::fingerprint::{Fingerprint, Key};
use crate::options::Deletion;
use crate::validate::{Policy as Validation, Verdict};

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub(super) fn set(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(ToString::to_string).collect()
}

/// The fingerprint of a made-up value under one of two keys.
pub(super) fn print(key: u8, value: u8) -> Fingerprint {
    Key::new(&[key; 32]).content("ns", "db", "Opaque", [("a", &[value][..])])
}

fn content() -> Content {
    Content {
        secret: "db".to_owned(),
        type_: "Opaque".to_owned(),
        fingerprint: print(1, 1),
        metadata: [1; 32],
        keys: set(&["a"]),
        verdict: verdict(&[]),
        revision: Revision {
            generation: 1,
            options: [0; 32],
        },
    }
}

pub(super) fn checks(ids: &[&str]) -> BTreeSet<Check> {
    ids.iter().map(|id| Check::parse(id).unwrap()).collect()
}

/// The verdict with these ids and dates, as a record writes it.
pub(super) fn verdict(words: &[&str]) -> Option<Verdict> {
    Some(words.join(" ").parse().unwrap())
}

/// Ours, holding what `content` says.
fn present() -> Present {
    Present {
        uid: "u1".to_owned(),
        resource_version: "7".to_owned(),
        deleting: false,
        holder: Holder::Ours { adopted: false },
        same_type: Same::Unknown,
        same_data: Same::Unknown,
        frozen: Frozen::No,
        record: Some(Record {
            fingerprint: print(1, 1),
            verdict: verdict(&[]),
        }),
        our_keys: set(&["a"]).into_iter().collect(),
        all_keys: set(&["a"]),
        consent: false,
        matching: None,
    }
}

fn applied() -> Applied {
    Applied {
        uid: "u1".to_owned(),
        resource_version: "7".to_owned(),
        metadata: [1; 32],
    }
}

fn policy() -> Policy {
    Policy::new(
        &crate::options::Options::new(None),
        Rights {
            delete: true,
            watch: true,
        },
    )
}

/// One question; each test changes what its row is about.
struct Case {
    content: Content,
    target: Target,
    history: History,
    policy: Policy,
}

impl Case {
    /// A rotation: the Secret holds value 0, wanted is value 1.
    fn rotation() -> Self {
        let mut there = present();
        there.record = Some(Record {
            fingerprint: print(1, 0),
            verdict: verdict(&[]),
        });
        Self::with(there)
    }

    fn with(present: Present) -> Self {
        Self {
            content: content(),
            target: Target::Present(Box::new(present)),
            history: History {
                applied: Some(applied()),
                ..History::default()
            },
            policy: policy(),
        }
    }

    fn absent() -> Self {
        Self {
            target: Target::Absent,
            history: History::default(),
            ..Self::rotation()
        }
    }

    fn stranger() -> Self {
        let mut there = present();
        there.holder = Holder::Stranger;
        there.record = None;
        there.our_keys = Box::default();
        there.all_keys = set(&["a", "theirs"]);
        let mut case = Self::with(there);
        case.history = History::default();
        case
    }

    fn there(&mut self) -> &mut Present {
        match &mut self.target {
            Target::Present(present) => present,
            Target::Unknown | Target::Absent => panic!("nothing is there"),
        }
    }

    fn plan(&self) -> Plan {
        decide(
            &Wanted::Content(Box::new(self.content.clone())),
            &self.target,
            &self.history,
            &self.policy,
            at(0),
        )
    }

    fn why(&self) -> Why {
        match self.plan() {
            Plan::Apply(apply) => apply.why,
            plan => panic!("{plan:?}"),
        }
    }

    fn adoption_refused(&self) -> &'static str {
        match self.plan() {
            Plan::Refuse(Refusal::AdoptionRefused { why, .. }) => why,
            plan => panic!("{plan:?}"),
        }
    }
}

/// Sync §6: the order of a decision; nothing is written without content.
#[test]
fn what_cannot_or_must_not_be_written_is_not() {
    let failure = Failure {
        kind: FailureKind::Provider,
        message: String::new(),
        retry_after: None,
    };
    let refusal = Refusal::InvalidOption("x".to_owned());
    for target in [
        Target::Unknown,
        Target::Absent,
        Target::Present(Box::new(present())),
    ] {
        let plan = |wanted: Wanted| decide(&wanted, &target, &History::default(), &policy(), at(0));
        assert_eq!(plan(Wanted::Suspended), Plan::Skip(Skip::Suspended));
        assert_eq!(
            plan(Wanted::Failed(failure.clone())),
            Plan::Skip(Skip::LastGood(failure.clone()))
        );
        assert_eq!(
            plan(Wanted::Refused(refusal.clone())),
            Plan::Refuse(refusal.clone())
        );
    }
}

/// Sync §7: first contact is a probe; absent is an unforced apply. 16: a deleted Secret comes back.
#[test]
fn a_secret_is_looked_for_before_it_is_created() {
    let mut case = Case::absent();
    case.target = Target::Unknown;
    assert_eq!(case.plan(), Plan::Probe);
    case.target = Target::Absent;
    assert_eq!(case.plan(), Plan::Create { again: false });
    case.history.written = Some(Written {
        fingerprint: print(1, 1),
        revision: Revision::default(),
    });
    assert_eq!(case.plan(), Plan::Create { again: true });
}

/// Sync §7: an object that is being deleted takes writes and vanishes all the same.
#[test]
fn a_secret_that_is_being_deleted_is_waited_for() {
    let mut case = Case::rotation();
    case.there().deleting = true;
    assert_eq!(case.plan(), Plan::Skip(Skip::BeingDeleted));
}

/// Sync §9: after a restore the garbage collector takes a Secret of the old owner away.
#[test]
fn a_secret_of_a_former_owner_is_waited_for() {
    let mut case = Case::rotation();
    case.there().holder = Holder::Former;
    assert_eq!(case.plan(), Plan::Skip(Skip::BeingDeleted));
}

/// Sync §8, watch mode: equal hash and our own resourceVersion need no call at all.
#[test]
fn a_watched_secret_without_changes_is_left_alone() {
    assert_eq!(Case::with(present()).plan(), Plan::Skip(Skip::Unchanged));
}

/// Sync §8: any resourceVersion that we did not cause leads to an apply. 16: an edited key does not stay.
#[test]
fn an_edit_by_somebody_else_is_repaired() {
    let mut case = Case::with(present());
    case.there().resource_version = "8".to_owned();
    assert_eq!(case.why(), Why::Drifted);
}

/// Sync §8, write-only mode: every poll ends in an apply, which restores an edited key.
#[test]
fn without_a_watch_equal_content_is_applied_again() {
    let mut case = Case::with(present());
    case.policy.rights.watch = false;
    assert_eq!(case.why(), Why::Confirm);
}

/// Sync §6: the hash alone never proves that the Secret is still right.
#[test]
fn after_a_start_equal_content_is_confirmed_once() {
    let mut case = Case::with(present());
    case.history.applied = None;
    assert_eq!(case.why(), Why::Confirm);
}

/// Sync §3: labels, annotations and the owner follow the spec without a rotation.
#[test]
fn changed_metadata_is_written_and_is_no_rotation() {
    let mut case = Case::with(present());
    case.content.metadata = [2; 32];
    assert_eq!(case.why(), Why::Metadata);
}

/// Sync §6: a lost key costs one apply per object, and no restart.
#[test]
fn a_lost_key_is_no_rotation() {
    let mut case = Case::with(present());
    case.content.fingerprint = print(2, 1);
    assert_eq!(case.why(), Why::KeyLost);
}

/// Sync §7: steady-state writes carry the uid that we know. 16: an edited key does not block rotations.
#[test]
fn a_rotation_is_applied_by_force_to_the_uid_that_is_known() {
    let plan = Case::rotation().plan();
    let expected = Apply {
        uid: "u1".to_owned(),
        why: Why::Rotation,
        force: true,
        immutable: false,
        clear: Vec::new(),
    };
    assert_eq!(plan, Plan::Apply(expected));
}

/// Sync §3, drift: Report never forces.
#[test]
fn drift_that_is_only_reported_is_not_forced() {
    let mut case = Case::rotation();
    case.policy.drift = Drift::Report;
    assert!(matches!(
        case.plan(),
        Plan::Apply(Apply { force: false, .. })
    ));
}

/// Policy, checks that the old value fails, checks that the new one fails, and which of them hold it.
type Judged = (
    Validation,
    &'static [&'static str],
    &'static [&'static str],
    Option<BTreeSet<Check>>,
);

/// Types §1: the table of policies, for a new value that fails `new` over an old one that failed `old`.
#[test]
fn a_worse_value_is_held_as_the_policy_says() {
    use Validation::{Hold, Off, Strict, Warn};
    let held = |ids: &[&str]| Some(checks(ids));
    let rows: [Judged; 12] = [
        (Off, &[], &["tls.pair"], None),
        (Warn, &[], &["tls.pair"], None),
        (Hold, &[], &[], None),
        (Hold, &[], &["tls.pair"], held(&["tls.pair"])),
        (Hold, &["tls.pair"], &["tls.pair"], None),
        (Hold, &["tls.pair", "tls.chain"], &["tls.pair"], None),
        (Hold, &["tls.pair"], &[], None),
        (Hold, &["tls.chain"], &["tls.pair"], held(&["tls.pair"])),
        (
            Hold,
            &["tls.chain"],
            &["tls.chain", "tls.pair"],
            held(&["tls.pair"]),
        ),
        (Strict, &[], &["tls.pair"], held(&["tls.pair"])),
        (Strict, &["tls.pair"], &["tls.pair"], held(&["tls.pair"])),
        (Strict, &["tls.pair"], &[], None),
    ];
    for (validation, old, new, expected) in rows {
        let mut case = Case::rotation();
        case.policy.validation = validation;
        case.there().record = Some(Record {
            fingerprint: print(1, 0),
            verdict: verdict(old),
        });
        case.content.verdict = verdict(new);
        let found = match case.plan() {
            Plan::Hold(ids) => Some(ids),
            Plan::Apply(_) => None,
            plan => panic!("{plan:?}"),
        };
        assert_eq!(found, expected, "{validation:?}: {old:?} -> {new:?}");
    }
}

/// Types §1: the first write is written under Hold and refused under Strict.
#[test]
fn a_first_value_that_is_unusable_is_refused_under_strict_only() {
    for validation in [Validation::Off, Validation::Warn, Validation::Hold] {
        let mut case = Case::absent();
        case.policy.validation = validation;
        case.content.verdict = verdict(&["ssh.parse"]);
        assert_eq!(case.plan(), Plan::Create { again: false }, "{validation:?}");
    }
    let mut case = Case::absent();
    case.policy.validation = Validation::Strict;
    case.content.verdict = verdict(&["ssh.parse"]);
    assert_eq!(
        case.plan(),
        Plan::Refuse(Refusal::Unusable(checks(&["ssh.parse"])))
    );
}

/// Types §1: no record is a first write; a Secret written under Off was never judged.
#[test]
fn without_a_verdict_about_the_old_value_nothing_is_held() {
    for record in [
        None,
        Some(Record {
            fingerprint: print(1, 0),
            verdict: None,
        }),
    ] {
        let mut case = Case::rotation();
        case.there().record = record.clone();
        case.content.verdict = verdict(&["tls.pair"]);
        assert!(matches!(case.plan(), Plan::Apply(_)), "{record:?}");
    }
}

/// Types §1: a hold ends by itself when the old value expires too, and not for another reason.
#[test]
fn an_expired_value_may_be_replaced_by_an_expired_one_but_not_by_a_mismatched_one() {
    let dated = |end: i64, ids: &[&str]| {
        let date = format!("notAfter={}", at(end));
        verdict(&[ids, &[date.as_str()]].concat())
    };
    for (old_end, new_ids, expected) in [
        (1000, &[][..], Some(checks(&["tls.expired"]))),
        (-1000, &[][..], None),
        (-1000, &["tls.pair"][..], Some(checks(&["tls.pair"]))),
    ] {
        let mut case = Case::rotation();
        case.there().record = Some(Record {
            fingerprint: print(1, 0),
            verdict: dated(old_end, &[]),
        });
        case.content.verdict = dated(-500, new_ids);
        let found = match case.plan() {
            Plan::Hold(ids) => Some(ids),
            _ => None,
        };
        assert_eq!(
            found, expected,
            "old until {old_end}, new fails {new_ids:?}"
        );
    }
}

/// Types §1: a check that turns bad with time alone changes no Secret.
#[test]
fn a_value_that_expires_where_it_stands_is_left_there() {
    let mut case = Case::with(present());
    case.content.verdict = verdict(&["notAfter=1969-12-31T23:00:00Z"]);
    for validation in [Validation::Hold, Validation::Strict] {
        case.policy.validation = validation;
        assert_eq!(case.plan(), Plan::Skip(Skip::Unchanged), "{validation:?}");
    }
}

/// Types §1: a re-creation is a first write: nothing is left to protect.
#[test]
fn a_deleted_secret_comes_back_even_with_a_worse_value() {
    let mut case = Case::absent();
    case.history.written = Some(Written {
        fingerprint: print(1, 0),
        revision: Revision::default(),
    });
    case.content.verdict = verdict(&["tls.pair"]);
    assert_eq!(case.plan(), Plan::Create { again: true });
}

/// Sync §9: nothing is ever emptied.
#[test]
fn a_secret_is_never_emptied() {
    let mut case = Case::rotation();
    case.content.keys = BTreeSet::new();
    assert_eq!(case.plan(), Plan::Refuse(Refusal::WouldEmpty));
    case.there().same_type = Same::No;
    assert_eq!(case.plan(), Plan::Refuse(Refusal::WouldEmpty));
}

/// Types §4.2 and 4.8: a Secret that a controller deleted is not written again and again.
#[test]
fn a_vanished_secret_waits_for_a_change() {
    let (account, bootstrap) = (
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
    );
    let (same, other) = (print(1, 1), print(1, 0));
    let new_spec = Revision {
        generation: 9,
        options: [0; 32],
    };
    for (type_, written, revision, vanished) in [
        (account, &same, content().revision, true),
        (account, &other, content().revision, true),
        (account, &same, new_spec, false),
        (bootstrap, &same, content().revision, true),
        (bootstrap, &other, content().revision, false),
        (bootstrap, &same, new_spec, false),
        ("Opaque", &same, content().revision, false),
    ] {
        let mut case = Case::absent();
        case.content.type_ = type_.to_owned();
        case.history.written = Some(Written {
            fingerprint: written.clone(),
            revision,
        });
        let expected = if vanished {
            Plan::Refuse(Refusal::Vanished)
        } else {
            Plan::Create { again: true }
        };
        assert_eq!(case.plan(), expected, "{type_} {revision:?}");
    }
}
