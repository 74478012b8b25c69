//! How objects that failed share the room of one line: grouped by reason and hint, each group with its
//! share.
//!
//! Room is bytes. What stands around the groups, and what a single object says, is in `line`.

use super::ObjectFault;
use super::line::{MATCHED, clip, clip_middle, path_text};
use crate::problem::{one_line, shown};

/// How many names one group lists; the log has all.
const MAX_NAMES: usize = 10;

/// What a group needs to say name, cause and hint; groups that would get less are counted only.
const MIN_SHARE: usize = 110;

/// Room for a name and the number of the others.
const NAME_ROOM: usize = 28;

/// The longest name that is told in full.
const MAX_NAME: usize = 48;

/// Two lengths of a path: as told where there is room, and where that makes room for the names.
const PATHS: [usize; 2] = [120, 48];

/// What a group says of objects whose own words are left out.
const SIMILAR: &str = ", others similar";

/// Objects with their paths, for a log: one line, at most ten of them.
#[must_use]
pub fn named(objects: &[ObjectFault]) -> String {
    let objects: Vec<&ObjectFault> = objects.iter().collect();
    pairs(&objects, PATHS[0])
}

/// Every cause with its objects, in about `room` bytes.
pub(super) fn causes(failed: &[ObjectFault], room: usize) -> String {
    let groups = grouped(failed.iter(), |one, other| {
        one.fault.reason == other.fault.reason && advice(one) == advice(other)
    });
    let told = groups.len().min((room / MIN_SHARE).max(1));
    let rest = match groups.len() - told {
        0 => String::new(),
        rest => format!("; and {rest} more"),
    };
    let texts: Vec<String> = groups.iter().take(told).map(|group| full(group)).collect();
    let separators = 2 * (told - 1);
    let share = share(
        texts.iter().map(String::len).collect(),
        room.saturating_sub(rest.len() + separators),
    );
    let texts: Vec<String> = texts
        .into_iter()
        .zip(&groups)
        .map(|(text, group)| match text.len() <= share {
            true => text,
            false => short(group, share),
        })
        .collect();
    texts.join("; ") + &rest
}

/// The room of each: what the modest leave over is for the others.
fn share(mut needs: Vec<usize>, mut room: usize) -> usize {
    needs.sort_unstable();
    for (at, need) in needs.iter().enumerate() {
        let share = room / (needs.len() - at);
        if *need > share {
            return share;
        }
        room -= need;
    }
    room.max(needs.last().copied().unwrap_or_default())
}

/// Objects that are the same in some way, in the order of their first.
fn grouped<'f>(
    failed: impl Iterator<Item = &'f ObjectFault>,
    same: impl Fn(&ObjectFault, &ObjectFault) -> bool,
) -> Vec<Vec<&'f ObjectFault>> {
    let mut groups: Vec<Vec<&ObjectFault>> = Vec::new();
    for object in failed {
        let group = groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|first| same(first, object)));
        match group {
            Some(group) => group.push(object),
            None => groups.push(vec![object]),
        }
    }
    groups
}

/// Everything that a group has to say, for at most ten objects.
fn full(group: &[&ObjectFault]) -> String {
    let alike = grouped(group.iter().copied(), |one, other| what(one) == what(other));
    let Some(first) = group
        .first()
        .filter(|_| group.len() <= MAX_NAMES || alike.len() == 1)
    else {
        return short(group, usize::MAX);
    };
    let texts: Vec<String> = alike
        .iter()
        .map(|alike| {
            let what = alike.first().map(|first| what(first)).unwrap_or_default();
            format!("{}: {what}", pairs(alike, PATHS[0]))
        })
        .collect();
    format!("{}: {}", texts.join("; "), one_line(&first.fault.hint))
}

/// The same in less room: one object speaks for all, and names give way to cause and hint.
fn short(group: &[&ObjectFault], room: usize) -> String {
    let Some(first) = group.first() else {
        return String::new();
    };
    let told = what(first);
    let alike = match group.iter().all(|object| what(object) == told) {
        true => "",
        false => SIMILAR,
    };
    let told = clip_middle(&told, (room / 3).max(MATCHED + 4));
    let others = told.len() + alike.len() + ": : ".len();
    let hint = clip(
        &one_line(&first.fault.hint),
        room.saturating_sub(others + NAME_ROOM),
    );
    let names = names(group, room.saturating_sub(others + hint.len()));
    format!("{names}: {told}{alike}: {hint}")
}

/// A hint up to its first `; `: what follows may name the object's own path.
fn advice(object: &ObjectFault) -> &str {
    let hint = &object.fault.hint;
    hint.split_once("; ").map_or(hint, |(advice, _)| advice)
}

/// What happened to an object, without the `{path}: ` of a missing key: the path stands beside its name.
fn what(object: &ObjectFault) -> String {
    let what = &object.fault.what;
    let bare = what
        .strip_prefix('{')
        .and_then(|rest| rest.split_once("}: "))
        .map(|(_, bare)| bare)
        .filter(|bare| bare.starts_with("{key "));
    one_line(bare.unwrap_or(what))
}

/// Ten objects with their paths, or as many names as there is room for.
fn names(group: &[&ObjectFault], room: usize) -> String {
    PATHS
        .into_iter()
        .map(|path| pairs(group, path))
        .find(|pairs| pairs.len() <= room)
        .unwrap_or_else(|| bare(group, room))
}

/// `"a", "b" (path p), "c" (path q), and 3 more`.
fn pairs(group: &[&ObjectFault], path: usize) -> String {
    let told = group.iter().copied().take(MAX_NAMES);
    let texts: Vec<String> = grouped(told, |one, other| one.path == other.path)
        .iter()
        .map(|same| {
            let names: Vec<String> = same.iter().map(|object| name(object, MAX_NAME)).collect();
            let path = same.first().map(|first| path_text(&first.path, path));
            format!("{} (path {})", names.join(", "), path.unwrap_or_default())
        })
        .collect();
    texts.join(", ") + &more(group.len().saturating_sub(MAX_NAMES))
}

/// The first names that there is room for, at least one.
fn bare(group: &[&ObjectFault], room: usize) -> String {
    let mut text = String::new();
    for (at, object) in group.iter().enumerate() {
        let rest = more(group.len() - at - 1);
        let left = room.saturating_sub(text.len() + rest.len() + 2);
        let name = match at {
            0 => name(object, left.min(MAX_NAME)),
            _ => format!(", {}", name(object, MAX_NAME)),
        };
        if at > 0 && (at == MAX_NAMES || name.len() > left) {
            return text + &more(group.len() - at);
        }
        text += &name;
    }
    text
}

fn name(object: &ObjectFault, bytes: usize) -> String {
    format!("\"{}\"", clip(&shown(&object.name), bytes))
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(", and {count} more"),
    }
}
