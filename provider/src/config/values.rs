//! From an option's text to its value, with every problem kept.

use std::time::Duration;

use coffer_provider_core::duration::parse_duration;
use coffer_provider_core::problem::{Problem, shown};
use coffer_provider_core::target::parse_bool;

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
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let option = options::find(name)?;
        self.sources.get(option).map(str::to_owned)
    }

    /// The given text or the default.
    pub(super) fn default_text(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_else(|| {
            options::find(name)
                .map_or("", |option| option.default)
                .to_owned()
        })
    }

    /// One of the given words; the first of them where the value is none.
    pub(super) fn one_of(&mut self, name: &str, words: &[&'static str]) -> &'static str {
        let text = self.default_text(name);
        if let Some(word) = words.iter().find(|word| **word == text) {
            return word;
        }
        self.problem(
            name,
            format!("\"{}\" is not known", shown(&text)),
            format!("write {}", words.join(" or ")),
        );
        words.first().copied().unwrap_or_default()
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        let text = self.default_text(name);
        parse_bool(&text).unwrap_or_else(|| {
            self.problem(
                name,
                format!("\"{}\" is not a boolean", shown(&text)),
                "write true or false",
            );
            false
        })
    }

    /// A duration above zero.
    pub(super) fn duration(&mut self, name: &str) -> Duration {
        let read = |text: &str| parse_duration(text).filter(|value| !value.is_zero());
        self.read_duration(name, "no duration above zero", read)
    }

    /// A duration that may be zero.
    pub(super) fn duration_or_zero(&mut self, name: &str) -> Duration {
        self.read_duration(name, "no duration", parse_duration)
    }

    fn read_duration(
        &mut self,
        name: &str,
        wrong: &str,
        read: impl FnOnce(&str) -> Option<Duration>,
    ) -> Duration {
        let text = self.default_text(name);
        read(&text).unwrap_or_else(|| {
            self.problem(
                name,
                format!("\"{}\" is {wrong}", shown(&text)),
                "write 30s, 2m or seconds",
            );
            Duration::from_secs(1)
        })
    }

    pub(super) fn optional_duration(&mut self, name: &str) -> Option<Duration> {
        self.text(name)?;
        Some(self.duration(name))
    }

    pub(super) fn number(&mut self, name: &str, min: usize, max: usize) -> usize {
        let text = self.default_text(name);
        match parse_size(&text) {
            Some(value) if (min..=max).contains(&value) => value,
            _ => {
                self.problem(
                    name,
                    format!("\"{}\" is no number from {min} to {max}", shown(&text)),
                    "write a whole number; sizes may end in Ki, Mi or Gi",
                );
                min
            }
        }
    }

    /// The entries of a list; none if nobody gave one, so that a profile's default counts.
    pub(super) fn list(&mut self, name: &str) -> Option<Vec<String>> {
        let text = self.text(name)?;
        Some(
            text.split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
}

fn parse_size(text: &str) -> Option<usize> {
    let (digits, scale) = match text {
        _ if text.ends_with("Ki") => (text.trim_end_matches("Ki"), 1 << 10),
        _ if text.ends_with("Mi") => (text.trim_end_matches("Mi"), 1 << 20),
        _ if text.ends_with("Gi") => (text.trim_end_matches("Gi"), 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_have_binary_suffixes() {
        for (text, expected) in [
            ("8Mi", Some(8 << 20)),
            ("1Ki", Some(1024)),
            ("7", Some(7)),
            ("x", None),
            ("Mi", None),
            ("-1", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
