//! Every name under `coffer.rs/`: options that people write, and marks that Coffer writes.
//!
//! Nothing is looked up by another text; messages may name them.

/// What all of them start with.
pub const PREFIX: &str = "coffer.rs/";

/// Label of every Secret that Coffer writes, with the value `true`.
pub const SYNC_LABEL: &str = "coffer.rs/sync";
/// Label of upstream's controller, with an empty value: its tools select on it.
pub const UPSTREAM_LABEL: &str = "secrets-store.sync.x-k8s.io";
/// Label that the CSI driver's controllers select on; Coffer never sets it.
pub const DRIVER_LABEL: &str = "secrets-store.csi.k8s.io/managed";
/// Annotation of a Secret: uid of the source, where there is no ownerReference.
pub const SOURCE_UID: &str = "coffer.rs/source-uid";
/// Annotation of a Secret that stood before Coffer wrote to it, with the value `true`.
pub const ADOPTED: &str = "coffer.rs/adopted";
/// Annotation of a Secret: fingerprint and verdict of what was written.
pub const RECORD: &str = "coffer.rs/record";
/// Annotation of a Secret by which its owner consents to adoption, `<Kind>/<name>`.
pub const ADOPTABLE_BY: &str = "coffer.rs/adoptable-by";
/// Annotation of a SecretProviderClass: its state, written by Coffer.
pub const SYNC_STATUS: &str = "coffer.rs/sync-status";
/// Label of a ServiceAccount that may be used for syncing.
pub const ALLOW_SYNC: &str = "coffer.rs/allow-sync";
/// Start of the annotation of a Pod template that restarts it; ten digits of the Secret's name follow.
pub const RESTART_MARK: &str = "coffer.rs/s-";
/// Condition that a worse value is held back.
pub const HELD: &str = "coffer.rs/Held";
/// Condition that workloads wait for their restart.
pub const RESTART_PENDING: &str = "coffer.rs/RestartPending";
/// Suggested to those who leave the name of the controller out.
pub const CONTROLLER: &str = "coffer.rs/sync";

/// An option: an annotation of a SecretSync or SecretProviderClass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// ServiceAccount that opens a SecretProviderClass for syncing.
    SyncAs,
    /// Poll period before jitter.
    RefreshInterval,
    /// What is done with values that no consumer can use.
    Validation,
    /// Whether Secrets are immutable.
    Immutable,
    /// How many versions are kept.
    KeepVersions,
    /// Which workloads restart.
    Restart,
    /// How long changes are collected before a restart.
    RestartWindow,
    /// What is done with a Secret that is not ours.
    Adopt,
    /// What becomes of the Secret when its source goes.
    DeletionPolicy,
    /// What is done when the type changes.
    OnTypeChange,
    /// What is done with edits of our keys.
    Drift,
    /// Mapped data beyond the spec.
    ExtraData,
    /// Every file becomes a key.
    AllKeys,
    /// Keys that a custom type must have.
    RequiredKeys,
    /// No fetch, no write.
    Suspend,
    /// A change means: now.
    ForceSync,
}

impl Name {
    /// All options, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::SyncAs,
        Self::RefreshInterval,
        Self::Validation,
        Self::Immutable,
        Self::KeepVersions,
        Self::Restart,
        Self::RestartWindow,
        Self::Adopt,
        Self::DeletionPolicy,
        Self::OnTypeChange,
        Self::Drift,
        Self::ExtraData,
        Self::AllKeys,
        Self::RequiredKeys,
        Self::Suspend,
        Self::ForceSync,
    ];

    /// The annotation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SyncAs => "coffer.rs/sync-as",
            Self::RefreshInterval => "coffer.rs/refresh-interval",
            Self::Validation => "coffer.rs/validation",
            Self::Immutable => "coffer.rs/immutable",
            Self::KeepVersions => "coffer.rs/keep-versions",
            Self::Restart => "coffer.rs/restart",
            Self::RestartWindow => "coffer.rs/restart-window",
            Self::Adopt => "coffer.rs/adopt",
            Self::DeletionPolicy => "coffer.rs/deletion-policy",
            Self::OnTypeChange => "coffer.rs/on-type-change",
            Self::Drift => "coffer.rs/drift",
            Self::ExtraData => "coffer.rs/extra-data",
            Self::AllKeys => "coffer.rs/all-keys",
            Self::RequiredKeys => "coffer.rs/required-keys",
            Self::Suspend => "coffer.rs/suspend",
            Self::ForceSync => "coffer.rs/force-sync",
        }
    }

    /// The option of this annotation, if it is one.
    #[must_use]
    pub fn of(annotation: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == annotation)
    }
}
