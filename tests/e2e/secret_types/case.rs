//! A Secret as data, and what our own code makes of it.
//!
//! What the server answers is in `reply`.

use std::collections::BTreeMap;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_sync_core::bytes::{Data, SecretBytes};
use coffer_sync_core::claim::Source;
use coffer_sync_core::options::{Deletion, Door};
use coffer_sync_core::render::{Parts, Refused, Rendered, render};
use coffer_sync_core::secret_type::SecretType;
use coffer_sync_core::validate::{Findings, Policy, Subject, validate};
use jiff::Timestamp;
use serde_json::{Value, json};

/// When our side judges: within the life of every certificate of the test data.
const NOW: &str = "2030-01-01T00:00:00Z";

/// A Secret for both sides. All of it is made up.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) secret_type: String,
    pub(super) data: Data,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Case {
    pub(super) fn new(secret_type: &str) -> Self {
        Self {
            name: "made-up".to_owned(),
            secret_type: secret_type.to_owned(),
            data: Data::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// An Opaque Secret with one key.
    pub(super) fn opaque() -> Self {
        Self::new("Opaque").with("k", "v")
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub(super) fn with(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        let bytes = SecretBytes::new(value.as_ref().to_vec());
        self.data.insert(key.to_owned(), bytes);
        self
    }

    pub(super) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(super) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// What an apply sends. Nothing in it is empty: an empty map is a field that somebody owns.
    pub(super) fn document(&self) -> Value {
        let mut document = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name},
            "type": self.secret_type,
        });
        for (member, texts) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !texts.is_empty() {
                document["metadata"][member] = json!(texts);
            }
        }
        if !self.data.is_empty() {
            let encoded = |value: &SecretBytes| BASE64_STANDARD.encode(value.expose());
            let data = self.data.iter().map(|(key, value)| (key, encoded(value)));
            document["data"] = json!(data.collect::<BTreeMap<_, _>>());
        }
        document
    }

    /// What our pre-flight says.
    pub(super) fn findings(&self, namespace: &str) -> Result<Findings> {
        let now: Timestamp = NOW.parse()?;
        let subject = Subject {
            name: &self.name,
            namespace,
            secret_type: &SecretType::parse(&self.secret_type),
            data: &self.data,
            labels: &self.labels,
            annotations: &self.annotations,
            required_keys: &[],
            service_account_exists: None,
        };
        Ok(validate(&subject, Policy::Hold, now))
    }

    /// What we would write for a SecretSync.
    pub(super) fn rendered(&self, namespace: &str) -> Result<Rendered<SecretBytes>, Vec<Refused>> {
        render(Parts {
            source: Source {
                door: Door::Sync,
                namespace: namespace.to_owned(),
                name: "made-up".to_owned(),
                uid: "00000000-0000-4000-a000-000000000000".to_owned(),
                created: Timestamp::UNIX_EPOCH,
            },
            name: self.name.clone(),
            type_: self.secret_type.clone(),
            data: self.data.clone(),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            deletion: Deletion::Delete,
            adopted: false,
            immutable: false,
        })
    }

    /// For messages: the name, the type, and the start of every value.
    pub(super) fn outline(&self) -> String {
        let start =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let data: Vec<(String, String)> = self
            .data
            .iter()
            .take(8)
            .map(|(key, value)| (start(key.as_bytes()), start(value.expose())))
            .collect();
        let (name, secret_type) = (
            start(self.name.as_bytes()),
            start(self.secret_type.as_bytes()),
        );
        format!("{secret_type} {name:?} {data:?}")
    }
}
