//! Manifests and what is said of them.

mod whole;

use coffer_provider_core::policy::{Policy, Profile};

use super::{Input, Report, Rules, check};

fn report(texts: &[(&str, &str)]) -> Report {
    let inputs: Vec<Input> = texts
        .iter()
        .map(|(name, text)| Input {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
        })
        .collect();
    check(&inputs, &Rules::default())
}

/// The text of a report on one file named `f`.
fn told(text: &str) -> String {
    report(&[("f", text)]).to_text()
}

const GOOD: &str = "\
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: app
  namespace: shop
spec:
  provider: vault
  parameters:
    roleName: app
    objects: |
      - objectName: db/password
        secretPath: secret/data/db
        secretKey: password
        filePermission: 0600
      - objectName: ca.der
        secretPath: pki/cert/ca
        secretKey: certificate
        encoding: base64
      - objectName: all.json
        secretPath: database/creds/app?a=b
";

/// A class without problems of which parts are replaced.
fn class(replace: &[(&str, &str)]) -> String {
    replace.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

/// The lines of findings alone.
fn findings(text: &str) -> String {
    let told = told(text);
    let lines = told.lines().take_while(|line| line.starts_with("f:"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_good_class_shows_its_files_and_nothing_else() {
    insta::assert_snapshot!(told(GOOD), @r"
    SecretProviderClass shop/app (f:1), provider vault
      FILE         MODE  ENCODING  METHOD  SOURCE                  KEY            OPTIONAL
      db/password  0600  utf-8     GET     secret/data/db          password       no
      ca.der       0644  base64    GET     pki/cert/ca             certificate    no
      all.json     0644  utf-8     GET     database/creds/app?a=b  (whole reply)  no

    0 problems, 0 warnings, 1 class
    ");
    let report = report(&[("f", GOOD)]);
    assert!(!report.strict().has_problems());
}

#[test]
fn every_problem_stands_at_its_line_with_its_remedy() {
    let text = class(&[
        (
            "roleName: app",
            "vaultAddress: vault:8200\n    vaultSkipTLSVerify: \"yes\"",
        ),
        ("secretPath: secret/data/db", "secretPath: secret/../db"),
        ("encoding: base64", "encoding: base32"),
        ("objectName: all.json", "objectName: db"),
    ]);
    insta::assert_snapshot!(findings(&text), @r#"
    f:9: problem: SecretProviderClass shop/app: roleName: missing 'roleName' in SecretProviderClass definition; add the role of the auth method that binds this service account [bad_request]
    f:9: problem: SecretProviderClass shop/app: vaultAddress: "vault:8200" does not start with https://, http:// or unix://; write https://host:port, or unix:///path of a socket [bad_request]
    f:9: problem: SecretProviderClass shop/app: objectName "db": is a file, but "db/password" needs it as a directory; rename one of them [bad_request]
    f:10: problem: SecretProviderClass shop/app: vaultSkipTLSVerify: "yes" is not a boolean; write true or false [bad_request]
    f:13: problem: SecretProviderClass shop/app: objects[0].secretPath: "secret/../db" contains `..`; write the path as the API has it, such as secret/data/app [bad_request]
    f:19: problem: SecretProviderClass shop/app: objects[1].encoding: invalid encoding type. Should be utf-8, base64, or hex, but is "base32"; write one of the three [bad_request]
    "#);
    let text = class(&[
        ("objectName: db/password", "objectName: ../x"),
        ("secretPath: pki/cert/ca", "secretPath: ''"),
        ("encoding: base64", "method: put"),
        ("objectName: all.json", "objectName: ca.der"),
    ]);
    insta::assert_snapshot!(findings(&text), @r#"
    f:10: problem: SecretProviderClass shop/app: objects: each `objectName` within a SecretProviderClass must be unique, but the following keys were duplicated: ca.der; rename them [bad_request]
    f:11: problem: SecretProviderClass shop/app: objects[0].objectName: "../x" contains `..` or starts with it; write a plain relative path [bad_request]
    f:16: problem: SecretProviderClass shop/app: objects[1].secretPath: "" is empty; write the path as the API has it, such as secret/data/app [bad_request]
    f:18: problem: SecretProviderClass shop/app: objects[1].method: "put" is not a method of the store; write PUT in capitals [bad_request]
    "#);
    assert!(report(&[("f", &text)]).has_problems());
}

#[test]
fn a_misspelt_name_is_told_beside_what_is_missing_for_it() {
    let text = class(&[
        ("roleName: app", "rolename: app"),
        ("secretPath: pki", "secretpath: pki"),
    ]);
    insta::assert_snapshot!(findings(&text), @r#"
    f:9: problem: SecretProviderClass shop/app: roleName: missing 'roleName' in SecretProviderClass definition; add the role of the auth method that binds this service account [bad_request]
    f:15: problem: SecretProviderClass shop/app: objects[1].secretPath: "" is empty; write the path as the API has it, such as secret/data/app [bad_request]
    f:9: warning: SecretProviderClass shop/app: rolename: is not known and ignored; did you mean roleName? [unknown_key]
    f:16: warning: SecretProviderClass shop/app: objects[1].secretpath: is not known and ignored; did you mean secretPath? [unknown_key]
    "#);
}

#[test]
fn a_file_that_must_be_a_directory_is_one_problem_and_no_more() {
    let text = class(&[("objectName: all.json", "objectName: db")]);
    insta::assert_snapshot!(findings(&text), @r#"f:9: problem: SecretProviderClass shop/app: objectName "db": is a file, but "db/password" needs it as a directory; rename one of them [bad_request]"#);
}

#[test]
fn unknown_keys_are_warnings_and_under_strict_problems() {
    let text = class(&[
        ("roleName: app", "roleName: app\n    foo.bar: x"),
        ("secretKey: certificate", "key: certificate"),
    ]);
    insta::assert_snapshot!(findings(&text), @r"
    f:10: warning: SecretProviderClass shop/app: foo.bar: is not known and ignored; remove it [unknown_key]
    f:18: warning: SecretProviderClass shop/app: objects[1].key: is not known and ignored; remove it [unknown_key]
    f:19: warning: SecretProviderClass shop/app: objects[1].encoding: has no effect without secretKey; name the key to decode [no_effect]
    ");
    let report = report(&[("f", &text)]);
    assert!(!report.has_problems());
    let report = report.strict();
    assert!(report.has_problems() && report.to_json().contains("unknown_key"));
    insta::assert_snapshot!(report.to_text(), @r"
    f:10: problem: SecretProviderClass shop/app: foo.bar: is not known and ignored; remove it [unknown_key]
    f:18: problem: SecretProviderClass shop/app: objects[1].key: is not known and ignored; remove it [unknown_key]
    f:19: warning: SecretProviderClass shop/app: objects[1].encoding: has no effect without secretKey; name the key to decode [no_effect]

    SecretProviderClass shop/app (f:1), provider vault
      FILE         MODE  ENCODING  METHOD  SOURCE                  KEY            OPTIONAL
      db/password  0600  utf-8     GET     secret/data/db          password       no
      ca.der       0644  base64    GET     pki/cert/ca             (whole reply)  no
      all.json     0644  utf-8     GET     database/creds/app?a=b  (whole reply)  no

    2 problems, 1 warning, 1 class
    ");
}

#[test]
fn lines_within_a_block_are_counted_from_its_bar() {
    for (bar, at) in [("|", 13), ("|-", 13), ("| # why", 13), ("|\n\n\n", 16)] {
        let text = class(&[("|", bar), ("secretKey: password", "method: put")]);
        let told = findings(&text);
        let start = format!("f:{at}: problem: SecretProviderClass shop/app: objects[0].method");
        assert!(told.starts_with(&start), "{bar:?}: {told}");
    }
}

#[test]
fn objects_that_are_not_yaml_are_told_at_their_line() {
    let text = class(&[("filePermission: 0600", "secretKey: [")]);
    insta::assert_snapshot!(findings(&text), @r#"f:15: problem: SecretProviderClass shop/app: objects: not valid YAML ("-" is only valid inside a block); check indentation, quotes and brackets there [bad_request]"#);
    let text = class(&[
        ("filePermission: 0600", "secretKey: again"),
        ("encoding: base64", "filePermission: 644"),
    ]);
    insta::assert_snapshot!(findings(&text), @r#"
    f:14: problem: SecretProviderClass shop/app: objects[0]: the key "secretKey" is already there at line 13; remove one of them [bad_request]
    f:18: problem: SecretProviderClass shop/app: objects[1].filePermission: 644 is above 0777: without a leading zero it is a decimal number; did you mean 0644? [bad_request]
    "#);
}

#[test]
fn what_strict_refuses_and_what_is_often_a_mistake_is_a_warning() {
    let text = class(&[
        (
            "roleName: app",
            "roleName: app\n    openbaoAddress: http://vault:8200\n    vaultSkipTLSVerify: 'true'",
        ),
        ("secret/data/db", "secret/db"),
        ("objectName: all.json", "objectName: DB/password"),
        (
            "secretPath: database",
            "method: DELETE\n        encoding: hex\n        secretPath: database",
        ),
    ]);
    insta::assert_snapshot!(findings(&text), @r#"
    f:10: warning: SecretProviderClass shop/app: vaultAddress: policy profile strict refuses: http://vault:8200 is not an allowed address; ask the operator to add it to --allowed-addresses (policy.allowedAddresses) [not_allowed]
    f:10: warning: SecretProviderClass shop/app: vaultAddress: policy profile strict refuses: http://vault:8200 would carry the token over plain http; use https, or --allow-plain-http (policy.allowPlainHTTP) [not_allowed]
    f:11: warning: SecretProviderClass shop/app: vaultSkipTLSVerify: policy profile strict refuses: would trust any server with the token; give a CA instead, or set --allow-skip-tls-verify (policy.allowSkipTLSVerify) [not_allowed]
    f:14: warning: SecretProviderClass shop/app: objects[0].secretPath: "secret/db" has no data/ behind the mount; if this mount is KV version 2, the path needs data/: secret/data/db [pitfall]
    f:21: warning: SecretProviderClass shop/app: objects[2].objectName: "DB/password" differs from "db/password" only by case; rename one of them: they are easily taken for each other [pitfall]
    f:22: warning: SecretProviderClass shop/app: objects[2].method: policy profile strict refuses: DELETE is not an allowed method; use one of --allowed-methods (policy.allowedMethods) [not_allowed]
    f:23: warning: SecretProviderClass shop/app: objects[2].encoding: has no effect without secretKey; name the key to decode [no_effect]
    "#);
    assert!(!report(&[("f", &text)]).strict().has_problems());
}

#[test]
fn objects_that_may_be_absent_and_data_alone_are_shown_and_nothing_needed_is_a_remark() {
    let text = class(&[
        ("encoding: base64", "optional: true"),
        (
            "secretPath: database/creds/app?a=b",
            "secretPath: database/creds/app\n        output: data\n        optional: false",
        ),
    ]);
    insta::assert_snapshot!(told(&text), @r"
    SecretProviderClass shop/app (f:1), provider vault
      FILE         MODE  ENCODING  METHOD  SOURCE              KEY          OPTIONAL
      db/password  0600  utf-8     GET     secret/data/db      password     no
      ca.der       0644  utf-8     GET     pki/cert/ca         certificate  yes
      all.json     0644  utf-8     GET     database/creds/app  (data)       no

    0 problems, 0 warnings, 1 class
    ");
    let text = class(&[
        ("filePermission: 0600", "optional: true"),
        ("encoding: base64", "optional: true"),
        ("?a=b", "\n        optional: true"),
    ]);
    insta::assert_snapshot!(findings(&text), @"f:10: warning: SecretProviderClass shop/app: objects: all objects are optional, and a mount fails while none of them exists; take optional from one that is always there, unless that is what you want [pitfall]");
    let text = class(&[
        ("filePermission: 0600", "optional: \"yes\""),
        ("encoding: base64", "output: data"),
        ("?a=b", "\n        output: Data"),
    ]);
    insta::assert_snapshot!(findings(&text), @r#"
    f:14: problem: SecretProviderClass shop/app: objects[0].optional: "yes" is not a boolean; write true or false, without quotes [bad_request]
    f:18: problem: SecretProviderClass shop/app: objects[1].output: is for objects without secretKey: with it the file is the value of that key; remove output or secretKey [bad_request]
    f:21: problem: SecretProviderClass shop/app: objects[2].output: "Data" is not an output; did you mean data? [bad_request]
    "#);
}

#[test]
fn values_that_kubernetes_would_refuse_are_problems() {
    let text = class(&[(
        "roleName: app",
        "roleName: 7\n    vaultSkipTLSVerify: true\n    audience:\n    vaultNamespace: 1e3\n    vaultRoleName: [a]",
    )]);
    insta::assert_snapshot!(findings(&text), @r"
    f:9: problem: SecretProviderClass shop/app: roleName: is a number, and Kubernetes takes only text here; put it in quotes [manifest]
    f:10: problem: SecretProviderClass shop/app: vaultSkipTLSVerify: is a boolean, and Kubernetes takes only text here; put it in quotes [manifest]
    f:11: problem: SecretProviderClass shop/app: audience: has no value, and Kubernetes takes only text here; give it one or remove the key [manifest]
    f:12: problem: SecretProviderClass shop/app: vaultNamespace: is a number, and Kubernetes takes only text here; put it in quotes [manifest]
    f:13: problem: SecretProviderClass shop/app: vaultRoleName: is a list, and Kubernetes takes only text here; write `|` behind the key and indent the value below it [manifest]
    f:10: warning: SecretProviderClass shop/app: vaultSkipTLSVerify: policy profile strict refuses: would trust any server with the token; give a CA instead, or set --allow-skip-tls-verify (policy.allowSkipTLSVerify) [not_allowed]
    ");
    let text = class(&[("objects: |", "objects:")]);
    insta::assert_snapshot!(findings(&text), @r"f:10: problem: SecretProviderClass shop/app: objects: is a list, and Kubernetes takes only text here; write `|` behind the key and indent the value below it [manifest]");
    for fine in [
        "!!str 7",
        "'7'",
        "10.0.0.1",
        "7a",
        "2024-01-01",
        "1.2.3",
        "inf",
        "-x",
        "e3",
    ] {
        let text = class(&[("roleName: app", &format!("roleName: {fine}"))]);
        assert_eq!(findings(&text), "", "{fine}");
    }
    for bad in [
        "7", "-1", "0x1F", "1_000", ".5", "1e3", ".inf", "Yes", "off", "TRUE", "~", "{}",
    ] {
        let text = class(&[("roleName: app", &format!("roleName: {bad}"))]);
        assert!(findings(&text).contains("[manifest]"), "{bad}");
    }
}

#[test]
fn a_class_without_its_parts_is_told_in_one_line() {
    for (from, to, expected) in [
        (
            "  provider: vault\n",
            "",
            "f:1: problem: SecretProviderClass shop/app: spec.provider: is missing; write vault or openbao [manifest]",
        ),
        (
            "provider: vault",
            "provider: Vualt",
            "f:7: warning: SecretProviderClass shop/app: spec.provider: \"Vualt\" is not this provider; did you mean vault? [pitfall]",
        ),
        (
            "parameters:",
            "parametres:",
            "f:1: problem: SecretProviderClass shop/app: spec.parameters: is missing; add roleName and objects [manifest]\nf:8: warning: SecretProviderClass shop/app: spec.parametres: is not known and ignored; did you mean parameters? [unknown_key]",
        ),
    ] {
        assert_eq!(findings(&class(&[(from, to)])), expected, "{to}");
    }
    let text = GOOD.split_inclusive('\n').take(7).collect::<String>();
    for (parameters, expected) in [
        ("", "is empty"),
        (" {}", "is empty"),
        (" []", "is not a map"),
    ] {
        let found = findings(&format!("{text}  parameters:{parameters}\n"));
        assert!(
            found.contains(&format!("spec.parameters: {expected}; ")),
            "{found}"
        );
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[test]
fn keys_that_stand_there_twice_are_a_warning_and_merged_keys_count() {
    let text = class(&[(
        "    roleName: app",
        "    <<: {roleName: merged, audience: vault}\n    audience: a\n    audience: b",
    )]);
    insta::assert_snapshot!(findings(&text), @r"f:11: warning: SecretProviderClass shop/app: audience: stands there twice, and only the last one counts; remove one of them [pitfall]");
}

#[test]
fn secret_objects_name_objects_that_are_there() {
    let synced = "  secretObjects:
    - secretName: s
      type: Opaque
      data:
        - key: a
          objectName: db/password
        - key: b
          objectName: ca.dre
        - key: c
          objectName: nothing-like-it
";
    insta::assert_snapshot!(findings(&format!("{GOOD}{synced}")), @r#"
    f:28: warning: SecretProviderClass shop/app: secretObjects[0].data[1].objectName: "ca.dre" is not among the objects, so the key is never synced; did you mean "ca.der"? [pitfall]
    f:30: warning: SecretProviderClass shop/app: secretObjects[0].data[2].objectName: "nothing-like-it" is not among the objects, so the key is never synced; write the objectName of one of them [pitfall]
    "#);
}

const WEB: &str = "\
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      volumes:
        - name: tmp
          emptyDir: {}
        - name: secrets
          csi:
            driver: secrets-store.csi.k8s.io
            readOnly: true
            volumeAttributes:
              secretProviderClass: app
";

#[test]
fn a_volume_without_parameters_of_its_own_adds_nothing() {
    let told = report(&[("web.yaml", WEB), ("class.yaml", GOOD)]).to_text();
    insta::assert_snapshot!(told, @r"
    Deployment shop/web (web.yaml:9), volume secrets, class app

    SecretProviderClass shop/app (class.yaml:1), provider vault
      FILE         MODE  ENCODING  METHOD  SOURCE                  KEY            OPTIONAL
      db/password  0600  utf-8     GET     secret/data/db          password       no
      ca.der       0644  base64    GET     pki/cert/ca             certificate    no
      all.json     0644  utf-8     GET     database/creds/app?a=b  (whole reply)  no

    0 problems, 0 warnings, 1 class
    ");
}

#[test]
fn attributes_of_a_volume_are_merged_over_its_class_and_linted() {
    let web = format!(
        "{WEB}              roleName: web\n              vaultAddress: nonsense\n              csi.storage.k8s.io/x: y\n"
    );
    let told = report(&[("web.yaml", &web), ("class.yaml", GOOD)]).to_text();
    insta::assert_snapshot!(told, @r#"
    web.yaml:16: problem: Deployment shop/web: vaultAddress: "nonsense" does not start with https://, http:// or unix://; write https://host:port, or unix:///path of a socket [bad_request]

    Deployment shop/web (web.yaml:9), volume secrets, class app
      PARAMETER     FROM
      objects       class
      roleName      volume over class
      vaultAddress  volume

    SecretProviderClass shop/app (class.yaml:1), provider vault
      FILE         MODE  ENCODING  METHOD  SOURCE                  KEY            OPTIONAL
      db/password  0600  utf-8     GET     secret/data/db          password       no
      ca.der       0644  base64    GET     pki/cert/ca             certificate    no
      all.json     0644  utf-8     GET     database/creds/app?a=b  (whole reply)  no

    1 problem, 0 warnings, 1 class
    "#);
    let web = format!(
        "{WEB}              objects: '[{{objectName: x, secretPath: secret/x, secretKey: k}}]'\n"
    );
    let told = report(&[("web.yaml", &web), ("class.yaml", GOOD)]).to_text();
    insta::assert_snapshot!(told, @r#"
    web.yaml:15: warning: Deployment shop/web: objects[0].secretPath: "secret/x" has no data/ behind the mount; if this mount is KV version 2, the path needs data/: secret/data/x [pitfall]

    Deployment shop/web (web.yaml:9), volume secrets, class app
      PARAMETER  FROM
      objects    volume over class
      roleName   class
      FILE  MODE  ENCODING  METHOD  SOURCE    KEY  OPTIONAL
      x     0644  utf-8     GET     secret/x  k    no

    SecretProviderClass shop/app (class.yaml:1), provider vault
      FILE         MODE  ENCODING  METHOD  SOURCE                  KEY            OPTIONAL
      db/password  0600  utf-8     GET     secret/data/db          password       no
      ca.der       0644  base64    GET     pki/cert/ca             certificate    no
      all.json     0644  utf-8     GET     database/creds/app?a=b  (whole reply)  no

    0 problems, 1 warning, 1 class
    "#);
}

#[test]
fn pods_of_every_kind_are_found() {
    let spec = "{volumes: [{name: v, csi: {driver: secrets-store.csi.k8s.io, volumeAttributes: {secretProviderClass: x}}}]}";
    for (kind, spec) in [
        ("Pod", spec.to_owned()),
        ("StatefulSet", format!("{{template: {{spec: {spec}}}}}")),
        ("DaemonSet", format!("{{template: {{spec: {spec}}}}}")),
        ("Job", format!("{{template: {{spec: {spec}}}}}")),
        (
            "CronJob",
            format!("{{jobTemplate: {{spec: {{template: {{spec: {spec}}}}}}}}}"),
        ),
    ] {
        let found = findings(&format!(
            "{{kind: {kind}, metadata: {{name: p}}, spec: {spec}}}"
        ));
        let expected =
            format!("f:1: warning: {kind} p: secretProviderClass: \"x\" is not in the files");
        assert!(found.starts_with(&expected), "{found}");
    }
}

#[test]
fn a_class_is_looked_for_in_the_namespace_of_the_pod() {
    let other = class(&[("namespace: shop", "namespace: other")]);
    let open = class(&[("  namespace: shop\n", "")]);
    let near = class(&[("name: app", "name: apps")]);
    for (class, expected) in [
        (
            other.as_str(),
            "\"app\" is in another namespace than the pod; check",
        ),
        (&near, "\"app\" is not in the files; did you mean apps?"),
        (&open, ""),
        (GOOD, ""),
    ] {
        let found = findings(&format!("{WEB}---\n{class}"));
        assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
        assert!(found.contains(expected), "{found}");
    }
    let without = WEB.replace("secretProviderClass: app", "{}");
    assert!(findings(&without).contains("names no class; add it to volumeAttributes"));
}

#[test]
fn lists_are_opened_and_other_kinds_are_counted() {
    let item = |name: &str| {
        format!(
            "{{apiVersion: secrets-store.csi.x-k8s.io/v1alpha1, kind: SecretProviderClass, metadata: {{name: {name}}}, spec: {{provider: openbao, parameters: {{openbaoRoleName: r, objects: '[{{objectName: o, secretPath: p}}]'}}}}}}"
        )
    };
    let text = format!(
        "kind: List\napiVersion: v1\nitems:\n- {}\n- {{kind: Service}}\n---\napiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClassList\nitems:\n- metadata: {{name: c}}\n  spec: {{provider: aws}}\n---\n# nothing\n---\nkind: SecretProviderClass\napiVersion: example.com/v1\n",
        item("a")
    );
    insta::assert_snapshot!(told(&text), @r#"
    SecretProviderClass a (f:4), provider openbao
      FILE  MODE  ENCODING  METHOD  SOURCE  KEY            OPTIONAL
      o     0644  utf-8     GET     p       (whole reply)  no

    SecretProviderClass c (f:10), provider aws
      skipped: provider "aws" is not this one

    0 problems, 0 warnings, 2 classes, 2 objects of other kinds ignored
    "#);
}

#[test]
fn secret_arguments_are_never_shown_and_control_characters_are_escaped() {
    let text = class(&[
        (
            "secretPath: pki/cert/ca",
            "secretPath: pki/issue/x\n        method: PUT\n        secretArgs: {password: hunter2, n: 0x7}",
        ),
        ("secretKey: password", "secretKey: pass\u{202e}word"),
        (
            "roleName: app",
            "roleName: app\n    \"evil\\n\\e[31mkey\": x",
        ),
        ("name: app", "name: \"a\\nb\""),
    ]);
    for text in [
        text.clone(),
        text.replace("encoding: base64", "encoding: 1"),
        text.replace("n: 0x7}", "n: !!int hunter2}"),
        text.replace(
            "{password: hunter2, n: 0x7}",
            "'{\"password\": \"hunter2\"'",
        ),
    ] {
        let report = report(&[("f\n\u{202e}", &text)]);
        let (text, json) = (report.to_text(), report.to_json());
        assert!(
            text.contains("evil\\n\\u{1b}[31mkey") && text.contains("a\\nb"),
            "{text}"
        );
        for out in [text, json] {
            assert!(
                !out.contains("hunter2") && !out.contains('\u{202e}'),
                "{out}"
            );
            assert!(out.chars().all(|c| c == '\n' || !c.is_control()), "{out}");
        }
    }
}

#[test]
fn aliases_of_aliases_end_in_bounded_time() {
    let maps: String = (1..60)
        .map(|n| {
            format!(
                "m{n}: &m{n}\n  <<: [{}]\n",
                format!("*m{},", n - 1).repeat(20)
            )
        })
        .collect();
    let bomb = format!("m0: &m0 {{kind: Pod}}\n{maps}<<: *m59\n");
    assert_eq!(
        report(&[("f", &bomb)]).files[0].ignored,
        0,
        "the kind is found"
    );
}

#[test]
fn the_json_has_a_versioned_schema() {
    let web = format!("{WEB}              vaultNamespace: n\n");
    let text = class(&[("secret/data/db", "kv/db")])
        .replace(&GOOD[GOOD.find("      - objectName: ca").unwrap()..], "");
    insta::assert_snapshot!(report(&[("f", &format!("{text}---\n{web}"))]).to_json(), @r#"
    {
      "schema": "coffer.check/v1",
      "files": [
        {
          "name": "f",
          "problems": [],
          "classes": [
            {
              "object": "SecretProviderClass shop/app",
              "line": 1,
              "provider": "vault",
              "skipped": null,
              "problems": [],
              "warnings": [
                {
                  "file": "f",
                  "line": 12,
                  "object": "SecretProviderClass shop/app",
                  "field": "objects[0].secretPath",
                  "what": "\"kv/db\" has no data/ behind the mount",
                  "remedy": "if this mount is KV version 2, the path needs data/: kv/data/db",
                  "reason": "pitfall"
                }
              ],
              "mounted": [
                {
                  "path": "db/password",
                  "mode": "0600",
                  "encoding": "utf-8",
                  "method": "GET",
                  "source": "kv/db",
                  "key": "password",
                  "optional": false
                }
              ]
            }
          ],
          "volumes": [
            {
              "object": "Deployment shop/web",
              "line": 24,
              "volume": "secrets",
              "class": "app",
              "skipped": null,
              "parameters": [
                {
                  "name": "objects",
                  "from": "class"
                },
                {
                  "name": "roleName",
                  "from": "class"
                },
                {
                  "name": "vaultNamespace",
                  "from": "volume"
                }
              ],
              "problems": [],
              "warnings": [],
              "mounted": [
                {
                  "path": "db/password",
                  "mode": "0600",
                  "encoding": "utf-8",
                  "method": "GET",
                  "source": "kv/db",
                  "key": "password",
                  "optional": false
                }
              ]
            }
          ],
          "ignored": 0
        }
      ]
    }
    "#);
}

/// As an operator would have it refused: by their own lists, and not by those that nobody gave.
#[test]
fn a_policy_that_is_given_decides_instead_of_strict() {
    let class = "\
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: app}
spec:
  provider: other
  parameters:
    roleName: app
    vaultAddress: http://vault:8200
    objects: |
      - {objectName: a, secretPath: secret/data/a, secretKey: k}
";
    let inputs = [Input {
        name: "f".to_owned(),
        text: class.to_owned(),
    }];
    let judged = |rules: Rules| {
        let report = check(&inputs, &rules);
        let found = &report.files[0].classes[0];
        let skipped = found.skipped.is_some();
        (
            found.findings.problems.len(),
            found.findings.warnings.len(),
            skipped,
        )
    };
    let named = |policy| Rules {
        policy,
        provider_name: Some("other".to_owned()),
        ..Rules::default()
    };
    assert_eq!(judged(Rules::default()), (0, 0, true));
    assert_eq!(judged(named(None)), (0, 2, false));
    assert_eq!(judged(named(Some(Policy::default()))), (0, 0, false));
    let strict = Policy {
        profile: Profile::Strict,
        allowed_addresses: Some(vec!["http://vault:8200".to_owned()]),
        ..Policy::default()
    };
    assert_eq!(judged(named(Some(strict.clone()))), (1, 0, false));
    let plain = Policy {
        allow_plain_http: true,
        ..strict
    };
    assert_eq!(judged(named(Some(plain))), (0, 0, false));
}
