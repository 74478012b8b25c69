//! What this process knows of the volumes it answered: tells a first mount from a refresh, a change from
//! none, and which volumes fail or run on old bytes. The driver tells none of it.
//!
//! Nothing here reads a clock. What is worth telling is decided in the core (`notice.rs`).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffer_provider_core::fault::Phase;
use coffer_provider_core::mount::MountFile;
use coffer_provider_core::notice::{Ages, Notice, Outcome, Told, notice};
use coffer_provider_core::params::{MountSpec, Pod};
use tokio::time::Instant;

/// The most volumes that are remembered: a node runs some hundred pods. Beyond it the one not seen longest
/// is forgotten, and its next Mount counts as a first one.
const MAX_VOLUMES: usize = 4096;

/// When a volume is forgotten that nobody mounts any more. Drivers up to 1.5.6 ask once per poll
/// interval, which can be hours.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How long a volume counts among those in use: kubelet asks for each every 60 to 90 s, and a pod that is
/// gone must not hold an alert for long.
const IN_USE: Duration = Duration::from_secs(600);

/// The volumes that were answered with success.
#[derive(Default)]
pub struct Volumes {
    /// Std: held to look up or to count, never across an await.
    known: Mutex<HashMap<u64, Volume>>,
    /// Keys are hashed with a seed of this process, so that nobody can aim at another's place.
    hasher: RandomState,
}

struct Volume {
    /// Whose volume it is, hashed as the key is.
    pod: u64,
    /// Digest of the last answer.
    versions: u64,
    /// When a Mount of it last ended.
    seen: Instant,
    /// When what was last answered was read.
    read_at: Instant,
    /// Since when it fails or gets old bytes.
    trouble: Option<Instant>,
    told: Told,
    /// When something was last told of it.
    noticed: Option<Instant>,
}

/// Something worth telling of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// What.
    pub notice: Notice,
    /// How long its files have not been as they should be, or were not until now.
    pub lasting: Duration,
}

/// How the volumes in use stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The greatest age of what was last answered.
    pub oldest: Duration,
    /// How many fail or get old bytes.
    pub failing: usize,
}

impl Volumes {
    /// Whether the volume was answered before.
    #[must_use]
    pub fn phase(&self, pod: &Pod, volume: &str) -> Phase {
        if self.known().contains_key(&self.key(pod, volume)) {
            Phase::Refresh
        } else {
            Phase::First
        }
    }

    /// Notes an answer whose bytes were read at `read_at`; whether it differs from the one before.
    pub fn answered(
        &self,
        spec: &MountSpec,
        files: &[MountFile],
        read_at: Instant,
        now: Instant,
    ) -> bool {
        let content: Vec<(&str, &[u8])> = files
            .iter()
            .map(|f| (f.path.as_str(), f.contents.expose()))
            .collect();
        let versions = self.hasher.hash_one(content);
        let pod = self.hasher.hash_one(&spec.pod);
        let key = self.key(&spec.pod, &spec.volume);
        let mut known = self.known();
        if let Some(volume) = known.get_mut(&key) {
            let changed = volume.versions != versions;
            (volume.versions, volume.read_at, volume.seen) = (versions, read_at, now);
            return changed;
        }
        if known.len() >= MAX_VOLUMES {
            forget_oldest(&mut known);
        }
        let fresh = Volume {
            pod,
            versions,
            seen: now,
            read_at,
            trouble: None,
            told: Told::default(),
            noticed: None,
        };
        known.insert(key, fresh);
        true
    }

    /// Notes how a Mount ended, after [`Self::answered`] if it was; what to tell of it. Of a volume that was
    /// never answered nothing is told: kubelet reports a first mount itself.
    pub fn ended(&self, spec: &MountSpec, outcome: Outcome, now: Instant) -> Option<News> {
        let key = self.key(&spec.pod, &spec.volume);
        let mut known = self.known();
        let pod = known.get(&key)?.pod;
        let noticed = last_notice(&known, pod, outcome);
        let volume = known.get_mut(&key)?;
        let began = *volume.trouble.get_or_insert(now);
        let ages = Ages {
            trouble: now.saturating_duration_since(began),
            notice: noticed.map(|at| now.saturating_duration_since(at)),
        };
        let told = notice(volume.told, outcome, ages);
        volume.told = volume.told.after(outcome, told);
        volume.seen = now;
        if outcome == Outcome::Fresh {
            volume.trouble = None;
        }
        let notice = told?;
        volume.noticed = Some(now);
        Some(News {
            notice,
            lasting: ages.trouble,
        })
    }

    /// How the volumes stand that were mounted in the last ten minutes.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        let mut standing = Standing::default();
        for volume in self.known().values() {
            if now.saturating_duration_since(volume.seen) <= IN_USE {
                let age = now.saturating_duration_since(volume.read_at);
                standing.oldest = standing.oldest.max(age);
                standing.failing += usize::from(volume.trouble.is_some());
            }
        }
        standing
    }

    /// Forgets what nobody mounted for a day.
    pub fn sweep(&self, now: Instant) {
        self.known()
            .retain(|_, volume| now.saturating_duration_since(volume.seen) < FORGET_AFTER);
    }

    fn key(&self, pod: &Pod, volume: &str) -> u64 {
        self.hasher.hash_one((pod, volume))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Volume>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When something was last told of any volume of the pod. A recovery does not wait, so it is not looked for.
fn last_notice(known: &HashMap<u64, Volume>, pod: u64, outcome: Outcome) -> Option<Instant> {
    if outcome == Outcome::Fresh {
        return None;
    }
    let of_pod = known.values().filter(|volume| volume.pod == pod);
    of_pod.filter_map(|volume| volume.noticed).max()
}

fn forget_oldest(known: &mut HashMap<u64, Volume>) {
    let oldest = known.iter().min_by_key(|(_, volume)| volume.seen);
    if let Some(key) = oldest.map(|(key, _)| *key) {
        known.remove(&key);
    }
}

#[cfg(test)]
mod tests;
