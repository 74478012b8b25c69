//! A store token with its life and the leases that hang on it. It has no Debug and leaves no copy.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::issued::{is_last_grant, pause};
use coffer_provider_core::refresh::two_thirds;
use coffer_provider_core::target::Target;
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio::time::Instant;

/// No life is taken for longer: a clock must be able to hold its end.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A token that a store issued.
pub struct StoreToken {
    pub(super) target: Target,
    pub(super) secret: Arc<SecretString>,
    pub(super) obtained: Instant,
    /// None for a token of the operator, whose life is not ours to watch.
    pub(super) life: Option<Duration>,
    shared: Arc<Shared>,
}

/// The life of a token as the store last told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLife {
    /// When it was issued or last renewed.
    pub began: Instant,
    /// When it ends.
    pub ends: Instant,
    /// The life that it was issued with.
    pub full: Duration,
    /// Whether the store may renew it.
    pub renewable: bool,
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

/// Numbers of tokens, never used twice.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// Shared by the token before and after a renewal: it is the same token to the store.
struct Shared {
    number: u64,
    leases: AtomicUsize,
    /// How many more reads the store takes with it; none for any number.
    uses: Option<AtomicU64>,
    /// Locked for moments only.
    upkeep: Mutex<Upkeep>,
}

#[derive(Default)]
struct Upkeep {
    /// None for a token of the operator.
    life: Option<TokenLife>,
    failures: u32,
    rests_until: Option<Instant>,
    /// Told of each renewal, because it changes how long the leases live.
    told: Option<Arc<Notify>>,
}

