//! Manifests in, the report out: for people as they read it, and the rest by its reasons.

use coffer_sync_core::bytes::SecretBytes;
use serde_json::Value;

use super::*;
use crate::config::Sources;

/// A report, as far as a case wants it otherwise than usual.
#[derive(Default)]
struct Case<'a> {
    files: Option<&'a [(&'a str, &'a [u8])]>,
    show_secrets: bool,
    flags: &'a [(&'a str, &'a str)],
}

impl Case<'_> {
    fn report(&self, manifests: &[&str]) -> Report {
        let flags = self.flags.iter();
        let sources = Sources {
            flags: flags
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Sources::default()
        };
        let config = Config::read(&sources).unwrap_or_else(|problems| panic!("{problems:?}"));
        let files: Option<Vec<(String, SecretBytes)>> = self.files.map(|files| {
            files
                .iter()
                .map(|(path, bytes)| ((*path).to_owned(), SecretBytes::new(bytes.to_vec())))
                .collect()
        });
        let inputs: Vec<Input> = (1..)
            .zip(manifests)
            .map(|(number, text)| Input {
                name: format!("{number}.yaml"),
                text: (*text).to_owned(),
            })
            .collect();
        let rules = Rules {
            config: &config,
            files: files.as_deref(),
            show_secrets: self.show_secrets,
            now: "2030-01-01T00:00:00Z".parse().unwrap(),
        };
        report(&inputs, &rules)
    }
}

/// What is shown of these manifests alone.
fn planned(manifests: &[&str]) -> Report {
    Case::default().report(manifests)
}

/// The reasons of all problems, those of the whole first.
fn reasons(report: &Report) -> Vec<&str> {
    let of_secrets = report.secrets.iter().flat_map(|secret| &secret.problems);
    let all = report.problems.iter().chain(of_secrets);
    all.map(|told| told.reason).collect()
}

const CLASS: &str = "
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: app, namespace: shop}
spec: {provider: vault, parameters: {objects: '[]'}}
";

/// A SecretSync with these annotations and lines in its secretObject.
fn sync(annotations: &str, object: &str) -> String {
    format!(
        "
apiVersion: secret-sync.x-k8s.io/v1alpha1
kind: SecretSync
metadata:
  name: db
  namespace: shop
  annotations: {{{annotations}}}
spec:
  secretProviderClassName: app
  serviceAccountName: reader
  secretSyncControllerName: coffer.rs/sync
  secretObject: {{{object}}}
"
    )
}

const LOGIN: &str = "type: kubernetes.io/basic-auth,
    data: [{sourcePath: db/user, targetKey: username}, {sourcePath: db/password, targetKey: password}],
    labels: {app: web}, annotations: {team: a}";

const FILES: [(&str, &[u8]); 2] = [("db/user", b"app"), ("db/password", b"made-up")];

