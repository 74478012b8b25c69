//! What a scalar means: yaml.v3's resolution, which is YAML 1.2 with the octals, underscores and
//! dates of 1.1 but without its booleans (`yes` is text).
//!
//! The cases are those of the `resolve` function in yaml.v3 3.0.1 (resolve.go), observed by running it.

use super::timestamp::rfc3339;
use super::yaml::{Kind, Node};
use crate::encoding::decode_base64;

/// A scalar with its type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `True`, `TRUE` and their opposites; nothing else.
    Bool(bool),
    /// A whole number that fits 64 bits, signed or not.
    Int(i128),
    /// Any other number, also one too large for 64 bits.
    Float(f64),
    /// A date or time, as RFC 3339 text.
    Time(String),
    /// Everything else, and everything quoted.
    Text(String),
    /// The text that was given as `!!binary`.
    Binary(String),
}

/// Why a scalar has no value. Holds no text of the scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadScalar {
    /// The text does not fit its explicit tag, or the tag is unknown.
    Tag(String),
    /// `!!binary` that is not base64.
    Base64,
    /// `!!binary` whose bytes are no UTF-8 text.
    NotText,
    /// A list or map.
    NotScalar,
}

impl Value {
    /// The tag that this value has by itself.
    const fn tag(&self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Int(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Time(_) => "!!timestamp",
            Self::Text(_) => "!!str",
            Self::Binary(_) => "!!binary",
        }
    }
}

/// The value of a scalar node.
///
/// # Errors
/// When the text does not fit an explicit tag, or the node is no scalar.
pub(super) fn resolve(node: &Node) -> Result<Value, BadScalar> {
    let Kind::Scalar { text, plain } = &node.kind else {
        return Err(BadScalar::NotScalar);
    };
    match node.tag.as_deref() {
        None if *plain => Ok(untagged(text)),
        None | Some("!!str") => Ok(Value::Text(text.clone())),
        Some("!!binary") => binary(text),
        Some(tag) => with_tag(text, tag),
    }
}

/// The text of a scalar for a text attribute: the source text whatever its type, none for null.
///
/// # Errors
/// As [`resolve`].
pub(super) fn text_of(node: &Node) -> Result<Option<String>, BadScalar> {
    match (resolve(node)?, &node.kind) {
        (Value::Null, _) => Ok(None),
        (Value::Binary(text), _) => Ok(Some(text)),
        (_, Kind::Scalar { text, .. }) => Ok(Some(text.clone())),
        (_, Kind::Sequence(_) | Kind::Mapping(_)) => Err(BadScalar::NotScalar),
    }
}

/// Whether a node stands for nothing.
pub(super) fn is_null(node: &Node) -> bool {
    resolve(node) == Ok(Value::Null)
}

/// Whether a key is the merge key `<<`.
pub(super) fn is_merge(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar { text, plain } => {
            text == "<<" && node.tag.as_deref().map_or(*plain, |tag| tag == "!!merge")
        }
        _ => false,
    }
}

fn binary(text: &str) -> Result<Value, BadScalar> {
    let bytes = decode_base64(text.as_bytes()).map_err(|_| BadScalar::Base64)?;
    let text = String::from_utf8(bytes).map_err(|_| BadScalar::NotText)?;
    Ok(Value::Binary(text))
}

fn with_tag(text: &str, tag: &str) -> Result<Value, BadScalar> {
    match (untagged(text), tag) {
        #[expect(clippy::cast_precision_loss, reason = "Go converts in the same way")]
        (Value::Int(value), "!!float") => Ok(Value::Float(value as f64)),
        (value, tag) if value.tag() == tag => Ok(value),
        (_, tag) => Err(BadScalar::Tag(tag.to_owned())),
    }
}

/// The value of plain text. What it can be follows from its first character, as in yaml.v3.
fn untagged(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let value = match text.as_bytes().first() {
        Some(b'.') => float(text).map(Value::Float),
        Some(b'+' | b'-' | b'0'..=b'9') => date_or_number(text),
        _ => None,
    };
    value.unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn date_or_number(text: &str) -> Option<Value> {
    if let Some(time) = rfc3339(text) {
        return Some(Value::Time(time));
    }
    let digits = text.replace('_', "");
    int(&digits)
        .map(Value::Int)
        .or_else(|| float(&digits).map(Value::Float))
}

/// A whole number of 64 bits: decimal, `0x`, `0b`, `0o`, and `0644` as octal.
fn int(digits: &str) -> Option<i128> {
    let (negative, size) = match digits.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let size = i128::from(magnitude(size)?);
    if negative {
        Some(-size).filter(|value| *value >= i128::from(i64::MIN))
    } else {
        // A sign and a number above the signed range do not go together: Go's ParseUint knows no sign.
        Some(size).filter(|value| *value <= i128::from(i64::MAX) || !digits.starts_with('+'))
    }
}

fn magnitude(digits: &str) -> Option<u64> {
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // Rust would take a second sign here.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// A decimal number. One that is out of range is no number but text, as with Go's `ParseFloat`.
fn float(digits: &str) -> Option<f64> {
    // What else Rust reads as a number (`inf`, `nan`) consists of letters only.
    let shaped = digits
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !shaped {
        return None;
    }
    digits.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::{Value, untagged};

    #[track_caller]
    fn check(text: &str, expected: &Value) {
        assert_eq!(&untagged(text), expected, "{text:?}");
    }

    #[test]
    fn whole_numbers_are_read_in_every_base() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("+5", 5),
            ("0644", 0o644),
            ("-0644", -0o644),
            ("0o644", 0o644),
            ("0O644", 0o644),
            ("0x1F", 31),
            ("0X1f", 31),
            ("0b101", 5),
            ("-0b101", -5),
            ("1_000", 1000),
            ("0_644", 0o644),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("-9223372036854775808", i128::from(i64::MIN)),
        ] {
            check(text, &Value::Int(expected));
        }
    }

    #[test]
    fn other_numbers_are_floats() {
        for (text, expected) in [
            ("0888", 888.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("+.5", 0.5),
            ("-.5e1", -5.0),
            ("1e3", 1000.0),
            ("1_0.5", 10.5),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
            ("+9223372036854775808", 9_223_372_036_854_775_808.0),
            ("-9223372036854775809", -9_223_372_036_854_775_809.0),
        ] {
            check(text, &Value::Float(expected));
        }
    }

    #[test]
    fn what_only_resembles_a_value_is_text() {
        for text in [
            "yes", "no", "on", "off", "y", "n", "tRUE", "nULL", "1e400", "0x", "0xg", "1.2.3",
            "12:30:45", "24h", "-", "+", ".", "..", "--1", "0x-1", "-+1", "inf", "nan", "1e",
            "._5", "0x1p4", "e5",
        ] {
            check(text, &Value::Text(text.to_owned()));
        }
    }
}
