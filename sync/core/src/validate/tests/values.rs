//! What is doubtful in every type.

use super::Case;
use crate::secret_type::SecretType;
use crate::validate::Check;

fn opaque(key: &str, value: impl AsRef<[u8]>) -> Case {
    Case::new(&SecretType::Opaque).with(key, value)
}

/// 2.3 `value.newline`.
#[test]
fn a_one_line_password_with_a_line_end_is_told() {
    let newline = &[Check::ValueNewline][..];
    for (key, value, expected) in [
        ("password", "x\n", newline),
        ("db-Passwd", "x\r\n", newline),
        ("my.token", "x\n\n", newline),
        ("api-secret", "x\r", newline),
        ("APIKEY", "x\n", newline),
        ("password", "x", &[]),
        ("password", "two\nlines\n", &[]),
        ("password", "\n", &[]),
        (".secret-file", "x\n", &[]),
        ("username", "x\n", &[]),
    ] {
        opaque(key, value).tells(expected);
    }
}

/// 2.3 `value.bom`.
#[test]
fn a_byte_order_mark_is_told() {
    for value in [&b"\xef\xbb\xbfx"[..], b"\xff\xfex\0", b"\xfe\xff\0x"] {
        opaque("a", value).tells(&[Check::ValueBom]);
    }
    opaque("a", b"\xef\xbbx").tells(&[]);
}

/// 2.3 `env.name`.
#[test]
fn a_key_with_a_digit_first_is_told_in_free_types_only() {
    opaque("1badkey", "x").tells(&[Check::EnvName]);
    Case::new(&SecretType::parse("example.net/x"))
        .with("2alsobad", "x")
        .tells(&[Check::EnvName]);
    for key in ["a-b", "a.b", "_x", ".x"] {
        opaque(key, "x").tells(&[]);
    }
    Case::new(&SecretType::BasicAuth)
        .with("username", "u")
        .with("password", "p")
        .with("1st", "x")
        .tells(&[]);
}

/// 2.3 `data.empty`.
#[test]
fn a_secret_without_keys_is_told() {
    Case::new(&SecretType::Opaque).tells(&[Check::DataEmpty]);
    let filled_by_kubernetes = Case::new(&SecretType::ServiceAccountToken);
    assert_eq!(filled_by_kubernetes.texts(Check::DataEmpty), "");
}

/// Section 2, row "type": `type.lookalike`.
#[test]
fn a_type_that_resembles_a_built_in_one_is_told() {
    for (text, remedy) in [
        ("opaque", "write Opaque"),
        ("kubernetes.io/TLS", "write kubernetes.io/tls"),
        ("kubernetes.io/tls ", "write kubernetes.io/tls"),
        ("kubernetes.io/unknown", "domain of your own"),
    ] {
        let case = Case::new(&SecretType::parse(text)).with("a", "b");
        case.tells(&[Check::TypeLookalike]);
        let told = case.texts(Check::TypeLookalike);
        assert!(told.contains(remedy), "{told}");
    }
    for text in ["example.net/x", "with space", "Opaque", ""] {
        Case::new(&SecretType::parse(text))
            .with("a", "b")
            .tells(&[]);
    }
}

/// 2.3 `size.near-limit`.
#[test]
fn nine_tenths_of_a_mebibyte_are_told() {
    opaque("a", vec![0; 943_600]).tells(&[]);
    opaque("a", vec![0; 943_800]).tells(&[Check::SizeNearLimit]);
}

/// 4.1 `custom.required`.
#[test]
fn the_users_own_list_of_keys_is_held() {
    let mut case = Case::new(&SecretType::parse("example.net/x")).with("a", "b");
    case.required_keys = vec!["a".to_owned(), "b".to_owned()];
    case.tells(&[Check::CustomRequired]);
    assert_eq!(case.remembers(), [Check::CustomRequired]);
    case.with("b", "").tells(&[]);
}
