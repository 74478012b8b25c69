//! Tokens of ServiceAccounts that are still good, so that one request serves many rounds.
//!
//! Which audience a provider wants is the operator's word; requests are made in `cluster`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_sync_core::answer::Answer;
use coffer_sync_core::instant::{after, age};
use jiff::Timestamp;

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
    held: Mutex<HashMap<Whose, Held>>,
}

#[derive(Clone)]
struct Held {
    token: Arc<Token>,
    until: Timestamp,
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
    /// What the API server said instead.
    pub async fn get(
        &self,
        whose: &Whose,
        now: Timestamp,
        luck: f64,
    ) -> Result<(Arc<Token>, bool), Answer> {
        let held = self.lock().get(whose).cloned();
        if let Some(held) = held.filter(|held| now < held.until) {
            return Ok((held.token, true));
        }
        let asked = self
            .cluster
            .token(&whose.namespace, &whose.account, &whose.audience)
            .await;
        self.metrics
            .token_request(if asked.is_ok() { "ok" } else { "error" });
        let token = Arc::new(asked?);
        let until = renewal(now, token.ends(), luck);
        let mut all = self.lock();
        if all.len() >= MOST {
            all.retain(|_, held| now < held.until);
        }
        if all.len() < MOST {
            let token = Arc::clone(&token);
            all.insert(whose.clone(), Held { token, until });
        }
        Ok((token, false))
    }

    /// Forgets a token that was refused.
    pub fn forget(&self, whose: &Whose) {
        self.lock().remove(whose);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Whose, Held>> {
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
