//! Judges a Secret that is about to be written: everything that is wrong with it, at once.
//!
//! Structure is what the API server would answer 422 to; meaning is what it stores although no consumer
//! can use it. Whether a value may replace an older one is ruled in `verdict`. Nothing is mended here.

/// Keys of basic-auth.
mod basic;
/// Bootstrap tokens, as the API server's authenticator reads them.
mod bootstrap;
/// Every check by its id.
pub mod check;
/// Docker files, as kubelet reads them.
mod docker;
/// What was found, and its texts.
pub mod finding;
/// SSH keys, as OpenSSH reads them.
mod ssh;
/// Rules for every Secret, and what each type requires.
mod structure;
/// Certificates and keys, as a TLS server reads them.
mod tls;
/// Sizes, line ends and names that are legal and yet doubtful.
mod values;
/// What is remembered of a value, and the ruling of a policy.
pub mod verdict;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use check::{Check, Class};
pub(crate) use docker::DOCKER_HUB;
pub use finding::{Finding, Findings};
pub use verdict::{Policy, Ruling, Verdict};

use crate::bytes::{Data, SecretBytes};
use crate::secret_type::SecretType;

/// A Secret as it would be written, and what is known of its surroundings. Holds secrets, so it has no Debug.
#[derive(Clone, Copy)]
pub struct Subject<'s> {
    /// Its name, legal or not.
    pub name: &'s str,
    /// Its namespace, which exists.
    pub namespace: &'s str,
    /// Its type.
    pub secret_type: &'s SecretType,
    /// All its keys, legal or not.
    pub data: &'s Data,
    /// Its labels, those of Coffer included.
    pub labels: &'s BTreeMap<String, String>,
    /// Its annotations, those of Coffer included.
    pub annotations: &'s BTreeMap<String, String>,
    /// The keys that the user's own list requires.
    pub required_keys: &'s [String],
    /// Whether the service account of a token exists; None where that may not be read.
    pub service_account_exists: Option<bool>,
}

impl<'s> Subject<'s> {
    /// The bytes of a key, if it is there.
    fn value(&self, key: &str) -> Option<&'s [u8]> {
        self.data.get(key).map(SecretBytes::expose)
    }

    /// All keys with their bytes.
    fn values(&self) -> impl Iterator<Item = (&'s str, &'s [u8])> {
        self.data
            .iter()
            .map(|(key, value)| (key.as_str(), value.expose()))
    }
}

/// Judges a Secret at this moment. Under `Off` only its structure; otherwise every policy finds the same,
/// and rules on it differently ([`Policy::rule`]).
#[must_use]
pub fn validate(subject: &Subject<'_>, policy: Policy, now: Timestamp) -> Findings {
    let judged = policy != Policy::Off;
    let mut findings = Findings::new(judged);
    structure::check(subject, &mut findings);
    if judged {
        values::check(subject, &mut findings);
        meaning(subject, now, &mut findings);
    }
    findings.sorted()
}

fn meaning(subject: &Subject<'_>, now: Timestamp, findings: &mut Findings) {
    match subject.secret_type {
        SecretType::Opaque | SecretType::Custom(_) => {}
        SecretType::ServiceAccountToken => values::check_service_account(subject, findings),
        SecretType::DockerCfg | SecretType::DockerConfigJson => docker::check(subject, findings),
        SecretType::BasicAuth => basic::check(subject, findings),
        SecretType::SshAuth => ssh::check(subject, findings),
        SecretType::Tls => tls::check(subject, now, findings),
        SecretType::BootstrapToken => bootstrap::check(subject, now, findings),
    }
}

#[cfg(test)]
mod tests;
