//! The metadata of a Secret as the API server sends it, read into what the core asks about.
//!
//! Values never pass here: only metadata is asked for.

use std::collections::BTreeMap;

use coffer_sync_core::answer::Reply;
use coffer_sync_core::claim::Source;
use coffer_sync_core::claim::{APPLY_MANAGER, Managed, Metadata, Operation};
use coffer_sync_core::decide::Present;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The answer's document: metadata, and nothing else of it.
#[derive(Deserialize)]
pub struct Document {
    /// The metadata.
    pub metadata: Fields,
}

/// The metadata of one object.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Fields {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// When it was created, in RFC 3339.
    pub creation_timestamp: String,
    /// When it was told to go, in RFC 3339.
    pub deletion_timestamp: Option<String>,
    owner_references: Vec<OwnerReference>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    managed_fields: Vec<ManagedFields>,
}

#[derive(Deserialize)]
struct OwnerReference {
    kind: String,
    name: String,
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ManagedFields {
    manager: String,
    operation: String,
    time: Option<String>,
    fields_v1: Value,
}

/// A Secret that is there, by its metadata.
pub struct Seen {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// When it was created, if that can be read.
    pub created_at: Option<Timestamp>,
    /// Whether it has a deletionTimestamp.
    pub deleting: bool,
    /// When we wrote last, by managedFields.
    pub written: Option<Timestamp>,
    /// What tells whose it is.
    pub metadata: Metadata,
}

impl Fields {
    /// Reads what matters.
    #[must_use]
    pub fn seen(self) -> Seen {
        let ours =
            |entry: &&ManagedFields| entry.manager == APPLY_MANAGER && entry.operation == "Apply";
        let written = self.managed_fields.iter().find(ours);
        let written = written.and_then(|entry| entry.time.as_ref()?.parse().ok());
        let managed = self.managed_fields.into_iter().map(|entry| Managed {
            manager: entry.manager,
            operation: if entry.operation == "Apply" {
                Operation::Apply
            } else {
                Operation::Update
            },
            fields: entry.fields_v1,
        });
        let owners = self.owner_references.into_iter();
        Seen {
            uid: self.uid,
            resource_version: self.resource_version,
            created_at: self.creation_timestamp.parse().ok(),
            deleting: self.deletion_timestamp.is_some(),
            written,
            metadata: Metadata {
                owners: owners
                    .map(|owner| (owner.kind, owner.name, owner.uid))
                    .collect(),
                labels: self.labels,
                annotations: self.annotations,
                managed: managed.collect(),
            },
        }
    }
}

impl Seen {
    /// What it tells this source.
    #[must_use]
    pub fn present(&self, source: &Source) -> Present {
        let (uid, version) = (&self.uid, &self.resource_version);
        Present::read(source, uid, version, self.deleting, &self.metadata)
    }

    /// The answer to an apply, as the core reads effects from it.
    #[must_use]
    pub fn reply(&self, created: bool) -> Reply {
        Reply {
            created,
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
            written: self.written,
            deleting: self.deleting,
        }
    }

    /// Position of an entry of managedFields.
    #[must_use]
    pub fn entry_of(&self, manager: &str, operation: Operation) -> Option<usize> {
        let mut entries = self.metadata.managed.iter();
        entries.position(|entry| entry.manager == manager && entry.operation == operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_far_as_it_matters_whose_a_secret_is() {
        let text = r#"{"kind":"PartialObjectMetadata","metadata":{"name":"a","uid":"u","resourceVersion":"7",
            "creationTimestamp":"2026-01-01T00:00:00Z","labels":{"l":"1"},"annotations":{"n":"2"},
            "ownerReferences":[{"apiVersion":"v","kind":"SecretSync","name":"a","uid":"o"}],
            "managedFields":[{"manager":"hand","operation":"Update","fieldsV1":{"f:data":{}}},
            {"manager":"coffer-sync","operation":"Apply","time":"2026-01-02T00:00:00Z","fieldsV1":{"f:type":{}}}]}}"#;
        let document: Document = serde_json::from_str(text).unwrap();
        let seen = document.metadata.seen();
        assert_eq!(
            (seen.uid.as_str(), seen.resource_version.as_str()),
            ("u", "7")
        );
        assert_eq!(seen.written.unwrap().to_string(), "2026-01-02T00:00:00Z");
        assert!(!seen.deleting);
        assert_eq!(
            seen.metadata.owners,
            [("SecretSync".into(), "a".into(), "o".into())]
        );
        assert_eq!(seen.entry_of("hand", Operation::Update), Some(0));
        assert_eq!(seen.entry_of("hand", Operation::Apply), None);
        assert_eq!(
            seen.metadata.managed[1].fields["f:type"],
            serde_json::json!({})
        );
    }

    #[test]
    fn metadata_of_next_to_nothing_is_read_too() {
        let document: Document = serde_json::from_str(r#"{"metadata":{}}"#).unwrap();
        let seen = document.metadata.seen();
        assert!(seen.metadata.managed.is_empty() && seen.created_at.is_none());
    }
}
