//! Reasons: upstream's coarse one and our finer one for everything that keeps a Secret from being written.
//!
//! One exhaustive match each; a new refusal does not compile before it has its reasons.

use crate::decide::{Failure, FailureKind, Fight, Refusal};

/// Reasons that upstream's controller gives, and that people alert on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upstream {
    /// The provider answered with an error.
    Provider,
    /// A file is missing, or a builder failed.
    Fetch,
    /// The class is missing or unusable.
    Class,
    /// The API server, a policy or our pre-flight refused the write.
    Patch,
    /// Token, options, or something of ours.
    ControllerSync,
    /// A label is not the user's to set.
    Label,
    /// An annotation is not the user's to set.
    Annotation,
}

impl Upstream {
    /// The reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "ProviderError",
            Self::Fetch => "RemoteSecretStoreFetchFailed",
            Self::Class => "SecretProviderClassMisconfigured",
            Self::Patch => "ControllerPatchError",
            Self::ControllerSync => "ControllerSyncError",
            Self::Label => "InvalidClusterSecretLabelError",
            Self::Annotation => "InvalidClusterSecretAnnotationError",
        }
    }
}

/// The finer reasons of Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fine {
    /// The Secret holds what was fetched.
    Synced,
    /// A round failed; the last good value stays.
    ServingLastGood,
    /// Rounds have failed for too long.
    Stale,
    /// A worse value is held back.
    Held,
    /// An option has a wrong value.
    InvalidOption,
    /// The type is outside the allow list.
    TypeNotAllowed,
    /// The content breaks a rule of its type.
    InvalidData,
    /// A Secret of that name is somebody else's.
    AdoptionRefused,
    /// An older source writes the Secret.
    DuplicateTarget,
    /// Somebody else keeps writing or deleting.
    Contested,
    /// A controller of the cluster deleted the Secret.
    Vanished,
    /// The Secret is immutable.
    ImmutableConflict,
    /// The Secret is of another type.
    TypeChange,
    /// The namespace's quota is used up.
    QuotaExceeded,
    /// The content is too large.
    TooLarge,
    /// The provider returned nothing to write.
    NoFiles,
    /// No token for the ServiceAccount.
    TokenError,
    /// The object is suspended.
    Suspended,
}

impl Fine {
    /// The reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "Synced",
            Self::ServingLastGood => "ServingLastGood",
            Self::Stale => "Stale",
            Self::Held => "Held",
            Self::InvalidOption => "InvalidOption",
            Self::TypeNotAllowed => "TypeNotAllowed",
            Self::InvalidData => "InvalidData",
            Self::AdoptionRefused => "AdoptionRefused",
            Self::DuplicateTarget => "DuplicateTarget",
            Self::Contested => "Contested",
            Self::Vanished => "Vanished",
            Self::ImmutableConflict => "ImmutableConflict",
            Self::TypeChange => "TypeChange",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::TooLarge => "TooLarge",
            Self::NoFiles => "NoFiles",
            Self::TokenError => "TokenError",
            Self::Suspended => "Suspended",
        }
    }
}

/// Why the Secret was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The reason of SecretCreated and SecretUpdated.
    pub upstream: Upstream,
    /// The reason of Ready, where it is finer.
    pub fine: Option<Fine>,
    /// For people, without values.
    pub message: String,
    /// Whether only a change or the next poll can help: there is no point in an earlier try.
    pub permanent: bool,
}

impl Fault {
    /// The finest reason that there is.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.fine.map_or(self.upstream.as_str(), Fine::as_str)
    }

    /// Whether the Secret is known to be gone.
    pub(super) fn secret_is_gone(&self) -> bool {
        self.fine == Some(Fine::Vanished)
    }

    /// Whether the Secret is trusted to hold the last good value. Not where others write to it, and not
    /// where the object asks for something that cannot be read.
    pub(super) fn last_good_stands(&self) -> bool {
        use Fine::{AdoptionRefused, Contested, DuplicateTarget, InvalidOption, Vanished};
        let lost = [
            AdoptionRefused,
            Contested,
            DuplicateTarget,
            InvalidOption,
            Vanished,
        ];
        self.fine.is_none_or(|fine| !lost.contains(&fine))
    }
}

impl From<&Failure> for Fault {
    fn from(failure: &Failure) -> Self {
        let (upstream, fine) = match failure.kind {
            FailureKind::Provider => (Upstream::Provider, None),
            FailureKind::NoFiles => (Upstream::Fetch, Some(Fine::NoFiles)),
            FailureKind::Files => (Upstream::Fetch, None),
            FailureKind::Class => (Upstream::Class, None),
            FailureKind::Token => (Upstream::ControllerSync, Some(Fine::TokenError)),
            FailureKind::Api => (Upstream::Patch, None),
            FailureKind::Quota => (Upstream::Patch, Some(Fine::QuotaExceeded)),
            FailureKind::Internal => (Upstream::ControllerSync, None),
        };
        Self {
            upstream,
            fine,
            message: failure.message.clone(),
            // A quota heals when somebody deletes something, which nobody hurries for us.
            permanent: failure.kind == FailureKind::Quota,
        }
    }
}

