//! Which volumes this process has answered, and with which versions: tells a first mount from a
//! refresh, and a change from none. The driver tells neither.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use coffer_provider_core::fault::Phase;
use coffer_provider_core::mount::MountFile;
use coffer_provider_core::params::{MountSpec, Pod};
use tokio::time::Instant;

/// The most volumes that are remembered; beyond it the one not seen longest is forgotten, and its next
/// Mount counts as a first one.
const MAX_VOLUMES: usize = 20_000;

/// The volumes that were answered with success.
#[derive(Default)]
pub struct Volumes {
    seen: Mutex<HashMap<u64, Seen>>,
    /// Keys are hashed with a seed of this process, so that nobody can aim at another's place.
    hasher: RandomState,
}

struct Seen {
    versions: u64,
    at: Instant,
}

impl Volumes {
    /// Whether the volume was answered before.
    #[must_use]
    pub fn phase(&self, pod: &Pod, volume: &str) -> Phase {
        let key = self.key(pod, volume);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains_key(&key) {
            Phase::Refresh
        } else {
            Phase::First
        }
    }

    /// Notes an answer; whether it differs from the one before.
    pub fn answered(&self, spec: &MountSpec, files: &[MountFile]) -> bool {
        let key = self.key(&spec.pod, &spec.volume);
        let content: Vec<(&str, &[u8])> = files
            .iter()
            .map(|f| (f.path.as_str(), f.contents.expose()))
            .collect();
        let versions = self.hasher.hash_one(content);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_VOLUMES && !seen.contains_key(&key) {
            let oldest = seen
                .iter()
                .min_by_key(|(_, seen)| seen.at)
                .map(|(key, _)| *key);
            oldest.map(|oldest| seen.remove(&oldest));
        }
        let before = seen.insert(
            key,
            Seen {
                versions,
                at: Instant::now(),
            },
        );
        before.is_none_or(|before| before.versions != versions)
    }

    fn key(&self, pod: &Pod, volume: &str) -> u64 {
        self.hasher.hash_one((pod, volume))
    }
}