/// Says that a live lease hangs on a token; counted until dropped.
pub struct LeaseGuard(Arc<Shared>);

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn new(life: Option<TokenLife>, uses: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            leases: AtomicUsize::new(0),
            uses: uses.map(AtomicU64::new),
            upkeep: Mutex::new(Upkeep {
                life,
                ..Upkeep::default()
            }),
        })
    }

    fn upkeep(&self) -> std::sync::MutexGuard<'_, Upkeep> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoreToken {
    pub(super) fn issued(
        target: Target,
        secret: SecretString,
        terms: Terms,
        began: Instant,
    ) -> Self {
        let full = terms.life.min(LONGEST_LIFE);
        let life = TokenLife {
            began,
            ends: began + full,
            full,
            // A renewal would be a use.
            renewable: terms.renewable && terms.uses.is_none(),
        };
        Self::living(target, secret, life, terms.reads())
    }

    /// A token that another process obtained.
    #[must_use]
    pub fn resumed(target: Target, secret: SecretString, life: TokenLife) -> Self {
        Self::living(target, secret, life, None)
    }

    fn living(target: Target, secret: SecretString, life: TokenLife, uses: Option<u64>) -> Self {
        Self {
            target,
            secret: Arc::new(secret),
            obtained: life.began,
            life: Some(life.ends.saturating_duration_since(life.began)),
            shared: Shared::new(Some(life), uses),
        }
    }

    pub(super) fn given(target: Target, secret: SecretString, now: Instant) -> Self {
        Self {
            target,
            secret: Arc::new(secret),
            obtained: now,
            life: None,
            shared: Shared::new(None, None),
        }
    }

    /// The same token with a new life, which counts for the leases on the old one as well.
    pub(super) fn renewed(&self, life: Duration, renewable: bool, obtained: Instant) -> Self {
        let life = life.min(LONGEST_LIFE);
        let mut upkeep = self.shared.upkeep();
        let full = upkeep.life.map_or(life, |before| before.full);
        upkeep.life = Some(TokenLife {
            began: obtained,
            ends: obtained + life,
            full,
            renewable: renewable && !is_last_grant(life, full),
        });
        (upkeep.failures, upkeep.rests_until) = (0, None);
        if let Some(told) = &upkeep.told {
            told.notify_one();
        }
        drop(upkeep);
        Self {
            target: self.target.clone(),
            secret: Arc::clone(&self.secret),
            obtained,
            life: Some(life),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Notes that a renewal did not succeed: after a refusal there is no other, and otherwise none for a
    /// while, which grows.
    pub(super) fn renewal_failed(&self, is_refused: bool, now: Instant, luck: f64) {
        let mut upkeep = self.shared.upkeep();
        if is_refused && let Some(life) = &mut upkeep.life {
            life.renewable = false;
        }
        upkeep.rests_until = Some(now + pause(upkeep.failures, luck));
        upkeep.failures = upkeep.failures.saturating_add(1);
    }

    /// The token itself.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// The store that knows it.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Its life, renewals included; none for a token of the operator.
    #[must_use]
    pub fn life(&self) -> Option<TokenLife> {
        self.shared.upkeep().life
    }

    /// Whether both are the same token to the store.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Its number: the same after a renewal, and never that of another token.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.shared.number
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

    fn is_used_up(&self) -> bool {
        let uses = self.shared.uses.as_ref();
        uses.is_some_and(|uses| uses.load(Ordering::Relaxed) == 0)
    }

    /// Whether the store still takes it.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        !self.has_ended(now) && !self.is_used_up()
    }

    /// Whether its life is over.
    #[must_use]
    pub fn has_ended(&self, now: Instant) -> bool {
        self.life().is_some_and(|life| now >= life.ends)
    }

    /// Whether the store may renew it, as far as is known.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.life().is_some_and(|life| life.renewable)
    }

    /// Whether a renewal may be tried now: no failure was too short ago.
    pub(super) fn may_be_renewed(&self, now: Instant) -> bool {
        let rests = self.shared.upkeep().rests_until;
        self.is_renewable() && !self.has_ended(now) && rests.is_none_or(|until| now >= until)
    }

    /// Whether the store counts its uses, so that nothing but reads may take one.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.shared.uses.is_some()
    }

    /// Whether to renew it for its leases' sake: it has some, ages, and no failure was too short ago.
    pub(super) fn wants_renewal(&self, now: Instant) -> bool {
        self.has_leases() && !self.is_fresh(now) && self.may_be_renewed(now)
    }

    /// Notes that something may come to hang on it: until then nobody may revoke it.
    #[must_use]
    pub fn hold(&self) -> LeaseGuard {
        self.shared.leases.fetch_add(1, Ordering::Relaxed);
        LeaseGuard(Arc::clone(&self.shared))
    }

    /// Notes a lease that ends when the token does. `told` hears of each renewal from now on.
    #[must_use]
    pub fn hold_lease(&self, told: &Arc<Notify>) -> LeaseGuard {
        self.shared.upkeep().told = Some(Arc::clone(told));
        self.hold()
    }

    pub(super) fn has_leases(&self) -> bool {
        self.shared.leases.load(Ordering::Relaxed) > 0
    }

    /// Whether a login of ours made it.
    pub(super) const fn is_ours(&self) -> bool {
        self.life.is_some()
    }

    /// Ours, alive, and nothing hangs on it.
    pub(crate) fn may_be_revoked(&self, now: Instant) -> bool {
        self.is_ours() && !self.has_leases() && !self.has_ended(now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use coffer_provider_core::target::Layer;
    use secrecy::SecretString;
    use tokio::sync::Notify;
    use tokio::time::{Instant, advance};

    use super::{StoreToken, Terms};

    const LIFE: Duration = Duration::from_secs(90);

    fn token() -> StoreToken {
        let target = Layer::resolve(&[]).unwrap();
        let terms = Terms {
            life: LIFE,
            renewable: true,
            uses: None,
        };
        StoreToken::issued(target, SecretString::from("made-up"), terms, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_for_its_leases_only_when_it_ages() {
        let token = token();
        advance(Duration::from_secs(60)).await;
        assert!(!token.wants_renewal(Instant::now()), "nothing hangs on it");
        let told = Arc::new(Notify::new());
        let lease = token.hold_lease(&told);
        assert!(token.wants_renewal(Instant::now()));
        let renewed = token.renewed(LIFE, true, Instant::now());
        told.notified().await;
        assert!(!renewed.wants_renewal(Instant::now()), "it is fresh");
        assert_eq!(
            token.life().map(|life| life.ends),
            Some(Instant::now() + LIFE)
        );
        drop(lease);
        assert!(renewed.may_be_revoked(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_renewal_is_not_repeated_and_a_failed_one_after_a_pause() {
        let told = Arc::new(Notify::new());
        for (is_refused, again) in [(true, false), (false, true)] {
            let token = token();
            let _lease = token.hold_lease(&told);
            advance(Duration::from_secs(60)).await;
            token.renewal_failed(is_refused, Instant::now(), 0.0);
            assert!(!token.wants_renewal(Instant::now()));
            advance(Duration::from_secs(5)).await;
            assert_eq!(
                token.wants_renewal(Instant::now()),
                again,
                "refused: {is_refused}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_near_the_longest_life_is_the_last() {
        for (granted, renewable) in [(30, true), (29, false)] {
            let renewed = token().renewed(Duration::from_secs(granted), true, Instant::now());
            assert_eq!(renewed.is_renewable(), renewable, "{granted} s");
        }
    }
}
