//! Files made before from the very same answers: a republish out of memory reads no JSON and makes no
//! version again.
//!
//! Nothing is decided here. Whether the answers may be used is known before this is asked; here is only
//! whether they are those that the files were made of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::file::Mode;
use coffer_provider_core::mount::{Assembled, reply_size};
use coffer_provider_core::params::{ClassSpec, MountSpec};
use coffer_provider_core::version::VersionKey;
use tokio::time::Instant;

use crate::vault::memory::{ReadId, SessionId};

/// How long files are kept that nobody asks for: several republishes.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Files by login and class.
pub struct Assemblies {
    made: Mutex<Made>,
    /// All files together, in bytes.
    limit: usize,
}

#[derive(Default)]
struct Made {
    by_volume: HashMap<(SessionId, usize), Entry>,
    bytes: usize,
}

/// What files are made of.
pub struct Ingredients<'a> {
    /// The login.
    pub session: SessionId,
    /// Class and default mode.
    pub spec: &'a MountSpec,
    /// The answers, by number.
    pub reads: Vec<ReadId>,
    /// The key of versions.
    pub key: Option<Arc<VersionKey>>,
}

struct Entry {
    /// Held so that no other class can come to stand at its address.
    _class: Arc<ClassSpec>,
    mode: Mode,
    reads: Vec<ReadId>,
    key: Option<Arc<VersionKey>>,
    assembled: Assembled,
    size: usize,
    used: Instant,
}

impl Assemblies {
    /// Keeps up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            made: Mutex::default(),
            limit,
        }
    }

    /// The files that were made of exactly this.
    #[must_use]
    pub fn get(&self, of: &Ingredients<'_>, now: Instant) -> Option<Assembled> {
        let mut made = self.lock();
        let entry = made.by_volume.get_mut(&of.place())?;
        let is_same = entry.mode == of.spec.default_mode
            && entry.reads == of.reads
            && same_key(entry.key.as_ref(), of.key.as_ref());
        if !is_same {
            return None;
        }
        entry.used = now;
        Some(entry.assembled.clone())
    }

    /// Keeps what was made. When there is no more room, everything is forgotten: it is quickly made again.
    pub fn put(&self, of: Ingredients<'_>, assembled: &Assembled, now: Instant) {
        let place = of.place();
        let entry = Entry {
            _class: Arc::clone(&of.spec.class),
            mode: of.spec.default_mode,
            reads: of.reads,
            key: of.key,
            size: reply_size(&assembled.files),
            assembled: assembled.clone(),
            used: now,
        };
        if entry.size > self.limit {
            return;
        }
        let mut made = self.lock();
        if made.bytes + entry.size > self.limit {
            *made = Made::default();
        }
        made.bytes += entry.size;
        if let Some(old) = made.by_volume.insert(place, entry) {
            made.bytes -= old.size;
        }
    }

    /// Forgets what was not asked for in a while.
    pub fn sweep(&self, now: Instant) {
        let mut made = self.lock();
        let Made { by_volume, bytes } = &mut *made;
        by_volume.retain(|_, entry| {
            let keep = now.saturating_duration_since(entry.used) < FORGET_AFTER;
            if !keep {
                *bytes -= entry.size;
            }
            keep
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ingredients<'_> {
    fn place(&self) -> (SessionId, usize) {
        (self.session, Arc::as_ptr(&self.spec.class) as usize)
    }
}

fn same_key(one: Option<&Arc<VersionKey>>, other: Option<&Arc<VersionKey>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests;
