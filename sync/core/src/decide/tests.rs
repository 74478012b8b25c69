//! The table of decisions, row by row. What holds for every row is in `properties`.

mod properties;
mod records;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::fingerprint::{Fingerprint, Key};
use crate::options::Deletion;

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
        verdict: Verdict::default(),
        revision: Revision {
            generation: 1,
            options: [0; 32],
        },
    }
}

fn failing(ids: &[&str]) -> Verdict {
    Verdict {
        failing: set(ids),
        ..Verdict::default()
    }
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
        immutable: false,
        record: Some(Record {
            fingerprint: print(1, 1),
            verdict: Some(Verdict::default()),
        }),
        our_keys: set(&["a"]),
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
            verdict: Some(Verdict::default()),
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
        there.our_keys = BTreeSet::new();
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

/// secret-sync 6: the order of a decision; nothing is written without content.
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

/// secret-sync 7: first contact is a probe; absent is an unforced apply.
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

/// secret-sync 7: an object that is being deleted takes writes and vanishes all the same.
#[test]
fn a_secret_that_is_being_deleted_is_waited_for() {
    let mut case = Case::rotation();
    case.there().deleting = true;
    assert_eq!(case.plan(), Plan::Skip(Skip::BeingDeleted));
}

/// secret-sync 9: after a restore the garbage collector takes a Secret of the old owner away.
#[test]
fn a_secret_of_a_former_owner_is_waited_for() {
    let mut case = Case::rotation();
    case.there().holder = Holder::Former;
    assert_eq!(case.plan(), Plan::Skip(Skip::BeingDeleted));
}

/// secret-sync 8, watch mode: equal hash and our own resourceVersion need no call at all.
#[test]
fn a_watched_secret_without_changes_is_left_alone() {
    assert_eq!(Case::with(present()).plan(), Plan::Skip(Skip::Unchanged));
}

/// secret-sync 8: any resourceVersion that we did not cause leads to an apply.
#[test]
fn an_edit_by_somebody_else_is_repaired() {
    let mut case = Case::with(present());
    case.there().resource_version = "8".to_owned();
    assert_eq!(case.why(), Why::Drifted);
}

/// secret-sync 8, write-only mode: every poll ends in an apply, which restores an edited key.
#[test]
fn without_a_watch_equal_content_is_applied_again() {
    let mut case = Case::with(present());
    case.policy.rights.watch = false;
    assert_eq!(case.why(), Why::Confirm);
}

/// secret-sync 6: the hash alone never proves that the Secret is still right.
#[test]
fn after_a_start_equal_content_is_confirmed_once() {
    let mut case = Case::with(present());
    case.history.applied = None;
    assert_eq!(case.why(), Why::Confirm);
}

/// secret-sync 3: labels, annotations and the owner follow the spec without a rotation.
#[test]
fn changed_metadata_is_written_and_is_no_rotation() {
    let mut case = Case::with(present());
    case.content.metadata = [2; 32];
    assert_eq!(case.why(), Why::Metadata);
}

/// secret-sync 6: a lost key costs one apply per object, and no restart.
#[test]
fn a_lost_key_is_no_rotation() {
    let mut case = Case::with(present());
    case.content.fingerprint = print(2, 1);
    assert_eq!(case.why(), Why::KeyLost);
}

/// secret-sync 7: steady-state writes carry the uid that we know.
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

/// secret-sync 3, drift: Report never forces.
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
    Option<BTreeSet<String>>,
);

/// secret-types 1: the table of policies, for a new value that fails `new` over an old one that failed `old`.
#[test]
fn a_worse_value_is_held_as_the_policy_says() {
    use Validation::{Hold, Off, Strict, Warn};
    let held = |ids: &[&str]| Some(set(ids));
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
            verdict: Some(failing(old)),
        });
        case.content.verdict = failing(new);
        let found = match case.plan() {
            Plan::Hold(ids) => Some(ids),
            Plan::Apply(_) => None,
            plan => panic!("{plan:?}"),
        };
        assert_eq!(found, expected, "{validation:?}: {old:?} -> {new:?}");
    }
}

