//! What the API server refuses is refused before it is asked.

use super::Case;
use crate::secret_type::{SERVICE_ACCOUNT_NAME, SecretType};
use crate::validate::{Check, Class, Policy};

fn opaque() -> Case {
    Case::new(&SecretType::Opaque).with("a", "b")
}

/// Section 2, row "name".
#[test]
fn a_bad_name_is_told_with_a_better_one() {
    let mut case = opaque();
    case.name = "My_App".to_owned();
    case.tells(&[Check::MetadataName]);
    let text = case.texts(Check::MetadataName);
    assert!(
        text.contains("'My_App'") && text.contains("\"my-app\""),
        "{text}"
    );
}

/// Section 2, row "annotations and labels".
#[test]
fn labels_and_annotations_follow_the_api_servers_rules() {
    let mut case = opaque();
    case.labels.insert("a b!".to_owned(), "x".to_owned());
    case.labels.insert("fine".to_owned(), "x".repeat(64));
    case.annotations
        .insert("Upper.RS/fine".to_owned(), "any\nthing".to_owned());
    case.tells(&[Check::MetadataLabel]);
    assert_eq!(case.texts(Check::MetadataLabel).lines().count(), 2);

    let mut case = opaque();
    case.annotations.insert("a b!".to_owned(), String::new());
    case.tells(&[Check::MetadataAnnotation]);
}

/// Section 2, row "annotations and labels": 262 144 and one more.
#[test]
fn annotations_may_hold_256_kib_with_their_keys() {
    for (bytes, expected) in [
        (262_144, &[][..]),
        (262_145, &[Check::MetadataAnnotation][..]),
    ] {
        let mut case = opaque();
        case.annotations
            .insert("key".to_owned(), "x".repeat(bytes - 3));
        case.tells(expected);
    }
}

/// Section 2, row "sum of the values".
#[test]
fn values_may_have_a_mebibyte_together() {
    let sized = |first: usize, second: usize| {
        Case::new(&SecretType::Opaque)
            .with("first", vec![b'x'; first])
            .with("second", vec![b'x'; second])
    };
    sized(1 << 20, 0).tells(&[Check::SizeNearLimit]);
    for case in [sized((1 << 20) + 1, 0), sized(1 << 19, (1 << 19) + 1)] {
        case.tells(&[Check::DataSize, Check::SizeNearLimit]);
        let text = case.texts(Check::DataSize);
        assert!(
            text.contains("1048577") && text.contains("first "),
            "{text}"
        );
    }
}

/// Section 2, row "total object": 1000 long keys pass, 1500 do not.
#[test]
fn an_object_that_etcd_may_not_take_is_told_before() {
    let keys = |count: usize| {
        let mut case = Case::new(&SecretType::Opaque).with("value", vec![b'x'; 900_000]);
        for number in 0..count {
            let key = format!("{number:04}{}", "k".repeat(246));
            case = case.with(&key, "");
        }
        let checks = case.findings().checks();
        checks.contains(&Check::SizeNearLimit)
    };
    assert!(!keys(900));
    assert!(keys(1500));
}

/// Section 2, row "data optional": empty values are legal.
#[test]
fn empty_values_and_any_bytes_are_legal() {
    Case::new(&SecretType::Opaque)
        .with("empty", "")
        .with("nul", b"\0")
        .with("crlf", "a\r\n")
        .with(".hidden", b"\xff\xfe\0")
        .fails(&[]);
}

/// Section 3: what each type requires.
#[test]
fn what_a_type_requires_is_told_key_by_key() {
    let field = |secret_type: &SecretType| {
        let findings = Case::new(secret_type).findings();
        findings
            .of(Class::Structure)
            .map(|finding| finding.field.clone())
            .collect::<Vec<String>>()
    };
    for (secret_type, expected) in [
        (SecretType::Opaque, vec![]),
        (SecretType::parse("example.net/custom"), vec![]),
        (SecretType::BootstrapToken, vec![]),
        (
            SecretType::ServiceAccountToken,
            vec!["metadata.annotations[kubernetes.io/service-account.name]"],
        ),
        (SecretType::DockerCfg, vec!["data[.dockercfg]"]),
        (
            SecretType::DockerConfigJson,
            vec!["data[.dockerconfigjson]"],
        ),
        (
            SecretType::BasicAuth,
            vec!["data[password]", "data[username]"],
        ),
        (SecretType::SshAuth, vec!["data[ssh-privatekey]"]),
        (SecretType::Tls, vec!["data[tls.crt]", "data[tls.key]"]),
    ] {
        assert_eq!(field(&secret_type), expected, "{secret_type:?}");
    }
}

