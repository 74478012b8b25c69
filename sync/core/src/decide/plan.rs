//! What is to be done about a Secret, and why it is not done.
//!
//! Reasons and messages of conditions are made of these in `condition`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::contest::Fight;
use crate::validate::Check;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Look whether a Secret of that name is there, and whose.
    Probe,
    /// Get the whole Secret by a dry run: its owner consented, and its content has to be compared.
    Compare,
    /// Apply without force; there is none.
    Create {
        /// It was there before.
        again: bool,
    },
    /// Apply to the Secret of that uid.
    Apply(Apply),
    /// Apply with force to a Secret that was not ours, without an ownerReference.
    Adopt {
        /// uid of the Secret.
        uid: String,
        /// Whether the CSI driver's entry of managedFields is removed afterwards.
        clear_driver: bool,
    },
    /// Delete under these preconditions, then create.
    Recreate {
        /// uid of the Secret.
        uid: String,
        /// resourceVersion of the Secret.
        resource_version: String,
        /// Why it cannot be changed in place.
        why: Recreation,
    },
    /// Create an immutable Secret of this name, then point consumers to it.
    NewVersion {
        /// Name of the version.
        name: String,
    },
    /// Leave the last good value: the new one fails these checks and the old one did not.
    Hold(BTreeSet<Check>),
    /// Nothing has to be done, or nothing can be done now.
    Skip(Skip),
    /// Only a person can change that.
    Refuse(Refusal),
}

impl Plan {
    /// Whether it ends in a write that stores something, or may.
    #[must_use]
    pub const fn writes(&self) -> bool {
        match self {
            Self::Create { .. }
            | Self::Apply(_)
            | Self::Adopt { .. }
            | Self::Recreate { .. }
            | Self::NewVersion { .. } => true,
            Self::Probe | Self::Compare | Self::Hold(_) | Self::Skip(_) | Self::Refuse(_) => false,
        }
    }
}

/// An apply to a Secret that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apply {
    /// uid of the Secret: goes into the body, so that a stranger's is never written to.
    pub uid: String,
    /// Why.
    pub why: Why,
    /// Whether foreign edits of our keys are undone.
    pub force: bool,
    /// Whether the body says `immutable: true`.
    pub immutable: bool,
    /// Managers under whose names an empty apply follows.
    pub clear: Vec<String>,
}

/// Why a Secret of ours is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The content differs from what was written last: the only cause of restarts.
    Rotation,
    /// There is no usable record of what was written last.
    First,
    /// The record is of a key that was lost.
    KeyLost,
    /// Labels, annotations or the owner differ.
    Metadata,
    /// Somebody else wrote.
    Drifted,
    /// To prove that it still is as it was written; nothing is stored if so.
    Confirm,
    /// Upstream's controller wrote it.
    Takeover,
}

/// Why a Secret is deleted and created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recreation {
    /// It is of another type.
    Type,
    /// It is immutable, and its content changed.
    Immutable,
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The object is suspended.
    Suspended,
    /// There is no new content; the last good stays.
    LastGood(Failure),
    /// It is about to disappear: look again soon.
    BeingDeleted,
    /// It stands as it was written.
    Unchanged,
}

/// Something that may heal by itself. Messages hold no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub kind: FailureKind,
    /// What it said, masked.
    pub message: String,
    /// Not to be tried again earlier.
    pub retry_after: Option<Duration>,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The provider answered with an error.
    Provider,
    /// The provider returned no files.
    NoFiles,
    /// A file is missing, or a builder could not work.
    Files,
    /// The SecretProviderClass is missing, names no usable provider, or its socket is not there.
    Class,
    /// No token for the ServiceAccount.
    Token,
    /// The API server or a policy refused the write, or could not take it.
    Api,
    /// The namespace's quota is used up.
    Quota,
    /// Something of ours.
    Internal,
}

/// Why the Secret is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Options with wrong values.
    InvalidOption(String),
    /// The type is outside the allow list.
    TypeNotAllowed(String),
    /// An older source claims the Secret.
    DuplicateTarget(String),
    /// A label of the spec is reserved.
    Label(String),
    /// An annotation of the spec is reserved.
    Annotation(String),
    /// The API server would refuse the content.
    InvalidData(String),
    /// The content is too large.
    TooLarge(String),
    /// Under `validation: Strict`: the first value fails these checks.
    Unusable(BTreeSet<Check>),
    /// Nothing would be left in the Secret.
    WouldEmpty,
    /// A Secret of that name is somebody else's.
    AdoptionRefused {
        /// What is missing.
        why: &'static str,
        /// Names of the keys that would be written, and whether each replaces one.
        keys: Vec<(String, bool)>,
    },
    /// Somebody else keeps writing.
    Contested(Fight),
    /// Under `drift: Report`: this field manager changed keys of ours.
    Edited(String),
    /// A controller of the cluster deleted it, and would again.
    Vanished,
    /// It is immutable.
    ImmutableConflict,
    /// It is of another type.
    TypeChange,
}
