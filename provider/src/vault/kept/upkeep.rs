//! Keeps leases up in the background: renews those that are due, drops what has ended, and gives back
//! what hangs on pods that are gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use coffer_provider_core::issued::{Decision, Moment, Renewal};
use futures_util::{StreamExt, stream};

use super::{Kept, KeptKey};
use crate::vault::session::{Sessions, StoreToken};

/// How long an entry without a lease is kept that nobody asks for. Drivers up to 1.5.6 ask once per
/// poll interval, which can be hours.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Renewals in flight at once: a restarted store is not met by a crowd.
const AT_ONCE: usize = 8;

/// Renews and revokes leases at their stores.
#[async_trait]
pub trait LeaseKeeper: Send + Sync {
    /// Renews a lease by its default.
    async fn renew(&self, token: &StoreToken, lease: &str) -> Renewal;

    /// Gives a lease back in the background, at best effort.
    fn revoke(&self, token: Arc<StoreToken>, lease: String);
}

#[async_trait]
impl LeaseKeeper for Arc<Sessions> {
    async fn renew(&self, token: &StoreToken, lease: &str) -> Renewal {
        self.renew_lease(token, lease).await
    }

    fn revoke(&self, token: Arc<StoreToken>, lease: String) {
        self.spawn_revoke_lease(token, lease);
    }
}

/// A lease that is to be renewed.
struct Due {
    key: KeptKey,
    number: u64,
    token: Arc<StoreToken>,
    lease: String,
    ends: Option<Moment>,
}

impl Kept {
    /// Renews what is due. Runs every few seconds, and when [`Self::wanted`] says so.
    pub async fn tick(&self, keeper: &dyn LeaseKeeper) {
        // A store that does not answer is not asked for each of its leases.
        let away = Mutex::new(HashSet::new());
        stream::iter(self.due())
            .for_each_concurrent(AT_ONCE, |due| {
                let away = &away;
                async move {
                    let asked = self.now();
                    let target = due.token.target();
                    let is_away = lock(away).contains(target);
                    let renewal = if is_away {
                        Renewal::Failed
                    } else {
                        keeper.renew(&due.token, &due.lease).await
                    };
                    if renewal == Renewal::Failed {
                        lock(away).insert(target.clone());
                    }
                    self.renewed(&due, renewal, asked);
                }
            })
            .await;
    }

    /// Waits until a Mount finds a lease that is to be renewed.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Drops what has ended or is long unused.
    pub fn sweep(&self) {
        let now = self.now();
        let mut entries = self.lock();
        let before = entries.by_key.len();
        entries.by_key.retain(|_, entry| {
            !entry.has_ended(now, self.start)
                && (entry.hold.is_some() || now.saturating_sub(entry.used) < FORGET_AFTER)
        });
        let dropped = before - entries.by_key.len();
        entries.past.retain(|past| {
            past.ends.is_none_or(|ends| now < ends) && !past.hold.has_ended(now, self.start)
        });
        drop(entries);
        if dropped > 0 {
            self.changed.notify_one();
        }
    }

    /// The pods for which something is kept, by UID, with the age of their newest entry.
    #[must_use]
    pub fn pods(&self) -> HashMap<String, Duration> {
        let now = self.now();
        let entries = self.lock();
        let mut pods = HashMap::new();
        let present = entries.by_key.iter();
        let present = present.map(|(key, entry)| (&key.pod, entry.made));
        let past = entries.past.iter().map(|past| (&past.pod, past.made));
        for (pod, made) in present.chain(past) {
            // What stands for an unknown UID has slashes.
            if !pod.contains('/') {
                let age = now.saturating_sub(made);
                let newest = pods.entry(pod.clone()).or_insert(age);
                *newest = (*newest).min(age);
            }
        }
        pods
    }

    /// Drops what was issued for pods that are gone, and gives their leases back. How many there were.
    pub fn drop_pods(&self, gone: &HashSet<String>, keeper: &dyn LeaseKeeper) -> usize {
        let mut orphans = Vec::new();
        let mut entries = self.lock();
        let before = entries.by_key.len() + entries.past.len();
        entries.by_key.retain(|key, entry| {
            let is_gone = gone.contains(&key.pod);
            if is_gone && let (Some(hold), Some(lease)) = (&entry.hold, entry.response.lease()) {
                orphans.push((Arc::clone(&hold.token), lease.id));
            }
            !is_gone
        });
        entries.past.retain(|past| {
            let is_gone = gone.contains(&past.pod);
            if is_gone && let Some(lease) = &past.lease {
                orphans.push((Arc::clone(&past.hold.token), lease.clone()));
            }
            !is_gone
        });
        let dropped = before - entries.by_key.len() - entries.past.len();
        drop(entries);
        if dropped > 0 {
            self.changed.notify_one();
        }
        let count = orphans.len();
        for (token, lease) in orphans {
            keeper.revoke(token, lease);
        }
        count
    }

    /// What is to be renewed, what ends first first.
    fn due(&self) -> Vec<Due> {
        let now = self.now();
        let entries = self.lock();
        let mut due: Vec<Due> = entries
            .by_key
            .iter()
            .filter(|(_, entry)| entry.decide(now, self.start) == Decision::Renew)
            .filter_map(|(key, entry)| {
                Some(Due {
                    key: key.clone(),
                    number: entry.number,
                    token: Arc::clone(&entry.hold.as_ref()?.token),
                    lease: entry.response.lease()?.id,
                    ends: entry.term.ends(),
                })
            })
            .collect();
        drop(entries);
        due.sort_by_key(|due| due.ends);
        due
    }

    fn renewed(&self, due: &Due, renewal: Renewal, asked: Moment) {
        let (now, luck) = (self.now(), self.chance.random());
        let mut entries = self.lock();
        // It may have been issued anew or given back meanwhile.
        if let Some(entry) = entries.by_key.get_mut(&due.key)
            && entry.number == due.number
        {
            entry.term.renewed(renewal, asked, now, luck);
            drop(entries);
            self.changed.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
