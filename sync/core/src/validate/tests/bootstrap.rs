//! Tokens as the authenticator and the token cleaner see them.

use proptest::prelude::{prop_assert_eq, prop_oneof, proptest};
use regex::bytes::Regex;

use super::Case;
use crate::secret_type::SecretType;
use crate::validate::Check;

fn token() -> Case {
    let mut case = Case::new(&SecretType::BootstrapToken)
        .with("token-id", "5emitj")
        .with("token-secret", "kq4gihvszzgn1p0r")
        .with("usage-bootstrap-authentication", "true")
        .with("usage-bootstrap-signing", "true")
        .with(
            "auth-extra-groups",
            "system:bootstrappers:kubeadm:default-node-token",
        )
        .with("expiration", "2030-06-01T00:00:00Z");
    case.name = "bootstrap-token-5emitj".to_owned();
    case.namespace = "kube-system".to_owned();
    case
}

#[test]
fn a_sound_token_raises_nothing() {
    token().tells(&[]);
    token().with("description", "made-up").tells(&[]);
}

/// 4.8: the API server checks nothing.
#[test]
fn anything_of_this_type_is_stored() {
    let case = Case::new(&SecretType::BootstrapToken);
    assert!(!case.findings().refused());
    case.fails(&[
        Check::BootstrapNamespace,
        Check::BootstrapId,
        Check::BootstrapSecret,
        Check::BootstrapUsage,
    ]);
}

/// 4.8 `bootstrap.namespace`, `.name`, `.id`.
#[test]
fn a_token_is_found_by_namespace_name_and_id() {
    let mut case = token();
    case.namespace = "default".to_owned();
    case.tells(&[Check::BootstrapNamespace]);

    for name in [
        "bootstrap-token-5emitk",
        "5emitj",
        "bootstrap-token-5emitj-2",
    ] {
        let mut case = token();
        case.name = name.to_owned();
        case.tells(&[Check::BootstrapName]);
    }
    for id in ["5emitj\n", "5emit", "5EMITJ", "", "5emi.j"] {
        let case = token().with("token-id", id);
        case.tells(&[Check::BootstrapId]);
        assert_eq!(case.remembers(), [Check::BootstrapName, Check::BootstrapId]);
    }
}

/// 4.8 `bootstrap.secret`.
#[test]
fn a_secret_is_sixteen_plain_characters() {
    token()
        .with("token-secret", "kq4gihvszzgn1p0r\n")
        .tells(&[Check::BootstrapSecret, Check::ValueNewline]);
    for secret in ["kq4gihvszzgn1p0", "KQ4GIHVSZZGN1P0R", ""] {
        token()
            .with("token-secret", secret)
            .tells(&[Check::BootstrapSecret]);
    }
    token()
        .without("token-secret")
        .tells(&[Check::BootstrapSecret]);
}

/// 4.8 `bootstrap.usage`.
#[test]
fn a_usage_is_exactly_true() {
    let signing = "usage-bootstrap-signing";
    token().without(signing).tells(&[]);
    for value in ["True", "true\n", "", "false", "1"] {
        token().with(signing, value).tells(&[Check::BootstrapUsage]);
    }
    let unused = token()
        .without(signing)
        .without("usage-bootstrap-authentication");
    unused.tells(&[Check::BootstrapUsage]);
}

/// 4.8 `bootstrap.groups`.
#[test]
fn one_bad_group_disables_the_token() {
    for groups in [
        "",
        "system:bootstrappers:a",
        "system:bootstrappers:a:b-c,system:bootstrappers:1",
    ] {
        token().with("auth-extra-groups", groups).tells(&[]);
    }
    token().without("auth-extra-groups").tells(&[]);
    let long = format!("system:bootstrappers:{}", "a".repeat(257));
    for groups in [
        "system:masters",
        "system:bootstrappers:a, system:bootstrappers:b",
        "system:bootstrappers:a,",
        "system:bootstrappers:a\n",
        "system:bootstrappers:A",
        "system:bootstrappers:a-",
        "system:bootstrappers:",
        &long,
    ] {
        token()
            .with("auth-extra-groups", groups)
            .tells(&[Check::BootstrapGroups]);
    }
}

/// 4.8 `bootstrap.expiration`, `.expired`, `.no-expiration`.
#[test]
fn an_expiration_is_read_as_go_reads_it() {
    for fine in [
        "2030-06-01T00:00:00Z",
        "2030-06-01T00:00:00.123456Z",
        "2030-06-01T00:00:00+02:00",
        "2030-06-01T00:00:00.5-11:30",
    ] {
        token().with("expiration", fine).tells(&[]);
    }
    for unread in [
        "2030-06-01",
        "2030-06-01T00:00:00",
        "2030-06-01T00:00:00z",
        "2030-06-01 00:00:00Z",
        "2030-06-01T00:00:00Z\n",
        "2030-06-01T00:00Z",
        "2030-06-31T00:00:00Z",
        "2030-06-01T23:59:60Z",
        "2030-06-01T00:00:00.Z",
        "never",
    ] {
        let case = token().with("expiration", unread);
        case.tells(&[Check::BootstrapExpiration]);
        assert_eq!(
            case.remembers(),
            [Check::BootstrapExpiration, Check::BootstrapExpired]
        );
    }
    token()
        .with("expiration", "2029-12-31T23:59:59Z")
        .tells(&[Check::BootstrapExpired]);
    for none in [
        token().without("expiration"),
        token().with("expiration", ""),
    ] {
        none.tells(&[Check::BootstrapNoExpiration]);
    }
}

proptest! {
    #[test]
    fn groups_are_allowed_exactly_when_the_api_servers_expression_says_so(
        group in prop_oneof![
            "system:bootstrappers:[a-z0-9:-]{0,4}",
            "system:bootstrappers:[aA ,\n-]{0,4}",
            "[a-z:]{1,8}",
            "system:bootstrappers:a{253,258}",
        ],
    ) {
        let expression =
            Regex::new(r"\A(system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9])(,system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9])*\z")
                .unwrap();
        let told = token().with("auth-extra-groups", &group).findings().checks();
        prop_assert_eq!(!told.contains(&Check::BootstrapGroups), expression.is_match(group.as_bytes()));
    }
}
