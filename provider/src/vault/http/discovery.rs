//! Where a store is whose address names no port: by the SRV records of its host, believed for a while.
//!
//! As the peers do with `VAULT_SRV_LOOKUP`, but for the memory: they ask before every request. Whether an
//! address is looked up at all is said by the address, and how DNS is spoken is not known here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffer_provider_core::target::{Address, SrvRecord};
use tokio::time::{Instant, timeout};

use crate::ports::{Chance, SrvAnswer, SrvLookup};

/// An answer is believed for at least this long, whatever life it gives itself: a burst of requests asks
/// once. That there is none is believed no longer, so that the port is right soon after DNS is.
const SHORTEST: Duration = Duration::from_secs(5);

/// And for at most this long, so that a move of the store is noticed within a minute.
const LONGEST: Duration = Duration::from_secs(60);

/// The most names that are remembered, as many as there are pools.
const MAX_NAMES: usize = 256;

/// What DNS said of the stores' hosts.
pub(super) struct Discovery {
    dns: Arc<dyn SrvLookup>,
    /// The longest that an answer is waited for.
    limit: Duration,
    /// Locked for moments only.
    names: Mutex<HashMap<String, Arc<Known>>>,
    chance: Arc<dyn Chance>,
}

/// What is known of a name; none before the first answer. Held while DNS is asked, because it is the single
/// flight of a lookup: who comes meanwhile waits for the same answer.
#[derive(Default)]
struct Known(tokio::sync::Mutex<Option<Believed>>);

struct Believed {
    records: Arc<[SrvRecord]>,
    until: Instant,
}

impl Discovery {
    pub(super) fn new(dns: Arc<dyn SrvLookup>, limit: Duration, chance: Arc<dyn Chance>) -> Self {
        Self {
            dns,
            limit,
            names: Mutex::default(),
            chance,
        }
    }

    /// Where the store of an address is: at one of its records, drawn anew for each request, or at the
    /// host itself. None if the address leaves nothing open.
    pub(super) async fn locate(&self, address: &Address) -> Option<Address> {
        let name = address.srv_name()?;
        let records = self.records(&name).await;
        let chosen = SrvRecord::choose(&records, self.chance.random());
        let moved = chosen.and_then(|record| address.moved_to(&record.host, record.port));
        Some(moved.unwrap_or_else(|| address.without_srv()))
    }

    async fn records(&self, name: &str) -> Arc<[SrvRecord]> {
        let known = self.known(name);
        let mut believed = known.0.lock().await;
        let now = self.chance.instant();
        if let Some(good) = believed.as_ref().filter(|good| now < good.until) {
            return Arc::clone(&good.records);
        }
        let answer = self.ask(name).await;
        let records: Arc<[SrvRecord]> = answer.records.into();
        *believed = Some(Believed {
            records: Arc::clone(&records),
            until: self.chance.instant() + answer.ttl.clamp(SHORTEST, LONGEST),
        });
        records
    }

    /// Asks DNS. Without an answer there are no records, as with the peers.
    async fn ask(&self, name: &str) -> SrvAnswer {
        let asked = timeout(self.limit, self.dns.lookup(name)).await;
        let answer =
            asked.unwrap_or_else(|_| Err(format!("no answer within {} s", self.limit.as_secs())));
        tracing::debug!(%name, ?answer, "asked for SRV records");
        match answer {
            // That there is none has no life of its own.
            Ok(answer) if answer.records.is_empty() => SrvAnswer::default(),
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(
                    %name, error,
                    "SRV records cannot be looked up: the host itself is taken for the store"
                );
                SrvAnswer::default()
            }
        }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Arc<Known>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, name: &str) -> Arc<Known> {
        let mut names = self.names();
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        if names.len() >= MAX_NAMES {
            // In use are at most as many as there are requests under way.
            let idle = names
                .iter()
                .filter(|(_, known)| Arc::strong_count(known) == 1);
            let oldest = idle.min_by_key(|(_, known)| known.until());
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.map(|name| names.remove(&name));
        }
        let known = Arc::<Known>::default();
        names.insert(name.to_owned(), Arc::clone(&known));
        known
    }
}

impl Known {
    /// Until when it is believed; none of what nobody knows, or is being asked for.
    fn until(&self) -> Option<Instant> {
        let believed = self.0.try_lock().ok()?;
        believed.as_ref().map(|believed| believed.until)
    }
}

#[cfg(test)]
mod tests;
