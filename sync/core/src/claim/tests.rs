//! Who writes what, row by row.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn source(door: Door, uid: &str, created: i64) -> Source {
    Source {
        door,
        namespace: "ns".to_owned(),
        name: "db".to_owned(),
        uid: uid.to_owned(),
        created: at(created),
    }
}

fn claim(uid: &str, created: i64, index: usize, secret: &str) -> Claim {
    Claim {
        source: source(Door::Class, uid, created),
        index,
        secret: secret.to_owned(),
    }
}

/// Sync §2 and 16: the controller's name decides; unnamed ones only where the operator says so.
#[test]
fn a_secret_sync_is_ours_by_its_controllers_name() {
    for (written, unnamed, expected) in [
        ("coffer.rs/sync", false, true),
        ("coffer.rs/sync", true, true),
        ("", false, false),
        ("", true, true),
        ("other", true, false),
        ("Coffer.rs/sync", true, false),
    ] {
        assert_eq!(
            claims_sync(written, "coffer.rs/sync", unnamed),
            expected,
            "{written:?} {unnamed}"
        );
    }
}

/// Sync §1: a class is left alone without `sync-as`; a wrong one is an error, not a closed door.
#[test]
fn a_class_is_opened_by_sync_as() {
    let with = |text: &str| BTreeMap::from([("coffer.rs/sync-as".to_owned(), text.to_owned())]);
    assert_eq!(opens_class(&BTreeMap::new()), None);
    assert_eq!(opens_class(&with("app.x")), Some(Ok("app.x")));
    for wrong in ["", "App", "a b", "system:serviceaccount:ns:app"] {
        assert!(matches!(opens_class(&with(wrong)), Some(Err(_))), "{wrong}");
    }
}

/// Sync §1: the second claim on a name loses: creationTimestamp, then uid; across both doors.
#[test]
fn the_younger_of_two_claims_loses() {
    let claims = [
        claim("u2", 10, 0, "db"),
        claim("u1", 20, 0, "db"),
        claim("u3", 10, 0, "db"),
        claim("u3", 10, 1, "other"),
        claim("u3", 10, 2, "other"),
    ];
    assert_eq!(losers(&claims), BTreeMap::from([(1, 0), (2, 0), (4, 3)]));
    let sync = Claim {
        source: source(Door::Sync, "u0", 5),
        index: 0,
        secret: "db".to_owned(),
    };
    assert_eq!(losers(&[claims[0].clone(), sync]), BTreeMap::from([(0, 1)]));
    let mut elsewhere = claims[1].clone();
    elsewhere.source.namespace = "other".to_owned();
    assert_eq!(losers(&[claims[0].clone(), elsewhere]), BTreeMap::new());
}

/// Types §2: the name's rule, with a legal form suggested; never renamed silently.
#[test]
fn a_secrets_name_is_checked_and_a_legal_one_suggested() {
    let longest = "a".repeat(253);
    for name in ["a.b", "1", longest.as_str()] {
        assert_eq!(secret_name(name, false).as_deref(), Ok(name));
    }
    assert_eq!(secret_name(" db\n", false).as_deref(), Ok("db"));
    for (name, suggested) in [
        ("Upper", "upper"),
        ("a_b", "a-b"),
        ("a..b", "a.b"),
        ("-a", "a"),
        ("a-", "a"),
        (".a", "a"),
        ("dir/My Key", "dir-my-key"),
        ("ü", "at most 253"),
    ] {
        let problem = secret_name(name, false).unwrap_err();
        assert!(problem.remedy.contains(suggested), "{name}: {problem}");
    }
    assert!(secret_name("", false).is_err());
    assert!(secret_name(&"a".repeat(254), false).is_err());
}

/// Sync §9: the base of a version's name has at most 242 characters.
#[test]
fn a_versioned_name_leaves_room() {
    assert!(secret_name(&"a".repeat(242), true).is_ok());
    assert!(secret_name(&"a".repeat(243), true).is_err());
}

fn entry(manager: &str, operation: Operation, fields: serde_json::Value) -> Managed {
    Managed {
        manager: manager.to_owned(),
        operation,
        fields,
    }
}