impl From<&Refusal> for Fault {
    fn from(refusal: &Refusal) -> Self {
        let (upstream, fine) = reasons(refusal);
        Self {
            upstream,
            fine,
            message: message(refusal),
            permanent: true,
        }
    }
}

const fn reasons(refusal: &Refusal) -> (Upstream, Option<Fine>) {
    match refusal {
        Refusal::InvalidOption(_) => (Upstream::ControllerSync, Some(Fine::InvalidOption)),
        Refusal::TypeNotAllowed(_) => (Upstream::Patch, Some(Fine::TypeNotAllowed)),
        Refusal::DuplicateTarget(_) => (Upstream::Patch, Some(Fine::DuplicateTarget)),
        Refusal::Label(_) => (Upstream::Label, None),
        Refusal::Annotation(_) => (Upstream::Annotation, None),
        Refusal::InvalidData(_) | Refusal::Unusable(_) => {
            (Upstream::Patch, Some(Fine::InvalidData))
        }
        Refusal::TooLarge(_) => (Upstream::Patch, Some(Fine::TooLarge)),
        Refusal::WouldEmpty => (Upstream::Fetch, Some(Fine::NoFiles)),
        Refusal::AdoptionRefused { .. } => (Upstream::Patch, Some(Fine::AdoptionRefused)),
        Refusal::Contested(_) | Refusal::Edited(_) => (Upstream::Patch, Some(Fine::Contested)),
        Refusal::Vanished => (Upstream::Patch, Some(Fine::Vanished)),
        Refusal::ImmutableConflict => (Upstream::Patch, Some(Fine::ImmutableConflict)),
        Refusal::TypeChange => (Upstream::Patch, Some(Fine::TypeChange)),
    }
}

fn message(refusal: &Refusal) -> String {
    match refusal {
        Refusal::InvalidOption(text)
        | Refusal::DuplicateTarget(text)
        | Refusal::Label(text)
        | Refusal::Annotation(text)
        | Refusal::InvalidData(text)
        | Refusal::TooLarge(text) => text.clone(),
        Refusal::TypeNotAllowed(type_) => {
            format!("Secrets of type {type_} are not allowed here; an operator allows them by --allowed-types.")
        }
        Refusal::Unusable(ids) => {
            let ids: Vec<&str> = ids.iter().map(|check| check.as_str()).collect();
            format!("The first value fails {}, and coffer.rs/validation is Strict.", ids.join(", "))
        }
        Refusal::WouldEmpty => "No key would be left in the Secret; it stays as it is.".to_owned(),
        Refusal::AdoptionRefused { why, keys } => adoption(why, keys),
        Refusal::Contested(Fight::Manager(manager)) => {
            format!("{manager} keeps changing what we write; one attempt is made per hour until it stops.")
        }
        Refusal::Contested(Fight::Deletion) => {
            "Somebody keeps deleting the Secret; one attempt is made per hour until they stop.".to_owned()
        }
        Refusal::Edited(manager) => {
            format!("{manager} changed what we write, and coffer.rs/drift is Report: its edit stays.")
        }
        Refusal::Vanished => {
            "The cluster deleted the Secret: its ServiceAccount is missing, or its expiration is past. It is written again when that is changed in the spec.".to_owned()
        }
        Refusal::ImmutableConflict => {
            "The Secret is immutable and its data would change; coffer.rs/immutable: Recreate needs the right to delete and a Secret that we created.".to_owned()
        }
        Refusal::TypeChange => {
            "The Secret is of another type; it is recreated only if we created it, may delete it and coffer.rs/on-type-change is Recreate.".to_owned()
        }
    }
}

fn adoption(why: &str, keys: &[(String, bool)]) -> String {
    let names = |replaced: bool| -> Vec<&str> {
        let chosen = keys.iter().filter(|(_, there)| *there == replaced);
        chosen.map(|(key, _)| key.as_str()).collect()
    };
    let (added, replaced) = (names(false).join(", "), names(true).join(", "));
    let of = |label: &str, list: &str| {
        if list.is_empty() {
            String::new()
        } else {
            format!("; {label}: {list}")
        }
    };
    format!(
        "{why}{}{}",
        of("keys to add", &added),
        of("keys to replace", &replaced)
    )
}
