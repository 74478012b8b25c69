//! Keeps one failure that repeats at every republish from filling the log.
//!
//! What makes two failures identical is the caller's key, and the time is passed in.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often an identical failure is told: often enough to be found in a recent log, while a pod that
/// fails each 75 s takes one line of eight.
const EVERY: Duration = Duration::from_secs(600);

/// Most keys remembered: some for each of the 110 pods of a usual node.
const MAX_KEYS: usize = 1024;

/// Lets an identical failure through once per ten minutes.
#[derive(Debug, Default)]
pub struct RepeatGate {
    /// Locked for moments only.
    told: Mutex<HashMap<u64, Told>>,
    /// Seeded by this process, so that nobody can aim at another's key.
    hasher: RandomState,
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
    pub fn admit(&self, key: impl Hash, now: Instant) -> Option<u64> {
        let key = self.hasher.hash_one(key);
        let mut all = self.told();
        if let Some(told) = all.get_mut(&key) {
            if now.saturating_duration_since(told.at) < EVERY {
                told.held_back += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.held_back));
        }
        if all.len() >= MAX_KEYS {
            forget_oldest(&mut all);
        }
        let held_back = 0;
        all.insert(key, Told { at: now, held_back });
        Some(0)
    }

    fn told(&self) -> MutexGuard<'_, HashMap<u64, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_oldest(all: &mut HashMap<u64, Told>) {
    let oldest = all.iter().min_by_key(|(_, told)| told.at);
    if let Some(key) = oldest.map(|(key, _)| *key) {
        all.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{EVERY, MAX_KEYS, RepeatGate};

    #[test]
    fn a_failure_is_told_once_per_ten_minutes_with_the_count_held_back() {
        let (start, gate) = (Instant::now(), RepeatGate::default());
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
        let (start, gate) = (Instant::now(), RepeatGate::default());
        for key in 0..=MAX_KEYS {
            let key = u64::try_from(key).unwrap();
            assert_eq!(gate.admit(key, start + Duration::from_millis(key)), Some(0));
        }
        let now = start + EVERY / 2;
        assert_eq!(gate.told().len(), MAX_KEYS);
        assert_eq!(gate.admit(1_u64, now), None, "still known");
        assert_eq!(gate.admit(0_u64, now), Some(0), "forgotten");
    }
}
