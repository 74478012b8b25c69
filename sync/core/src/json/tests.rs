//! What Go takes for JSON, and what it makes of it.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::Json;

fn texts(json: &str) -> Vec<String> {
    let parsed = Json::parse(json.as_bytes()).ok();
    let members = parsed.and_then(Json::members).expect(json);
    members
        .iter()
        .map(|(name, value)| format!("{}={}", name.as_str(), String::from_utf8_lossy(value.raw())))
        .collect()
}

#[test]
fn members_come_in_order_with_everything_between_them() {
    for (json, expected) in [
        ("{}", vec![]),
        (" { \"a\" : 1 } ", vec!["a=1"]),
        (
            "{\"a\":{\"b\":[1,{}]},\"a\":[],\"c\":\"}\"}",
            vec!["a={\"b\":[1,{}]}", "a=[]", "c=\"}\""],
        ),
        ("{\"\\u0061\\n\":null}", vec!["a\n=null"]),
    ] {
        assert_eq!(texts(json), expected, "{json}");
    }
}

#[test]
fn strings_read_as_go_reads_them() {
    for (json, expected) in [
        (&b"\"a\\/\\\"\\\\b\""[..], "a/\"\\b"),
        (b"\"\\u00e9\\ud83d\\ude00\"", "é😀"),
        (b"\"\\ud83d\"", "\u{fffd}"),
        (b"\"\\ud83dx\\u0041\"", "\u{fffd}xA"),
        (b"\"\\ud83d\\u0041\"", "\u{fffd}A"),
        (b"\"\xff\xe9\"", "\u{fffd}\u{fffd}"),
    ] {
        let text = Json::parse(json).unwrap().text().unwrap();
        assert_eq!(text.as_str(), expected);
    }
}

#[test]
fn names_match_in_any_case_but_exactly_first() {
    for (json, expected) in [
        ("{\"AUTHS\":1}", "1"),
        ("{\"auths\":1,\"Auths\":2}", "1"),
        ("{\"Auths\":1,\"AUTHS\":2}", "2"),
        ("{\"auths\":1,\"auths\":2}", "2"),
    ] {
        let found = Json::parse(json.as_bytes()).unwrap().member("auths");
        assert_eq!(found.unwrap().raw(), expected.as_bytes(), "{json}");
    }
}

#[test]
fn ten_thousand_levels_are_taken_and_one_more_is_not() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Json::parse(nested(10_000).as_bytes()).is_ok());
    assert!(Json::parse(nested(10_001).as_bytes()).is_err());
}

#[test]
fn compacting_drops_blanks_between_tokens_only() {
    let json = Json::parse(b"{ \"a b\" : [ 1 , \"\\\" x\" ] }").unwrap();
    assert_eq!(json.compact().as_slice(), b"{\"a b\":[1,\"\\\" x\"]}");
}

proptest! {
    #[test]
    fn whatever_a_strict_parser_takes_is_taken(
        json in "[\\[\\]{}:,\"\\\\ 0-9.eEtrufalsn-]{0,12}",
    ) {
        if serde_json::from_str::<serde_json::Value>(&json).is_ok() {
            prop_assert!(Json::parse(json.as_bytes()).is_ok(), "{json}");
        } else {
            // A lone surrogate is the one escape of this alphabet that only Go takes.
            prop_assert!(Json::parse(json.as_bytes()).is_err() || json.contains("\\u"), "{json}");
        }
    }

    #[test]
    fn a_string_written_strictly_is_read_back(text in any::<String>()) {
        let json = serde_json::to_string(&text).unwrap();
        let read = Json::parse(json.as_bytes()).unwrap().text().unwrap();
        prop_assert_eq!(read.as_str(), text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(json) = Json::parse(&bytes) {
            let _ = (json.members(), json.elements(), json.text());
        }
    }
}
