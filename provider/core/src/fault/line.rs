//! The one line of a failed Mount: nouns first, at most 700 bytes, every cause with its hint.
//!
//! Driver and kubelet put about 170 characters in front and the whole must stay readable in an Event.

use std::fmt;

use super::{Fault, MountFault, ObjectFault, Place, Reason};
use crate::problem::{Problem, one_line, shown};

/// The longest line of ours, in bytes, so that the Event stays under 1 KiB.
const MAX_LINE: usize = 700;

/// How many names one cause lists.
const MAX_NAMES: usize = 10;

impl fmt::Display for MountFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = match self {
            Self::Input { problems, reason } => input(problems, *reason),
            Self::Login { fault, place } => login(fault, place),
            Self::Objects {
                total,
                failed,
                place,
            } => objects(*total, failed, place),
            Self::Whole(fault) => cause(fault),
        };
        f.write_str(&fit(&one_line(&body), self.reason()))
    }
}

fn input(problems: &[Problem], reason: Reason) -> String {
    let mut line = String::new();
    for (told, problem) in problems.iter().enumerate() {
        let text = problem.to_string();
        // The first is always told; what does not fit is counted, and the log has all.
        if told > 0 && line.len() + text.len() > MAX_LINE - 60 {
            line += &format!(" | and {} more", problems.len() - told);
            break;
        }
        if told > 0 {
            line += " | ";
        }
        line += &text;
    }
    format!("{line} [{}]", reason.as_str())
}

fn login(fault: &Fault, place: &Place) -> String {
    format!(
        "failed to login: {} ({}): {} [{}]",
        fault.what,
        place_text(place),
        fault.hint,
        fault.reason.as_str()
    )
}

fn objects(total: usize, failed: &[ObjectFault], place: &Place) -> String {
    let place = place_text(place);
    if let [only] = failed {
        let fault = &only.fault;
        return format!(
            "object \"{}\": {} (path {}, {place}): {} [{}]",
            shown(&only.name),
            fault.what,
            path_text(&only.path),
            fault.hint,
            fault.reason.as_str()
        );
    }
    let groups = group(failed);
    // Every cause gets its share, so that a long first one does not hide the others.
    let share = (MAX_LINE - 80 - place.len().min(200)) / groups.len().max(1);
    let texts: Vec<String> = groups
        .iter()
        .map(|group| clip(&group_text(group), share.max(60)))
        .collect();
    let reason = failed
        .first()
        .map_or(Reason::Internal, |first| first.fault.reason);
    format!(
        "{} of {total} objects failed: {} ({place}) [{}]",
        failed.len(),
        texts.join("; "),
        reason.as_str()
    )
}

/// Objects with their paths, for a log: one line, at most ten of them.
#[must_use]
pub fn named(objects: &[ObjectFault]) -> String {
    let mut names: Vec<String> = objects
        .iter()
        .take(MAX_NAMES)
        .map(|object| {
            let path = one_line(&path_text(&object.path));
            format!("\"{}\" (path {path})", shown(&object.name))
        })
        .collect();
    names.extend(more_than(MAX_NAMES, objects.len()));
    names.join(", ")
}

fn more_than(told: usize, all: usize) -> Option<String> {
    (all > told).then(|| format!("and {} more", all - told))
}

/// Objects with the same cause, in the order of their first.
fn group(failed: &[ObjectFault]) -> Vec<Vec<&ObjectFault>> {
    let mut groups: Vec<Vec<&ObjectFault>> = Vec::new();
    for object in failed {
        let same = groups.iter_mut().find(|group| {
            group.first().is_some_and(|first| {
                first.fault.reason == object.fault.reason && first.fault.what == object.fault.what
            })
        });
        match same {
            Some(group) => group.push(object),
            None => groups.push(vec![object]),
        }
    }
    groups
}

fn group_text(group: &[&ObjectFault]) -> String {
    let mut names: Vec<String> = group
        .iter()
        .take(MAX_NAMES)
        .map(|object| format!("\"{}\"", shown(&object.name)))
        .collect();
    names.extend(more_than(MAX_NAMES, group.len()));
    let Some(first) = group.first() else {
        return String::new();
    };
    let path = path_text(&first.path);
    format!(
        "{}: {} (path {path}): {}",
        names.join(", "),
        first.fault.what,
        first.fault.hint
    )
}

fn place_text(place: &Place) -> String {
    format!(
        "role {}, store {}, service account {}/{}",
        clip(&place.role, 80),
        clip(&place.store, 100),
        clip(&place.namespace, 63),
        clip(&place.service_account, 80)
    )
}

fn path_text(path: &str) -> String {
    clip(path, 120)
}

fn cause(fault: &Fault) -> String {
    format!("{}: {} [{}]", fault.what, fault.hint, fault.reason.as_str())
}

/// Cuts in the middle of the text, never the reason at its end.
fn fit(line: &str, reason: Reason) -> String {
    if line.len() <= MAX_LINE {
        return line.to_owned();
    }
    let end = format!(" [{}]", reason.as_str());
    let body = line.strip_suffix(&end).unwrap_or(line);
    format!("{}{end}", clip(body, MAX_LINE - end.len()))
}

/// At most so many bytes, the cut marked.
fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
