//! Proves a service account token against the cluster's keys: signature, issuer, audience, subject and
//! time. Only a proven token may ride a login that another pod made.
//!
//! Keys are fetched off the mount path. A token that cannot be proven is not refused: it costs a login
//! of its own, and the store judges it.

mod seen;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use seen::Seen;
pub(crate) use seen::digest;

/// How often keys are fetched at most when a token names an unknown one.
const FETCH_PAUSE: Duration = Duration::from_secs(60);

/// The keys of a cluster's service account tokens, and who issues them.
#[derive(Clone)]
pub struct IssuerKeys {
    /// The JSON Web Key Set.
    pub keys: JwkSet,
    /// The `iss` of its tokens; none if it is not known.
    pub issuer: Option<String>,
}

/// Where keys come from.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// Fetches the keys.
    ///
    /// # Errors
    /// Why there are none, as a fragment.
    async fn fetch(&self) -> Result<IssuerKeys, String>;
}

/// What a token must prove.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `system:serviceaccount:<namespace>:<name>`.
    pub subject: &'a str,
    /// The audience it was asked for; none for the API server's own, which is not checked.
    pub audience: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// Proves tokens with the keys it has.
pub struct Prover {
    source: Option<Arc<dyn KeySource>>,
    keys: RwLock<Option<IssuerKeys>>,
    /// Kubelet sends a token at every republish until it renews it.
    seen: Mutex<Seen>,
    last_fetch: Mutex<Option<Instant>>,
    settled: watch::Sender<bool>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iss: Option<String>,
    exp: i64,
    #[serde(default)]
    nbf: i64,
    aud: Audiences,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Prover {
    /// Without a source no token is ever proven.
    #[must_use]
    pub fn new(source: Option<Arc<dyn KeySource>>) -> Self {
        let settled = watch::Sender::new(source.is_none());
        Self {
            source,
            keys: RwLock::new(None),
            seen: Mutex::default(),
            last_fetch: Mutex::new(None),
            settled,
        }
    }

    /// Waits for the first fetch to end, but not for long: at a node's start all pods come at once, and
    /// without keys each would cost a login.
    pub async fn wait_for_keys(&self, limit: Duration) {
        let mut settled = self.settled.subscribe();
        let _ = tokio::time::timeout(limit, settled.wait_for(|settled| *settled)).await;
    }

    /// Whether a token is what it claims to be.
    #[must_use]
    pub fn proves(&self, token: &SecretString, expected: Expected<'_>) -> bool {
        let digest = digest(token);
        let known = self.seen().get(&digest);
        let claims = match known {
            Some(claims) => claims,
            None => match self.verified(token) {
                Some(claims) => {
                    let claims = Arc::new(claims);
                    self.seen().put(digest, Arc::clone(&claims));
                    claims
                }
                None => return false,
            },
        };
        claims.say(expected)
    }

    /// The claims of a token that a known key signed.
    fn verified(&self, token: &SecretString) -> Option<Claims> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        verify(keys.as_ref()?, token)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the token names a key that is not known, so that keys should be fetched.
    #[must_use]
    pub fn misses_key_of(&self, token: &SecretString) -> bool {
        let Ok(header) = jsonwebtoken::decode_header(token.expose_secret()) else {
            return false;
        };
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let known = |kid: &str| {
            keys.as_ref()
                .is_some_and(|keys| keys.keys.find(kid).is_some())
        };
        header.kid.is_some_and(|kid| !known(&kid))
    }

    /// Fetches the keys in the background unless that was done in the last minute.
    pub fn fetch_soon(self: &Arc<Self>) {
        let Some(source) = self.source.clone() else {
            return;
        };
        {
            let mut last = self
                .last_fetch
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|at| at.elapsed() < FETCH_PAUSE) {
                return;
            }
            *last = Some(Instant::now());
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            match source.fetch().await {
                Ok(keys) => {
                    *this.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
                    // What an old key signed must be signed by one of the new ones.
                    this.seen().clear();
                }
                Err(error) => {
                    tracing::warn!(%error, "the cluster's token keys cannot be had: each token costs a login")
                }
            }
            this.settled.send_replace(true);
        });
    }
}

impl Claims {
    /// Whether they say what is expected, now.
    fn say(&self, expected: Expected<'_>) -> bool {
        let now = expected.now.as_second();
        let in_time = self.exp > now && self.nbf <= now + 60;
        let for_us = expected.audience.is_none_or(|audience| match &self.aud {
            Audiences::One(one) => one == audience,
            Audiences::Many(many) => many.iter().any(|one| one == audience),
        });
        in_time && for_us && self.sub == expected.subject
    }
}

/// The library checks the signature; the issuer is that of this cluster.
fn verify(keys: &IssuerKeys, token: &SecretString) -> Option<Claims> {
    let header = jsonwebtoken::decode_header(token.expose_secret()).ok()?;
    let jwk = keys.keys.find(header.kid.as_deref()?)?;
    let matches = matches!(
        (&jwk.algorithm, header.alg),
        (
            AlgorithmParameters::RSA(_),
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512
        ) | (
            AlgorithmParameters::EllipticCurve(_),
            Algorithm::ES256 | Algorithm::ES384
        ) | (AlgorithmParameters::OctetKeyPair(_), Algorithm::EdDSA)
    );
    if !matches {
        return None;
    }
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let claims = jsonwebtoken::decode::<Claims>(token.expose_secret(), &key, &validation)
        .ok()?
        .claims;
    let issued_here = keys
        .issuer
        .as_ref()
        .is_none_or(|issuer| claims.iss.as_ref() == Some(issuer));
    issued_here.then_some(claims)
}

#[cfg(test)]
mod tests;
