//! When an object is synced: polls with jitter, growing pauses after failures, changes at once.
//!
//! Jitter is an argument, drawn by the shell per object and round. Which of several due objects comes first
//! is decided in `queue`.

mod bucket;
mod pause;
mod queue;

use std::time::Duration;

use jiff::Timestamp;

pub use self::bucket::Bucket;
pub use self::pause::{Call, Pause};
pub use self::queue::{Limits, Object, Queue, Turn};
use crate::decide::Revision;
use crate::instant::after;

/// First pause after a failure; it doubles from there.
const BACKOFF: Duration = Duration::from_secs(5);
/// Nobody waits longer than this for an outage that is over.
const MOST_BACKOFF: Duration = Duration::from_secs(300);
/// A start of the controller is spread over so much: a burst helps nobody, the Secrets are there.
const MOST_SPREAD: Duration = Duration::from_secs(300);
/// Writers often make several edits at once.
const SETTLE: Duration = Duration::from_secs(1);
/// Two halves that were read around an update of the store match a moment later.
const PAIR: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

/// A number from 0 up to, not including, 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// Takes the fraction of any finite number; everything else is the middle.
    #[must_use]
    pub fn new(drawn: f64) -> Self {
        Self(if drawn.is_finite() {
            drawn.rem_euclid(1.0).min(1.0 - f64::EPSILON)
        } else {
            0.5
        })
    }

    /// `duration` times a factor from 1 - `part` up to 1 + `part`.
    fn spread(self, duration: Duration, part: f64) -> Duration {
        let factor = (2.0 * self.0 - 1.0).mul_add(part, 1.0);
        Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(duration)
    }
}

/// How the last round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// There was none.
    Never,
    /// The Secret holds what was fetched, or a worse value is held back.
    Done,
    /// It may heal by itself. The first failure in a row is number 0.
    Failed {
        /// How many failures came before in a row.
        before: u32,
        /// Not to be tried again earlier.
        retry_after: Option<Duration>,
    },
    /// Only a change or the next poll can help.
    Permanent,
    /// A new pair of certificate and key did not match; nothing else got worse.
    HalfRead {
        /// How many such rounds came before in a row.
        before: u32,
    },
    /// Writes wait until then, because somebody else keeps writing.
    Contested {
        /// The next attempt.
        until: Timestamp,
    },
    /// A Secret that is about to disappear stood there.
    BeingDeleted,
    /// The object is suspended.
    Suspended,
}

/// When the object is due again after a round that ended at `at`; none: only a change makes it due.
#[must_use]
pub fn due(
    last: Last,
    at: Timestamp,
    interval: Option<Duration>,
    jitter: Jitter,
) -> Option<Timestamp> {
    let poll = interval.map(|interval| after(at, jitter.spread(interval, 0.1)));
    match last {
        Last::Never => Some(at),
        Last::Done | Last::Permanent => poll,
        Last::Failed {
            before,
            retry_after,
        } => {
            let wait = backoff(before, interval, jitter);
            Some(after(at, retry_after.map_or(wait, |least| least.max(wait))))
        }
        Last::HalfRead { before } => {
            let again = usize::try_from(before)
                .ok()
                .and_then(|before| PAIR.get(before));
            match again {
                Some(wait) => Some(after(at, *wait)),
                None => poll,
            }
        }
        Last::Contested { until } => Some(until.max(at)),
        Last::BeingDeleted => Some(after(at, SETTLE)),
        Last::Suspended => None,
    }
}

/// 5 s times 2^n, give or take a fifth, never longer than the interval or 5 min.
#[must_use]
pub fn backoff(before: u32, interval: Option<Duration>, jitter: Jitter) -> Duration {
    let most = interval.map_or(MOST_BACKOFF, |interval| interval.min(MOST_BACKOFF));
    let wait = BACKOFF
        .saturating_mul(2_u32.saturating_pow(before))
        .min(most);
    jitter.spread(wait, 0.2).min(most)
}

/// When known object number `position` of `count` is due after the controller started: evenly over the interval,
/// at most 5 min.
#[must_use]
pub fn at_start(
    position: usize,
    count: usize,
    interval: Option<Duration>,
    now: Timestamp,
) -> Timestamp {
    let span = interval.map_or(MOST_SPREAD, |interval| interval.min(MOST_SPREAD));
    let part = position.min(count) as f64 / count.max(1) as f64;
    after(now, span.mul_f64(part))
}

/// When an object is due whose Secret was changed or deleted.
#[must_use]
pub fn after_drift(now: Timestamp) -> Timestamp {
    after(now, SETTLE)
}

/// What of an object makes it due at once when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// uid of the source.
    pub uid: String,
    /// Its generation and options.
    pub revision: Revision,
    /// `forceSynchronization` of the spec.
    pub force: String,
    /// uid, generation and options of the class, where the class is another object and is there.
    pub class: Option<(String, Revision)>,
}

/// Whether the object is due at once: it is new, or something that counts changed. Its status does not.
#[must_use]
pub fn changed(before: Option<&Seen>, now: &Seen) -> bool {
    before != Some(now)
}

/// Whether a round was overtaken: what it fetched is for a spec that is gone, so it must not write.
#[must_use]
pub fn overtaken(started: &Seen, latest: Option<&Seen>) -> bool {
    latest != Some(started)
}

#[cfg(test)]
mod tests;
