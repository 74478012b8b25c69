//! A store token with its life and the leases that hang on it. It has no Debug and leaves no copy.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
    renewable: bool,
    shared: Arc<Shared>,
}

/// Numbers of tokens, never used twice.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// Shared by the token before and after a renewal: it is the same token to the store.
struct Shared {
    number: u64,
    leases: AtomicUsize,
    /// The store refused to renew it.
    refused: AtomicBool,
    /// None for a token of the operator. Locked for moments only.
    end: Mutex<Option<Instant>>,
    /// How many more reads the store takes with it; none for any number.
    uses: Option<AtomicU64>,
}

/// What a store says of a token that it issued.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) life: Duration,
    pub(super) renewable: bool,
    /// How many requests it is good for; none for any number.
    pub(super) uses: Option<u64>,
}

impl Terms {
    /// How many reads it is good for. The last use is left over: a store drops a token that is used up,
    /// and every lease on it, under the pods that run on them.
    fn reads(&self) -> Option<u64> {
        self.uses.map(|uses| uses.saturating_sub(1).max(1))
    }
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
        terms: Terms,
        obtained: Instant,
    ) -> Self {
        let shared = Arc::new(Shared {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            leases: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            end: Mutex::new(Some(obtained + terms.life)),
            uses: terms.reads().map(AtomicU64::new),
        });
        Self {
            target,
            secret: Arc::new(secret),
            obtained,
            life: Some(terms.life),
            // A renewal would be a use.
            renewable: terms.renewable && terms.uses.is_none(),
            shared,
        }
    }

    pub(super) fn given(target: Target, secret: SecretString, now: Instant) -> Self {
        let terms = Terms {
            life: Duration::ZERO,
            renewable: false,
            uses: None,
        };
        let given = Self::issued(target, secret, terms, now);
        given.shared.ends_at(None);
        Self {
            life: None,
            ..given
        }
    }

    /// The same token with a new life, which counts for the leases on the old one as well.
    pub(super) fn renewed(&self, life: Duration, renewable: bool, obtained: Instant) -> Self {
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

    /// The token itself.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Whether it is in the first two thirds of its life, and good for another request.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        let is_young = self
            .life
            .is_none_or(|life| now < self.obtained + two_thirds(life).max(Duration::from_secs(1)));
        is_young && !self.is_used_up()
    }

    /// Takes one of the uses that the store counts; false when another login is due.
    #[must_use]
    pub fn take_use(&self) -> bool {
        let Some(uses) = &self.shared.uses else {
            return true;
        };
        let take = |left: u64| left.checked_sub(1);
        uses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
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

    /// Its number: the same after a renewal, and never that of another token.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.shared.number
    }

    /// Whether both are one token to the store.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether a renewal may be tried.
    pub(super) fn is_renewable(&self, now: Instant) -> bool {
        self.renewable && !self.shared.refused.load(Ordering::Relaxed) && !self.has_ended(now)
    }

    /// The store refused to renew it: it is not asked again.
    pub(super) fn renewal_refused(&self) {
        self.shared.refused.store(true, Ordering::Relaxed);
    }

    /// Whether it must be renewed now for what hangs on it.
    pub(super) fn needs_renewal(&self, now: Instant) -> bool {
        self.has_leases() && !self.is_fresh(now) && self.is_renewable(now)
    }

    /// Whether the store still takes it.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        !self.has_ended(now) && !self.is_used_up()
    }

    fn is_used_up(&self) -> bool {
        let uses = self.shared.uses.as_ref();
        uses.is_some_and(|uses| uses.load(Ordering::Relaxed) == 0)
    }

    pub(super) fn has_leases(&self) -> bool {
        self.shared.leases.load(Ordering::Relaxed) > 0
    }

    /// Whether a login of ours made it.
    pub(super) const fn is_ours(&self) -> bool {
        self.life.is_some()
    }

    /// Ours, alive, and nothing hangs on it.
    pub(super) fn may_be_revoked(&self, now: Instant) -> bool {
        self.is_ours() && !self.has_leases() && !self.has_ended(now)
    }
}
