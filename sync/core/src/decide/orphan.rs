//! A Secret that no entry of its source names any more: it goes, or somebody is told.
//!
//! A Secret whose source is gone altogether is the garbage collector's, not ours.

use super::seen::{Present, Rights};
use crate::claim::Holder;
use crate::options::Deletion;

/// What becomes of an orphan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Orphan {
    /// Delete it under these preconditions.
    Delete {
        /// uid of the Secret.
        uid: String,
        /// resourceVersion of the Secret.
        resource_version: String,
    },
    /// Leave it, and warn once: it will never change again.
    Warn,
    /// Leave it: it was meant to stay, or is not ours.
    Leave,
}

/// What becomes of a Secret that its source names no more. It is never emptied, and only what we created is deleted.
#[must_use]
pub fn orphan(present: &Present, deletion: Deletion, rights: Rights) -> Orphan {
    if present.deleting || deletion == Deletion::Retain {
        return Orphan::Leave;
    }
    match present.holder {
        Holder::Ours { adopted: false } if rights.delete => Orphan::Delete {
            uid: present.uid.clone(),
            resource_version: present.resource_version.clone(),
        },
        Holder::Ours { .. } | Holder::Upstream(_) => Orphan::Warn,
        Holder::Former | Holder::Driver | Holder::Stranger => Orphan::Leave,
    }
}
