//! Makes the keys that a type requires out of what stores keep: a bundle, a login, a token.
//!
//! A builder runs where its input keys are mapped and the type's own are not. It takes its inputs away,
//! and its output depends on nothing else: no clock, no randomness, so hashes are stable. Whether the
//! result makes sense is for `validate`.

/// `userinfo` into user name and password.
mod basic;
/// `token` into id and secret.
mod bootstrap;
/// Which certificates go where: the leaf first, then its issuers.
mod chain;
/// Registries, users and passwords into docker files.
mod docker;
/// A key for OpenSSH with the line ends it wants.
mod ssh;
/// A bundle, a PFX file or an answer of a PKI into certificate and key.
mod tls;

use std::fmt;

use zeroize::Zeroizing;

use crate::bytes::{Data, SecretBytes};
use crate::key::shown;
use crate::secret_type::SecretType;

/// Why nothing could be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuildReason {
    /// More than one source for the same key.
    Ambiguous,
    /// A part is missing.
    Incomplete,
    /// An input is not what its key says.
    Unreadable,
}

/// One thing that keeps a builder from its work: nothing is written. No text holds a byte of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildFault {
    /// Of which kind it is.
    pub reason: BuildReason,
    /// Where it stands: `data[tls.pfx]`.
    pub field: String,
    /// What is wrong, as a lowercase fragment.
    pub what: String,
    /// What to do about it, as a lowercase fragment.
    pub remedy: String,
}

impl BuildReason {
    /// The name for conditions and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ambiguous => "BuilderAmbiguous",
            Self::Incomplete => "BuilderIncomplete",
            Self::Unreadable => "BuilderUnreadable",
        }
    }
}

impl fmt::Display for BuildFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reason,
            field,
            what,
            remedy,
        } = self;
        write!(f, "{field}: {what}; {remedy} ({})", reason.as_str())
    }
}

impl std::error::Error for BuildFault {}

/// Builds what the type requires from what was mapped, by target key. Without inputs of a builder the data
/// comes back as it is, sharing its bytes.
///
/// # Errors
/// Everything that keeps the type's builder from its work, at once.
pub fn build(secret_type: &SecretType, mapped: Data) -> Result<Data, Vec<BuildFault>> {
    let mut work = Work {
        data: mapped,
        faults: Vec::new(),
    };
    match secret_type {
        SecretType::BasicAuth => basic::build(&mut work),
        SecretType::SshAuth => ssh::build(&mut work),
        SecretType::Tls => tls::build(&mut work),
        SecretType::DockerCfg => docker::build(&mut work, docker::Form::Legacy),
        SecretType::DockerConfigJson => docker::build(&mut work, docker::Form::Current),
        SecretType::BootstrapToken => bootstrap::build(&mut work),
        SecretType::Opaque | SecretType::ServiceAccountToken | SecretType::Custom(_) => {}
    }
    if work.faults.is_empty() {
        Ok(work.data)
    } else {
        Err(work.faults)
    }
}

/// The data on its way from inputs to outputs.
struct Work {
    data: Data,
    faults: Vec<BuildFault>,
}

impl Work {
    fn has(&self, key: &str) -> bool {
        self.data.contains_key(key)
    }

    fn take(&mut self, key: &str) -> Option<SecretBytes> {
        self.data.remove(key)
    }

    /// An input that must be text. One line end behind it is dropped: editors add it, nobody means it.
    fn take_line(&mut self, key: &str) -> Option<Zeroizing<String>> {
        let value = self.take(key)?;
        match std::str::from_utf8(without_line_end(value.expose())) {
            Ok(text) => Some(Zeroizing::new(text.to_owned())),
            Err(_) => {
                let remedy = "store it as text in UTF-8";
                self.fault(BuildReason::Unreadable, key, "not UTF-8", remedy);
                None
            }
        }
    }

    fn put(&mut self, key: &str, bytes: Vec<u8>) {
        self.data.insert(key.to_owned(), SecretBytes::new(bytes));
    }

    fn fault(&mut self, reason: BuildReason, key: &str, what: impl Into<String>, remedy: &str) {
        self.faults.push(BuildFault {
            reason,
            field: format!("data[{}]", shown(key)),
            what: what.into(),
            remedy: remedy.to_owned(),
        });
    }

    /// Whether the input is there and none of the keys that it makes. Both is a fault.
    fn wants(&mut self, input: &str, outputs: &[&str]) -> bool {
        if !self.has(input) {
            return false;
        }
        let mapped: Vec<&str> = outputs
            .iter()
            .copied()
            .filter(|key| self.has(key))
            .collect();
        if mapped.is_empty() {
            return true;
        }
        let what = format!(
            "mapped beside {}, which is made from it",
            mapped.join(" and ")
        );
        let remedy = "map one or the other";
        self.fault(BuildReason::Ambiguous, input, what, remedy);
        false
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let cut = line.len() < bytes.len();
    line.strip_suffix(b"\r").filter(|_| cut).unwrap_or(line)
}

#[cfg(test)]
mod tests;
