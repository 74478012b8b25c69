//! Tokens that no login uses but leases hang on: those of a process before this one, and those that a
//! newer login replaced. They live as long as their leases.

use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use super::{Proof, SessionKey, Sessions, StoreToken};

impl Sessions {
    /// Takes over a token of a process before this one: it serves the very session that it was made for,
    /// unless that has logged in meanwhile, and is renewed for its leases like any other.
    pub async fn restore(self: &Arc<Self>, key: &SessionKey, token: Arc<StoreToken>) {
        let has_room = self.capacity > 0 && self.lock().len() < self.capacity;
        if has_room && key.proof != Proof::Given {
            let session = self.session(key);
            let mut state = session.state.lock().await;
            if state.login.is_none() {
                state.login = Some(token);
                return;
            }
        }
        self.retire(token);
    }

    /// Renews strays for their leases' sake, and gives back those that have none any more.
    pub(super) async fn maintain_strays(self: &Arc<Self>) {
        let now = Instant::now();
        let all = std::mem::take(&mut *self.strays());
        let (held, free): (Vec<_>, Vec<_>) = all
            .into_iter()
            .filter(|token| !token.has_ended(now))
            .partition(|token| token.has_leases());
        free.into_iter().for_each(|token| self.retire(token));
        for token in held {
            let renewed = if token.wants_renewal(now) {
                self.renew(&token).await.ok().map(Arc::new)
            } else {
                None
            };
            self.strays().push(renewed.unwrap_or(token));
        }
    }

    /// Gives back what leases no longer hold, at the end.
    pub(super) fn retire_strays(self: &Arc<Self>) {
        let all = std::mem::take(&mut *self.strays());
        let free = all.into_iter().filter(|token| !token.has_leases());
        free.for_each(|token| self.retire(token));
    }

    pub(super) fn strays(&self) -> std::sync::MutexGuard<'_, Vec<Arc<StoreToken>>> {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
