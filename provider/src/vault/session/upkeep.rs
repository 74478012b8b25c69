//! What is done with tokens off the mount path: those on which leases hang are renewed, those that nobody
//! logs in with any more are given back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout};

use super::{Proof, Session, SessionKey, Sessions, StoreToken};

/// How long one renewal may take here; it is tried again at the next round.
const PATIENCE: Duration = Duration::from_secs(10);

/// Renewals at the same time: one hanging store must not keep the others waiting.
const AT_ONCE: usize = 8;

impl Sessions {
    /// Takes over a token of a process before this one: it serves the very session that it was made for,
    /// unless that has logged in meanwhile, and is renewed for its leases like any other.
    pub async fn restore(self: &Arc<Self>, key: &SessionKey, token: Arc<StoreToken>) {
        let has_room = self.capacity > 0 && self.lock().len() < self.capacity;
        if has_room && key.proof != Proof::Given {
            let session = self.open(key);
            let mut state = session.state.lock().await;
            if state.login.is_none() {
                // The store let its caller in once.
                session.granted.store(true, Ordering::Relaxed);
                state.login = Some(token);
                return;
            }
        }
        self.retire(token);
    }

    /// Takes over a token of a process before this one that served no session any more, for what hangs on it.
    pub fn restore_retired(self: &Arc<Self>, token: Arc<StoreToken>) {
        if token.has_leases() {
            self.retire(token);
        }
    }

    /// Renews tokens on which leases hang, so that these do not end with them, and gives back tokens that
    /// are not used any more. Runs every few seconds.
    pub async fn maintain(self: &Arc<Self>) {
        let sessions: Vec<Arc<Session>> = self.lock().values().cloned().collect();
        let held = stream::iter(sessions)
            .map(|session| async move { self.keep_alive(&session).await })
            .buffer_unordered(AT_ONCE)
            .filter(|is_held| std::future::ready(*is_held));
        self.metrics.tokens_cached(held.count().await);
        self.give_back_retired();
        self.renew_retired().await;
    }

    /// Whether the session holds a token. It is not locked while that is renewed: its pods go on with the
    /// token as it is.
    async fn keep_alive(&self, session: &Session) -> bool {
        let now = self.chance.instant();
        // Who logs in just now needs no upkeep, and must not hold up that of others.
        let login = session.state.try_lock().map(|state| state.login.clone());
        let Some(token) = login.ok().flatten() else {
            return false;
        };
        if !token.wants_renewal(now) {
            return !token.has_ended(now);
        }
        let Some(renewed) = self.renew_in_time(&token).await else {
            return true;
        };
        let mut state = session.state.lock().await;
        if state
            .login
            .as_ref()
            .is_some_and(|login| Arc::ptr_eq(login, &token))
        {
            state.login = Some(Arc::new(renewed));
        }
        true
    }

    async fn renew_in_time(&self, token: &StoreToken) -> Option<StoreToken> {
        timeout(PATIENCE, self.renew(token)).await.ok()?.ok()
    }

    /// Revokes the retired tokens on which nothing hangs any more, and forgets those that have ended.
    pub(super) fn give_back_retired(self: &Arc<Self>) {
        let now = self.chance.instant();
        let free: Vec<Arc<StoreToken>> = {
            let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired.retain(|token| !token.has_ended(now));
            retired
                .extract_if(.., |token| token.may_be_revoked(now))
                .collect()
        };
        for token in free {
            self.spawn_revoke(token);
        }
    }

    async fn renew_retired(&self) {
        let now: Instant = self.chance.instant();
        let due: Vec<Arc<StoreToken>> = {
            let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired
                .iter()
                .filter(|token| token.wants_renewal(now))
                .cloned()
                .collect()
        };
        let renewed: Vec<_> = stream::iter(due)
            .map(|token| async move { (self.renew_in_time(&token).await, token) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        for (renewed, old) in renewed {
            let place = retired.iter_mut().find(|token| Arc::ptr_eq(token, &old));
            if let (Some(renewed), Some(place)) = (renewed, place) {
                *place = Arc::new(renewed);
            }
        }
    }
}