/// Sections 3 and 4.5 to 4.7: what suffices for the API server.
#[test]
fn empty_values_suffice_where_the_api_server_takes_them() {
    let structure = |case: Case| case.findings().refused();
    assert!(!structure(
        Case::new(&SecretType::BasicAuth).with("username", "")
    ));
    assert!(!structure(
        Case::new(&SecretType::BasicAuth).with("password", "")
    ));
    assert!(!structure(
        Case::new(&SecretType::Tls)
            .with("tls.crt", "")
            .with("tls.key", "")
    ));
    assert!(structure(Case::new(&SecretType::Tls).with("tls.crt", "")));
    assert!(structure(
        Case::new(&SecretType::SshAuth).with("ssh-privatekey", "")
    ));
    assert!(!structure(
        Case::new(&SecretType::SshAuth).with("ssh-privatekey", "x")
    ));
}

/// Section 4.2: annotation missing or empty.
#[test]
fn a_service_account_token_needs_its_annotation() {
    let with = |account: &str| {
        let mut case = Case::new(&SecretType::ServiceAccountToken).with("extra", "bar");
        case.annotations
            .insert(SERVICE_ACCOUNT_NAME.to_owned(), account.to_owned());
        case
    };
    with("").tells(&[Check::DataRequired, Check::SaLegacy]);
    with("NOT a name").tells(&[Check::SaLegacy]);
    with("sa-name").tells(&[Check::SaLegacy]);
    let text = with("sa-name").texts(Check::SaLegacy);
    assert!(text.contains("TokenRequest"), "{text}");
}

/// Section 4.2: `sa.reserved-key`, under every policy, and `sa.missing`.
#[test]
fn keys_of_the_token_controller_are_refused_under_every_policy() {
    for key in ["token", "ca.crt", "namespace"] {
        let mut case = Case::new(&SecretType::ServiceAccountToken).with(key, "forged");
        case.annotations
            .insert(SERVICE_ACCOUNT_NAME.to_owned(), "sa-name".to_owned());
        for policy in [Policy::Off, Policy::Warn, Policy::Hold, Policy::Strict] {
            let findings = case.judge(policy);
            assert!(findings.refused(), "{key} {policy:?}");
            assert!(findings.checks().contains(&Check::SaReservedKey));
        }
    }
    let mut case = Case::new(&SecretType::ServiceAccountToken).with("extra", "bar");
    case.annotations
        .insert(SERVICE_ACCOUNT_NAME.to_owned(), "sa-name".to_owned());
    for (exists, expected) in [
        (Some(false), &[Check::SaMissing, Check::SaLegacy][..]),
        (Some(true), &[Check::SaLegacy][..]),
        (None, &[Check::SaLegacy][..]),
    ] {
        case.service_account_exists = exists;
        case.tells(expected);
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mut case = Case::new(&SecretType::Tls)
        .with("a/b", "x")
        .with("..", "x")
        .with("big", vec![b'x'; 1 << 20]);
    case.name = "Upper".to_owned();
    case.labels.insert("a b".to_owned(), "x".repeat(64));
    let findings = case.findings();
    let fields: Vec<&str> = findings
        .of(Class::Structure)
        .map(|finding| finding.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "metadata.name",
            "metadata.labels[a b]",
            "metadata.labels[a b]",
            "data[..]",
            "data[a/b]",
            "data",
            "data[tls.crt]",
            "data[tls.key]",
        ]
    );
    for finding in findings.list() {
        assert!(!finding.what.is_empty() && !finding.remedy.is_empty());
        assert_eq!(
            finding.is_structure(),
            finding.check.class() == Class::Structure
        );
    }
}

#[test]
fn meaning_is_not_judged_under_off() {
    let case = Case::new(&SecretType::Tls)
        .with("tls.crt", "")
        .with("tls.key", "");
    let findings = case.judge(Policy::Off);
    assert!(findings.list().is_empty() && findings.verdict().is_none());
    assert!(!case.judge(Policy::Warn).list().is_empty());
}
