//! Requests and classes as the driver sends them, and everything that can be wrong with them.

use std::sync::Arc;

use super::{
    ClassSpec, Dialect, MountSpec, Parameters, ParsedAttributes, Refused, Wire, read_mount,
};
use crate::output::Output;
use crate::problem::Problem;

const OBJECTS: &str = "- objectName: bar\n  secretPath: secret/data/foo\n  secretKey: bar\n";

fn parameters(pairs: &[(&str, &str)]) -> Parameters {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

/// A class of the given parameters with role and objects added where they are missing.
fn class(dialect: Dialect, pairs: &[(&str, &str)]) -> Result<ClassSpec, Refused> {
    let mut all = parameters(&[("roleName", "app"), ("objects", OBJECTS)]);
    all.extend(parameters(pairs));
    ClassSpec::parse(&all, dialect)
}

#[track_caller]
fn refused(pairs: &[(&str, &str)], expected: &[&str]) {
    let problems = class(Dialect::Vault, pairs)
        .err()
        .unwrap_or_default()
        .problems;
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), expected.len(), "{texts:?}");
    for (text, expected) in texts.iter().zip(expected) {
        assert!(text.contains(expected), "{text:?} lacks {expected:?}");
    }
}

fn notes(dialect: Dialect, pairs: &[(&str, &str)]) -> Vec<String> {
    let spec = class(dialect, pairs).unwrap_or_else(|problems| panic!("{problems:?}"));
    spec.notes.iter().map(ToString::to_string).collect()
}

fn mount(
    attributes: &str,
    secrets: &str,
    permission: &str,
    target: &str,
) -> Result<MountSpec, Vec<Problem>> {
    let wire = Wire {
        attributes: &ParsedAttributes::new(attributes),
        secrets,
        permission,
        target_path: target,
    };
    read_mount(wire, |parameters| {
        ClassSpec::parse(&parameters, Dialect::Vault).map(Arc::new)
    })
}

#[test]
fn pod_and_class_are_told_also_of_a_request_that_is_refused() {
    let text = r#"{"csi.storage.k8s.io/pod.name":"web-0","secretProviderClass":"c","objects":"["}"#;
    assert!(mount(text, "null", "420", "/t").is_err());
    let (pod, class) = ParsedAttributes::new(text).subject();
    assert_eq!((pod.name.as_str(), class.as_deref()), ("web-0", Some("c")));
    let (pod, class) = ParsedAttributes::new("no JSON").subject();
    assert_eq!((pod.name.as_str(), class), ("", None));
}

#[test]
fn a_request_of_the_driver_is_read() {
    let attributes = r#"{"csi.storage.k8s.io/ephemeral":"true","csi.storage.k8s.io/pod.name":"p","csi.storage.k8s.io/pod.namespace":"default","csi.storage.k8s.io/pod.uid":"u","csi.storage.k8s.io/serviceAccount.name":"sa","csi.storage.k8s.io/serviceAccount.tokens":"{\"vault\":{\"token\":\"jwt\",\"expirationTimestamp\":\"2026-01-01T00:00:00Z\"}}","objects":"- objectName: bar\n  secretPath: secret/data/foo\n  secretKey: bar\n","roleName":"csi","secretProviderClass":"vault-foo","vaultAddress":"http://vault.vault:8200"}"#;
    let spec = mount(attributes, "null", "420", "/t").unwrap_or_else(|p| panic!("{p:?}"));
    assert_eq!(
        (
            spec.pod.name.as_str(),
            spec.pod.namespace.as_str(),
            spec.pod.uid.as_str(),
            spec.pod.service_account.as_str()
        ),
        ("p", "default", "u", "sa")
    );
    assert_eq!(spec.volume, "vault-foo");
    assert_eq!(spec.tokens.for_audience("vault").unwrap().expose(), "jwt");
    assert_eq!(
        (spec.class.role.as_str(), spec.class.layer.address.as_str()),
        ("csi", "http://vault.vault:8200")
    );
    assert_eq!(spec.class.objects[0].request.path, "secret/data/foo");
    assert!(
        spec.class.notes.is_empty(),
        "what kubelet adds is not unknown"
    );
}

