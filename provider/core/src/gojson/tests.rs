//! Reading and writing against tables of what Go does, and against serde_json on random values.

use proptest::prelude::*;

use super::{Json, JsonErrorKind, MAX_DEPTH, write_string};

fn text(json: &Json) -> String {
    String::from_utf8(json.to_bytes()).unwrap()
}

#[track_caller]
fn reads(input: &[u8], expected: &str) {
    let json = Json::parse(input).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(text(&json), expected, "{}", input.escape_ascii());
}

#[test]
fn numbers_keep_their_digits() {
    for digits in [
        "0",
        "-0",
        "10",
        "1.0",
        "1E400",
        "-1.50e+07",
        "123456789012345678901234567890",
    ] {
        reads(digits.as_bytes(), digits);
    }
}

#[test]
fn keys_are_sorted_by_bytes_and_the_last_of_equal_keys_wins() {
    reads(
        "{\"é\":1,\"b\":2,\"B\":3,\"\":4,\"b\" : [ ]}".as_bytes(),
        "{\"\":4,\"B\":3,\"b\":[],\"é\":1}",
    );
}

#[test]
fn strings_are_escaped_as_go_escapes_them() {
    let mut out = Vec::new();
    write_string(
        &mut out,
        "<&>/\u{7f}\u{2028}\u{2029}\u{8}\u{c}\n\r\t\u{1}\u{1f}\"\\é😀",
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "\"\\u003c\\u0026\\u003e/\u{7f}\\u2028\\u2029\\b\\f\\n\\r\\t\\u0001\\u001f\\\"\\\\é😀\""
    );
}

#[test]
fn broken_text_becomes_replacement_characters_as_in_go() {
    for (input, expected) in [
        (&br#""\ud83d\ude00""#[..], "\"😀\""),
        (br#""\ud800""#, "\"\u{fffd}\""),
        (br#""\ud800\u0041""#, "\"\u{fffd}A\""),
        (br#""\ud800\ud83d\ude00""#, "\"\u{fffd}😀\""),
        (br#""\ude00\ud83d""#, "\"\u{fffd}\u{fffd}\""),
        (br#""\ud800\n""#, "\"\u{fffd}\\n\""),
        (b"\"a\xffb\"", "\"a\u{fffd}b\""),
        (b"\"\xe2\x82\"", "\"\u{fffd}\u{fffd}\""),
        (b"\"\xed\xa0\x80\"", "\"\u{fffd}\u{fffd}\u{fffd}\""),
    ] {
        reads(input, expected);
    }
}

#[test]
fn floats_take_gos_shortest_form() {
    for (value, expected) in [
        (1.0, "1"),
        (1e3, "1000"),
        (0.5, "0.5"),
        (-0.0, "-0"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.234_567_890_123_456_8e29, "1.2345678901234568e+29"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-10, "1.5e-10"),
        (18_446_744_073_709_551_615.0, "18446744073709552000"),
    ] {
        assert_eq!(
            Json::float(value).map(|json| text(&json)).as_deref(),
            Some(expected)
        );
    }
    assert!(Json::float(f64::INFINITY).is_none());
    assert!(Json::float(f64::NAN).is_none());
}

#[test]
fn faults_are_told_by_place_and_category() {
    for (input, line, column, kind) in [
        ("", 1, 1, JsonErrorKind::Truncated),
        ("{\"a\":\n  x}", 2, 3, JsonErrorKind::Syntax),
        ("{\"a\":1,}", 1, 8, JsonErrorKind::Syntax),
        ("[1,]", 1, 4, JsonErrorKind::Syntax),
        ("[1", 1, 3, JsonErrorKind::Truncated),
        ("\"a\nb\"", 1, 3, JsonErrorKind::Syntax),
        ("\"\\x\"", 1, 3, JsonErrorKind::Syntax),
        ("\"\\u12g4\"", 1, 6, JsonErrorKind::Syntax),
        ("01", 1, 2, JsonErrorKind::Trailing),
        ("-", 1, 2, JsonErrorKind::Truncated),
        ("1.e2", 1, 3, JsonErrorKind::Syntax),
        ("nul", 1, 4, JsonErrorKind::Truncated),
        ("{} {}", 1, 4, JsonErrorKind::Trailing),
        ("-----BEGIN", 1, 2, JsonErrorKind::Syntax),
    ] {
        let error = Json::parse(input.as_bytes()).err().unwrap();
        assert_eq!(
            (error.line, error.column, error.kind),
            (line, column, kind),
            "{input:?}"
        );
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    reads(nested(MAX_DEPTH).as_bytes(), &nested(MAX_DEPTH));
    let error = Json::parse(nested(MAX_DEPTH + 1).as_bytes()).err().unwrap();
    assert_eq!(error.kind, JsonErrorKind::TooDeep);
    assert!(Json::parse("[{\"a\":".repeat(500_000).as_bytes()).is_err());
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(value in any_json()) {
        let json = Json::parse(&serde_json::to_vec(&value).unwrap()).ok().unwrap();
        let written = json.to_bytes();
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).unwrap(), value);
        prop_assert!(Json::parse(&written).is_ok_and(|again| again == json));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Json::parse(&bytes);
    }

    #[test]
    fn bytes_that_look_like_json_never_panic(text in "[\\[\\]{}\",:\\\\u0-9a-fx.eE+ \n-]{0,60}") {
        let ours = Json::parse(text.as_bytes());
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            prop_assert!(ours.is_ok());
        }
    }
}
