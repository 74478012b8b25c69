//! A clock that stands until it is moved, and luck without surprises, for a provider in this process.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coffer_provider::ports::Chance;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Shows the time of its making, and what it was moved on since.
pub(super) struct HeldClock {
    wall: Timestamp,
    steady: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    moved: Duration,
    drawn: f64,
}

impl HeldClock {
    pub(super) fn new() -> Self {
        Self {
            wall: Timestamp::now(),
            steady: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// Moves on to a time after its making; never back.
    pub(super) fn move_to(&self, since: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.moved = state.moved.max(since);
    }

    fn moved(&self) -> Duration {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .moved
    }
}

impl Chance for HeldClock {
    fn now(&self) -> Timestamp {
        self.wall + SignedDuration::try_from(self.moved()).unwrap_or_default()
    }

    fn instant(&self) -> Instant {
        self.steady + self.moved()
    }

    /// Spread evenly from 0 to 1, the same in every run: multiples of the golden ratio.
    fn random(&self) -> f64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.drawn = (state.drawn + 0.618_033_988_749_895).fract();
        state.drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_until_it_is_moved_and_never_goes_back() {
        let clock = HeldClock::new();
        let (wall, steady) = (clock.now(), clock.instant());
        assert_eq!((clock.now(), clock.instant()), (wall, steady));
        clock.move_to(Duration::from_secs(60));
        clock.move_to(Duration::from_secs(10));
        assert_eq!(clock.instant() - steady, Duration::from_secs(60));
        assert_eq!(clock.now().duration_since(wall).as_secs(), 60);
    }

    #[test]
    fn luck_is_spread_evenly_and_repeats() {
        let draw = || -> Vec<f64> {
            let clock = HeldClock::new();
            (0..100).map(|_| clock.random()).collect()
        };
        let drawn = draw();
        assert!(drawn.iter().all(|x| (0.0..1.0).contains(x)));
        let low = drawn.iter().filter(|x| **x < 0.5).count();
        assert!((45..=55).contains(&low), "{low} of 100 below a half");
        assert!(drawn.iter().zip(draw()).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
