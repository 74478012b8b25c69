//! Each option as a table of right and wrong values, and all of them together.

use super::*;
use crate::mapping::{Decode, Pointer};
use crate::validate::Policy;

fn annotations(pairs: &[(&str, &str)]) -> Annotations {
    pairs
        .iter()
        .map(|(key, value)| (format!("{PREFIX}{key}"), value.to_string()))
        .collect()
}

fn read(pairs: &[(&str, &str)]) -> Result<Options, Vec<Problem>> {
    let default = Some(Duration::from_secs(600));
    parse(
        Door::Sync,
        &annotations(pairs),
        &Annotations::new(),
        default,
    )
    .options
}

/// One option's value, or the only problem as a text.
#[track_caller]
fn check<T: PartialEq + std::fmt::Debug>(
    name: &str,
    text: &str,
    get: impl Fn(Options) -> T,
    expected: Option<T>,
) {
    let found = read(&[(name, text)]);
    match (found, expected) {
        (Ok(options), Some(expected)) => assert_eq!(get(options), expected, "{name}: {text}"),
        (Err(problems), None) => {
            assert_eq!(problems.len(), 1, "{name}: {text}: {problems:?}");
            assert_eq!(problems[0].field, format!("{PREFIX}{name}"), "{text}");
        }
        (found, expected) => panic!("{name}: {text}: {found:?}, expected {expected:?}"),
    }
}

fn seconds(count: u64) -> Option<Option<Duration>> {
    Some(Some(Duration::from_secs(count)))
}

/// Sync §3: the defaults of the table.
#[test]
fn without_annotations_the_defaults_hold() {
    let options = read(&[]).unwrap();
    assert_eq!(options, Options::new(Some(Duration::from_secs(600))));
    assert_eq!(options.validation, Policy::Hold);
    assert_eq!(options.immutable, Immutable::Never);
    assert_eq!(options.keep_versions, 3);
    assert_eq!(options.restart, Restart::Never);
    assert_eq!(options.restart_window, Duration::from_secs(30));
    assert_eq!(options.adopt, Adopt::Never);
    assert_eq!(options.deletion, Deletion::Delete);
    assert_eq!(options.on_type_change, OnTypeChange::Recreate);
    assert_eq!(options.drift, Drift::Repair);
    assert!(!options.all_keys && !options.suspend);
}

/// Sync §3: `30s`..`168h`, or `0` for no polling.
#[test]
fn the_refresh_interval_has_bounds_and_an_off() {
    for (text, expected) in [
        ("30s", seconds(30)),
        ("90s", seconds(90)),
        ("10m", seconds(600)),
        ("1h30m", seconds(5400)),
        ("168h", seconds(604_800)),
        ("0", Some(None)),
        ("0s", Some(None)),
        ("29s", None),
        ("168h1s", None),
        ("10", None),
        ("m", None),
        ("1m1h", None),
        ("-1m", None),
        ("+1m", None),
        ("1.5h", None),
        ("ten", None),
        ("", None),
        ("99999999999999999999h", None),
    ] {
        check(
            "refresh-interval",
            text,
            |options| options.refresh_interval,
            expected,
        );
    }
}

/// Sync §3: words are taken exactly as the table writes them, so that no typo weakens anything.
#[test]
fn words_are_taken_exactly() {
    check(
        "validation",
        "Off",
        |options| options.validation,
        Some(Policy::Off),
    );
    check(
        "validation",
        "Warn",
        |options| options.validation,
        Some(Policy::Warn),
    );
    check(
        "validation",
        "Strict",
        |options| options.validation,
        Some(Policy::Strict),
    );
    check("validation", "strict", |options| options.validation, None);
    check(
        "immutable",
        "Recreate",
        |options| options.immutable,
        Some(Immutable::Recreate),
    );
    check(
        "immutable",
        "Versioned",
        |options| options.immutable,
        Some(Immutable::Versioned),
    );
    check("immutable", "true", |options| options.immutable, None);
    check(
        "adopt",
        "IfMatching",
        |options| options.adopt,
        Some(Adopt::IfMatching),
    );
    check(
        "adopt",
        "Merge",
        |options| options.adopt,
        Some(Adopt::Merge),
    );
    check(
        "deletion-policy",
        "Retain",
        |options| options.deletion,
        Some(Deletion::Retain),
    );
    check(
        "on-type-change",
        "Fail",
        |options| options.on_type_change,
        Some(OnTypeChange::Fail),
    );
    check(
        "drift",
        "Report",
        |options| options.drift,
        Some(Drift::Report),
    );
    check("suspend", "true", |options| options.suspend, Some(true));
    check("suspend", "yes", |options| options.suspend, None);
    check("all-keys", "true", |options| options.all_keys, Some(true));
    check("all-keys", "1", |options| options.all_keys, None);
    check(
        "force-sync",
        "any text: 2026-01-01T00:00:00Z",
        |options| !options.force_sync.is_empty(),
        Some(true),
    );
}