#[test]
fn a_rotation_call_of_an_old_driver_is_keyed_by_its_target_path() {
    let attributes = format!(
        r#"{{"roleName":"csi","objects":{}}}"#,
        serde_json::to_string(OBJECTS).unwrap()
    );
    let spec = mount(&attributes, "{}", "420", "/pods/u/mount").unwrap_or_else(|p| panic!("{p:?}"));
    assert_eq!(
        (spec.volume.as_str(), spec.class_name),
        ("/pods/u/mount", None)
    );
}

#[test]
fn tokens_are_found_among_the_secrets_too() {
    let tokens = r#"{\"vault\":{\"token\":\"fresh\"}}"#;
    let secrets =
        format!(r#"{{"csi.storage.k8s.io/serviceAccount.tokens":"{tokens}","user":"admin"}}"#);
    let attributes = format!(
        r#"{{"roleName":"csi","objects":{}}}"#,
        serde_json::to_string(OBJECTS).unwrap()
    );
    let spec = mount(&attributes, &secrets, "420", "/t").unwrap_or_else(|p| panic!("{p:?}"));
    assert_eq!(spec.tokens.for_audience("vault").unwrap().expose(), "fresh");
}

#[test]
fn all_problems_of_request_and_class_are_told_at_once() {
    let attributes =
        r#"{"csi.storage.k8s.io/serviceAccount.tokens":"nonsense","vaultSkipTLSVerify":"yes"}"#;
    let problems = mount(attributes, "[", "\"420\"", "").err().unwrap();
    let text = problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    for expected in [
        "failed to unmarshal service account tokens",
        "secrets: ",
        "permission: ",
        "missing target path",
        "missing 'roleName'",
        "no secrets configured",
        "vaultSkipTLSVerify",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(!text.contains("nonsense"));
}

#[test]
fn permission_is_a_number_and_never_makes_an_unreadable_file() {
    let attributes = format!(
        r#"{{"roleName":"csi","objects":{}}}"#,
        serde_json::to_string(OBJECTS).unwrap()
    );
    for (permission, expected) in [
        ("420", Some(0o644)),
        ("384", Some(0o600)),
        ("0", Some(0o644)),
        ("null", Some(0o644)),
        ("-1", None),
        ("\"420\"", None),
        ("", None),
        ("512", None),
        ("4.2", None),
    ] {
        let spec = mount(&attributes, "null", permission, "/t");
        assert_eq!(
            spec.ok().map(|spec| spec.default_mode.bits()),
            expected,
            "{permission}"
        );
    }
}

#[test]
fn attributes_that_are_no_map_of_strings_are_one_problem() {
    for attributes in ["[]", "{", r#"{"a":1}"#, "x"] {
        assert_eq!(
            mount(attributes, "null", "420", "/t").err().unwrap().len(),
            1,
            "{attributes}"
        );
    }
}

#[test]
fn required_parameters_keep_the_words_that_people_match() {
    refused(
        &[("roleName", "")],
        &["missing 'roleName' in SecretProviderClass definition"],
    );
    refused(
        &[("objects", "")],
        &["no secrets configured - the provider will not read any secret material"],
    );
    refused(&[("objects", "[]")], &["no secrets configured"]);
    refused(
        &[("vaultAuthMountPath", ""), ("vaultKubernetesMountPath", "")],
        &["cannot set both vaultKubernetesMountPath and vaultAuthMountPath"],
    );
    refused(
        &[(
            "objects",
            "[{objectName: a, secretPath: x}, {objectName: a, secretPath: y}, {objectName: b, secretPath: x}, {objectName: a, secretPath: z}, {objectName: b, secretPath: y}]",
        )],
        &["must be unique, but the following keys were duplicated: a, a, b"],
    );
}

#[test]
fn every_bad_attribute_of_every_object_is_named() {
    refused(
        &[(
            "objects",
            "[{objectName: ., secretPath: a, encoding: rot13}, {objectName: b, secretPath: ../c, method: put}, {objectName: d, secretPath: x}, {objectName: d/e, secretPath: x}]",
        )],
        &[
            "\"d/e\" needs it as a directory",
            "objects[0].objectName",
            "invalid encoding type",
            "objects[1].secretPath",
            "write PUT in capitals",
        ],
    );
    refused(
        &[(
            "objects",
            "[{objectName: a, secretPath: x, filePermission: 01777}]",
        )],
        &["objects[0].filePermission"],
    );
}

#[test]
fn an_output_is_full_or_data_and_for_objects_without_a_key() {
    let output = |rest: &str| {
        let objects = format!("[{{objectName: a, secretPath: x, {rest}}}]");
        let class = class(Dialect::Vault, &[("objects", &objects)]);
        class.map(|class| class.objects[0].output)
    };
    for (rest, expected) in [
        ("method: GET", Output::Full),
        ("output: ", Output::Full),
        ("output: full", Output::Full),
        ("output: data", Output::Data),
        ("output: data, secretKey: ''", Output::Data),
    ] {
        assert_eq!(output(rest).ok(), Some(expected), "{rest}");
    }
    for (rest, expected) in [
        (
            "output: Data",
            "\"Data\" is not an output; did you mean data?",
        ),
        (
            "output: FULL",
            "\"FULL\" is not an output; did you mean full?",
        ),
        (
            "output: json",
            "\"json\" is not an output; write full or data",
        ),
        ("output: [data]", "is a list, not text"),
        (
            "output: data, secretKey: k",
            "is for objects without secretKey: with it the file is the value of that key; remove output or secretKey",
        ),
        ("output: full, secretKey: k", "remove output or secretKey"),
    ] {
        let told = output(rest).err().unwrap();
        let told: Vec<String> = told.problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("objects[0].output: ") && told[0].contains(expected),
            "{told:?}"
        );
    }
}

#[test]
fn what_one_attribute_breaks_does_not_hide_the_others() {
    refused(
        &[(
            "objects",
            "[{objectName: a, filePermission: 0888, secretPath: x, encoding: rot13}, null, {objectName: a/b, secretPath: [], method: put}]",
        )],
        &[
            "objects[0].filePermission",
            "objects[2].secretPath",
            "invalid encoding type",
        ],
    );
    refused(
        &[(
            "objects",
            "[{objectName: a, secretPath: '', method: put}, {objectName: a/b, secretPath: x}]",
        )],
        &[
            "needs it as a directory",
            "objects[0].secretPath",
            "objects[0].method",
        ],
    );
}

#[test]
fn a_refused_class_says_which_names_may_have_been_meant() {
    let all = parameters(&[("rolename", "app"), ("objects", OBJECTS)]);
    let told = ClassSpec::parse(&all, Dialect::Vault).err().unwrap().told();
    let texts: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert!(texts[0].contains("missing 'roleName'"), "{texts:?}");
    assert_eq!(texts[1], "rolename: is not known; did you mean roleName?");
}

#[test]
fn connection_parameters_are_checked_in_the_class() {
    refused(&[("vaultAddress", "vault:8200")], &["vaultAddress"]);
    refused(
        &[("vaultTLSClientCertPath", "/c")],
        &["both client cert and client key must be provided"],
    );
    refused(&[("vaultSkipTLSVerify", "yes")], &["is not a boolean"]);
    refused(
        &[("vaultAuthMountPath", "a/../b")],
        &["is not the path of a mount"],
    );
}

#[test]
fn the_prefix_that_wins_depends_on_the_dialect() {
    let pairs = [
        ("vaultAddress", "http://v"),
        ("baoAddress", "http://b"),
        ("openbaoAddress", "http://o"),
    ];
    let address = |dialect| {
        class(dialect, &pairs)
            .map(|c| c.layer.address)
            .ok()
            .unwrap()
    };
    assert_eq!(address(Dialect::Vault), "http://v");
    assert_eq!(address(Dialect::OpenBao), "http://b");
    assert_eq!(
        notes(Dialect::Vault, &pairs),
        [
            "baoAddress: is ignored, because vaultAddress is set",
            "openbaoAddress: is ignored, because vaultAddress is set"
        ]
    );
}

#[test]
fn a_present_but_empty_key_wins_as_in_the_fork() {
    let spec = class(
        Dialect::OpenBao,
        &[("baoNamespace", ""), ("vaultNamespace", "ns")],
    )
    .ok()
    .unwrap();
    assert_eq!(spec.layer.namespace, "");
}

#[test]
fn prefixed_roles_beat_the_plain_one_only_under_openbao() {
    let pairs = [("vaultRoleName", "prefixed")];
    let role = |dialect| class(dialect, &pairs).map(|c| c.role).ok().unwrap();
    assert_eq!(
        (
            role(Dialect::Vault).as_str(),
            role(Dialect::OpenBao).as_str()
        ),
        ("app", "prefixed")
    );
    let mut only = parameters(&[("openbaoRoleName", "r"), ("objects", OBJECTS)]);
    assert!(ClassSpec::parse(&only, Dialect::Vault).is_ok_and(|c| c.role == "r"));
    only.remove("openbaoRoleName");
    assert!(ClassSpec::parse(&only, Dialect::Vault).is_err());
}

#[test]
fn every_prefixed_parameter_is_read_under_every_prefix() {
    for prefix in ["vault", "bao", "openbao"] {
        let name = |suffix: &str| format!("{prefix}{suffix}");
        let all: Parameters = [
            ("RoleName", "r"),
            ("Address", "https://s"),
            ("Namespace", "n"),
            ("CACertPath", "/ca"),
            ("CADirectory", "/cad"),
            ("TLSServerName", "name"),
            ("TLSClientCertPath", "/c"),
            ("TLSClientKeyPath", "/k"),
            ("AuthMountPath", "/m/"),
            ("SkipTLSVerify", "T"),
        ]
        .iter()
        .map(|(suffix, value)| (name(suffix), (*value).to_owned()))
        .chain([("objects".to_owned(), OBJECTS.to_owned())])
        .collect();
        let spec =
            ClassSpec::parse(&all, Dialect::Vault).unwrap_or_else(|p| panic!("{prefix}: {p:?}"));
        let layer = &spec.layer;
        assert_eq!(
            [
                &spec.role,
                &layer.address,
                &layer.namespace,
                &layer.ca_file,
                &layer.ca_directory,
                &layer.server_name,
                &layer.client_cert,
                &layer.client_key
            ],
            ["r", "https://s", "n", "/ca", "/cad", "name", "/c", "/k"]
        );
        assert_eq!(
            (spec.auth_mount.as_deref(), layer.skip_verify),
            (Some("m"), true)
        );
        let older = parameters(&[
            ("roleName", "r"),
            ("objects", OBJECTS),
            (&name("KubernetesMountPath"), "k8s"),
        ]);
        let spec = ClassSpec::parse(&older, Dialect::Vault).ok().unwrap();
        assert_eq!(spec.auth_mount.as_deref(), Some("k8s"));
    }
}

#[test]
fn unknown_keys_are_accepted_with_the_nearest_known_name() {
    let objects = "[{objectName: a, secretPath: x, content: base64, secretkey: k}]";
    assert_eq!(
        notes(
            Dialect::Vault,
            &[
                ("vaultAdress", "http://x"),
                ("zzz", "1"),
                ("objects", objects)
            ]
        ),
        [
            "vaultAdress: is not known and ignored; did you mean vaultAddress?",
            "zzz: is not known and ignored",
            "objects[0].content: is not known and ignored",
            "objects[0].secretkey: is not known and ignored; did you mean secretKey?",
        ]
    );
}

#[test]
fn an_encoding_without_a_key_has_no_effect_and_says_so() {
    let found = notes(
        Dialect::Vault,
        &[("objects", "[{objectName: a, secretPath: x, encoding: hex}]")],
    );
    assert_eq!(
        found,
        ["objects[0].encoding: has no effect without secretKey; name the key to decode"]
    );
}
