//! What the API server's answers to a write mean: what was done, or which of a dozen refusals it was.
//!
//! Refusals are told apart by text where the code does not: policies answer 422 like bad content does. What is
//! done about them is decided in `decide`; how a request is sent stands elsewhere.

mod effect;

use std::time::Duration;

pub use self::effect::{Before, Effect, Reply, effect};
use crate::decide::{Failure, FailureKind, Refusal};

/// An answer other than success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status; 0 when there was none: the connection or its deadline failed.
    pub code: u16,
    /// `message` of the Status. It may quote keys and names, and of a docker value one character, or a number that
    /// is beyond a double.
    pub message: String,
    /// `reason` of each cause of the Status.
    pub causes: Vec<String>,
    /// The Retry-After header.
    pub retry_after: Option<Duration>,
}

/// What a refused write was refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Another manager owns what we would change; only without force.
    Conflict,
    /// The Secret of our uid is gone.
    Gone,
    /// Another Secret stands under the name.
    Replaced,
    /// Its data would change and it is immutable.
    Immutable,
    /// Its type would change.
    Type,
    /// A rule of the API server: our pre-flight should have found it.
    Content,
    /// An admission policy or webhook.
    Policy,
    /// The namespace's quota.
    Quota,
    /// The namespace is being deleted.
    Terminating,
    /// A right is missing.
    Rights,
    /// The namespace does not exist.
    NoNamespace,
    /// Too large for etcd or for its connection.
    TooLarge,
    /// The document could not be merged: something of ours is wrong.
    Document,
    /// Too many requests.
    Throttled,
    /// Everything that may be well a moment later.
    Unavailable,
    /// Nothing of the above.
    Other,
}

/// What follows from a refused write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// What we knew of the Secret is wrong: look at it and decide again.
    Probe,
    /// Decide again, knowing that the data differs from what would be written.
    DataDiffers,
    /// Decide again, knowing that the type differs from what would be written.
    TypeDiffers,
    /// Somebody else edits our keys, and force was not allowed.
    ForeignEdits,
    /// The object is forgotten until its namespace is back.
    Forget,
    /// Only a person can change that.
    Refuse(Refusal),
    /// It may heal by itself.
    Fail(Failure),
}

/// Phrases of the API server, with the kind each stands for where it comes under this code; 0 stands for all codes.
const PHRASES: [(u16, &str, Kind); 13] = [
    // Unless the policy sets a reason of its own it answers 422 and not 403.
    (0, "is forbidden: ValidatingAdmissionPolicy", Kind::Policy),
    (0, "admission webhook", Kind::Policy),
    (0, "exceeded quota", Kind::Quota),
    (0, "because it is being terminated", Kind::Terminating),
    (409, "uid mismatch", Kind::Gone),
    (422, "metadata.uid: Invalid value", Kind::Replaced),
    (
        422,
        "field is immutable when `immutable` is set",
        Kind::Immutable,
    ),
    (422, "type: Invalid value", Kind::Type),
    (500, "etcdserver: request is too large", Kind::TooLarge),
    (
        500,
        "trying to send message larger than max",
        Kind::TooLarge,
    ),
    (500, "failed to create typed patch object", Kind::Document),
    // What a create or an update answers 400 to, as bad base64.
    (500, "failed to convert new object", Kind::Document),
    (404, "namespaces ", Kind::NoNamespace),
];

impl Answer {
    /// What the write was refused for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self
            .causes
            .iter()
            .any(|cause| cause == "NamespaceTerminating")
        {
            return Kind::Terminating;
        }
        let phrase = PHRASES.iter().find(|(code, phrase, _)| {
            (*code == 0 || *code == self.code) && self.message.contains(phrase)
        });
        match (phrase, self.code) {
            (Some((.., kind)), _) => *kind,
            (None, 409) => Kind::Conflict,
            (None, 413) => Kind::TooLarge,
            (None, 400 | 422) => Kind::Content,
            (None, 401 | 403) => Kind::Rights,
            (None, 429) => Kind::Throttled,
            (None, 0 | 408 | 500..) => Kind::Unavailable,
            (None, _) => Kind::Other,
        }
    }

    /// The manager that a conflict names, the first of several, if it is one.
    #[must_use]
    pub fn opponent(&self) -> Option<&str> {
        // `conflict with "hand": .data.a`, and from two fields on `conflicts with "hand":` and a list.
        let (_, rest) = ["conflict with \"", "conflicts with \""]
            .into_iter()
            .find_map(|words| self.message.split_once(words))?;
        rest.split_once('"').map(|(manager, _)| manager)
    }

    /// What follows. `message` is the answer's, masked and cut.
    #[must_use]
    pub fn next(&self, message: String) -> Next {
        let fail = |kind, message| {
            Next::Fail(Failure {
                kind,
                message,
                retry_after: self.retry_after,
            })
        };
        match self.kind() {
            Kind::Conflict => Next::ForeignEdits,
            Kind::Gone | Kind::Replaced => Next::Probe,
            Kind::Immutable => Next::DataDiffers,
            Kind::Type => Next::TypeDiffers,
            Kind::Terminating => Next::Forget,
            Kind::TooLarge => Next::Refuse(Refusal::TooLarge(message)),
            Kind::Content => Next::Refuse(Refusal::InvalidData(message)),
            Kind::Quota => fail(FailureKind::Quota, message),
            Kind::Document => fail(FailureKind::Internal, message),
            Kind::Policy
            | Kind::Rights
            | Kind::NoNamespace
            | Kind::Throttled
            | Kind::Unavailable
            | Kind::Other => fail(FailureKind::Api, message),
        }
    }
}

#[cfg(test)]
mod tests;
