//! Lines as people and machines see them.

use std::fmt::Write as _;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{Capped, Fields, Line, LogFormat, MAX_VALUE, Value};

fn line(message: &str, named: Vec<(&'static str, Value)>) -> Line<'static> {
    Line {
        time: Timestamp::new(1_700_000_000, 123_456_789).expect("in range"),
        level: "WARN",
        target: "coffer_provider::server",
        fields: Fields {
            message: safe(message),
            named,
        },
    }
}

/// What a visitor makes of a text.
fn safe(text: &str) -> String {
    let mut capped = Capped::default();
    let _ = capped.write_str(text);
    capped.finish()
}

fn text(value: &str) -> Value {
    Value::Text(safe(value))
}

fn render(line: &Line<'_>, format: LogFormat) -> String {
    String::from_utf8(line.render(format)).expect("text")
}

#[test]
fn json_has_the_fixed_fields_first() {
    let fields = vec![
        ("pod", text("web-0")),
        ("objects", Value::Bare("3".to_owned())),
    ];
    insta::assert_snapshot!(
        render(&line("mount failed", fields), LogFormat::Json),
        @r#"{"ts":"2023-11-14T22:13:20.123Z","level":"warn","msg":"mount failed","target":"coffer_provider::server","pod":"web-0","objects":3}"#
    );
}

#[test]
fn text_quotes_what_would_read_as_more_than_one_value() {
    let fields = vec![
        ("pod", text("web-0")),
        ("detail", text("a b=\"c\"")),
        ("empty", text("")),
        ("ms", Value::Bare("1.5".to_owned())),
    ];
    insta::assert_snapshot!(
        render(&line("mount failed", fields), LogFormat::Text),
        @r#"2023-11-14T22:13:20.123Z WARN  coffer_provider::server: mount failed pod=web-0 detail="a b=\"c\"" empty="" ms=1.5"#
    );
}

#[test]
fn a_field_never_takes_the_name_of_a_fixed_one() {
    let fields = vec![("level", text("high")), ("target", text("/pods/x"))];
    let json = render(&line("m", fields), LogFormat::Json);
    let parsed: serde_json::Value = serde_json::from_str(&json).expect("json");
    assert_eq!(parsed["level"], "warn");
    assert_eq!(parsed["level_"], "high");
    assert_eq!(parsed["target_"], "/pods/x");
}

#[test]
fn long_text_is_cut_at_a_character() {
    let cut = safe(&"é".repeat(MAX_VALUE));
    assert_eq!(cut.chars().count(), MAX_VALUE / 2 + 1);
    assert!(cut.ends_with('…'));
    assert_eq!(safe(&"x".repeat(MAX_VALUE)).len(), MAX_VALUE);
}

proptest! {
    #[test]
    fn no_text_can_end_or_disguise_a_line(message in any::<String>(), value in any::<String>()) {
        for format in [LogFormat::Json, LogFormat::Text] {
            let rendered = render(&line(&message, vec![("v", text(&value))]), format);
            let body = rendered.strip_suffix('\n').expect("one line");
            let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
            prop_assert_eq!(body.find(breaks), None);
        }
        let json = render(&line(&message, vec![("v", text(&value))]), LogFormat::Json);
        let parsed: serde_json::Value = serde_json::from_str(&json).expect("json");
        prop_assert_eq!(&parsed["v"], &safe(&value));
    }
}
