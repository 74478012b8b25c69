//! What was issued for a pod, kept for that pod until its time comes: leases, certificates, and the
//! answers to requests that write.
//!
//! In memory only. An entry is never given to another pod or identity.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::auth::Identity;
use coffer_provider_core::request::Request;
use coffer_provider_core::response::Response;
use tokio::time::Instant;

use super::session::{LeaseGuard, StoreToken};

/// How long an entry without a lease is kept that nobody asks for. Drivers up to 1.5.6 ask once per
/// poll interval, which can be hours.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The most entries. A node runs some hundred pods.
const MAX_ENTRIES: usize = 20_000;

/// For whom something was issued, and what.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeptKey {
    /// UID of the pod; where it is unknown, what else tells the volume apart.
    pub pod: String,
    /// Whose login issued it.
    pub identity: Arc<Identity>,
    /// What was asked.
    pub request: Request,
}

/// Something issued for a pod.
#[derive(Clone)]
pub struct Issued {
    /// The answer, unchanged until it is due.
    pub response: Arc<Response>,
    /// The token that the lease hangs on.
    pub token: Arc<StoreToken>,
    due: Option<Instant>,
    /// End of its life; until then a pod may run on it, even if it is issued anew.
    ends: Option<Instant>,
    used: Instant,
    /// Another Mount than the one that caused it was given it.
    shared: bool,
    _lease: Option<Arc<LeaseGuard>>,
}

/// Everything that was issued and is still kept.
#[derive(Default)]
pub struct Kept {
    entries: Mutex<HashMap<KeptKey, Issued>>,
}

impl Kept {
    /// What was issued for this key, if it is not due yet and its token lives.
    #[must_use]
    pub fn get(&self, key: &KeptKey) -> Option<Issued> {
        let now = Instant::now();
        let mut entries = self.lock();
        let issued = entries.get_mut(key)?;
        if issued.is_due(now) {
            return None;
        }
        issued.used = now;
        issued.shared = true;
        Some(issued.clone())
    }

    /// Keeps what was just issued, for `life` from now, which is two thirds of its own, or for as long as
    /// the pod asks.
    pub fn put(
        &self,
        key: KeptKey,
        response: Arc<Response>,
        token: Arc<StoreToken>,
        life: Option<Duration>,
    ) {
        let now = Instant::now();
        let lease = response.lease().map(|_| Arc::new(token.hold_lease()));
        let issued = Issued {
            response,
            token,
            due: life.map(|life| now + life),
            ends: life.map(|life| now + life + life / 2),
            used: now,
            shared: false,
            _lease: lease,
        };
        let mut entries = self.lock();
        if entries.len() >= MAX_ENTRIES && !entries.contains_key(&key) {
            forget_oldest(&mut entries);
        }
        entries.insert(key, issued);
    }

    /// Forgets what was issued in a Mount that failed, and hands it back for revoking; not if another
    /// volume of the pod has got it meanwhile.
    #[must_use]
    pub fn take(&self, key: &KeptKey) -> Option<Issued> {
        let mut entries = self.lock();
        if entries.get(key)?.shared {
            return None;
        }
        entries.remove(key)
    }

    /// Drops what has ended or is long unused.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.lock().retain(|_, issued| {
            !issued.has_ended(now)
                && (issued.has_lease() || now.duration_since(issued.used) < FORGET_AFTER)
        });
    }

    /// How many leases are among the entries.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.lock()
            .values()
            .filter(|issued| issued.has_lease())
            .count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<KeptKey, Issued>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issued {
    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due) || self.has_ended(now)
    }

    fn has_ended(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| now >= ends) || (self.has_lease() && self.token.has_ended(now))
    }

    const fn has_lease(&self) -> bool {
        self._lease.is_some()
    }
}

/// Makes room: what has no lease goes first, then what was not asked for the longest.
fn forget_oldest(entries: &mut HashMap<KeptKey, Issued>) {
    let oldest = entries
        .iter()
        .min_by_key(|(_, issued)| (issued.has_lease(), issued.used))
        .map(|(key, issued)| (key.clone(), issued.has_lease()));
    if let Some((key, had_lease)) = oldest {
        entries.remove(&key);
        if had_lease {
            tracing::warn!(
                "more leases than can be kept: one will be issued again at its pod's next republish"
            );
        }
    }
}