#[test]
fn a_secret_is_shown_as_it_would_be_written_without_its_values() {
    let case = Case {
        files: Some(&FILES),
        ..Case::default()
    };
    let report = case.report(&[&sync("", LOGIN), CLASS]);
    assert!(!report.has_problems());
    insta::assert_snapshot!(report.to_text(), @r#"
    Secret shop/db, type kubernetes.io/basic-auth
      from SecretSync db (1.yaml), class app, provider vault
      owner: SecretSync db
      labels:
        app: web
        coffer.rs/sync: true
        secrets-store.sync.x-k8s.io: ""
      annotations:
        team: a
      keys:
        password: *** (7 bytes)
        username: *** (3 bytes)

    1 Secret would be written, 0 would not, 0 warnings
    "#);
    assert!(!report.to_json().contains("made-up"));
}

#[test]
fn without_files_the_plan_is_shown() {
    let extra = r#"coffer.rs/extra-data: '[{"sourcePath":"cert","targetKey":"ca.crt","decode":"base64","optional":true},{"sourcePath":"db/all","targetKey":"password","pointer":"/password"}]', coffer.rs/deletion-policy: Retain"#;
    let report = planned(&[&sync(extra, LOGIN)]);
    assert!(!report.has_problems());
    insta::assert_snapshot!(report.to_text(), @r#"
    Secret shop/db, type kubernetes.io/basic-auth
      from SecretSync db (1.yaml), class app (not in these files)
      no owner: it stays when its source goes
      labels:
        app: web
        coffer.rs/sync: true
        secrets-store.sync.x-k8s.io: ""
      annotations:
        coffer.rs/source-uid: (uid)
        team: a
      keys:
        ca.crt: file cert, base64, optional
        password: file db/all, a part of its JSON
        username: file db/user

    1 Secret would be written, 0 would not, 0 warnings
    "#);
}

#[test]
fn values_are_shown_to_those_who_ask_for_them() {
    let files: [(&str, &[u8]); 3] = [
        ("line", b"made-up"),
        ("lines", b"one\ntwo\n"),
        ("bytes", &[0, 1, 2]),
    ];
    let case = Case {
        files: Some(&files),
        show_secrets: true,
        ..Case::default()
    };
    let object = "data: [{sourcePath: line, targetKey: a}, {sourcePath: lines, targetKey: b}, {sourcePath: bytes, targetKey: c}]";
    let report = case.report(&[&sync("", object)]);
    let text = report.to_text();
    let keys = text.split_once("  keys:\n").unwrap().1;
    let keys = keys.split_once("\n\n").unwrap().0;
    assert_eq!(
        keys,
        "    a: made-up (7 bytes)
    b: (8 bytes)
      | one
      | two
    c: base64 AAEC (3 bytes)"
    );
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    let keys = &json["secrets"][0]["keys"];
    assert_eq!(keys[0]["value"], "made-up");
    assert_eq!(keys[2]["base64"], "AAEC");
    assert_eq!(keys[2].get("value"), None);
}

#[test]
fn machines_get_a_version_and_reasons() {
    let case = Case {
        files: Some(&[("db/user", b"a:b"), ("db/password", b"p")]),
        ..Case::default()
    };
    let report = case.report(&[&sync("", LOGIN)]);
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["version"], 1);
    let secret = &json["secrets"][0];
    assert_eq!(secret["type"], "kubernetes.io/basic-auth");
    assert_eq!(secret["owner"], "SecretSync db");
    assert_eq!(secret["warnings"][0]["reason"], "basic.colon");
    assert_eq!(secret["keys"][0]["key"], "password");
    assert_eq!(secret["keys"][0]["bytes"], 1);
    assert_eq!(secret["problems"], Value::Array(Vec::new()));
}

#[test]
fn every_entry_of_an_open_class_is_a_secret() {
    let class = "
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: app
  annotations: {coffer.rs/sync-as: reader, coffer.rs/validation: Strict}
spec:
  provider: vault
  secretObjects:
  - secretName: one
    data: [{objectName: a, key: a}]
  - secretName: ' one'
    data: [{objectName: b, key: b}]
  - secretName: two
    type: kubernetes.io/basic-auth
    data: [{objectName: login, key: userinfo}]
  - secretName: three
    data: [{objectName: none, key: c}]
    annotations: {coffer.rs/validations: 'Off', note: x}
";
    let case = Case {
        files: Some(&[("a", b"1"), ("b", b"2"), ("login", b":")]),
        ..Case::default()
    };
    let report = case.report(&[class]);
    insta::assert_snapshot!(report.to_text(), @r"
    Secret default/one, type Opaque
      from SecretProviderClass app (1.yaml), class app, provider vault
      owner: SecretProviderClass app
      labels:
        coffer.rs/sync: true
      keys:
        a: *** (1 bytes)

    Secret default/one, type Opaque: would not be written
      from SecretProviderClass app (1.yaml), class app, provider vault
      owner: SecretProviderClass app
      labels:
        coffer.rs/sync: true
      keys:
        b: *** (1 bytes)
      problem: SecretProviderClass/app asks for the same Secret and comes first [DuplicateTarget]

    Secret default/two, type kubernetes.io/basic-auth: would not be written
      from SecretProviderClass app (1.yaml), class app, provider vault
      owner: SecretProviderClass app
      labels:
        coffer.rs/sync: true
      keys:
        password: *** (0 bytes)
        username: *** (0 bytes)
      problem: The first value fails basic.empty, and coffer.rs/validation is Strict. [InvalidData]
      warning: data: username and password are empty or missing; store the credentials [basic.empty]

    Secret default/three, type Opaque: would not be written
      from SecretProviderClass app (1.yaml), class app, provider vault
      owner: SecretProviderClass app
      labels:
        coffer.rs/sync: true
      annotations:
        note: x
      keys:
        c: file none
      problem: none: no such file for key `c`; the provider returned a, b, login [RemoteSecretStoreFetchFailed]
      warning: coffer.rs/validations: there is no such option; did you mean coffer.rs/validation? [UnknownOption]

    1 Secret would be written, 3 would not, 2 warnings
    ");
}

#[test]
fn what_keeps_a_secret_from_being_written_is_told_by_the_reason_that_a_condition_has() {
    let unclaimed = sync("", LOGIN).replace("coffer.rs/sync", "somebody.else");
    let unnamed = sync("", LOGIN).replace("ControllerName: coffer.rs/sync", "ControllerName: ''");
    let no_account = sync("", LOGIN).replace("AccountName: reader", "AccountName: Reader");
    let no_class = sync("", LOGIN).replace("ClassName: app", "ClassName: ''");
    let no_provider = CLASS.replace("vault", "no/provider");
    let token = "type: kubernetes.io/service-account-token, data: [{sourcePath: a, targetKey: b}]";
    for (manifests, expected) in [
        (vec![unclaimed], &["NotClaimed"][..]),
        (vec![unnamed], &["NotClaimed"]),
        (vec![no_account], &["TokenError"]),
        (vec![no_class], &["SecretProviderClassMisconfigured"]),
        (
            vec![sync("", LOGIN), no_provider],
            &["SecretProviderClassMisconfigured"],
        ),
        (
            vec![sync("coffer.rs/validation: hold", LOGIN)],
            &["InvalidOption"],
        ),
        (vec![sync("", token)], &["TypeNotAllowed"]),
        (vec![sync("coffer.rs/suspend: true", LOGIN)], &["Manifest"]),
        (vec![sync("", "data: {a: b}")], &["Manifest"]),
        (
            vec![sync("", "annotations: {coffer.rs/restart: Auto}")],
            &["InvalidClusterSecretAnnotationError"],
        ),
        (vec![sync("", LOGIN), sync("", LOGIN)], &["DuplicateTarget"]),
        (vec!["a: [".to_owned()], &["Manifest"]),
        (vec!["kind: ConfigMap".to_owned()], &["Manifest"]),
    ] {
        let manifests: Vec<&str> = manifests.iter().map(String::as_str).collect();
        let report = planned(&manifests);
        assert_eq!(reasons(&report), expected, "{}", report.to_text());
    }
}

#[test]
fn flags_decide_as_for_the_controller() {
    let unnamed = sync("", LOGIN).replace("ControllerName: coffer.rs/sync", "ControllerName: ''");
    let token = "type: kubernetes.io/service-account-token, data: [{sourcePath: a, targetKey: b}]";
    for (manifest, flags) in [
        (unnamed, ("claim-unnamed", "true")),
        (
            sync("", token),
            ("allowed-types", "kubernetes.io/service-account-token"),
        ),
    ] {
        let case = Case {
            flags: &[flags],
            ..Case::default()
        };
        let report = case.report(&[&manifest]);
        assert_eq!(reasons(&report), [""; 0], "{}", report.to_text());
    }
}

#[test]
fn objects_that_are_left_alone_are_told_or_counted() {
    let closed = CLASS.replace(
        "'[]'}",
        "'[]'}, secretObjects: [{secretName: a, data: [{objectName: a, key: a}]}]",
    );
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: ConfigMap}}\n-{}",
        sync("coffer.rs/suspend: 'true'", LOGIN).replace('\n', "\n  ")
    );
    let report = planned(&[&list, &closed]);
    assert_eq!(reasons(&report), [""; 0], "{}", report.to_text());
    let text = report.to_text();
    for part in [
        "warning: SecretProviderClass shop/app has no coffer.rs/sync-as",
        "warning: coffer.rs/suspend is set: nothing is fetched or written [Suspended]",
        "1 Secret would be written, 0 would not, 2 warnings, 1 object of other kinds ignored",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_provider_that_returns_nothing_writes_nothing() {
    let case = Case {
        files: Some(&[]),
        ..Case::default()
    };
    let report = case.report(&[&sync("", LOGIN)]);
    assert_eq!(reasons(&report), ["NoFiles"]);
}
