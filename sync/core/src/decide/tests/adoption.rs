//! What is not ours: adoption, and takeover from the CSI driver and from upstream's controller.

use super::*;

/// Sync §8, Never, and 16 (a foreign Secret is never taken, replaced or cleared): refused with the names of the keys that would be added or replaced.
#[test]
fn a_strangers_secret_is_not_touched_and_the_keys_are_named() {
    let mut case = Case::stranger();
    case.content.keys = set(&["a", "b"]);
    let Plan::Refuse(Refusal::AdoptionRefused { keys, .. }) = case.plan() else {
        panic!("{:?}", case.plan());
    };
    assert_eq!(keys, [("a".to_owned(), true), ("b".to_owned(), false)]);
}

/// Sync §8: adoption needs the consent of whoever may write the Secret, under both policies.
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

/// Sync §8: IfMatching takes equal or absent keys only, Merge replaces; neither another type.
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
            immutable: false,
            differing: set(differing),
        });
        match expected {
            Some(true) => assert_eq!(case.plan(), adopt, "{policy:?} {type_} {differing:?}"),
            Some(false) => assert_eq!(case.plan(), Plan::Refuse(Refusal::TypeChange), "{policy:?}"),
            None => assert!(case.adoption_refused().contains("Merge"), "{policy:?}"),
        }
    }
}

/// Sync §9: a foreign `immutable: true` that would have to change is a conflict.
#[test]
fn an_immutable_strangers_secret_is_adopted_only_without_change() {
    let mut case = Case::stranger();
    case.policy.adopt = Adopt::Merge;
    case.there().consent = true;
    case.there().matching = Some(Matching {
        type_: true,
        immutable: true,
        differing: set(&["a"]),
    });
    assert_eq!(case.plan(), Plan::Refuse(Refusal::ImmutableConflict));
    case.there().matching = Some(Matching {
        type_: true,
        immutable: true,
        differing: set(&[]),
    });
    assert!(matches!(case.plan(), Plan::Adopt { .. }));
}

/// Sync §8: an adopted Secret is never versioned.
#[test]
fn a_strangers_secret_is_never_versioned() {
    let mut case = Case::stranger();
    case.policy.adopt = Adopt::Merge;
    case.policy.immutable = Immutable::Versioned;
    case.there().consent = true;
    assert!(case.adoption_refused().contains("version"));
}

/// Sync §8: the CSI driver's Secret needs Merge and consent, and its entry is removed.
#[test]
fn the_drivers_secret_is_taken_over_by_merge_and_consent() {
    let mut case = Case::stranger();
    case.there().holder = Holder::Driver;
    case.there().consent = true;
    case.there().matching = Some(Matching {
        type_: true,
        immutable: false,
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

/// Sync §8: upstream's managers are cleared after a forced apply; that is no rotation.
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

/// Sync §8: three rounds in ten minutes are a fight; one write per hour, ended by a spec change or a quiet hour.
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

/// Sync §8: while contested nothing is forced, created or recreated.
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

/// Sync §9: an orphan goes if we created it and may delete it; otherwise somebody is told.
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
