//! A limit on requests per second towards stores, as the peers' `VAULT_RATE_LIMIT` sets it.
//!
//! A token bucket over the process; whoever comes too early waits for its turn.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many requests per second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests per second; above zero.
    pub per_second: f64,
    /// Requests at once; at least one.
    pub burst: f64,
}

impl Rate {
    /// Reads `rate` or `rate:burst`; a missing burst is the rate, as with the peers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rate, burst) = text.split_once(':').unwrap_or((text, text));
        let per_second: f64 = rate
            .parse()
            .ok()
            .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)?;
        let burst: f64 = burst
            .parse()
            .ok()
            .filter(|burst: &f64| burst.is_finite() && *burst >= 0.0)?;
        Some(Self {
            per_second,
            burst: burst.max(1.0),
        })
    }
}

/// Lets requests through at a rate.
pub(super) struct Limiter {
    rate: Rate,
    /// What is left of the burst, and when that was.
    bucket: Mutex<(f64, Instant)>,
}

impl Limiter {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            bucket: Mutex::new((rate.burst, Instant::now())),
        }
    }

    /// Waits for the turn of one request.
    pub(super) async fn turn(&self) {
        let wait = self.reserve();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn reserve(&self) -> Duration {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let refill = now.duration_since(bucket.1).as_secs_f64() * self.rate.per_second;
        let left = (bucket.0 + refill).min(self.rate.burst) - 1.0;
        *bucket = (left, now);
        Duration::try_from_secs_f64((-left / self.rate.per_second).max(0.0)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Limiter, Rate};

    #[test]
    fn a_rate_may_name_its_burst() {
        for (text, expected) in [
            ("10", Some((10.0, 10.0))),
            ("2.5:4", Some((2.5, 4.0))),
            ("0.5:0", Some((0.5, 1.0))),
            ("0", None),
            ("-1", None),
            ("x", None),
            ("1:x", None),
            ("", None),
            ("inf", None),
        ] {
            assert_eq!(
                Rate::parse(text),
                expected.map(|(per_second, burst)| Rate { per_second, burst }),
                "{text}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_burst_requests_go_at_the_rate() {
        let limiter = Limiter::new(Rate {
            per_second: 2.0,
            burst: 3.0,
        });
        let start = Instant::now();
        for _ in 0..3 {
            limiter.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        limiter.turn().await;
        limiter.turn().await;
        assert_eq!(start.elapsed().as_millis().div_ceil(10), 100);
    }
}
