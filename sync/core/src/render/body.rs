//! The document that is sent: what server-side apply takes, and nothing that it must not have.
//!
//! There never is `stringData` (its keys outlive their removal), `managedFields` or `resourceVersion`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Reference, Rendered};
use crate::mapping::Value;

/// The JSON of an apply, wiped when dropped. No Debug:
///
/// ```compile_fail,E0277
/// fn print(body: &coffer_sync_core::render::Body) -> String { format!("{body:?}") }
/// ```
pub struct Body(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Body {
    pub(super) fn apply<B: Value>(
        secret: &Rendered<B>,
        annotations: &BTreeMap<String, String>,
        uid: Option<&str>,
    ) -> Self {
        let owner = secret.owner.as_ref().map(Owner::from);
        let document = Document {
            api_version: "v1",
            kind: "Secret",
            metadata: Metadata {
                name: &secret.name,
                namespace: &secret.namespace,
                uid,
                labels: &secret.labels,
                annotations,
                owner_references: owner.into_iter().collect(),
            },
            type_: &secret.type_,
            immutable: secret.immutable.then_some(true),
            // Of an immutable Secret without data the API server later refuses `data: {}`: absent and empty differ.
            data: secret
                .data
                .iter()
                .map(|(key, value)| (key.as_str(), Base64(value.as_ref())))
                .collect(),
        };
        let room = secret
            .data
            .values()
            .map(|value| value.as_ref().len())
            .sum::<usize>()
            * 4
            / 3;
        let mut out = Zeroizing::new(Vec::with_capacity(room + 4096));
        // Writing to memory cannot fail, and every key of the document is text.
        let written = serde_json::to_writer(&mut *out, &document);
        debug_assert!(written.is_ok());
        Self(out)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    #[serde(rename = "type")]
    type_: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    immutable: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<&'a str, Base64<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    owner_references: Vec<Owner<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Owner<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    uid: &'a str,
}

impl<'a> From<&'a Reference> for Owner<'a> {
    fn from(reference: &'a Reference) -> Self {
        Self {
            api_version: reference.api_version,
            kind: reference.kind,
            name: &reference.name,
            uid: &reference.uid,
        }
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(self.0)))
    }
}
