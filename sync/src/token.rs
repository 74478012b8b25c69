//! Tokens of ServiceAccounts that are still good, so that one request serves many rounds, and all who wait for it.
//!
//! Which audience a provider wants is the operator's word; requests are made in `cluster`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_sync_core::answer::Answer;
use coffer_sync_core::instant::{after, age};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::cluster::{Cluster, Token};
use crate::metrics::Metrics;

/// Tokens that are kept: ten thousand objects may each have an account of their own.
const MOST: usize = 20_000;
/// How much earlier a token is renewed at most, so that not all are renewed at once.
const JITTER: Duration = Duration::from_secs(10);

/// Whose token, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Whose {
    /// Namespace of the ServiceAccount.
    pub namespace: String,
    /// Its name.
    pub account: String,
    /// Whom the token is for; never empty.
    pub audience: String,
}

/// All tokens that are in use.
pub struct Tokens {
    cluster: Arc<Cluster>,
    metrics: Arc<Metrics>,
    /// Held to look one up.
    held: Mutex<HashMap<Whose, Arc<Held>>>,
}

/// One request, and what came of it once it is answered.
#[derive(Default)]
struct Held {
    outcome: OnceCell<Result<(Arc<Token>, Timestamp), Answer>>,
}

impl Held {
    /// Whether it may be used, or waited for.
    fn is_of_use(&self, now: Timestamp) -> bool {
        match self.outcome.get() {
            None => true,
            Some(Ok((_, until))) => now < *until,
            Some(Err(_)) => false,
        }
    }
}

impl Tokens {
    /// There are none yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, metrics: Arc<Metrics>) -> Self {
        Self {
            cluster,
            metrics,
            held: Mutex::default(),
        }
    }

    /// A token, and whether it was had before. `luck` is from 0 up to 1.
    ///
    /// # Errors
    /// What the API server said instead; shared by those who waited for it and by nobody else.
    pub async fn get(
        &self,
        whose: &Whose,
        now: Timestamp,
        luck: f64,
    ) -> Result<(Arc<Token>, bool), Answer> {
        let held = self.held(whose, now);
        let was_held = held.outcome.initialized();
        // Where the caller that asks goes away, the next one asks in its place.
        let outcome = held
            .outcome
            .get_or_init(|| self.ask(whose, now, luck))
            .await;
        let (token, _) = outcome.clone()?;
        Ok((token, was_held))
    }

    /// Forgets a token that was refused, unless there is another one by now.
    pub fn forget(&self, whose: &Whose, refused: &Arc<Token>) {
        let mut all = self.lock();
        let is_it = all.get(whose).and_then(|held| held.outcome.get());
        if matches!(is_it, Some(Ok((token, _))) if Arc::ptr_eq(token, refused)) {
            all.remove(whose);
        }
    }

    fn held(&self, whose: &Whose, now: Timestamp) -> Arc<Held> {
        let mut all = self.lock();
        if let Some(held) = all.get(whose).filter(|held| held.is_of_use(now)) {
            return Arc::clone(held);
        }
        if all.len() >= MOST {
            all.retain(|_, held| held.is_of_use(now));
        }
        let held = Arc::<Held>::default();
        if all.len() < MOST {
            all.insert(whose.clone(), Arc::clone(&held));
        }
        held
    }

    async fn ask(
        &self,
        whose: &Whose,
        now: Timestamp,
        luck: f64,
    ) -> Result<(Arc<Token>, Timestamp), Answer> {
        let asked = self
            .cluster
            .token(&whose.namespace, &whose.account, &whose.audience)
            .await;
        self.metrics
            .token_request(if asked.is_ok() { "ok" } else { "error" });
        let token = asked?;
        let until = renewal(now, token.ends(), luck);
        Ok((Arc::new(token), until))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Whose, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Four fifths of its life, up to ten seconds earlier; a token without a readable end is not kept.
fn renewal(now: Timestamp, ends: Option<Timestamp>, luck: f64) -> Timestamp {
    let life = ends.map_or(Duration::ZERO, |ends| age(ends, now));
    after(now, (life * 4 / 5).saturating_sub(JITTER.mul_f64(luck)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_four_fifths_of_its_life_or_a_little_earlier() {
        let now = Timestamp::UNIX_EPOCH;
        let ends = Some(after(now, Duration::from_secs(600)));
        assert_eq!(renewal(now, ends, 0.0).as_second(), 480);
        assert_eq!(renewal(now, ends, 0.5).as_second(), 475);
        assert_eq!(renewal(now, None, 0.0), now);
    }
}
