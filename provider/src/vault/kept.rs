//! What was issued for a pod, kept for that pod until its time comes: leases, certificates, and the
//! answers to requests that write.
//!
//! When that is, is decided in the core (`issued`). An entry is never given to another pod or identity.
//! How it survives a restart is in `state`, how its lease is kept up in `kept/upkeep.rs`.

mod entry;
mod stored;
mod upkeep;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::auth::Identity;
use coffer_provider_core::issued::{Decision, Moment, Term};
use coffer_provider_core::request::Request;
use coffer_provider_core::response::Response;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::session::{Proof, StoreToken};
use crate::metrics::{CacheName, Metrics};
use crate::ports::Chance;
use entry::{Entry, Hold};

pub use stored::{Snapshot, Stored, StoredPast, StoredToken};
pub use upkeep::LeaseKeeper;

/// The most entries. A node runs some hundred pods.
const MAX_ENTRIES: usize = 20_000;

/// Moments count from so long before the process, because what another one kept began before it.
const BEFORE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The longest that a request waits for what a process before this one kept.
const PATIENCE: Duration = Duration::from_secs(5);

/// For whom something was issued, and what.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeptKey {
    /// UID of the pod; where it is unknown, what else tells the volume apart.
    pub pod: String,
    /// Whose login issued it.
    pub identity: Arc<Identity>,
    /// What was asked.
    pub request: Arc<Request>,
}

/// Something issued for a pod.
#[derive(Clone)]
pub struct Issued {
    /// The answer, unchanged until it is due.
    pub response: Arc<Response>,
    hold: Option<Arc<Hold>>,
}

/// Everything that was issued and is still kept.
pub struct Kept {
    entries: Mutex<Entries>,
    start: Instant,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
    /// Woken when a Mount finds a lease that is to be renewed.
    wanted: Notify,
    /// Woken by every change that a restart must not lose.
    changed: Arc<Notify>,
    /// False while what a process before this one kept is not there yet.
    opened: watch::Sender<bool>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<KeptKey, Entry>,
    /// Leases that newer ones replaced: a pod runs on them until it has read its files again.
    past: Vec<Past>,
    count: u64,
}

struct Past {
    pod: String,
    lease: Option<String>,
    hold: Arc<Hold>,
    made: Moment,
    ends: Option<Moment>,
}

impl Issued {
    /// The lease and the token that it hangs on; none when there is no lease.
    #[must_use]
    pub fn lease(&self) -> Option<(Arc<StoreToken>, String)> {
        let lease = self.response.lease()?;
        Some((Arc::clone(&self.hold.as_ref()?.token), lease.id))
    }
}

impl Kept {
    /// Nothing is kept at first.
    #[must_use]
    pub fn new(chance: Arc<dyn Chance>, metrics: Arc<Metrics>) -> Self {
        Self {
            entries: Mutex::default(),
            start: chance.instant(),
            chance,
            metrics,
            wanted: Notify::new(),
            changed: Arc::default(),
            opened: watch::Sender::new(true),
        }
    }

    /// Lets requests wait from now on for what a process before this one kept.
    pub fn await_stored(&self) {
        self.opened.send_replace(false);
    }

    /// Ends that wait.
    pub fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Waits until what a process before this one kept is there, or it is known that there is nothing; not
    /// for long, because a pod's start is worth more.
    pub async fn opened(&self) {
        let mut opened = self.opened.subscribe();
        let _ = tokio::time::timeout(PATIENCE, opened.wait_for(|opened| *opened)).await;
    }

