//! Keeps one failure that repeats at every republish from filling the log.
//!
//! Pure: what makes two failures identical is the caller's key, and the time is passed in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often an identical failure is told: often enough to be found in a recent log, while a pod that
/// fails each 75 s takes one line of eight.
const EVERY: Duration = Duration::from_secs(600);

/// Most keys remembered: some for each of the 110 pods of a usual node.
const MAX_KEYS: usize = 1024;

/// Lets an identical failure through once per ten minutes.
#[derive(Debug, Default)]
pub struct RepeatGate {
    told: HashMap<u64, Told>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    held_back: u64,
}

impl RepeatGate {
    /// Whether a failure with this key is to be told now: if so, how many like it were held back since
    /// the last one that was told. Beyond 1024 keys the one told longest ago is forgotten.
    #[must_use]
    pub fn admit(&mut self, key: u64, now: Instant) -> Option<u64> {
        if let Some(told) = self.told.get_mut(&key) {
            if now.saturating_duration_since(told.at) < EVERY {
                told.held_back += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.held_back));
        }
        if self.told.len() >= MAX_KEYS {
            self.forget_oldest();
        }
        self.told.insert(
            key,
            Told {
                at: now,
                held_back: 0,
            },
        );
        Some(0)
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .told
            .iter()
            .min_by_key(|(_, told)| told.at)
            .map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.told.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{EVERY, MAX_KEYS, RepeatGate};

    #[test]
    fn a_failure_is_told_once_per_ten_minutes_with_the_count_held_back() {
        let (start, mut gate) = (Instant::now(), RepeatGate::default());
        for (seconds, key, expected) in [
            (0, 1, Some(0)),
            (75, 1, None),
            (80, 2, Some(0)),
            (599, 1, None),
            (600, 1, Some(2)),
            (601, 1, None),
            (680, 2, Some(0)),
            (1800, 1, Some(1)),
        ] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(gate.admit(key, now), expected, "key {key} at {seconds} s");
        }
    }

    #[test]
    fn the_failure_told_longest_ago_is_forgotten_first() {
        let (start, mut gate) = (Instant::now(), RepeatGate::default());
        for key in 0..=MAX_KEYS {
            let key = u64::try_from(key).unwrap();
            assert_eq!(gate.admit(key, start + Duration::from_millis(key)), Some(0));
        }
        let now = start + EVERY / 2;
        assert_eq!(gate.told.len(), MAX_KEYS);
        assert_eq!(gate.admit(1, now), None, "still known");
        assert_eq!(gate.admit(0, now), Some(0), "forgotten");
    }
}
