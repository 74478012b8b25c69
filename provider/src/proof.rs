//! Proves a service account token against the cluster's keys: signature, issuer, audience, subject and
//! time. Only a proven token may ride a login that another pod made.
//!
//! Keys are fetched off the mount path. A token that cannot be proven is not refused: it costs a login
//! of its own, and the store judges it.

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
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.as_ref()
            .is_some_and(|keys| check(keys, token, expected).is_some())
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
                Ok(keys) => *this.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys),
                Err(error) => {
                    tracing::warn!(%error, "the cluster's token keys cannot be had: each token costs a login")
                }
            }
            this.settled.send_replace(true);
        });
    }
}

/// Checks by hand what is about this cluster; the library checks the signature.
fn check(keys: &IssuerKeys, token: &SecretString, expected: Expected<'_>) -> Option<()> {
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
    let now = expected.now.as_second();
    let issued_here = keys
        .issuer
        .as_ref()
        .is_none_or(|issuer| claims.iss.as_ref() == Some(issuer));
    let in_time = claims.exp > now && claims.nbf <= now + 60;
    let for_us = expected.audience.is_none_or(|audience| match &claims.aud {
        Audiences::One(one) => one == audience,
        Audiences::Many(many) => many.iter().any(|one| one == audience),
    });
    (issued_here && in_time && for_us && claims.sub == expected.subject).then_some(())
}

#[cfg(test)]
mod tests;