    /// Whether nothing is kept for anybody, as on most nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().by_key.is_empty()
    }

    /// What was issued for this key, if it need not be issued anew.
    #[must_use]
    pub fn get(&self, key: &KeptKey) -> Option<Issued> {
        let now = self.now();
        let mut entries = self.lock();
        let entry = entries.by_key.get_mut(key)?;
        match entry.decide(now, self.start) {
            Decision::Keep => {}
            Decision::Renew => self.wanted.notify_one(),
            Decision::Reissue | Decision::Gone => return None,
        }
        Some(entry.answer(now))
    }

    /// What was issued for this key and has not ended, after the store gave no usable answer to the request
    /// that was to replace it. For a while, which grows, [`Self::get`] gives it again without such a request.
    #[must_use]
    pub fn until_end(&self, key: &KeptKey) -> Option<Issued> {
        let now = self.now();
        let mut entries = self.lock();
        let entry = entries.by_key.get_mut(key)?;
        if entry.has_ended(now, self.start) {
            return None;
        }
        entry.term.failed(now, self.chance.random());
        Some(entry.answer(now))
    }

    /// Keeps what was just issued to a login with this proof, for `life` from now, which is two thirds of
    /// its own, or for as long as the pod asks.
    pub fn put(
        &self,
        key: KeptKey,
        proof: Proof,
        response: Arc<Response>,
        token: Arc<StoreToken>,
        life: Option<Duration>,
    ) {
        let now = self.now();
        let lease = response.lease();
        // A token that the answer brings hangs on ours as a lease does.
        let holds = lease.is_some() || response.auth().is_some();
        // A renewal would be a use, and the last one takes the lease with it.
        let renewable = lease.is_some_and(|lease| lease.renewable) && !token.is_limited();
        let whole = life.map(|life| life + life / 2);
        let term = Term::issued(now, whole, renewable, self.chance.random());
        let hold = holds.then(|| Arc::new(Hold::new(token, &self.changed)));
        let mut entries = self.lock();
        if entries.by_key.len() >= MAX_ENTRIES && !entries.by_key.contains_key(&key) {
            self.forget_oldest(&mut entries);
        }
        entries.count += 1;
        let entry = Entry {
            number: entries.count,
            proof,
            response,
            hold,
            term,
            made: now,
            used: now,
            shared: false,
        };
        let pod = key.pod.clone();
        if let Some(old) = entries.by_key.insert(key, entry) {
            entries.outlive(pod, old);
        }
        drop(entries);
        self.changed.notify_one();
    }

    /// Forgets what was issued in a Mount that failed, and hands it back for revoking; not if another
    /// volume of the pod has got it meanwhile.
    #[must_use]
    pub fn take(&self, key: &KeptKey) -> Option<Issued> {
        let now = self.now();
        let mut entries = self.lock();
        if entries.by_key.get(key)?.shared {
            return None;
        }
        let mut taken = entries.by_key.remove(key)?;
        drop(entries);
        self.changed.notify_one();
        Some(taken.answer(now))
    }

    /// How many leases are among the entries.
    #[must_use]
    pub fn leases(&self) -> usize {
        let entries = self.lock();
        let leases = entries.by_key.values().filter(|entry| entry.has_lease());
        leases.count()
    }

    /// Makes room: what has no lease goes first, then what was not asked for the longest.
    fn forget_oldest(&self, entries: &mut Entries) {
        let oldest = entries
            .by_key
            .iter()
            .min_by_key(|(_, entry)| (entry.has_lease(), entry.used))
            .map(|(key, _)| key.clone());
        let Some((key, entry)) = oldest.and_then(|key| entries.by_key.remove_entry(&key)) else {
            return;
        };
        self.metrics.cache_evicted(CacheName::Memory);
        if entry.has_lease() {
            tracing::warn!(
                "more leases than can be kept: one is renewed no more and will be issued anew at its pod's next republish"
            );
        }
        entries.outlive(key.pod, entry);
    }

    fn now(&self) -> Moment {
        moment(self.chance.instant(), self.start)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Holds the token of a lease that nobody is given any more, because a pod may still run on it.
    fn outlive(&mut self, pod: String, entry: Entry) {
        let ends = entry.term.ends();
        let Some(hold) = entry.hold else { return };
        if self.past.len() >= MAX_ENTRIES {
            tracing::warn!(
                most = MAX_ENTRIES,
                "a lease is no longer looked after: it lives until it ends by itself"
            );
        } else {
            let lease = entry.response.lease().map(|lease| lease.id);
            self.past.push(Past {
                pod,
                lease,
                hold,
                made: entry.made,
                ends,
            });
        }
    }
}

/// The moment of an instant.
fn moment(at: Instant, start: Instant) -> Moment {
    match at.checked_duration_since(start) {
        Some(after) => BEFORE + after,
        None => BEFORE.saturating_sub(start.duration_since(at)),
    }
}
