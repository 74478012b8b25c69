//! What was issued for pods, sealed in a file over restarts and upgrades of the provider.
//!
//! Only on a memory file system, so that nothing reaches a disk and a reboot leaves nothing. Any trouble
//! with it costs a warning and never a Mount: without it leases are issued again.

mod place;
mod record;
mod seal;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::version::VersionKey;

use crate::ports::Chance;
use crate::vault::kept::{Kept, Snapshot};
use crate::vault::session::Sessions;
use crate::version_key::VersionKeys;
use place::Place;

pub use place::NoPlace;

/// Between two writes: a node's start issues hundreds of leases in a second.
const PAUSE: Duration = Duration::from_millis(250);

/// The largest state: twice what the most pods of a node have.
const MAX_BYTES: usize = 32 << 20;

/// Why the state was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// No file, as after a reboot.
    #[error("there is none")]
    Absent,
    /// The system says no.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Larger than any that is written.
    #[error("is too large")]
    TooLarge,
    /// Not ours, cut, changed, of another version, or sealed with another key.
    #[error("{0}")]
    Sealed(#[from] seal::Unsealable),
    /// Sealed by us, but its contents make no sense.
    #[error("its contents cannot be read")]
    Contents,
}

/// Why the state was not written.
#[derive(Debug, thiserror::Error)]
pub enum Unwritable {
    /// The system says no.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// More than is ever written.
    #[error("it would be larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// The library fails.
    #[error("it cannot be sealed")]
    Seal,
    /// Another process wrote since this one did.
    #[error("another process took it over")]
    Taken,
}

/// Whose file is to be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Whoever wrote it: this process takes over.
    Take,
    /// Only its own.
    Keep,
}

/// Reads the state at the start and writes it behind every change.
pub struct State {
    place: Place,
    kept: Arc<Kept>,
    sessions: Arc<Sessions>,
    keys: Arc<VersionKeys>,
    chance: Arc<dyn Chance>,
    /// Writes take turns, each with what is there when its turn comes. Held by blocking threads only.
    turn: Mutex<()>,
    /// Before it was read it must not be replaced.
    loaded: AtomicBool,
    /// What was last told of a failed write, so that it is told once.
    told: Mutex<Option<String>>,
}

impl State {
    /// The state of the provider of this name in a directory, which is made if it is absent. Nothing is
    /// read yet.
    ///
    /// # Errors
    /// Why there can be none: most of all, when the directory is on a disk.
    pub fn new(
        directory: &Path,
        owner: &str,
        kept: Arc<Kept>,
        sessions: Arc<Sessions>,
        keys: Arc<VersionKeys>,
        chance: Arc<dyn Chance>,
    ) -> Result<Self, NoPlace> {
        // All that a name of a file needs; what is in it is sealed with real randomness.
        let tag = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        Ok(Self {
            place: Place::find(directory, owner, tag)?,
            kept,
            sessions,
            keys,
            chance,
            turn: Mutex::default(),
            loaded: AtomicBool::new(false),
            told: Mutex::default(),
        })
    }

    /// Takes over what a process before this one kept, once: with the key, if there is one.
    pub async fn load(self: &Arc<Self>, key: Arc<VersionKey>) {
        let (this, with) = (Arc::clone(self), Arc::clone(&key));
        let Ok(found) = tokio::task::spawn_blocking(move || this.read(&with)).await else {
            return;
        };
        match found {
            Ok(snapshot) => {
                let all = snapshot.entries.len();
                let kept = self.kept.restore(snapshot, &self.sessions).await;
                tracing::info!(kept, ended = all - kept, "took over what was issued before");
            }
            Err(Unreadable::Absent) => {}
            Err(error) => {
                tracing::warn!(
                    file = %self.place.file().display(), %error,
                    "what was issued before is lost: pods get new leases at their next republish"
                );
            }
        }
        self.loaded.store(true, Ordering::Relaxed);
        // At once, so that the process before this one sees that its file has a new owner.
        self.put(key, Claim::Take).await;
    }

    /// Writes behind changes, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.kept.changed().await;
            self.save().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes once, now, unless a process that took over has written already.
    pub async fn save(self: &Arc<Self>) {
        let key = self.keys.current();
        if let Some(key) = key.filter(|_| self.loaded.load(Ordering::Relaxed)) {
            self.put(key, Claim::Keep).await;
        }
    }

    async fn put(self: &Arc<Self>, key: Arc<VersionKey>, claim: Claim) {
        let this = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || this.write(&key, claim)).await;
        let Ok(outcome) = written else {
            return;
        };
        if matches!(outcome, Err(Unwritable::Taken)) {
            tracing::debug!("what was issued is written by another process from now on");
            return;
        }
        let text = outcome.err().map(|error| error.to_string());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &text
            && *told != text
        {
            tracing::warn!(
                file = %self.place.file().display(), %error,
                "what was issued cannot be written: a restart will issue it again"
            );
        }
        *told = text;
    }

    fn read(&self, key: &VersionKey) -> Result<Snapshot, Unreadable> {
        let sealed = self.place.read(MAX_BYTES + seal::OVERHEAD)?;
        let plain = seal::open(key, sealed)?;
        record::read(&plain, self.chance.now()).ok_or(Unreadable::Contents)
    }

    fn write(&self, key: &VersionKey, claim: Claim) -> Result<(), Unwritable> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.kept.store();
        let plain =
            record::write(&snapshot, self.chance.now(), MAX_BYTES).ok_or(Unwritable::TooLarge)?;
        let sealed = seal::seal(key, &plain).ok_or(Unwritable::Seal)?;
        if claim == Claim::Keep && !self.place.is_ours() {
            return Err(Unwritable::Taken);
        }
        self.place.write(&sealed)?;
        Ok(())
    }
}