/// Sync §3: 1..20 versions, a window of 0s..1h, legal required keys.
#[test]
fn numbers_windows_and_keys_have_bounds() {
    for (text, expected) in [
        ("1", Some(1)),
        ("20", Some(20)),
        ("0", None),
        ("21", None),
        ("-1", None),
        ("", None),
    ] {
        check(
            "keep-versions",
            text,
            |options| options.keep_versions,
            expected,
        );
    }
    for (text, expected) in [
        ("0s", Some(0)),
        ("30s", Some(30)),
        ("1h", Some(3600)),
        ("61m", None),
    ] {
        check(
            "restart-window",
            text,
            |options| options.restart_window.as_secs(),
            expected,
        );
    }
    for (text, expected) in [
        ("a, b.c", Some(2)),
        ("a", Some(1)),
        ("a,,b", None),
        ("a/b", None),
        ("..a", None),
        ("", None),
    ] {
        check(
            "required-keys",
            text,
            |options| options.required_keys.len(),
            expected,
        );
    }
}

/// Sync §3: the four forms of `restart`.
#[test]
fn restart_takes_words_a_selector_or_names() {
    let target = |kind, name: &str| Target {
        kind,
        name: name.to_owned(),
    };
    check(
        "restart",
        "Never",
        |options| options.restart,
        Some(Restart::Never),
    );
    check(
        "restart",
        "Auto",
        |options| options.restart,
        Some(Restart::Auto),
    );
    let selector = Selector::parse("app=web").unwrap();
    check(
        "restart",
        "selector:app=web",
        |options| options.restart,
        Some(Restart::Selected(selector)),
    );
    let named = [
        target(Kind::Deployment, "web"),
        target(Kind::StatefulSet, "db.x"),
        target(Kind::DaemonSet, "d"),
    ];
    let named = Restart::Named(named.into_iter().collect());
    check(
        "restart",
        "Deployment/web, StatefulSet/db.x,DaemonSet/d",
        |options| options.restart,
        Some(named),
    );
    for text in [
        "auto",
        "selector:",
        "web",
        "Pod/web",
        "Deployment/Web",
        "Deployment/",
        "Deployment/a,",
        "",
    ] {
        check("restart", text, |options| options.restart, None);
    }
    let problems = read(&[("restart", "Deploymnet/web")]).unwrap_err();
    assert_eq!(problems[0].remedy, "did you mean Deployment?");
}

/// Sync §3: `extra-data` names file and key, and says how the bytes are read.
#[test]
fn extra_data_is_a_list_of_mapped_files() {
    let text = r#"[
        {"sourcePath": "a/b", "targetKey": "a_b"},
        {"sourcePath": "c", "targetKey": ".c", "optional": true, "decode": "gzip", "pointer": "/x~1y/0"},
        {"sourcePath": "d", "targetKey": "d", "optional": null, "decode": null, "pointer": null}
    ]"#;
    let entries = read(&[("extra-data", text)]).unwrap().extra_data;
    assert_eq!(entries.len(), 3);
    assert_eq!(
        (entries[0].decode, entries[0].optional, &entries[0].pointer),
        (Decode::None, false, &None)
    );
    assert_eq!(
        (entries[1].decode, entries[1].optional),
        (Decode::Gzip, true)
    );
    assert_eq!(entries[1].pointer, Pointer::parse("/x~1y/0"));
    assert_eq!(read(&[("extra-data", "[]")]).unwrap().extra_data, []);
}

/// Sync §3: every problem of every entry is told at once, and the value of none is repeated as a whole.
#[test]
fn all_problems_of_extra_data_are_told_together() {
    let text = r#"[
        {"sourcePth": "a", "targetKey": "a/b"},
        {"sourcePath": "a", "targetKey": "x", "optional": "yes", "decode": "Base64", "pointer": "x"},
        3,
        {"sourcePath": "a", "targetKey": "same"},
        {"sourcePath": "b", "targetKey": "same"}
    ]"#;
    let problems = read(&[("extra-data", text)]).unwrap_err();
    let fields: Vec<&str> = problems
        .iter()
        .map(|problem| problem.field.trim_start_matches("coffer.rs/extra-data"))
        .collect();
    let expected = [
        "[0].sourcePth",
        "[0].sourcePath",
        "[0].targetKey",
        "[1].optional",
        "[1].decode",
        "[1].pointer",
        "[2]",
        "[4].targetKey",
    ];
    assert_eq!(fields, expected);
    assert_eq!(problems[0].remedy, "did you mean sourcePath?");
    for text in ["", "{}", "[", "null"] {
        check("extra-data", text, |options| options.extra_data.len(), None);
    }
}

