//! Single values of options: words, durations, numbers, lists.
//!
//! What each option allows is said in the parent module.

use std::time::Duration;

use crate::problem::shown;

/// What is wrong with a value, and what to write instead.
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// One of the words, exactly as written: a near miss is refused, so that a typo never changes what happens.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Wrong> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let what = format!("`{}` is no value of it", shown(text));
        Wrong::new(what, format!("write one of {}", allowed.join(", ")))
    })
}

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Result<bool, Wrong> {
    word(text, &[("true", true), ("false", false)])
}

/// A duration from `least` to `most`; `range` says so in words.
pub(super) fn duration(
    text: &str,
    least: Duration,
    most: Duration,
    range: &str,
) -> Result<Duration, Wrong> {
    let Some(value) = parse_duration(text) else {
        let what = format!("`{}` is no duration", shown(text));
        return Err(Wrong::new(what, format!("write {range}")));
    };
    if value < least || value > most {
        let what = format!("`{}` is out of range", shown(text));
        return Err(Wrong::new(what, format!("write {range}")));
    }
    Ok(value)
}

/// Whole hours, minutes and seconds, in that order: `90s`, `10m`, `1h30m`. A lone `0` is zero.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0_u64;
    for (unit, scale) in [('h', 3600), ('m', 60), ('s', 1)] {
        let Some((number, tail)) = rest.split_once(unit) else {
            continue;
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let part = number.parse::<u64>().ok()?.checked_mul(scale)?;
        seconds = seconds.checked_add(part)?;
        rest = tail;
    }
    (rest.is_empty() && !text.is_empty()).then(|| Duration::from_secs(seconds))
}

/// A comma list: blanks around items are dropped, empty items are refused.
pub(super) fn list(text: &str) -> Result<Vec<&str>, Wrong> {
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    if items.iter().any(|item| item.is_empty()) {
        return Err(Wrong::new(
            "the list has an empty item",
            "write items with one comma between them",
        ));
    }
    Ok(items)
}
