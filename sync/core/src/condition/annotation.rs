//! The state of a class's Secrets as one annotation: a SecretProviderClass has no status of its own.
//!
//! No times, counts or errors stand in it: it changes when a state does, and only then it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{READY, SECRET_CREATED, Status, Truth};
use crate::fingerprint::Fingerprint;
use crate::options::names::RESTART_PENDING;

/// What is kept of one Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    created: bool,
    ready: String,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sync_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart_pending: Option<String>,
}

/// What the annotation tells of a Secret that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What it holds.
    pub fingerprint: Fingerprint,
    /// The message of its pending restarts, without errors.
    pub restart_pending: Option<String>,
}

/// The text of the annotation, from the states of all Secrets of a class by their names.
#[must_use]
pub fn class_annotation(states: &BTreeMap<String, Status>) -> String {
    let states: BTreeMap<&str, State> = states
        .iter()
        .map(|(secret, status)| (secret.as_str(), state(status)))
        .collect();
    // A map of texts always becomes JSON; an empty text would read as no state.
    serde_json::to_string(&states).unwrap_or_default()
}

/// What such a text tells of Secrets that were written, by their names. Nothing, if it is another text.
#[must_use]
pub fn written_secrets(annotation: &str) -> BTreeMap<String, Recorded> {
    let states: BTreeMap<String, State> = serde_json::from_str(annotation).unwrap_or_default();
    let written = states.into_iter().filter(|(_, state)| state.created);
    written
        .filter_map(|(secret, state)| {
            let recorded = Recorded {
                fingerprint: Fingerprint::parse(&state.sync_hash?)?,
                restart_pending: state.restart_pending,
            };
            Some((secret, recorded))
        })
        .collect()
}

fn state(status: &Status) -> State {
    let truth = |name: &str| {
        status
            .conditions
            .get(name)
            .map_or(Truth::Unknown, |condition| condition.status)
    };
    State {
        created: truth(SECRET_CREATED) == Truth::True,
        ready: truth(READY).as_str().to_owned(),
        reason: status
            .conditions
            .get(READY)
            .map(|ready| ready.reason.clone())
            .unwrap_or_default(),
        sync_hash: status.sync_hash.clone(),
        restart_pending: status
            .conditions
            .get(RESTART_PENDING)
            .and_then(|pending| pending.message.split(';').next())
            .map(str::to_owned),
    }
}