/// Sync §3: a bad value names key and allowed values; all of them are told together.
#[test]
fn all_wrong_values_are_told_together() {
    let problems = read(&[
        ("adopt", "always"),
        ("drift", "Ignore"),
        ("suspend", "TRUE"),
    ])
    .unwrap_err();
    let told = crate::problem::joined(&problems);
    for part in [
        "coffer.rs/adopt",
        "Never, IfMatching, Merge",
        "coffer.rs/drift",
        "Repair, Report",
        "true, false",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

/// Sync §3: an unknown name is a warning with the one that was meant, and otherwise ignored.
#[test]
fn unknown_names_are_told_with_the_one_that_was_meant() {
    let source = annotations(&[
        ("restarts", "Auto"),
        ("frobnicate", "x"),
        ("adopt", "Merge"),
    ]);
    let parsed = parse(Door::Sync, &source, &Annotations::new(), None);
    assert_eq!(parsed.options.unwrap().adopt, Adopt::Merge);
    let told: Vec<(&str, &str)> = parsed
        .unknown
        .iter()
        .map(|one| (one.field.as_str(), one.remedy.as_str()))
        .collect();
    let expected = [
        (
            "coffer.rs/frobnicate",
            "remove it, or see the list of options",
        ),
        ("coffer.rs/restarts", "did you mean coffer.rs/restart?"),
    ];
    assert_eq!(told, expected);
}

/// Sync §3: names that belong on other objects have no effect, and it is said where they belong.
#[test]
fn misplaced_names_are_told() {
    let source = annotations(&[("sync-as", "app"), ("adoptable-by", "SecretSync/x")]);
    let unknown = parse(Door::Sync, &source, &Annotations::new(), None).unknown;
    assert_eq!(unknown.len(), 2);
    assert!(
        unknown
            .iter()
            .any(|one| one.remedy.contains("spec.serviceAccountName"))
    );
    let class = parse(
        Door::Class,
        &annotations(&[("sync-as", "app"), ("sync-status", "x")]),
        &Annotations::new(),
        None,
    );
    assert_eq!(class.unknown, []);
}

/// Sync §1: the same key inside `secretObjects[].annotations` wins for that Secret.
#[test]
fn annotations_of_a_secret_object_win_over_the_class() {
    let source = annotations(&[("adopt", "Merge"), ("drift", "Report")]);
    let options = parse(
        Door::Class,
        &source,
        &annotations(&[("adopt", "Never")]),
        None,
    )
    .options
    .unwrap();
    assert_eq!(
        (options.adopt, options.drift),
        (Adopt::Never, Drift::Report)
    );
    let inner = parse(
        Door::Class,
        &source,
        &annotations(&[("sync-as", "other")]),
        None,
    );
    assert!(
        inner.options.is_err(),
        "one call serves all Secrets of a class"
    );
}

/// Sync §1: options are consumed, not copied to the Secret; consent cannot be given by the source itself.
#[test]
fn options_are_not_copied_to_the_secret() {
    let mut object = annotations(&[
        ("adopt", "Merge"),
        ("adoptable-by", "SecretProviderClass/x"),
    ]);
    object.insert("team".to_owned(), "a".to_owned());
    let copied = copied(&object);
    assert_eq!(copied.keys().collect::<Vec<_>>(), ["team"]);
}

/// Sync §2 and 18: options move the digest, our own writes and other annotations do not.
#[test]
fn the_digest_follows_options_only() {
    let before = annotations(&[("adopt", "Merge"), ("force-sync", "1")]);
    let mut noise = before.clone();
    noise.insert(
        "kubectl.kubernetes.io/last-applied".to_owned(),
        "x".to_owned(),
    );
    noise.insert(SYNC_STATUS.to_owned(), "x".to_owned());
    assert_eq!(digest(&noise), digest(&before));
    for other in [
        annotations(&[("adopt", "Merge"), ("force-sync", "2")]),
        annotations(&[("adopt", "Merge")]),
        annotations(&[("adoptM", "erge"), ("force-sync", "1")]),
    ] {
        assert_ne!(digest(&other), digest(&before), "{other:?}");
    }
}

#[test]
fn every_option_is_known_by_its_name() {
    for name in Name::ALL {
        assert_eq!(Name::of(name.as_str()), Some(name));
        assert!(name.as_str().starts_with(PREFIX));
    }
    assert_eq!(Name::of("coffer.rs/record"), None);
}
