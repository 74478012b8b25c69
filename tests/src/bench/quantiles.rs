//! Times of equal operations, and their p50, p99 and longest.
//!
//! Nearest rank: every figure is a time that was measured, never one in between.

use std::time::Duration;

/// Times in the order they were taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Quantiles(Vec<Duration>);

/// What is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Quantiles {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// All three; none when nothing was measured.
    pub(super) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        Some(Summary {
            p50: at(&sorted, 50)?,
            p99: at(&sorted, 99)?,
            max: at(&sorted, 100)?,
        })
    }
}

impl FromIterator<Duration> for Quantiles {
    fn from_iter<T: IntoIterator<Item = Duration>>(times: T) -> Self {
        Self(times.into_iter().collect())
    }
}

/// The shortest time that so many of a hundred do not exceed.
fn at(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(times: impl IntoIterator<Item = u64>) -> Option<Summary> {
        let times: Quantiles = times.into_iter().map(Duration::from_millis).collect();
        times.summary()
    }

    fn expect(p50: u64, p99: u64, max: u64) -> Option<Summary> {
        let [p50, p99, max] = [p50, p99, max].map(Duration::from_millis);
        Some(Summary { p50, p99, max })
    }

    #[test]
    fn quantiles_are_measured_times_whatever_their_order() {
        assert_eq!(millis((1..=100).rev()), expect(50, 99, 100));
        assert_eq!(millis(1..=1000), expect(500, 990, 1000));
        assert_eq!(millis([3, 1, 2]), expect(2, 3, 3));
    }

    #[test]
    fn one_slow_operation_in_a_hundred_shows_in_the_longest_only() {
        let times = (0..100).map(|at| if at == 7 { 900 } else { 4 });
        assert_eq!(millis(times), expect(4, 4, 900));
    }

    #[test]
    fn of_one_time_all_are_that_one_and_of_none_there_is_nothing_to_tell() {
        assert_eq!(millis([5]), expect(5, 5, 5));
        assert_eq!(millis([]), None);
    }
}
