//! Arithmetic on points in time that cannot panic: far ends are kept instead of overrun.
//!
//! Nothing here asks what time it is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The point in time that long after `start`; the end of time if it lies beyond.
#[must_use]
pub fn after(start: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| start.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}

/// How long ago `then` is; zero when it has not come yet, as clocks of two machines differ.
#[must_use]
pub fn age(now: Timestamp, then: Timestamp) -> Duration {
    now.duration_since(then)
        .try_into()
        .unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_ends_are_kept() {
        let start = Timestamp::UNIX_EPOCH;
        assert_eq!(after(start, Duration::from_secs(5)).as_second(), 5);
        assert_eq!(after(start, Duration::MAX), Timestamp::MAX);
        assert_eq!(
            age(after(start, Duration::from_secs(5)), start),
            Duration::from_secs(5)
        );
        assert_eq!(
            age(start, after(start, Duration::from_secs(5))),
            Duration::ZERO
        );
    }
}
