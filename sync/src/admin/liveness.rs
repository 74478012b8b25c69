//! Whether the controller's loop still turns.
//!
//! Neither the store nor the API server counts: restarting us mends no outage of theirs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest that the loop may stand still. It turns at least every few seconds, even on a standby.
const PATIENCE: Duration = Duration::from_secs(120);

/// When the loop moved last.
#[derive(Debug)]
pub struct Liveness {
    /// Std: held to read or set it.
    moved: Mutex<Instant>,
}

impl Default for Liveness {
    /// Moved now, so that a start has the same time as every later turn.
    fn default() -> Self {
        Self {
            moved: Mutex::new(Instant::now()),
        }
    }
}

impl Liveness {
    /// The loop came round.
    pub fn moved(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether it moved in the last two minutes.
    ///
    /// # Errors
    /// One line that says for how long it has not.
    pub fn check(&self) -> Result<(), String> {
        let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let still = moved.elapsed();
        if still <= PATIENCE {
            return Ok(());
        }
        Err(format!("the loop has not moved for {} s", still.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::Liveness;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_for_two_minutes_is_dead() {
        let liveness = Liveness::default();
        advance(Duration::from_secs(120)).await;
        assert_eq!(liveness.check(), Ok(()));
        advance(Duration::from_secs(1)).await;
        let cause = "the loop has not moved for 121 s".to_owned();
        assert_eq!(liveness.check(), Err(cause));
        liveness.moved();
        assert_eq!(liveness.check(), Ok(()));
    }
}
