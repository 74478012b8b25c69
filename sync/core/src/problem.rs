//! One thing that is wrong with what a person wrote, told so that it can be mended in one go.
//!
//! Problems name keys, options and sizes. They never hold a value that a provider returned.

use std::fmt;

/// How much of a text a message repeats, in characters: enough to recognise it, too little to fill an Event.
const SHOWN_CHARS: usize = 40;

/// How many edits a misspelt name may be away from the one that was meant.
const TYPO: usize = 2;

/// What is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands: an annotation, a key, a path into the spec.
    pub field: String,
    /// What is wrong, as a lowercase fragment.
    pub what: String,
    /// What to write instead, as a lowercase fragment.
    pub remedy: String,
}

impl Problem {
    /// A problem from its three parts.
    #[must_use]
    pub fn new(
        field: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.what, self.remedy)
    }
}

/// All problems on one line, as a condition tells them.
#[must_use]
pub fn joined(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join(" | ")
}

/// The known name that was most likely meant: equal but for case, or at most two edits away.
#[must_use]
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let length = lower.chars().count();
    known
        .into_iter()
        // Comparing takes the product of both lengths in memory, and an annotation may be long.
        .filter(|known| known.chars().count().abs_diff(length) <= TYPO)
        .map(|known| {
            let distance = strsim::damerau_levenshtein(&lower, &known.to_lowercase());
            (distance, known)
        })
        .filter(|(distance, _)| *distance <= TYPO)
        .min()
        .map(|(_, known)| known)
}

/// A short piece of what a person wrote: at most 40 characters, on one line.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == SHOWN_CHARS {
            out.push('…');
            break;
        }
        if disguises(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that break a line, or make it read differently from what it says.
fn disguises(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_megabytes_is_compared_with_nothing() {
        assert_eq!(nearest(&"x".repeat(1 << 20), ["restart"]), None);
        assert_eq!(nearest("Restrat", ["adopt", "restart"]), Some("restart"));
    }

    #[test]
    fn problems_read_field_what_remedy_on_one_line() {
        let problems = [
            Problem::new("a", "is wrong", "write b"),
            Problem::new("c", "is missing", "add it"),
        ];
        assert_eq!(
            joined(&problems),
            "a: is wrong; write b | c: is missing; add it"
        );
        assert_eq!(shown("a\nb\u{202e}"), "a\\nb\\u{202e}");
        assert_eq!(shown(&"é".repeat(41)), format!("{}…", "é".repeat(40)));
    }
}
