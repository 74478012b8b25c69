//! A store token with its life and the leases that hang on it. It has no Debug and leaves no copy.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::refresh::two_thirds;
use coffer_provider_core::target::Target;
use secrecy::SecretString;
use tokio::time::Instant;

/// A token that a store issued.
pub struct StoreToken {
    pub(super) target: Target,
    pub(super) secret: Arc<SecretString>,
    pub(super) obtained: Instant,
    /// None for a token of the operator, whose life is not ours to watch.
    pub(super) life: Option<Duration>,
    pub(super) renewable: bool,
    shared: Arc<Shared>,
}

/// Shared by the token before and after a renewal: it is the same token to the store.
#[derive(Default)]
struct Shared {
    leases: AtomicUsize,
    /// None for a token of the operator. Locked for moments only.
    end: Mutex<Option<Instant>>,
}

/// Says that a live lease hangs on a token; counted until dropped.
pub struct LeaseGuard(Arc<Shared>);

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn ends_at(&self, end: Option<Instant>) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

impl StoreToken {
    pub(super) fn issued(
        target: Target,
        secret: SecretString,
        life: Duration,
        renewable: bool,
    ) -> Self {
        let obtained = Instant::now();
        let shared = Arc::<Shared>::default();
        shared.ends_at(Some(obtained + life));
        Self {
            target,
            secret: Arc::new(secret),
            obtained,
            life: Some(life),
            renewable,
            shared,
        }
    }

    pub(super) fn given(target: Target, secret: SecretString) -> Self {
        let given = Self::issued(target, secret, Duration::ZERO, false);
        given.shared.ends_at(None);
        Self {
            life: None,
            ..given
        }
    }

    /// The same token with a new life, which counts for the leases on the old one as well.
    pub(super) fn renewed(&self, life: Duration, renewable: bool) -> Self {
        let obtained = Instant::now();
        self.shared.ends_at(Some(obtained + life));
        Self {
            target: self.target.clone(),
            secret: Arc::clone(&self.secret),
            obtained,
            life: Some(life),
            renewable,
            shared: Arc::clone(&self.shared),
        }
    }

    /// The same token after the store refused to renew it.
    pub(super) fn unrenewable(&self) -> Self {
        Self {
            target: self.target.clone(),
            secret: Arc::clone(&self.secret),
            renewable: false,
            shared: Arc::clone(&self.shared),
            ..*self
        }
    }

    /// The token itself.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Whether it is in the first two thirds of its life.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.life
            .is_none_or(|life| now < self.obtained + two_thirds(life).max(Duration::from_secs(1)))
    }

    /// Whether its life is over.
    #[must_use]
    pub fn has_ended(&self, now: Instant) -> bool {
        let end = self
            .shared
            .end
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        end.is_some_and(|end| now >= end)
    }

    /// Notes a lease that ends when the token does.
    #[must_use]
    pub fn hold_lease(&self) -> LeaseGuard {
        self.shared.leases.fetch_add(1, Ordering::Relaxed);
        LeaseGuard(Arc::clone(&self.shared))
    }

    pub(super) fn has_leases(&self) -> bool {
        self.shared.leases.load(Ordering::Relaxed) > 0
    }

    /// Ours, alive, and nothing hangs on it.
    pub(super) fn may_be_revoked(&self, now: Instant) -> bool {
        self.life.is_some() && !self.has_leases() && !self.has_ended(now)
    }
}
