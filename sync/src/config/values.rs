//! From an option's text to its value, with every problem kept.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use coffer_sync_core::key::name;
use coffer_sync_core::problem::{Problem, shown};
use jiff::SignedDuration;

use super::layers::Sources;
use super::options;

/// Reads options and keeps what is wrong with them.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            problems: Vec::new(),
        }
    }

    pub(super) fn problem(
        &mut self,
        option: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems
            .push(Problem::new(format!("--{option}"), what, remedy));
    }

    /// The text that somebody gave; none if nobody did.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.sources.get(options::find(name)?)
    }

    /// The given text or the default.
    pub(super) fn default_text(&self, name: &str) -> &'a str {
        let default = options::find(name).map_or("", |option| option.default);
        self.text(name).unwrap_or(default)
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        let text = self.default_text(name);
        text.parse::<bool>().unwrap_or_else(|_| {
            let what = format!("\"{}\" is not a boolean", shown(text));
            self.problem(name, what, "write true or false");
            false
        })
    }

    /// A duration within a range of seconds.
    pub(super) fn duration(&mut self, name: &str, range: RangeInclusive<u64>) -> Duration {
        let text = self.default_text(name);
        let read = text.parse::<SignedDuration>().ok();
        let read = read.and_then(|value| Duration::try_from(value).ok());
        let (least, most) = (*range.start(), *range.end());
        read.filter(|value| {
            (Duration::from_secs(least)..=Duration::from_secs(most)).contains(value)
        })
        .unwrap_or_else(|| {
            let what = format!(
                "\"{}\" is no duration from {least}s to {most}s",
                shown(text)
            );
            self.problem(name, what, "write for example 30s, 10m or 1h30m");
            Duration::from_secs(least)
        })
    }

    /// A whole number; sizes may have a suffix.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<usize>) -> usize {
        let text = self.default_text(name);
        let remedy = "write a whole number; sizes may end in Ki, Mi or Gi";
        let value = parse_size(text).filter(|value| range.contains(value));
        self.ranged(name, text, value, &range, remedy)
    }

    /// How many may follow each other at once.
    pub(super) fn burst(&mut self, name: &str) -> u32 {
        let range = 1..=100_000;
        let text = self.default_text(name);
        let value = parse(text, &range);
        self.ranged(name, text, value, &range, "write a whole number")
    }

    /// How many there may be per second.
    pub(super) fn rate(&mut self, name: &str) -> f64 {
        let range = 0.1..=100_000.0;
        let text = self.default_text(name);
        let value = parse(text, &range);
        self.ranged(name, text, value, &range, "write a number, like 40 or 0.5")
    }

    fn ranged<T: Copy + Display>(
        &mut self,
        name: &str,
        text: &str,
        value: Option<T>,
        range: &RangeInclusive<T>,
        remedy: &str,
    ) -> T {
        value.unwrap_or_else(|| {
            let (least, most) = (range.start(), range.end());
            let what = format!("\"{}\" is no number from {least} to {most}", shown(text));
            self.problem(name, what, remedy);
            *least
        })
    }

    /// The entries of a list, without the blanks around them and without empty ones.
    pub(super) fn list(&self, name: &str) -> Vec<&'a str> {
        let entries = self.default_text(name).split(',').map(str::trim);
        entries.filter(|entry| !entry.is_empty()).collect()
    }

    /// The name of an object.
    pub(super) fn name(&mut self, option: &str) -> String {
        let text = self.default_text(option);
        self.check_name(option, text);
        text.to_owned()
    }

    pub(super) fn check_name(&mut self, option: &str, text: &str) {
        if name::check(text).is_err() {
            let what = format!("\"{}\" is no name of an object", shown(text));
            let remedy = "use lowercase letters, digits, `-` and `.`";
            self.problem(option, what, remedy);
        }
    }
}

fn parse<T: FromStr + PartialOrd>(text: &str, range: &RangeInclusive<T>) -> Option<T> {
    text.parse::<T>().ok().filter(|value| range.contains(value))
}

fn parse_size(text: &str) -> Option<usize> {
    let suffixes = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];
    let scaled = suffixes
        .iter()
        .find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, *scale)));
    let (digits, scale) = scaled.unwrap_or((text, 1));
    digits.parse::<usize>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_have_binary_suffixes() {
        for (text, expected) in [
            ("4Mi", Some(4 << 20)),
            ("1Ki", Some(1024)),
            ("7", Some(7)),
            ("x", None),
            ("Mi", None),
            ("-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
