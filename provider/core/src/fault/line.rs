//! The one line of a failed Mount: nouns first, at most 700 bytes, every cause with its hint.
//!
//! Driver and kubelet put about 170 characters in front and the whole must stay readable in an Event.

use std::fmt;

use super::causes::causes;
use super::{Fault, MountFault, ObjectFault, Place, Reason};
use crate::problem::{Problem, one_line, shown};

/// The longest line of ours, in bytes, so that the Event stays under 1 KiB.
const MAX_LINE: usize = 700;

/// Bytes of the longest words at the end of a cause that people match.
pub(super) const MATCHED: usize = 36;

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
    let nouns = format!(" ({})", place_text(place));
    told("failed to login: ", fault, &nouns)
}

fn objects(total: usize, failed: &[ObjectFault], place: &Place) -> String {
    let place = place_text(place);
    if let [only] = failed {
        let front = format!("object \"{}\": ", clip(&shown(&only.name), 48));
        let path = path_text(&only.path, 120);
        return told(&front, &only.fault, &format!(" (path {path}, {place})"));
    }
    let reason = failed
        .first()
        .map_or(Reason::Internal, |first| first.fault.reason);
    let front = format!("{} of {total} objects failed: ", failed.len());
    let rest = format!(" ({place}) [{}]", reason.as_str());
    let causes = causes(failed, MAX_LINE.saturating_sub(front.len() + rest.len()));
    format!("{front}{causes}{rest}")
}

fn place_text(place: &Place) -> String {
    format!(
        "role {}, store {}, service account {}/{}",
        clip(&one_line(&place.role), 64),
        clip(&one_line(&place.store), 80),
        clip(&one_line(&place.namespace), 63),
        clip(&one_line(&place.service_account), 64)
    )
}

/// At most so many bytes of a path, both of its ends among them.
pub(super) fn path_text(path: &str, bytes: usize) -> String {
    clip_middle(&one_line(path), bytes)
}

fn cause(fault: &Fault) -> String {
    told("", fault, "")
}

/// The hint gets the room that the nouns and the matched words leave, and what happened gets the rest.
fn told(front: &str, fault: &Fault, nouns: &str) -> String {
    let end = format!(" [{}]", fault.reason.as_str());
    let room = MAX_LINE.saturating_sub(front.len() + nouns.len() + ": ".len() + end.len());
    let what = one_line(&fault.what);
    let kept = what.len().min(2 * MATCHED);
    let hint = clip(&one_line(&fault.hint), room.saturating_sub(kept));
    let what = clip_middle(&what, room.saturating_sub(hint.len()));
    format!("{front}{what}{nouns}: {hint}{end}")
}

/// The last resort: cuts at the end of the text, never the reason behind it.
fn fit(line: &str, reason: Reason) -> String {
    if line.len() <= MAX_LINE {
        return line.to_owned();
    }
    let end = format!(" [{}]", reason.as_str());
    let body = line.strip_suffix(&end).unwrap_or(line);
    format!("{}{end}", clip(body, MAX_LINE - end.len()))
}

/// At most so many bytes, the cut marked.
pub(super) fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

/// At most so many bytes, cut in the middle: the end holds words that people match, such as
/// `does not exist at the secret path` and `Code: 403`.
pub(super) fn clip_middle(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let room = bytes.saturating_sub('…'.len_utf8());
    let tail = text.ceil_char_boundary(text.len() - MATCHED.max(room / 2).min(room));
    let head = text.floor_char_boundary(room - (text.len() - tail));
    format!("{}…{}", &text[..head], &text[tail..])
}