fn reference(uid: &str) -> serde_json::Value {
    let key = format!(r#"k:{{"uid":"{uid}"}}"#);
    json!({"f:metadata": {"f:ownerReferences": {key: {}}}, "f:data": {"f:a": {}}})
}

fn owned(by: &str, manager: &str, operation: Operation) -> Metadata {
    Metadata {
        owners: vec![("SecretSync".to_owned(), "db".to_owned(), by.to_owned())],
        managed: vec![entry(manager, operation, reference(by))],
        ..Metadata::default()
    }
}

fn marked(by: &str, fields: serde_json::Value) -> Metadata {
    Metadata {
        annotations: BTreeMap::from([("coffer.rs/source-uid".to_owned(), by.to_owned())]),
        managed: vec![entry(APPLY_MANAGER, Operation::Apply, fields)],
        ..Metadata::default()
    }
}

/// Sync §7: ours iff our manager owns our reference or mark; one row per way of being foreign.
#[test]
fn a_secret_is_ours_only_if_our_manager_owns_our_mark() {
    let mark = json!({"f:metadata": {"f:annotations": {"f:coffer.rs/source-uid": {}}}});
    let us = source(Door::Sync, "u1", 0);
    let mut adopted = marked("u1", mark.clone());
    adopted
        .annotations
        .insert("coffer.rs/adopted".to_owned(), "true".to_owned());
    let driver = Metadata {
        labels: BTreeMap::from([(
            "secrets-store.csi.k8s.io/managed".to_owned(),
            "true".to_owned(),
        )]),
        managed: vec![entry("csi-secrets-store", Operation::Update, json!({}))],
        ..Metadata::default()
    };
    let mut only_label = driver.clone();
    only_label.managed.clear();
    let mut unowned = owned("u1", APPLY_MANAGER, Operation::Apply);
    unowned.managed[0].fields = json!({"f:data": {"f:a": {}}});
    let mut two = owned("u9", "hand", Operation::Update);
    two.owners
        .push(("Job".to_owned(), "x".to_owned(), "u8".to_owned()));
    let ours = Holder::Ours { adopted: false };
    for (what, seen, expected) in [
        (
            "reference",
            owned("u1", APPLY_MANAGER, Operation::Apply),
            ours.clone(),
        ),
        ("mark", marked("u1", mark.clone()), ours),
        ("adopted", adopted, Holder::Ours { adopted: true }),
        (
            "by update",
            owned("u1", APPLY_MANAGER, Operation::Update),
            Holder::Stranger,
        ),
        (
            "probe",
            owned("u1", PROBE_MANAGER, Operation::Apply),
            Holder::Stranger,
        ),
        (
            "another manager",
            owned("u1", "hand", Operation::Apply),
            Holder::Stranger,
        ),
        (
            "reference not owned by our manager",
            unowned,
            Holder::Stranger,
        ),
        (
            "mark of another source",
            marked("u2", mark),
            Holder::Stranger,
        ),
        (
            "mark not owned by our manager",
            marked("u1", json!({})),
            Holder::Stranger,
        ),
        (
            "former source of the name",
            owned("u0", APPLY_MANAGER, Operation::Apply),
            Holder::Former,
        ),
        ("two foreign owners", two, Holder::Stranger),
        ("driver", driver, Holder::Driver),
        ("driver's label alone", only_label, Holder::Stranger),
        ("nothing", Metadata::default(), Holder::Stranger),
    ] {
        assert_eq!(holder(&us, &seen), expected, "{what}");
    }
}

/// Sync §8, and 16 (a renamed field manager blocks nothing): both of upstream's managers co-own every key and are named for clearing.
#[test]
fn upstreams_managers_are_recognised_together() {
    let us = source(Door::Sync, "u1", 0);
    let mut seen = owned("u1", UPSTREAM_MANAGERS[0], Operation::Apply);
    seen.managed.push(entry(
        UPSTREAM_MANAGERS[1],
        Operation::Apply,
        reference("u1"),
    ));
    let both = UPSTREAM_MANAGERS.map(str::to_owned).to_vec();
    assert_eq!(holder(&us, &seen), Holder::Upstream(both.clone()));
    seen.managed
        .push(entry(APPLY_MANAGER, Operation::Apply, reference("u1")));
    assert_eq!(
        holder(&us, &seen),
        Holder::Upstream(both),
        "a takeover that stopped half-way goes on"
    );
    assert_eq!(holder(&source(Door::Sync, "u2", 0), &seen), Holder::Former);
}

/// Sync §8: key names are told from metadata alone.
#[test]
fn names_of_keys_are_read_from_managed_fields() {
    let mut seen = owned("u1", APPLY_MANAGER, Operation::Apply);
    seen.managed.push(entry(
        "hand",
        Operation::Update,
        json!({"f:stringData": {"f:b": {}}, "f:data": {".": {}, "f:c": {}}}),
    ));
    assert_eq!(
        keys(&seen),
        BTreeSet::from(["a", "b", "c"].map(str::to_owned))
    );
    assert_eq!(keys_of_ours(&seen), BTreeSet::from(["a".to_owned()]));
}
