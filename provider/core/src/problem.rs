//! One thing that is wrong with what a person wrote, told so that it can be mended in one go.
//!
//! Problems are collected, never thrown one by one. They may name keys and short scalars of a class,
//! which is readable text anyway, but never a value of `secretArgs` and nothing that a store answered.

use std::fmt;

/// How much of a scalar a message repeats, in characters: enough to recognise it, too little to
/// fill an event.
const SHOWN_CHARS: usize = 40;

/// How many edits a misspelt parameter, key or name may be away from the one that was meant.
pub const TYPO: usize = 2;

/// What is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands, as a path into the class: `objects[2].filePermission`.
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

/// The known name that a person most likely meant: equal but for case, or at most so many edits away.
#[must_use]
pub fn nearest<'n>(
    name: &str,
    known: impl Iterator<Item = &'n str>,
    edits: usize,
) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let length = lower.chars().count();
    known
        // Comparing takes the product of both lengths in memory, and a class may hold a name of a megabyte.
        .filter(|known| known.chars().count().abs_diff(length) <= edits)
        .map(|known| {
            let distance = strsim::damerau_levenshtein(&lower, &known.to_lowercase());
            (distance, known)
        })
        .filter(|(distance, _)| *distance <= edits)
        .min()
        .map(|(_, known)| known)
}

/// A short piece of class text for a message: at most 40 characters, on one line.
#[must_use]
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", one_line(&text[..end])),
        None => one_line(text),
    }
}

/// Text of any length with everything escaped that could break or disguise a line.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if breaks_a_line(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, line separators, and the invisible or direction-changing ones that make a
/// message read differently from what it says.
fn breaks_a_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::{Problem, nearest, one_line, shown};

    #[test]
    fn a_name_of_megabytes_is_compared_with_nothing() {
        let known = ["roleName", "objects"];
        // Compared in earnest this would take gigabytes.
        for long in ["x", "é"].map(|letter| letter.repeat(16 << 20)) {
            assert_eq!(nearest(&long, known.into_iter(), 2), None);
        }
        assert_eq!(nearest("roleNme", known.into_iter(), 2), Some("roleName"));
    }

    #[test]
    fn a_problem_reads_field_what_remedy() {
        let problem = Problem::new(
            "objects[2].filePermission",
            "0888 is above 0777",
            "write 0600",
        );
        assert_eq!(
            problem.to_string(),
            "objects[2].filePermission: 0888 is above 0777; write 0600"
        );
    }

    #[test]
    fn shown_text_is_short_and_on_one_line() {
        for (input, expected) in [
            ("plain", "plain"),
            ("a\nb\u{202e}c", "a\\nb\\u{202e}c"),
            (&"é".repeat(40), &"é".repeat(40)),
            (&"é".repeat(41), &format!("{}…", "é".repeat(40))),
        ] {
            assert_eq!(shown(input), expected, "input {input:?}");
        }
        assert_eq!(one_line(&"x".repeat(99)).len(), 99);
    }
}