/// secret-types 1: the first write is written under Hold and refused under Strict.
#[test]
fn a_first_value_that_is_unusable_is_refused_under_strict_only() {
    for validation in [Validation::Off, Validation::Warn, Validation::Hold] {
        let mut case = Case::absent();
        case.policy.validation = validation;
        case.content.verdict = failing(&["ssh.parse"]);
        assert_eq!(case.plan(), Plan::Create { again: false }, "{validation:?}");
    }
    let mut case = Case::absent();
    case.policy.validation = Validation::Strict;
    case.content.verdict = failing(&["ssh.parse"]);
    assert_eq!(
        case.plan(),
        Plan::Refuse(Refusal::Unusable(set(&["ssh.parse"])))
    );
}

/// secret-types 1: no record is a first write; a Secret written under Off was never judged.
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
        case.content.verdict = failing(&["tls.pair"]);
        assert!(matches!(case.plan(), Plan::Apply(_)), "{record:?}");
    }
}

/// secret-types 1: a hold ends by itself when the old value expires too, and not for another reason.
#[test]
fn an_expired_value_may_be_replaced_by_an_expired_one_but_not_by_a_mismatched_one() {
    let dated = |end: i64, ids: &[&str]| Verdict {
        not_after: Some(at(end)),
        ..failing(ids)
    };
    for (old_end, new_ids, expected) in [
        (1000, &[][..], Some(set(&["tls.expired"]))),
        (-1000, &[][..], None),
        (-1000, &["tls.pair"][..], Some(set(&["tls.pair"]))),
    ] {
        let mut case = Case::rotation();
        case.there().record = Some(Record {
            fingerprint: print(1, 0),
            verdict: Some(dated(old_end, &[])),
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

/// secret-types 1: a check that turns bad with time alone changes no Secret.
#[test]
fn a_value_that_expires_where_it_stands_is_left_there() {
    let mut case = Case::with(present());
    case.content.verdict = Verdict {
        not_after: Some(at(-1000)),
        ..Verdict::default()
    };
    for validation in [Validation::Hold, Validation::Strict] {
        case.policy.validation = validation;
        assert_eq!(case.plan(), Plan::Skip(Skip::Unchanged), "{validation:?}");
    }
}

/// secret-types 1: a re-creation is a first write: nothing is left to protect.
#[test]
fn a_deleted_secret_comes_back_even_with_a_worse_value() {
    let mut case = Case::absent();
    case.history.written = Some(Written {
        fingerprint: print(1, 0),
        revision: Revision::default(),
    });
    case.content.verdict = failing(&["tls.pair"]);
    assert_eq!(case.plan(), Plan::Create { again: true });
}

/// secret-sync 9: nothing is ever emptied.
#[test]
fn a_secret_is_never_emptied() {
    let mut case = Case::rotation();
    case.content.keys = BTreeSet::new();
    assert_eq!(case.plan(), Plan::Refuse(Refusal::WouldEmpty));
    case.there().same_type = Same::No;
    assert_eq!(case.plan(), Plan::Refuse(Refusal::WouldEmpty));
}

/// secret-types 4.2 and 4.8: a Secret that a controller deleted is not written again and again.
#[test]
fn a_vanished_secret_waits_for_a_change() {
    let [account, bootstrap] = GATED_TYPES;
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

/// secret-sync 9: recreated only if we created it, may delete it, and the new content passes.
#[test]
fn another_type_recreates_only_what_we_created_and_may_delete() {
    let recreate = Plan::Recreate {
        uid: "u1".to_owned(),
        resource_version: "7".to_owned(),
        why: Recreation::Type,
    };
    let refuse = Plan::Refuse(Refusal::TypeChange);
    let mut case = Case::rotation();
    case.there().same_type = Same::No;
    assert_eq!(case.plan(), recreate);
    case.content.verdict = failing(&["tls.pair"]);
    assert_eq!(case.plan(), Plan::Hold(set(&["tls.pair"])));
    case.content.verdict = Verdict::default();
    case.there().holder = Holder::Ours { adopted: true };
    assert_eq!(case.plan(), refuse);
    case.there().holder = Holder::Ours { adopted: false };
    case.policy.rights.delete = false;
    assert_eq!(case.plan(), refuse);
    case.policy.rights.delete = true;
    case.policy.on_type_change = OnTypeChange::Fail;
    assert_eq!(case.plan(), refuse);
}

/// secret-sync 9: an immutable Secret takes metadata; other data only under Recreate, with the right, and if ours.
#[test]
fn an_immutable_secret_is_recreated_only_where_that_was_asked_for() {
    let mut case = Case::rotation();
    case.there().immutable = true;
    assert_eq!(case.plan(), Plan::Refuse(Refusal::ImmutableConflict));
    case.policy.immutable = Immutable::Recreate;
    assert!(matches!(
        case.plan(),
        Plan::Recreate {
            why: Recreation::Immutable,
            ..
        }
    ));
    case.policy.rights.delete = false;
    assert_eq!(case.plan(), Plan::Refuse(Refusal::ImmutableConflict));

    let mut case = Case::with(present());
    case.there().immutable = true;
    case.content.metadata = [2; 32];
    assert!(matches!(
        case.plan(),
        Plan::Apply(Apply {
            immutable: true,
            why: Why::Metadata,
            ..
        })
    ));
}

/// secret-types 2.2: mutable to immutable is one write, together with a data change.
#[test]
fn becoming_immutable_takes_one_write() {
    let mut case = Case::rotation();
    case.policy.immutable = Immutable::Recreate;
    assert!(matches!(
        case.plan(),
        Plan::Apply(Apply {
            immutable: true,
            why: Why::Rotation,
            ..
        })
    ));
}

/// secret-sync 6: an immutable Secret whose record cannot be compared is tried, and refused only after the API server did.
#[test]
fn a_lost_key_does_not_recreate_immutable_secrets() {
    let mut case = Case::with(present());
    case.there().immutable = true;
    case.policy.immutable = Immutable::Recreate;
    case.content.fingerprint = print(2, 1);
    assert_eq!(case.why(), Why::KeyLost);
    case.there().same_data = Same::No;
    assert!(matches!(case.plan(), Plan::Recreate { .. }));
}

/// secret-sync 9, Versioned: another value is another name; a worse one is held against the newest version.
#[test]
fn a_version_is_created_unless_its_value_is_worse() {
    let mut case = Case::absent();
    case.policy.immutable = Immutable::Versioned;
    let name = format!("db-{}", print(1, 1).short());
    assert_eq!(case.plan(), Plan::NewVersion { name });
    case.history.latest = Some(Record {
        fingerprint: print(1, 0),
        verdict: Some(Verdict::default()),
    });
    case.content.verdict = failing(&["tls.pair"]);
    assert_eq!(case.plan(), Plan::Hold(set(&["tls.pair"])));
    case.content.verdict = Verdict::default();
    case.content.keys = BTreeSet::new();
    assert_eq!(case.plan(), Plan::Refuse(Refusal::WouldEmpty));
}

/// secret-sync 8, Never: refused with the names of the keys that would be added or replaced.
#[test]
fn a_strangers_secret_is_not_touched_and_the_keys_are_named() {
    let mut case = Case::stranger();
    case.content.keys = set(&["a", "b"]);
    let Plan::Refuse(Refusal::AdoptionRefused { keys, .. }) = case.plan() else {
        panic!("{:?}", case.plan());
    };
    assert_eq!(keys, [("a".to_owned(), true), ("b".to_owned(), false)]);
}

/// secret-sync 8: adoption needs the consent of whoever may write the Secret, under both policies.
#[test]
fn adoption_needs_consent() {
    for adopt in [Adopt::IfMatching, Adopt::Merge] {
        let mut case = Case::stranger();
        case.policy.adopt = adopt;
        assert!(
            case.adoption_refused().contains("coffer.rs/adoptable-by"),
            "{adopt:?}"
        );
        case.there().consent = true;
        assert_eq!(case.plan(), Plan::Compare, "{adopt:?}");
    }
}

/// secret-sync 8: IfMatching takes equal or absent keys only, Merge replaces; neither another type.
#[test]
fn adoption_compares_content_first() {
    let mut case = Case::stranger();
    case.there().consent = true;
    let adopt = Plan::Adopt {
        uid: "u1".to_owned(),
        clear_driver: false,
    };
    let rows = [
        (Adopt::IfMatching, true, &[][..], Some(true)),
        (Adopt::IfMatching, true, &["a"][..], None),
        (Adopt::IfMatching, false, &[][..], Some(false)),
        (Adopt::Merge, true, &["a"][..], Some(true)),
        (Adopt::Merge, false, &[][..], Some(false)),
    ];
    for (policy, type_, differing, expected) in rows {
        case.policy.adopt = policy;
        case.there().matching = Some(Matching {
            type_,
            differing: set(differing),
        });
        match expected {
            Some(true) => assert_eq!(case.plan(), adopt, "{policy:?} {type_} {differing:?}"),
            Some(false) => assert_eq!(case.plan(), Plan::Refuse(Refusal::TypeChange), "{policy:?}"),
            None => assert!(case.adoption_refused().contains("Merge"), "{policy:?}"),
        }
    }
}

/// secret-sync 9: a foreign `immutable: true` that would have to change is a conflict.
#[test]
fn an_immutable_strangers_secret_is_adopted_only_without_change() {
    let mut case = Case::stranger();
    case.policy.adopt = Adopt::Merge;
    case.there().consent = true;
    case.there().immutable = true;
    case.there().matching = Some(Matching {
        type_: true,
        differing: set(&["a"]),
    });
    assert_eq!(case.plan(), Plan::Refuse(Refusal::ImmutableConflict));
    case.there().matching = Some(Matching {
        type_: true,
        differing: set(&[]),
    });
    assert!(matches!(case.plan(), Plan::Adopt { .. }));
}

/// secret-sync 8: an adopted Secret is never versioned.
#[test]
fn a_strangers_secret_is_never_versioned() {
    let mut case = Case::stranger();
    case.policy.adopt = Adopt::Merge;
    case.policy.immutable = Immutable::Versioned;
    case.there().consent = true;
    assert!(case.adoption_refused().contains("version"));
}

/// secret-sync 8: the CSI driver's Secret needs Merge and consent, and its entry is removed.
#[test]
fn the_drivers_secret_is_taken_over_by_merge_and_consent() {
    let mut case = Case::stranger();
    case.there().holder = Holder::Driver;
    case.there().consent = true;
    case.there().matching = Some(Matching {
        type_: true,
        differing: set(&[]),
    });
    case.policy.adopt = Adopt::IfMatching;
    assert!(case.adoption_refused().contains("CSI driver"));
    case.policy.adopt = Adopt::Merge;
    assert_eq!(
        case.plan(),
        Plan::Adopt {
            uid: "u1".to_owned(),
            clear_driver: true
        }
    );
}

/// secret-sync 8: upstream's managers are cleared after a forced apply; that is no rotation.
#[test]
fn upstreams_secret_is_taken_over_without_a_rotation() {
    let mut case = Case::rotation();
    case.there().record = None;
    case.there().holder = Holder::Upstream(vec!["secrets-store-sync-controller".to_owned()]);
    case.policy.drift = Drift::Report;
    let Plan::Apply(apply) = case.plan() else {
        panic!("{:?}", case.plan());
    };
    assert_eq!((apply.why, apply.force), (Why::Takeover, true));
    assert_eq!(apply.clear, ["secrets-store-sync-controller"]);
}

/// secret-sync 8: three rounds in ten minutes are a fight; one write per hour, ended by a spec change or a quiet hour.
#[test]
fn a_fight_stops_until_an_hour_passed_or_the_spec_changed() {
    let hand = || Fight::Manager("hand".to_owned());
    let revision = Revision::default();
    let mut contest = Contest::default();
    for second in [0, 700, 1000] {
        contest.fought(hand(), revision, at(second));
        assert_eq!(
            contest.blocked(revision, at(second)),
            None,
            "second {second}"
        );
    }
    contest.fought(Fight::Deletion, revision, at(1100));
    assert_eq!(
        contest.blocked(revision, at(1100)),
        None,
        "another opponent"
    );
    contest.fought(hand(), revision, at(1200));
    assert_eq!(contest.blocked(revision, at(1200)), Some(hand()));
    assert_eq!(contest.until(), Some(at(4800)));
    assert_eq!(
        contest.blocked(
            Revision {
                generation: 2,
                ..revision
            },
            at(1200)
        ),
        None,
        "the spec changed"
    );
    assert_eq!(contest.blocked(revision, at(4799)), Some(hand()));
    assert_eq!(contest.blocked(revision, at(4800)), None, "one attempt");
    contest.fought(hand(), revision, at(4800));
    assert_eq!(
        contest.blocked(revision, at(4801)),
        Some(hand()),
        "one round is enough now"
    );
    contest.calm(at(5000));
    assert_eq!(
        contest.blocked(revision, at(5000)),
        Some(hand()),
        "not a quiet hour"
    );
    contest.calm(at(8400));
    contest.fought(hand(), revision, at(8401));
    assert_eq!(contest.blocked(revision, at(8401)), None, "it was over");
}

/// secret-sync 8: while contested nothing is forced, created or recreated.
#[test]
fn a_contested_secret_is_left_alone() {
    let mut contest = Contest::default();
    for _ in 0..3 {
        contest.fought(Fight::Deletion, content().revision, at(0));
    }
    let mut typed = Case::rotation();
    typed.there().same_type = Same::No;
    for mut case in [Case::rotation(), Case::absent(), typed] {
        case.history.contest = contest.clone();
        assert_eq!(
            case.plan(),
            Plan::Refuse(Refusal::Contested(Fight::Deletion))
        );
    }
}

/// secret-sync 9: old versions go when there are more than `keep`, none younger than a day, none that is named.
#[test]
fn old_versions_go_unless_they_are_young_or_named() {
    let day = 24 * 3600;
    let version = |name: &str, created: i64, named: bool| VersionSeen {
        name: name.to_owned(),
        created: at(created),
        named,
    };
    let now = at(10 * day);
    let versions = [
        version("v3", 3 * day, false),
        version("v1", day, true),
        version("v2", 2 * day, false),
        version("v9", 9 * day + 1, false),
        version("v10", 10 * day, false),
    ];
    assert_eq!(prunable(&versions, "v10", 3, now), ["v2", "v3"]);
    assert_eq!(prunable(&versions, "v10", 4, now), ["v2"]);
    assert_eq!(prunable(&versions, "v10", 5, now), [""; 0]);
    assert_eq!(prunable(&versions, "v2", 1, now), ["v3"]);
    let limit = now - jiff::SignedDuration::try_from(Duration::from_secs(24 * 3600)).unwrap();
    assert_eq!(limit, at(9 * day));
}

/// secret-sync 9: an orphan goes if we created it and may delete it; otherwise somebody is told.
#[test]
fn an_orphan_is_deleted_only_if_we_created_it() {
    let (may, may_not) = (
        Rights {
            delete: true,
            watch: false,
        },
        Rights::default(),
    );
    let deleted = Orphan::Delete {
        uid: "u1".to_owned(),
        resource_version: "7".to_owned(),
    };
    let upstream = Holder::Upstream(Vec::new());
    for (holder, deletion, rights, expected) in [
        (
            Holder::Ours { adopted: false },
            Deletion::Delete,
            may,
            deleted,
        ),
        (
            Holder::Ours { adopted: false },
            Deletion::Delete,
            may_not,
            Orphan::Warn,
        ),
        (
            Holder::Ours { adopted: true },
            Deletion::Delete,
            may,
            Orphan::Warn,
        ),
        (upstream, Deletion::Delete, may, Orphan::Warn),
        (
            Holder::Ours { adopted: false },
            Deletion::Retain,
            may,
            Orphan::Leave,
        ),
        (Holder::Stranger, Deletion::Delete, may, Orphan::Leave),
        (Holder::Driver, Deletion::Delete, may, Orphan::Leave),
        (Holder::Former, Deletion::Delete, may, Orphan::Leave),
    ] {
        let there = Present {
            holder: holder.clone(),
            ..present()
        };
        assert_eq!(
            orphan(&there, deletion, rights),
            expected,
            "{holder:?} {deletion:?} {rights:?}"
        );
        let deleting = Present {
            deleting: true,
            ..there
        };
        assert_eq!(orphan(&deleting, deletion, rights), Orphan::Leave);
    }
}
