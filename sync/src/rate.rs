//! Waits for one's turn where calls are limited per second.
//!
//! When the next call may be made is decided in the core; here the clock is asked and time passes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coffer_sync_core::schedule::Bucket;
use jiff::Timestamp;
use tokio::time::Instant;

/// How often whoever lets others go first looks whether they have gone.
const LOOK: Duration = Duration::from_millis(20);
/// Nobody lets others go first for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many calls a second, with a burst.
#[derive(Debug)]
pub struct Rate {
    /// Held to take one call.
    bucket: Mutex<Bucket>,
    /// How many wait for a turn that others let them have first.
    waiting: AtomicUsize,
    /// One after another: who waits for others to go first.
    patient: tokio::sync::Mutex<()>,
}

/// Counts as waiting until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Rate {
    /// The whole burst may be used at once.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Self {
        Self {
            bucket: Mutex::new(Bucket::new(per_second, burst, Timestamp::now())),
            waiting: AtomicUsize::new(0),
            patient: tokio::sync::Mutex::new(()),
        }
    }

    /// Returns when one more call may be made.
    pub async fn turn(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
        while let Err(wait) = self.take() {
            tokio::time::sleep(wait).await;
        }
    }

    /// The same for a call that others need not wait behind.
    pub async fn last_turn(&self) {
        // Held until the turn has come, so that however many wait, one looks.
        let _patient = self.patient.lock().await;
        let began = Instant::now();
        loop {
            let yields = self.waiting.load(Ordering::Acquire) > 0 && began.elapsed() < PATIENCE;
            let wait = match yields {
                true => LOOK,
                false => match self.take() {
                    Ok(()) => return,
                    Err(wait) => wait,
                },
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes one call, or says how long there is none.
    fn take(&self) -> Result<(), Duration> {
        let now = Timestamp::now();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket
            .take(now)
            .map_err(|until| until.duration_since(now).try_into().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_burst_waits_for_nothing() {
        let rate = Rate::new(0.001, 3);
        for _ in 0..3 {
            rate.turn().await;
        }
        let next = tokio::time::timeout(Duration::from_millis(10), rate.turn());
        assert!(next.await.is_err(), "the fourth call waits");
    }

    #[tokio::test]
    async fn who_lets_others_go_first_goes_after_them() {
        let rate = Arc::new(Rate::new(50.0, 1));
        rate.turn().await;
        let (send, mut order) = tokio::sync::mpsc::unbounded_channel();
        let (of_first, first) = (send.clone(), Arc::clone(&rate));
        let patient = tokio::spawn(async move {
            first.last_turn().await;
            of_first.send("last").unwrap();
        });
        for _ in 0..3 {
            let (send, rate) = (send.clone(), Arc::clone(&rate));
            tokio::spawn(async move {
                rate.turn().await;
                send.send("first").unwrap();
            });
        }
        patient.await.unwrap();
        drop(send);
        let mut seen = Vec::new();
        while let Some(who) = order.recv().await {
            seen.push(who);
        }
        assert_eq!(seen, ["first", "first", "first", "last"]);
    }
}
