//! A SecretProviderClass as far as it matters.
//!
//! Its spec is read in `manifest`.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_sync_core::claim::Source;
use coffer_sync_core::decide::Revision;
use coffer_sync_core::options;

use super::Key;
use crate::manifest::ClassSpec;

/// A SecretProviderClass. No Debug: parameters may hold what is secret to the store.
#[derive(Clone)]
pub struct Class {
    /// Who it is.
    pub source: Source,
    /// `metadata.generation`.
    pub generation: i64,
    /// Its annotations under `coffer.rs/`.
    pub annotations: BTreeMap<String, String>,
    /// Its spec.
    pub spec: Arc<ClassSpec>,
}

impl Class {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.source.namespace.clone(), self.source.name.clone())
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
