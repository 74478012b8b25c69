//! What the provider needs from outside besides stores: tokens, the version key, Events, SRV records, time
//! and luck.
//!
//! Small traits in our own types, so that tests and the command line can stand in for a cluster.

use std::time::Duration;

use async_trait::async_trait;
use coffer_provider_core::fault::Fault;
use coffer_provider_core::params::Pod;
use coffer_provider_core::target::SrvRecord;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::events::PodEvent;

/// Asks for tokens of pods' service accounts.
#[async_trait]
pub trait TokenRequests: Send + Sync {
    /// A token for the pod's service account, bound to the pod; no audience means the API server's own.
    ///
    /// # Errors
    /// `no_token`, saying what the API server answered and what to add.
    async fn request(&self, pod: &Pod, audience: Option<&str>) -> Result<SecretString, Fault>;
}

/// Holds the key of object versions for all nodes.
#[async_trait]
pub trait VersionKeyStore: Send + Sync {
    /// The key's bytes; `fresh` becomes the key where there is none yet.
    ///
    /// # Errors
    /// Why there is no key, as a fragment with the remedy.
    async fn get_or_create(&self, fresh: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, String>;
}

/// Writes Events on pods.
#[async_trait]
pub trait PodEvents: Send + Sync {
    /// Writes one. The caller limits the time.
    ///
    /// # Errors
    /// Why it was not written.
    async fn write(&self, event: &PodEvent) -> Result<(), NotWritten>;
}

/// Why an Event was not written. The text is the API server's, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// The right to write Events in the pod's namespace is missing.
    #[error("{0}")]
    Forbidden(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Looks up SRV records.
#[async_trait]
pub trait SrvLookup: Send + Sync {
    /// The records of a name. The caller limits the time, and remembers the answer.
    ///
    /// # Errors
    /// Why nobody knows, as a fragment. That there are none is an answer and no error.
    async fn lookup(&self, name: &str) -> Result<SrvAnswer, String>;
}

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SrvAnswer {
    /// Its records; empty if it has none.
    pub records: Vec<SrvRecord>,
    /// How long they are good for.
    pub ttl: Duration,
}

/// Clocks and randomness, passed in so that tests decide.
pub trait Chance: Send + Sync {
    /// The wall clock: for what others wrote, such as the end of a token or a certificate.
    fn now(&self) -> Timestamp;

    /// The clock that never jumps: for ages, leases and pauses.
    fn instant(&self) -> Instant;

    /// A number from 0 up to 1.
    fn random(&self) -> f64;
}

/// The clock and the randomness of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Chance for Machine {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn random(&self) -> f64 {
        use std::hash::{BuildHasher, RandomState};
        // Every RandomState is keyed anew: good enough for jitter, which is all this is for.
        let bits = RandomState::new().hash_one(0);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let fraction = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        fraction
    }
}

/// The clock of the runtime, which tests pause, and no luck.
#[cfg(test)]
pub(crate) struct Still;

#[cfg(test)]
impl Chance for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn random(&self) -> f64 {
        0.0
    }
}

/// No API server: every request for a token is refused with this remedy.
#[derive(Clone, Debug)]
pub struct NoTokenRequests {
    /// Why there are none, and what to do.
    pub remedy: &'static str,
}

#[async_trait]
impl TokenRequests for NoTokenRequests {
    async fn request(&self, _: &Pod, _: Option<&str>) -> Result<SecretString, Fault> {
        Err(Fault::new(
            coffer_provider_core::fault::Reason::NoToken,
            "none can be requested",
            self.remedy,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Chance, Machine};

    #[test]
    fn the_machines_luck_lies_between_zero_and_one_and_differs() {
        let drawn: Vec<f64> = (0..32).map(|_| Machine.random()).collect();
        assert!(drawn.iter().all(|x| (0.0..1.0).contains(x)), "{drawn:?}");
        assert!(drawn.iter().any(|x| (x - drawn[0]).abs() > 1e-9));
    }
}
