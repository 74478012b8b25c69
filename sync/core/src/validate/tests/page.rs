//! The examples of the Kubernetes documentation's page on Secrets (reference, section 7).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Case, fixture};
use crate::secret_type::{SERVICE_ACCOUNT_NAME, SecretType, gate::AllowedTypes};
use crate::validate::{Check, Policy};

fn decoded(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

#[test]
fn dotfile_secret_is_written_byte_for_byte() {
    let case = Case::new(&SecretType::Opaque).with(".secret-file", decoded("dmFsdWUtMg0KDQo="));
    assert_eq!(case.data[".secret-file"].expose(), b"value-2\r\n\r\n");
    case.tells(&[]);
}

#[test]
fn empty_secret_is_written_with_a_word() {
    Case::new(&SecretType::parse("")).tells(&[Check::DataEmpty]);
}

#[test]
fn secret_sa_sample_is_written_where_the_operator_allows_it() {
    let mut case = Case::new(&SecretType::ServiceAccountToken).with("extra", decoded("YmFyCg=="));
    case.annotations
        .insert(SERVICE_ACCOUNT_NAME.to_owned(), "sa-name".to_owned());
    case.tells(&[Check::SaLegacy]);
    assert!(AllowedTypes::default().admit(&case.secret_type).is_err());
}

#[test]
fn secret_dockercfg_has_the_shape_of_the_other_type() {
    let value =
        decoded("eyJhdXRocyI6eyJodHRwczovL2V4YW1wbGUvdjEvIjp7ImF1dGgiOiJvcGVuc2VzYW1lIn19fQo=");
    Case::new(&SecretType::DockerCfg)
        .with(".dockercfg", &value)
        .tells(&[Check::DockerShape]);
    Case::new(&SecretType::DockerConfigJson)
        .with(".dockerconfigjson", &value)
        .tells(&[Check::DockerAuth, Check::DockerEmpty]);
}

#[test]
fn secret_tiger_docker_raises_nothing() {
    let json = "{\"auths\":{\"my-registry.example:5000\":{\"username\":\"tiger\",\"password\":\"pass1234\",\
                \"email\":\"tiger@acme.example\",\"auth\":\"dGlnZXI6cGFzczEyMzQ=\"}}}";
    Case::new(&SecretType::DockerConfigJson)
        .with(".dockerconfigjson", json)
        .tells(&[]);
}

#[test]
fn secret_basic_auth_raises_nothing() {
    Case::new(&SecretType::BasicAuth)
        .with("username", "admin")
        .with("password", "t0p-Secret")
        .tells(&[]);
}

#[test]
fn secret_ssh_auth_holds_no_key() {
    Case::new(&SecretType::SshAuth)
        .with(
            "ssh-privatekey",
            decoded("UG91cmluZzYlRW1vdGljb24lU2N1YmE="),
        )
        .tells(&[Check::SshParse, Check::SshKnownHosts]);
}

/// A certificate that many libraries refuse is read, so that its true fault is told.
#[test]
fn secret_tls_is_told_from_key_to_age() {
    let case = Case::new(&SecretType::Tls)
        .with("tls.crt", fixture!("page.tls.crt"))
        .with(
            "tls.key",
            decoded("RXhhbXBsZSBkYXRhIGZvciB0aGUgVExTIGNydCBmaWVsZA=="),
        );
    case.tells(&[
        Check::TlsKeyFormat,
        Check::TlsExpired,
        Check::TlsNoSan,
        Check::TlsWeak,
    ]);
    let weak = case.texts(Check::TlsWeak);
    for part in ["999", "SHA-1", "version 1"] {
        assert!(weak.contains(part), "{weak}");
    }
    assert!(
        case.texts(Check::TlsExpired)
            .contains("2018-01-10T04:51:39Z")
    );
}

#[test]
fn bootstrap_token_5emitj_has_expired() {
    let mut case = Case::new(&SecretType::BootstrapToken)
        .with(
            "auth-extra-groups",
            decoded("c3lzdGVtOmJvb3RzdHJhcHBlcnM6a3ViZWFkbTpkZWZhdWx0LW5vZGUtdG9rZW4="),
        )
        .with("expiration", decoded("MjAyMC0wOS0xM1QwNDozOToxMFo="))
        .with("token-id", decoded("NWVtaXRq"))
        .with("token-secret", decoded("a3E0Z2lodnN6emduMXAwcg=="))
        .with("usage-bootstrap-authentication", decoded("dHJ1ZQ=="))
        .with("usage-bootstrap-signing", decoded("dHJ1ZQ=="));
    case.name = "bootstrap-token-5emitj".to_owned();
    case.namespace = "kube-system".to_owned();
    case.tells(&[Check::BootstrapExpired]);
    case.at("2020-09-13T04:39:09Z").tells(&[]);
}

#[test]
fn mysecret_has_two_keys_that_no_shell_expands() {
    let case = Case::new(&SecretType::Opaque)
        .with("1badkey", "x")
        .with("2alsobad", "x");
    case.tells(&[Check::EnvName]);
    assert_eq!(case.texts(Check::EnvName).lines().count(), 2);
}

#[test]
fn a_type_of_ones_own_raises_nothing() {
    Case::new(&SecretType::parse(
        "cloud-hosting.example.net/cloud-api-credentials",
    ))
    .with("key", "x")
    .tells(&[]);
}

/// Section 6: no text of any finding holds a byte of a value, whatever is wrong with it.
#[test]
fn no_text_holds_a_byte_of_a_value() {
    let marker = "hunter2-canary";
    let types = SecretType::BUILT_IN
        .into_iter()
        .chain([SecretType::parse("opaque")]);
    for secret_type in types {
        for value in [
            marker.to_owned(),
            format!(
                "{{\"auths\":{{\"{marker}\":{{\"auth\":\"{marker}\",\"username\":\"{marker}\"}}}}}}"
            ),
            format!("{{\"{marker}\":1,"),
            format!("-----BEGIN {marker}-----\n{marker}\n-----END {marker}-----\n"),
            format!("-----BEGIN {marker}-----\nAAAA\n-----END {marker}-----\n"),
            format!("{marker}:{marker}\n"),
        ] {
            let mut case = Case::new(&secret_type);
            for key in [
                "username",
                "password",
                "ssh-privatekey",
                "tls.crt",
                "tls.key",
                "ca.crt",
                ".dockercfg",
                ".dockerconfigjson",
                "token-id",
                "token-secret",
                "expiration",
                "auth-extra-groups",
                "usage-bootstrap-x",
            ] {
                case = case.with(key, &value);
            }
            for finding in case.judge(Policy::Strict).list() {
                let text = finding.to_string();
                assert!(
                    !text.contains("hunter2") && !text.contains("canary"),
                    "{text}"
                );
            }
        }
    }
}
