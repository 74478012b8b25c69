//! What plain reads brought, remembered per login: answers for republishes, and denials.
//!
//! Nothing here crosses logins: the key holds the session's own number, which is never used twice. What
//! was issued for a pod is not here but in `kept.rs`. How long an answer may be used is the core's
//! knowledge (`refresh`). Bodies stay as they came, which is the smallest form, and are wiped on drop.

use std::hash::{Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::fault::{Fault, Phase};
use coffer_provider_core::refresh::{denial_life, promised};
use coffer_provider_core::request::Request;
use coffer_provider_core::secret::SecretBytes;
use hashbrown::{Equivalent, HashMap};
use tokio::time::Instant;

use crate::metrics::{CacheName, Metrics};
use crate::ports::Chance;

/// What an entry costs besides its body: key, request and bookkeeping, on the safe side.
const OVERHEAD: usize = 512;

/// How much is freed when the limit is reached, so that not every further answer has to make room.
const ROOM: usize = 8;

/// How long an answer is kept that nobody asks for: its pods are gone.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Number of a session, never used twice in a process.
pub type SessionId = u64;

/// Number of what a read brought, never used twice: equal numbers are equal answers.
pub type ReadId = u64;

/// A read that succeeded.
#[derive(Clone)]
pub struct Read {
    /// The body as it came.
    pub body: SecretBytes,
    /// When it was asked for.
    pub began: Instant,
}

/// A read out of memory.
#[derive(Clone)]
pub struct Known {
    /// Its number.
    pub id: ReadId,
    /// The read.
    pub read: Read,
}

/// What the store said last, fresh or not: an answer, or that there is none at this path.
pub type Said = Result<Known, Fault>;

/// Everything that is remembered.
pub struct Memory {
    table: Mutex<Table>,
    /// All bodies together, in bytes; zero remembers nothing.
    limit: usize,
    next_id: AtomicU64,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Key, Entry, RandomState>,
    bytes: usize,
}

struct Key {
    session: SessionId,
    request: Arc<Request>,
}

/// A key that is looked up without being made.
struct Sought<'a>(SessionId, &'a Request);

enum Content {
    Read(Known),
    /// There is nothing at this path; optional objects ask again at every republish.
    Missing(Fault, Instant),
    Denied(Fault, Instant),
}

struct Entry {
    content: Content,
    /// Drawn once per read: its republishes are not all due at once.
    luck: f64,
    used: Instant,
}

