//! Pending restarts as the text of a condition: read by people, and by the next process after a crash.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Pending;
use crate::options::{Restart, Target, restart};

const WAITING: &str = "Waiting for a restart: ";
/// A condition is no log: each target's error is kept, but not at any length.
const ERROR_CHARS: usize = 200;

/// The message of the condition for one Secret; none when nothing waits for it.
#[must_use]
pub fn pending_message(pending: &BTreeMap<Target, Pending>, secret: &str) -> Option<String> {
    let waiting = || {
        pending
            .iter()
            .filter(|(_, pending)| pending.changes.contains_key(secret))
    };
    let names: Vec<String> = waiting().map(|(target, _)| target.to_string()).collect();
    if names.is_empty() {
        return None;
    }
    let errors = waiting().filter_map(|(target, pending)| {
        let error: String = pending.error.as_ref()?.chars().take(ERROR_CHARS).collect();
        Some(format!("; {target} failed: {error}"))
    });
    Some(format!(
        "{WAITING}{}{}",
        names.join(", "),
        errors.collect::<String>()
    ))
}

/// The targets that such a message names; none in any other text.
#[must_use]
pub fn pending_targets(message: &str) -> BTreeSet<Target> {
    let names = message
        .strip_prefix(WAITING)
        .and_then(|rest| rest.split(';').next());
    match names.map(restart) {
        Some(Some(Restart::Named(targets))) => targets,
        _ => BTreeSet::new(),
    }
}
