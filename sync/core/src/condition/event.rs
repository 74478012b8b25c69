//! Which round is told by an Event on the source, and which is not.
//!
//! How an Event is written is decided in the shell.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::fault::Fault;
use crate::instant::age;
use crate::validate::Check;

/// A failure that goes on is told again after this time: Events are kept for an hour.
const AGAIN: Duration = Duration::from_secs(3600);
/// The API server refuses notes of more bytes.
const NOTE: usize = 1024;

/// The text of a note: as much of it as the API server takes.
#[must_use]
pub fn note_of(text: &str) -> String {
    text[..text.floor_char_boundary(NOTE)].to_owned()
}

/// What a round did, as far as it is news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing changed.
    Unchanged,
    /// The Secret was written first, changed, adopted, recreated or versioned; in words.
    Synced(String),
    /// An edit or deletion was undone; by whom, in words.
    Repaired(String),
    /// It was not written, and may be later.
    Failed(Fault),
    /// It was not written, and only a person can change that.
    Refused(Fault),
    /// A worse value, known by its short fingerprint, fails these checks.
    Held(String, BTreeSet<Check>),
}

/// An Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether somebody should look at it.
    pub warning: bool,
    /// Its reason.
    pub reason: &'static str,
    /// Its note, at most 1024 bytes.
    pub note: String,
}

/// What was told of an object last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    trouble: Option<(Deed, Timestamp)>,
}

/// What to tell of a round, and what was told after it.
#[must_use]
pub fn event(told: &Told, deed: &Deed, now: Timestamp) -> (Option<Event>, Told) {
    let make = |warning, reason, note: &str| {
        Some(Event {
            warning,
            reason,
            note: note_of(note),
        })
    };
    let news = match deed {
        Deed::Unchanged if told.trouble.is_some() => make(
            false,
            "SyncRecovered",
            "The Secret is in sync again; its content did not change.",
        ),
        Deed::Unchanged => None,
        Deed::Synced(note) => make(false, "Synced", note),
        Deed::Repaired(note) => make(false, "Repaired", note),
        Deed::Failed(fault) => make(
            true,
            "SyncFailed",
            &format!("{}: {}", fault.reason(), fault.message),
        ),
        Deed::Refused(fault) => {
            let reason = match fault.reason() {
                "Contested" => "Contested",
                "Vanished" => "Vanished",
                _ => "SyncRefused",
            };
            make(
                true,
                reason,
                &format!("{}: {}", fault.reason(), fault.message),
            )
        }
        Deed::Held(_, ids) => {
            let ids: Vec<&str> = ids.iter().map(|check| check.as_str()).collect();
            make(
                true,
                "SyncHeld",
                &format!(
                    "A new value fails {}; the last good one stays.",
                    ids.join(", ")
                ),
            )
        }
    };
    if !news.as_ref().is_some_and(|news| news.warning) {
        return (news, Told::default());
    }
    let repeated = told.trouble.as_ref().is_some_and(|(before, at)| {
        let forever = matches!(deed, Deed::Held(..));
        is_same(before, deed) && (forever || age(now, *at) < AGAIN)
    });
    if repeated {
        return (None, told.clone());
    }
    (
        news,
        Told {
            trouble: Some((deed.clone(), now)),
        },
    )
}

/// Whether a trouble is the one that was told: by its reason, because texts of providers name requests and times.
fn is_same(before: &Deed, deed: &Deed) -> bool {
    match (before, deed) {
        (Deed::Failed(before), Deed::Failed(fault))
        | (Deed::Refused(before), Deed::Refused(fault)) => before.reason() == fault.reason(),
        _ => before == deed,
    }
}
