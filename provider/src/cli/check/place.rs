//! Where in a file a problem stands that the parser tells by field: `objects[2].filePermission`.
//!
//! Parameters are found under any prefix, because the parser names one spelling whichever was used.

use std::collections::BTreeMap;

use coffer_provider_core::params::Dialect;

use super::report::{Origin, Place};
use super::yaml::{self, View};

/// The parameters of a class or of a volume over its class, by name.
pub(super) type Sources<'a> = BTreeMap<&'a str, Source<'a>>;

/// A parameter and where it was written.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The line of its key.
    pub(super) place: Place<'a>,
    pub(super) value: View<'a>,
    pub(super) from: Origin,
}

/// The parameter that a field is about, and the rest of the field.
pub(super) fn parameter<'s, 'f>(
    sources: &Sources<'s>,
    field: &'f str,
) -> Option<(&'s str, &'f str)> {
    let end = field.find(['[', '.', ' ']).unwrap_or(field.len());
    [(field, ""), field.split_at(end)]
        .into_iter()
        .find_map(|(key, rest)| Some((spelling(sources, key)?, rest)))
}

fn spelling<'s>(sources: &Sources<'s>, key: &str) -> Option<&'s str> {
    if let Some((present, _)) = sources.get_key_value(key) {
        return Some(present);
    }
    // No prefix starts another, so their order does not matter here.
    let prefixes = Dialect::OpenBao.prefixes();
    let suffix = prefixes
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix))?;
    prefixes.iter().find_map(|prefix| {
        let (present, _) = sources.get_key_value(format!("{prefix}{suffix}").as_str())?;
        Some(*present)
    })
}

/// Place and words of a problem: lines that count within a parameter become lines of the file.
pub(super) fn locate<'a>(
    sources: &Sources<'a>,
    field: &str,
    what: &str,
    fallback: Place<'a>,
) -> (Place<'a>, String) {
    let Some((source, rest)) =
        parameter(sources, field).and_then(|(key, rest)| Some((sources.get(key)?, rest)))
    else {
        return (fallback, what.to_owned());
    };
    if !source.value.is_literal() {
        return (source.place, what.to_owned());
    }
    // The lines of a block follow that of its `|`.
    let base = source.value.line();
    let (told, what) = in_file(what, base);
    let line = told.or_else(|| Some(base + line_within(source.value, rest)?));
    let place = Place {
        line: line.unwrap_or(source.place.line),
        ..source.place
    };
    (place, what)
}

/// Takes `line 3: ` or `line 3, column 1: ` from the start, and moves ` at line 3` at the end. The column
/// does not count the indentation of the block, so it would mislead.
fn in_file(what: &str, base: usize) -> (Option<usize>, String) {
    let start = what.strip_prefix("line ").and_then(|rest| {
        let digits = rest.find([':', ','])?;
        let line: usize = rest[..digits].parse().ok()?;
        Some((base + line, rest.split_once(": ")?.1))
    });
    let (line, what) = start.map_or((None, what), |(line, rest)| (Some(line), rest));
    let end = what
        .rsplit_once(" at line ")
        .and_then(|(front, digits)| Some((front, base + digits.parse::<usize>().ok()?)));
    match end {
        Some((front, moved)) => (line.or(Some(moved)), format!("{front} at line {moved}")),
        None => (line, what.to_owned()),
    }
}

/// The line of `[2].filePermission` within a text that is a YAML list, from 1.
fn line_within(text: View<'_>, rest: &str) -> Option<usize> {
    let (index, key) = rest.strip_prefix('[')?.split_once(']')?;
    let index: usize = index.parse().ok()?;
    let loaded = yaml::load(text.text()?);
    let items = loaded.documents.first()?.root().items();
    // The parser drops null items before it counts.
    let item = items
        .into_iter()
        .filter(|item| item.shape() != yaml::Shape::Null)
        .nth(index)?;
    let member = key.strip_prefix('.').and_then(|key| item.member(key));
    Some(member.map_or(item.line(), |member| member.line))
}
