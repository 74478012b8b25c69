//! A SecretSync as far as it matters.
//!
//! Its spec is read in `manifest`.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_sync_core::claim::Source;
use coffer_sync_core::condition::Status;
use coffer_sync_core::decide::Revision;
use coffer_sync_core::options;

use super::Key;
use crate::manifest::SyncSpec;

/// A SecretSync.
#[derive(Clone, Debug)]
pub struct Sync {
    /// Who it is.
    pub source: Source,
    /// `metadata.generation`.
    pub generation: i64,
    /// Its annotations under `coffer.rs/`.
    pub annotations: BTreeMap<String, String>,
    /// Its spec.
    pub spec: Arc<SyncSpec>,
    /// Its status when it was seen.
    pub status: Status,
}

impl Sync {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.source.namespace.clone(), self.source.name.clone())
    }

    /// Namespace and name of its class.
    #[must_use]
    pub fn class_key(&self) -> Key {
        (
            self.source.namespace.clone(),
            self.spec.secret_provider_class_name.clone(),
        )
    }

    /// Spec and options at this time.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision {
            generation: self.generation,
            options: options::digest(&self.annotations),
        }
    }
}
