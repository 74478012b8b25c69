//! Groups and versions of the two kinds that Secrets are synced from.
//!
//! What stands in their specs is read in `manifest`.

/// Group and version of SecretProviderClass.
pub const CLASS_API: &str = "secrets-store.csi.x-k8s.io/v1";
/// Group and version of SecretSync.
pub const SYNC_API: &str = "secret-sync.x-k8s.io/v1alpha1";
