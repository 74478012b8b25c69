//! `filePermission`: from a scalar to mode bits.
//!
//! The numbers are those the peers read; above that, octal text in quotes is taken, and what could
//! only be a mistake is refused with the spelling that was meant.

use super::scalar::{BadScalar, Value, resolve};
use super::yaml::{Kind, Node};
use crate::problem::shown;

/// The nine permission bits: all that the driver can write without surprises.
const MAX_MODE: u32 = 0o777;

/// What is wrong with a mode, and what to write instead.
pub(super) struct BadMode {
    pub(super) what: String,
    pub(super) remedy: String,
}

impl BadMode {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (what, remedy) = (what.into(), remedy.into());
        Self { what, remedy }
    }
}

/// Reads a mode; 0 stands for null or unset.
///
/// # Errors
/// For anything but a whole number from 0 to 0777.
pub(super) fn read(node: &Node) -> Result<u32, BadMode> {
    let Kind::Scalar { text, .. } = &node.kind else {
        return Err(BadMode::new("is not a number", EXAMPLE));
    };
    match resolve(node) {
        Ok(Value::Null) => Ok(0),
        Ok(Value::Int(value)) => in_range(text, value),
        // Cut off as Go does: 420.0 and 420.9 are both 420. NaN and infinities are no modes.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, and is refused then"
        )]
        Ok(Value::Float(value)) if value.is_finite() => in_range(text, value as i128),
        Ok(Value::Text(quoted)) => in_quotes(&quoted),
        Ok(Value::Bool(_) | Value::Float(_) | Value::Time(_) | Value::Binary(_))
        | Err(BadScalar::Tag(_) | BadScalar::Base64 | BadScalar::NotText | BadScalar::NotScalar) => {
            Err(not_a_number(text))
        }
    }
}

const EXAMPLE: &str = "write an octal number such as 0644";

fn not_a_number(text: &str) -> BadMode {
    BadMode::new(format!("\"{}\" is not a number", shown(text)), EXAMPLE)
}

fn in_range(text: &str, value: i128) -> Result<u32, BadMode> {
    match u32::try_from(value) {
        Ok(mode) if mode <= MAX_MODE => Ok(mode),
        Ok(mode) => Err(too_large(text, mode)),
        Err(_) if value < 0 => Err(BadMode::new(
            format!("{} is negative", shown(text)),
            EXAMPLE,
        )),
        Err(_) => Err(BadMode::new(
            format!("{} is above 0777", shown(text)),
            EXAMPLE,
        )),
    }
}

/// Octal with a leading zero; all else in quotes is refused, because the peers refuse it and a number
/// in quotes does not say whether it is octal.
fn in_quotes(text: &str) -> Result<u32, BadMode> {
    let octal = text
        .strip_prefix('0')
        .map(|rest| rest.strip_prefix('o').unwrap_or(rest));
    match octal {
        Some("") if text == "0" => Ok(0),
        Some(digits) => match octal_digits(digits) {
            Some(mode) => in_range(text, mode.into()),
            None => Err(not_a_number(text)),
        },
        None => Err(match octal_digits(text) {
            Some(mode) if mode <= MAX_MODE => BadMode::new(
                format!("\"{}\" in quotes has no leading zero", shown(text)),
                format!("write 0{text} without quotes"),
            ),
            _ => not_a_number(text),
        }),
    }
}

fn octal_digits(text: &str) -> Option<u32> {
    if text.starts_with('+') {
        return None;
    }
    u32::from_str_radix(text, 8).ok()
}

/// Above 0777: by decimal digits that were meant as octal, by a digit that is not octal, or by bits
/// beyond the permissions.
fn too_large(text: &str, mode: u32) -> BadMode {
    let what = format!("{} is above 0777", shown(text));
    if text.starts_with('0')
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.contains(['8', '9'])
    {
        return BadMode::new(
            format!("{what}: 8 and 9 are no octal digits, so it is decimal {mode}"),
            EXAMPLE,
        );
    }
    match octal_digits(text) {
        Some(meant) if meant <= MAX_MODE && !text.starts_with('0') => BadMode::new(
            format!("{what}: without a leading zero it is a decimal number"),
            format!("did you mean 0{text}?"),
        ),
        _ => BadMode::new(
            format!("{what}: only the nine permission bits can be set"),
            EXAMPLE,
        ),
    }
}
