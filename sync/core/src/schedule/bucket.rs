//! So many calls a second, with a burst: for each provider and for the API server.

use std::time::Duration;

use jiff::Timestamp;

use crate::instant::{after, age};

/// A bucket that fills with time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket. Rates below one call in 1000 s count as that.
    #[must_use]
    pub fn new(per_second: f64, burst: u32, now: Timestamp) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            per_second: per_second.max(0.001),
            burst,
            tokens: burst,
            at: now,
        }
    }

    /// Takes one call.
    ///
    /// # Errors
    ///
    /// There is none left; it says when there will be.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let gained = age(now, self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        // A clock that was set back must not stop the bucket until its old time comes again.
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        // A little more than needed: rounding must not bring the caller back too early.
        let wait = (1.0 - self.tokens) / self.per_second + 0.001;
        Err(after(
            now,
            Duration::try_from_secs_f64(wait).unwrap_or(Duration::from_secs(1000)),
        ))
    }
}
