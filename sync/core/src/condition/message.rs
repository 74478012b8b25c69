//! The message of Ready while all is well: keys with byte counts, what the provider is, expiry, interval.
//!
//! It changes with the content only, so that a poll without changes writes no status.

use std::time::Duration;

use jiff::Timestamp;

use crate::problem::shown;

/// How many keys are listed before the rest is counted.
const LISTED: usize = 30;

/// What the message is made of.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// Keys and byte counts, from `Rendered::outline`.
    pub keys: &'a [(String, usize)],
    /// Name and version of the provider.
    pub provider: &'a str,
    /// When the content stops being usable.
    pub expires: Option<Timestamp>,
    /// Poll period.
    pub interval: Option<Duration>,
    /// Advice about the content, as ids of checks.
    pub advice: &'a [String],
}

/// The message.
#[must_use]
pub fn ready_message(summary: &Summary<'_>) -> String {
    let keys = summary.keys.iter().take(LISTED);
    let mut listed: Vec<String> = keys
        .map(|(key, bytes)| format!("{} ({bytes} bytes)", shown(key)))
        .collect();
    match summary.keys.len() {
        0 => listed.push("no keys".to_owned()),
        all if all > LISTED => listed.push(format!("{} more keys", all - LISTED)),
        _ => {}
    }
    let mut parts = vec![
        listed.join(", "),
        format!("from {}", shown(summary.provider)),
    ];
    if let Some(end) = summary.expires {
        parts.push(format!("expires {}", end.strftime("%Y-%m-%dT%H:%M:%SZ")));
    }
    parts.push(summary.interval.map_or_else(
        || "not polled".to_owned(),
        |interval| format!("polled every {}", human(interval)),
    ));
    if !summary.advice.is_empty() {
        parts.push(format!("advice: {}", summary.advice.join(", ")));
    }
    parts.join("; ")
}

fn human(interval: Duration) -> String {
    let seconds = interval.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
