//! What cannot change in place: types, immutable Secrets, versions.

use super::*;

/// Sync §9, and 16 (a type change is no error for ever): recreated only if we created it, may delete it, and the new content passes.
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
    case.content.verdict = verdict(&["tls.pair"]);
    assert_eq!(case.plan(), Plan::Hold(checks(&["tls.pair"])));
    case.content.verdict = verdict(&[]);
    case.there().holder = Holder::Ours { adopted: true };
    assert_eq!(case.plan(), refuse);
    case.there().holder = Holder::Ours { adopted: false };
    case.policy.rights.delete = false;
    assert_eq!(case.plan(), refuse);
    case.policy.rights.delete = true;
    case.policy.on_type_change = OnTypeChange::Fail;
    assert_eq!(case.plan(), refuse);
}

/// Sync §9, and 16 (`immutable` does not stop rotation): an immutable Secret takes metadata; other data only under Recreate, with the right, and if ours.
#[test]
fn an_immutable_secret_is_recreated_only_where_that_was_asked_for() {
    let mut case = Case::rotation();
    case.there().frozen = Frozen::Ours;
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
    case.there().frozen = Frozen::Ours;
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

/// Types §2.2: a field that somebody else set is not taken for `true`, nor made so, before a write was refused.
#[test]
fn a_field_that_somebody_else_set_is_tried_first() {
    let mut case = Case::rotation();
    case.there().frozen = Frozen::Perhaps;
    assert!(matches!(
        case.plan(),
        Plan::Apply(Apply {
            immutable: false,
            why: Why::Rotation,
            ..
        })
    ));
    case.there().same_data = Same::No;
    assert_eq!(case.plan(), Plan::Refuse(Refusal::ImmutableConflict));
}

/// Types §2.2: mutable to immutable is one write, together with a data change.
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

/// Sync §6: an immutable Secret whose record cannot be compared is tried, and refused only after the API server did.
#[test]
fn a_lost_key_does_not_recreate_immutable_secrets() {
    let mut case = Case::with(present());
    case.there().frozen = Frozen::Ours;
    case.policy.immutable = Immutable::Recreate;
    case.content.fingerprint = print(2, 1);
    assert_eq!(case.why(), Why::KeyLost);
    case.there().same_data = Same::No;
    assert!(matches!(case.plan(), Plan::Recreate { .. }));
}

/// Sync §9, Versioned: another value is another name; a worse one is held against the newest version.
#[test]
fn a_version_is_created_unless_its_value_is_worse() {
    let mut case = Case::absent();
    case.policy.immutable = Immutable::Versioned;
    let name = format!("db-{}", print(1, 1).short());
    assert_eq!(case.plan(), Plan::NewVersion { name });
    case.history.latest = Some(Record {
        fingerprint: print(1, 0),
        verdict: verdict(&[]),
    });
    case.content.verdict = verdict(&["tls.pair"]);
    assert_eq!(case.plan(), Plan::Hold(checks(&["tls.pair"])));
    case.content.verdict = verdict(&[]);
    case.content.keys = BTreeSet::new();
    assert_eq!(case.plan(), Plan::Refuse(Refusal::WouldEmpty));
}

/// Sync §9: old versions go when there are more than `keep`, none younger than a day, none that is named.
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
