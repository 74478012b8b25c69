//! What a successful write did, read from the metadata of its answer.
//!
//! Times in managedFields have a resolution of one second, so the resourceVersion is looked at too.

use jiff::Timestamp;

use crate::decide::{Plan, Why};

/// What was known before the write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// uid of the Secret.
    pub uid: String,
    /// Its resourceVersion after our last write.
    pub resource_version: String,
    /// Time of our entry in managedFields.
    pub written: Option<Timestamp>,
}

/// The answer to an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether the status was 201.
    pub created: bool,
    /// uid of the Secret.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Time of our entry in managedFields.
    pub written: Option<Timestamp>,
    /// Whether it has a deletionTimestamp: it will vanish, whatever was written.
    pub deleting: bool,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The Secret was not there and never had been.
    Created,
    /// Its content or metadata follows what was asked for.
    Updated,
    /// It stood as it was written.
    Unchanged,
    /// Edits of our keys, or its deletion, were undone.
    Repaired,
    /// It was accepted and will vanish: look again.
    Vanishing,
}

impl Effect {
    /// The `result` label of the metric of rounds.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Repaired => "repaired",
            Self::Vanishing => "failed",
        }
    }
}

/// What carrying out a plan did. `before` is none where nothing was known of the Secret.
#[must_use]
pub fn effect(plan: &Plan, before: Option<&Before>, reply: &Reply) -> Effect {
    if reply.deleting {
        return Effect::Vanishing;
    }
    match plan {
        Plan::Create { again: true } => return Effect::Repaired,
        Plan::Create { again: false } | Plan::NewVersion { .. } => return Effect::Created,
        Plan::Apply(apply) => match apply.why {
            Why::Rotation | Why::Metadata | Why::Takeover | Why::First | Why::KeyLost => {
                let same =
                    before.is_some_and(|before| before.resource_version == reply.resource_version);
                return if same {
                    Effect::Unchanged
                } else {
                    Effect::Updated
                };
            }
            Why::Drifted | Why::Confirm => {}
        },
        Plan::Adopt { .. } | Plan::Recreate { .. } => return Effect::Updated,
        Plan::Probe | Plan::Compare | Plan::Hold(_) | Plan::Skip(_) | Plan::Refuse(_) => {
            return Effect::Unchanged;
        }
    }
    match before {
        _ if reply.created => Effect::Repaired,
        None => Effect::Unchanged,
        Some(before) if before.resource_version == reply.resource_version => Effect::Unchanged,
        // An equal apply leaves the time of our entry alone: only fields of others moved.
        Some(before) if before.written == reply.written => Effect::Unchanged,
        Some(_) => Effect::Repaired,
    }
}
