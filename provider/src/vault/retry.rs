//! Tries a read again while that can help and there is time.
//!
//! What can heal is the core's knowledge (`Reason::heals`); here are the pauses. A request that may
//! have issued something is never sent twice.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coffer_provider_core::fault::Reason;
use tokio::time::Instant;

use super::http::NoAnswer;
use crate::metrics::Metrics;

/// How many times a request is sent at most, first try included.
pub const MAX_TRIES: u32 = 3;

/// The shortest pause, so that a store that just restarted is not hit at once by everybody.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause of our own choosing.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether a request may be sent again after it has reached the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It only reads, or it is a login.
    Yes,
    /// It may have issued something.
    OnlyIfNotSent,
}

/// What the reads of one Mount may repeat, all together: a store in trouble must not get a class with fifty
/// objects three times over.
pub struct Repeats(AtomicU32);

/// As many as a small class needs for a second and a third try.
const MOST_REPEATS: u32 = 8;

impl Default for Repeats {
    fn default() -> Self {
        Self(AtomicU32::new(MOST_REPEATS))
    }
}

impl Repeats {
    /// Takes one of them; false when there are no more.
    #[must_use]
    pub fn take(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// How often a request may be sent.
pub struct Allowance<'a> {
    /// Whether it may be sent again after it has reached the store.
    pub kind: Repeat,
    /// How many times it is sent at most, first try included.
    pub tries: u32,
    /// When its answer must be there.
    pub deadline: Instant,
    /// What it shares with the other requests of its Mount.
    pub repeats: &'a Repeats,
}

/// Runs `attempt` until it succeeds, cannot heal, may not be repeated, or the deadline is too near.
/// `random` gives numbers from 0 up to 1.
///
/// # Errors
/// The last failure.
pub async fn repeat<T, F>(
    allowed: Allowance<'_>,
    random: impl Fn() -> f64,
    metrics: &Metrics,
    mut attempt: impl FnMut() -> F,
) -> Result<T, NoAnswer>
where
    F: Future<Output = Result<T, NoAnswer>>,
{
    let mut sent = 1;
    loop {
        let failed = match attempt().await {
            Ok(value) => return Ok(value),
            Err(failed) => failed,
        };
        let reason = failed.fault.reason;
        let may = allowed.kind == Repeat::Yes || !failed.maybe_sent;
        let most = match (reason, failed.maybe_sent) {
            // A redirect that is not followed: it leads to the same place the next time.
            (Reason::BadAnswer, false) => 1,
            // An answer that makes no sense rarely makes sense the third time.
            (Reason::BadAnswer, true) => 2,
            _ => MAX_TRIES,
        };
        if !may || !failed.asked || !reason.heals() || sent >= most.min(allowed.tries) {
            return Err(failed);
        }
        let pause = failed
            .fault
            .retry_after
            .unwrap_or_else(|| pause(sent, random()));
        if Instant::now() + pause >= allowed.deadline || !allowed.repeats.take() {
            return Err(failed);
        }
        metrics.store_retried(reason);
        tokio::time::sleep(pause).await;
        sent += 1;
    }
}

/// Full jitter over a doubling pause.
fn pause(tries: u32, random: f64) -> Duration {
    let ceiling = (FIRST_PAUSE * 2_u32.saturating_pow(tries)).min(LONGEST_PAUSE);
    FIRST_PAUSE + (ceiling.saturating_sub(FIRST_PAUSE)).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use coffer_provider_core::fault::{Fault, Reason};
    use tokio::time::Instant;

    use super::{Allowance, MAX_TRIES, MOST_REPEATS, Repeat, Repeats, pause, repeat};
    use crate::metrics::{BuildInfo, Metrics};
    use crate::vault::http::NoAnswer;

    /// How often a request is sent that fails as given, and for how long.
    async fn sent(
        kind: Repeat,
        reason: Reason,
        maybe_sent: bool,
        retry_after: Option<u64>,
    ) -> (u32, Duration) {
        let metrics = Metrics::new(BuildInfo::default(), 1);
        let tries = Cell::new(0);
        let start = Instant::now();
        let attempt = || {
            tries.set(tries.get() + 1);
            let fault = Fault {
                retry_after: retry_after.map(Duration::from_secs),
                ..Fault::new(reason, "w", "h")
            };
            let failed = if maybe_sent {
                NoAnswer::maybe_sent(fault)
            } else {
                NoAnswer::never_sent(fault)
            };
            async move { Err::<(), _>(failed) }
        };
        let allowed = Allowance {
            kind,
            tries: MAX_TRIES,
            deadline: start + Duration::from_secs(30),
            repeats: &Repeats::default(),
        };
        let outcome = repeat(allowed, || 1.0, &metrics, attempt).await;
        assert!(outcome.is_err());
        (tries.get(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_heal_is_tried_three_times_with_growing_pauses() {
        for reason in [
            Reason::StoreError,
            Reason::StoreUnreachable,
            Reason::StoreTimeout,
        ] {
            assert_eq!(
                sent(Repeat::Yes, reason, true, None).await,
                (3, Duration::from_millis(600)),
                "{reason:?}"
            );
        }
        assert_eq!(sent(Repeat::Yes, Reason::BadAnswer, true, None).await.0, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_redirect_that_is_not_followed_is_not_asked_for_again() {
        for kind in [Repeat::Yes, Repeat::OnlyIfNotSent] {
            assert_eq!(sent(kind, Reason::BadAnswer, false, None).await.0, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_heal_is_tried_once() {
        for reason in [
            Reason::Denied,
            Reason::NotFound,
            Reason::StoreTls,
            Reason::StoreState,
            Reason::LoginRefused,
        ] {
            assert_eq!(
                sent(Repeat::Yes, reason, true, None).await.0,
                1,
                "{reason:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_issued_something_is_never_sent_twice() {
        assert_eq!(
            sent(Repeat::OnlyIfNotSent, Reason::StoreTimeout, true, None)
                .await
                .0,
            1
        );
        assert_eq!(
            sent(Repeat::OnlyIfNotSent, Reason::StoreUnreachable, false, None)
                .await
                .0,
            3
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_store_is_waited_for_as_it_asks_if_there_is_time() {
        assert_eq!(
            sent(Repeat::Yes, Reason::StoreBusy, true, Some(5)).await,
            (3, Duration::from_secs(10))
        );
        assert_eq!(
            sent(Repeat::Yes, Reason::StoreBusy, true, Some(120)).await,
            (1, Duration::ZERO)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_without_asking_is_told_at_once() {
        let metrics = Metrics::new(BuildInfo::default(), 1);
        let tries = Cell::new(0);
        let attempt = || {
            tries.set(tries.get() + 1);
            let fault = Fault::new(Reason::StoreUnreachable, "w", "h");
            async move { Err::<(), _>(NoAnswer::not_asked(fault)) }
        };
        let start = Instant::now();
        let deadline = start + Duration::from_secs(30);
        let allowed = Allowance {
            kind: Repeat::Yes,
            tries: MAX_TRIES,
            deadline,
            repeats: &Repeats::default(),
        };
        let outcome = repeat(allowed, || 1.0, &metrics, attempt).await;
        assert!(outcome.is_err());
        assert_eq!((tries.get(), start.elapsed()), (1, Duration::ZERO));
    }

    #[test]
    fn the_requests_of_a_mount_share_what_may_be_repeated() {
        let repeats = Repeats::default();
        let taken = (0..100).filter(|_| repeats.take()).count();
        assert_eq!(u32::try_from(taken), Ok(MOST_REPEATS));
    }

    #[test]
    fn pauses_are_jittered_between_a_tenth_of_a_second_and_two_seconds() {
        assert_eq!(pause(1, 0.0), Duration::from_millis(100));
        assert_eq!(pause(1, 1.0), Duration::from_millis(200));
        assert_eq!(pause(9, 1.0), Duration::from_secs(2));
    }
}
