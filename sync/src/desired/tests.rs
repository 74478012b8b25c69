//! One spec per case, from what a person wrote to the Secret, or to the refusal that names what is wrong.

use coffer_sync_core::mapping::Answer;
use coffer_sync_core::options::{Door, parse};
use coffer_sync_core::validate::Check;
use serde_json::{Value, json};

use super::*;

fn text(map: &[(&str, &str)]) -> BTreeMap<String, String> {
    map.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn source(door: Door) -> Source {
    Source {
        door,
        namespace: "shop".to_owned(),
        name: "db".to_owned(),
        uid: "u1".to_owned(),
        created: Timestamp::UNIX_EPOCH,
    }
}

fn options(door: Door, annotations: &[(&str, &str)]) -> Options {
    let parsed = parse(door, &text(annotations), &BTreeMap::new(), None);
    parsed
        .options
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn files(list: &[(&str, &str)]) -> Files<SecretBytes> {
    let list = list.iter().map(|(path, value)| {
        let bytes = SecretBytes::new(value.as_bytes().to_vec());
        ((*path).to_owned(), bytes)
    });
    match Answer::collect(list) {
        Ok(Ok(answer)) => answer.files,
        Ok(Err(_)) => panic!("no files"),
        Err(problems) => panic!("{problems:?}"),
    }
}

/// A SecretSync with this secretObject and these annotations.
struct Case {
    spec: SyncSpec,
    options: Options,
    allowed: AllowedTypes,
}

impl Case {
    fn new(object: Value, annotations: &[(&str, &str)]) -> Self {
        let spec = serde_json::from_value(json!({ "secretObject": object })).unwrap();
        Self {
            spec,
            options: options(Door::Sync, annotations),
            allowed: AllowedTypes::default(),
        }
    }

    fn preflight(&self) -> Result<Planned, Refusal> {
        let source = source(Door::Sync);
        preflight(&Request::of_sync(
            &source,
            &self.spec,
            &self.options,
            &self.allowed,
        ))
    }

    fn desired(&self, list: &[(&str, &str)], adopted: bool) -> Result<Desired, Wrong> {
        let source = source(Door::Sync);
        let request = Request::of_sync(&source, &self.spec, &self.options, &self.allowed);
        let planned = preflight(&request).map_err(Wrong::Refused)?;
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        desired(&request, &planned, &files(list), adopted, now, None)
    }

    #[track_caller]
    fn refused(&self) -> Refusal {
        match self.preflight() {
            Ok(_) => panic!("not refused"),
            Err(refusal) => refusal,
        }
    }

    #[track_caller]
    fn wrong(&self, list: &[(&str, &str)]) -> Wrong {
        match self.desired(list, false) {
            Ok(_) => panic!("nothing wrong"),
            Err(wrong) => wrong,
        }
    }
}

fn basic() -> Value {
    json!({
        "type": "kubernetes.io/basic-auth",
        "data": [
            {"sourcePath": "db/user", "targetKey": "username"},
            {"sourcePath": "db/password", "targetKey": "password"},
        ],
        "labels": {"app": "web"},
        "annotations": {"team": "a"},
    })
}

const LOGIN: [(&str, &str); 2] = [("db/user", "app"), ("db/password", "made-up")];

#[test]
fn files_become_the_secret_that_is_written() {
    let made = Case::new(basic(), &[]).desired(&LOGIN, false);
    let Desired {
        rendered,
        findings,
        advice,
        absent,
    } = made.unwrap_or_else(|wrong| panic!("{wrong:?}"));
    assert_eq!(
        (rendered.namespace.as_str(), rendered.name.as_str()),
        ("shop", "db")
    );
    assert_eq!(rendered.type_, "kubernetes.io/basic-auth");
    assert_eq!(
        rendered.outline(),
        [("password".to_owned(), 7), ("username".to_owned(), 3)]
    );
    assert_eq!(
        rendered.labels,
        text(&[
            ("app", "web"),
            ("coffer.rs/sync", "true"),
            ("secrets-store.sync.x-k8s.io", ""),
        ])
    );
    assert_eq!(rendered.annotations, text(&[("team", "a")]));
    assert_eq!(rendered.owner.unwrap().uid, "u1");
    assert!(!rendered.immutable && findings.list().is_empty());
    assert!(advice.is_empty() && absent.is_empty());
}

#[test]
fn an_adopted_secret_has_no_owner_and_is_never_made_immutable() {
    let case = Case::new(basic(), &[("coffer.rs/immutable", "Recreate")]);
    for (adopted, owned) in [(false, true), (true, false)] {
        let made = case.desired(&LOGIN, adopted);
        let rendered = made.unwrap_or_else(|wrong| panic!("{wrong:?}")).rendered;
        assert_eq!(
            (rendered.owner.is_some(), rendered.immutable),
            (owned, owned),
            "adopted: {adopted}"
        );
    }
}

#[test]
fn a_class_keeps_its_options_for_itself_and_is_trimmed() {
    let object = json!({
        "secretName": " web ",
        "type": " Opaque ",
        "data": [{"objectName": " a ", "key": "a"}],
        "annotations": {"coffer.rs/deletion-policy": "Retain", "team": "a"},
    });
    let object: ClassSecretObject = serde_json::from_value(object).unwrap();
    let (source, allowed) = (source(Door::Class), AllowedTypes::default());
    let parsed = parse(Door::Class, &BTreeMap::new(), &object.annotations, None);
    let options = parsed.options.unwrap();
    let request = Request::of_object(&source, &object, &options, &allowed);
    let planned = preflight(&request).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert_eq!(
        (planned.secret.as_str(), planned.frame.type_.as_str()),
        ("web", "Opaque")
    );
    assert_eq!(
        planned.frame.annotations,
        text(&[("coffer.rs/source-uid", "u1"), ("team", "a")])
    );
    assert_eq!(planned.advice.len(), 1, "{:?}", planned.advice);
}

#[test]
fn a_builder_makes_what_the_type_requires() {
    let object = json!({
        "type": "kubernetes.io/basic-auth",
        "data": [{"sourcePath": "login", "targetKey": "userinfo"}],
    });
    let case = Case::new(object, &[]);
    let made = case.desired(&[("login", "app:made-up")], false);
    let rendered = made.unwrap_or_else(|wrong| panic!("{wrong:?}")).rendered;
    let keys: Vec<&str> = rendered.data.keys().map(String::as_str).collect();
    assert_eq!(keys, ["password", "username"]);
    assert!(matches!(
        case.wrong(&[("login", "no colon")]),
        Wrong::Files(_)
    ));
}

#[test]
fn what_can_be_known_before_is_refused_before() {
    let opaque = |object: Value| Case::new(object, &[]);
    let data = json!([{"sourcePath": "a", "targetKey": "a"}]);
    for (case, reason, named) in [
        (
            opaque(json!({"type": "kubernetes.io/service-account-token", "data": data})),
            "TypeNotAllowed",
            "kubernetes.io/service-account-token",
        ),
        (
            opaque(json!({"data": data, "labels": {"coffer.rs/sync": "x", "a b": "c"}})),
            "InvalidClusterSecretLabelError",
            "labels[coffer.rs/sync]",
        ),
        (
            opaque(json!({"data": data, "annotations": {"coffer.rs/restart": "Auto"}})),
            "InvalidClusterSecretAnnotationError",
            "coffer.rs/restart",
        ),
        (
            opaque(json!({"data": data, "annotations": {"a b": "c"}})),
            "InvalidData",
            "name part must consist of",
        ),
        (
            opaque(json!({"data": [{"sourcePath": "a", "targetKey": "a/b"}]})),
            "InvalidData",
            "data[0]",
        ),
        (
            opaque(json!({"type": "kubernetes.io/tls", "data": []})),
            "InvalidData",
            "none is mapped",
        ),
        (
            Case::new(
                json!({"type": "kubernetes.io/tls", "data": [{"sourcePath": "c", "targetKey": "tls.crt"}]}),
                &[(
                    "coffer.rs/extra-data",
                    r#"[{"sourcePath":"k","targetKey":"tls.key","optional":true}]"#,
                )],
            ),
            "InvalidOption",
            "tls.key",
        ),
        (
            Case::new(
                json!({"data": data}),
                &[
                    (
                        "coffer.rs/extra-data",
                        r#"[{"sourcePath":"k","targetKey":"own","optional":true}]"#,
                    ),
                    ("coffer.rs/required-keys", "own"),
                ],
            ),
            "InvalidOption",
            "own",
        ),
    ] {
        let fault = Wrong::Refused(case.refused()).fault();
        assert_eq!(fault.reason(), reason, "{}", fault.message);
        assert!(fault.message.contains(named), "{}", fault.message);
        assert!(fault.permanent, "{reason}");
    }
}

#[test]
fn the_name_of_the_secret_is_looked_at_first() {
    let object = ClassSecretObject {
        secret_name: "Web_App".to_owned(),
        type_: "kubernetes.io/service-account-token".to_owned(),
        ..ClassSecretObject::default()
    };
    let (source, allowed) = (source(Door::Class), AllowedTypes::default());
    let options = options(Door::Class, &[]);
    let request = Request::of_object(&source, &object, &options, &allowed);
    let refusal = preflight(&request).err();
    assert!(
        matches!(&refusal, Some(Refusal::InvalidData(text)) if text.contains("web-app")),
        "{refusal:?}"
    );
}

#[test]
fn a_listed_type_is_written() {
    let mut case = Case::new(
        json!({
            "type": "kubernetes.io/service-account-token",
            "data": [{"sourcePath": "a", "targetKey": "extra"}],
            "annotations": {"kubernetes.io/service-account.name": "reader"},
        }),
        &[],
    );
    case.allowed = AllowedTypes::parse(["kubernetes.io/service-account-token"]);
    let made = case.desired(&[("a", "made-up")], false);
    let findings = made.unwrap_or_else(|wrong| panic!("{wrong:?}")).findings;
    assert!(findings.checks().contains(&Check::SaLegacy));
    case.spec.secret_object.annotations.clear();
    assert_eq!(
        case.wrong(&[("a", "made-up")]).fault().reason(),
        "InvalidData"
    );
}

#[test]
fn missing_files_and_broken_rules_are_told_apart() {
    let case = Case::new(basic(), &[]);
    let missing = case.wrong(&[("db/user", "app")]);
    let fault = missing.fault();
    assert_eq!(fault.reason(), "RemoteSecretStoreFetchFailed");
    assert!(fault.message.contains("db/password") && !fault.permanent);

    let docker = json!({
        "type": "kubernetes.io/dockerconfigjson",
        "data": [{"sourcePath": "a", "targetKey": ".dockerconfigjson"}],
    });
    let fault = Case::new(docker, &[]).wrong(&[("a", "canary [")]).fault();
    assert_eq!(fault.reason(), "InvalidData");
    assert!(
        fault.message.contains("docker.json") && !fault.message.contains("canary"),
        "{}",
        fault.message
    );

    let large = "x".repeat((1 << 20) + 1);
    let fault = Case::new(basic(), &[])
        .wrong(&[("db/user", "app"), ("db/password", &large)])
        .fault();
    assert_eq!(fault.reason(), "TooLarge");
}

#[test]
fn an_optional_key_is_absent_with_its_file() {
    let case = Case::new(
        basic(),
        &[(
            "coffer.rs/extra-data",
            r#"[{"sourcePath":"note","targetKey":"note","optional":true}]"#,
        )],
    );
    let made = case.desired(&LOGIN, false);
    let absent = made.unwrap_or_else(|wrong| panic!("{wrong:?}")).absent;
    assert_eq!(absent, ["note"]);
}

#[test]
fn meaning_is_found_and_refuses_nothing() {
    let case = Case::new(basic(), &[]);
    let made = case.desired(&[("db/user", "a:b"), ("db/password", "made-up\n")], false);
    let findings = made.unwrap_or_else(|wrong| panic!("{wrong:?}")).findings;
    assert_eq!(
        findings.checks(),
        BTreeSet::from([Check::BasicColon, Check::ValueNewline])
    );
    let off = Case::new(basic(), &[("coffer.rs/validation", "Off")]);
    let made = off.desired(&[("db/user", "a:b"), ("db/password", "p")], false);
    let findings = made.unwrap_or_else(|wrong| panic!("{wrong:?}")).findings;
    assert!(findings.list().is_empty() && findings.verdict().is_none());
}