impl Memory {
    /// Remembers up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize, chance: Arc<dyn Chance>, metrics: Arc<Metrics>) -> Self {
        Self {
            table: Mutex::default(),
            limit,
            next_id: AtomicU64::new(0),
            chance,
            metrics,
        }
    }

    /// What may answer without asking the store.
    #[must_use]
    pub fn recall(
        &self,
        session: SessionId,
        request: &Request,
        phase: Phase,
        interval: Duration,
    ) -> Option<Said> {
        let now = self.chance.instant();
        let mut table = self.lock();
        let entry = table.entries.get_mut(&Sought(session, request))?;
        entry.used = now;
        let age = now.saturating_duration_since(entry.content.since());
        let limit = match entry.content {
            Content::Read(_) | Content::Missing(..) => promised(phase, interval, entry.luck),
            Content::Denied(..) => denial_life(interval, entry.luck),
        };
        let is_fresh = age < limit;
        if matches!(entry.content, Content::Denied(..)) {
            self.metrics.cache_lookup(CacheName::Denied, is_fresh);
        }
        is_fresh.then(|| entry.content.said())
    }

    /// What the store said last, however old, and when. A denial does not count: whether it still holds is
    /// for the store to say.
    #[must_use]
    pub fn last(&self, session: SessionId, request: &Request) -> Option<(Said, Instant)> {
        let table = self.lock();
        let content = &table.entries.get(&Sought(session, request))?.content;
        match content {
            Content::Read(_) | Content::Missing(..) => Some((content.said(), content.since())),
            Content::Denied(..) => None,
        }
    }

    /// Remembers an answer.
    pub fn learn(&self, session: SessionId, request: &Arc<Request>, read: Read) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.put(session, request, Content::Read(Known { id, read }));
    }

    /// Remembers a denial of what was asked at `began`; what was good before must not cover it up in an
    /// outage.
    pub fn deny(&self, session: SessionId, request: &Arc<Request>, fault: &Fault, began: Instant) {
        self.put(session, request, Content::Denied(fault.clone(), began));
    }

    /// Remembers that there is nothing at this path; what was there before does not come back.
    pub fn miss(&self, session: SessionId, request: &Arc<Request>, fault: &Fault, began: Instant) {
        self.put(session, request, Content::Missing(fault.clone(), began));
    }

    /// Forgets a login's answers with the login.
    pub fn forget_session(&self, session: SessionId) {
        self.lock().retain(|key, _| key.session != session);
    }

    /// Drops what nobody has asked for in a day.
    pub fn sweep(&self) {
        let now = self.chance.instant();
        self.lock()
            .retain(|_, entry| now.saturating_duration_since(entry.used) < FORGET_AFTER);
    }

    /// All bodies in memory, with what they cost besides, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Unless something younger is known: an answer may have been long under way.
    fn put(&self, session: SessionId, request: &Arc<Request>, content: Content) {
        let entry = Entry {
            content,
            luck: self.chance.random(),
            used: self.chance.instant(),
        };
        let sought = Sought(session, request);
        let mut table = self.lock();
        let known = table.entries.get(&sought);
        if known.is_some_and(|known| known.content.since() > entry.content.since()) {
            return;
        }
        if entry.size() > self.limit {
            return table.remove(&sought);
        }
        let request = Arc::clone(request);
        table.insert(Key { session, request }, entry);
        if table.bytes > self.limit {
            self.metrics.cache_evicted(CacheName::Memory);
            table.shrink_to(self.limit - self.limit / ROOM);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn insert(&mut self, key: Key, entry: Entry) {
        self.bytes += entry.size();
        if let Some(old) = self.entries.insert(key, entry) {
            self.bytes -= old.size();
        }
    }

    fn remove(&mut self, sought: &Sought<'_>) {
        if let Some(old) = self.entries.remove(sought) {
            self.bytes -= old.size();
        }
    }

    fn retain(&mut self, mut keep: impl FnMut(&Key, &Entry) -> bool) {
        let bytes = &mut self.bytes;
        self.entries.retain(|key, entry| {
            let keep = keep(key, entry);
            if !keep {
                *bytes -= entry.size();
            }
            keep
        });
    }

    /// Drops what was not asked for the longest.
    fn shrink_to(&mut self, bytes: usize) {
        let mut ages: Vec<(Instant, usize)> = self
            .entries
            .values()
            .map(|entry| (entry.used, entry.size()))
            .collect();
        ages.sort_unstable();
        let mut left = self.bytes;
        let newest_to_go = ages
            .into_iter()
            .take_while(|(_, size)| {
                let goes = left > bytes;
                left = left.saturating_sub(*size);
                goes
            })
            .last();
        if let Some((newest_to_go, _)) = newest_to_go {
            self.retain(|_, entry| entry.used > newest_to_go);
        }
    }
}

impl Content {
    /// When the store is known to have been like this.
    const fn since(&self) -> Instant {
        match self {
            Self::Read(known) => known.read.began,
            Self::Missing(_, at) | Self::Denied(_, at) => *at,
        }
    }

    fn said(&self) -> Said {
        match self {
            Self::Read(known) => Ok(known.clone()),
            Self::Missing(fault, _) | Self::Denied(fault, _) => Err(fault.clone()),
        }
    }
}

impl Entry {
    fn size(&self) -> usize {
        match &self.content {
            Content::Read(known) => OVERHEAD + known.read.body.len(),
            Content::Missing(..) | Content::Denied(..) => OVERHEAD,
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Sought(self.session, &self.request).hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.session == other.session && self.request == other.request
    }
}

impl Eq for Key {}

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
        self.1.hash(state);
    }
}

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.session && *self.1 == *key.request
    }
}

#[cfg(test)]
mod tests;
