//! Requests about Secrets: apply, look, compare, clear, delete. Answers hold metadata only, but for the one
//! that compares.
//!
//! Which of them is sent, and what follows from its answer, is decided in the core.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_sync_core::answer::Answer;
use coffer_sync_core::bytes::{Data, SecretBytes};
use coffer_sync_core::claim::{APPLY_MANAGER, Operation, PROBE_MANAGER};
use coffer_sync_core::decide::Matching;
use http::Method;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Call, Cluster, Document, METADATA_ONLY, Seen, unreadable};

const APPLY: &str = "application/apply-patch+yaml";
const JSON_PATCH: &str = "application/json-patch+json";

/// One server-side apply.
#[derive(Clone, Copy)]
pub struct Patch<'a> {
    /// Namespace of the Secret.
    pub namespace: &'a str,
    /// Name of the Secret.
    pub name: &'a str,
    /// Whether fields of others are taken over.
    pub force: bool,
}

/// A Secret after a write or a look.
pub struct Written {
    /// Whether the status was 201: it was not there before.
    pub created: bool,
    /// The Secret.
    pub seen: Seen,
}

/// Of a whole Secret, what is compared. Its values are wiped.
#[derive(Deserialize)]
struct Whole {
    #[serde(rename = "type", default)]
    type_: String,
    #[serde(default)]
    immutable: Option<bool>,
    #[serde(default)]
    data: Option<BTreeMap<String, Zeroizing<String>>>,
}

impl Cluster {
    /// Applies a document as our one field manager.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn apply(&self, patch: Patch<'_>, body: &[u8]) -> Result<Written, Answer> {
        let path = apply_path(patch, APPLY_MANAGER, false);
        self.applied(path, body).await
    }

    /// Looks, by a dry run that needs no right to read: who would be the Secret's owner stands in `mark`.
    ///
    /// # Errors
    /// What the API server said instead of yes; a write policy says no to a stranger's Secret.
    pub async fn probe(&self, patch: Patch<'_>, mark: &[u8]) -> Result<Written, Answer> {
        let path = apply_path(patch, PROBE_MANAGER, true);
        self.applied(path, mark).await
    }

    /// Compares a Secret that is not ours with what would be written. Its values pass through here, once.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn compare(
        &self,
        patch: Patch<'_>,
        mark: &[u8],
        type_: &str,
        data: &Data,
    ) -> Result<Matching, Answer> {
        let path = apply_path(patch, PROBE_MANAGER, true);
        let call = Call::new("patch", Method::PATCH, path).body(APPLY, mark);
        let reply = self.send(call).await?;
        let whole: Whole = serde_json::from_slice(&reply.body).map_err(unreadable)?;
        Ok(whole.matching(type_, data))
    }

    /// Gives up everything that this manager owns in the Secret.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn clear(
        &self,
        patch: Patch<'_>,
        manager: &str,
        uid: &str,
    ) -> Result<Written, Answer> {
        let body = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": patch.name, "namespace": patch.namespace, "uid": uid},
        });
        let path = apply_path(patch, manager, false);
        self.applied(path, body.to_string().as_bytes()).await
    }

    /// Takes the entry of an Update out of managedFields: no apply would.
    ///
    /// # Errors
    /// What the API server said instead of yes, as where the entry is another one by now.
    pub async fn disown(
        &self,
        namespace: &str,
        name: &str,
        seen: &Seen,
        manager: &str,
    ) -> Result<(), Answer> {
        let Some(at) = seen.entry_of(manager, Operation::Update) else {
            return Ok(());
        };
        let entry = format!("/metadata/managedFields/{at}");
        let body = json!([
            {"op": "test", "path": "/metadata/uid", "value": seen.uid},
            {"op": "test", "path": format!("{entry}/manager"), "value": manager},
            {"op": "test", "path": format!("{entry}/operation"), "value": "Update"},
            {"op": "remove", "path": entry},
        ])
        .to_string();
        let path = format!("{}?fieldManager={APPLY_MANAGER}", path(namespace, name));
        let call = Call::new("patch", Method::PATCH, path)
            .body(JSON_PATCH, body.as_bytes())
            .accept(METADATA_ONLY);
        self.send(call).await.map(|_| ())
    }

    /// Deletes exactly this state of a Secret. One that is gone is as good.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn delete(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        resource_version: &str,
    ) -> Result<(), Answer> {
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
        })
        .to_string();
        let call = Call::new("delete", Method::DELETE, path(namespace, name))
            .body(super::JSON, body.as_bytes())
            .accept(METADATA_ONLY);
        match self.send(call).await {
            Ok(_) => Ok(()),
            Err(answer) if answer.code == 404 => Ok(()),
            Err(answer) => Err(answer),
        }
    }

    /// The Secrets of a namespace that bear this label, by metadata. Needs the right to list.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn labelled(
        &self,
        namespace: &str,
        label: &str,
    ) -> Result<Vec<(String, Seen)>, Answer> {
        let path = format!("/api/v1/namespaces/{namespace}/secrets?labelSelector={label}%3Dtrue");
        let call = Call::new("list", Method::GET, path)
            .accept("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
        let reply = self.send(call).await?;
        let list: List = serde_json::from_slice(&reply.body).map_err(unreadable)?;
        let items = list.items.into_iter();
        Ok(items
            .map(|item| (item.metadata.name.clone(), item.metadata.seen()))
            .collect())
    }

    async fn applied(&self, path: String, body: &[u8]) -> Result<Written, Answer> {
        let call = Call::new("patch", Method::PATCH, path)
            .body(APPLY, body)
            .accept(METADATA_ONLY);
        let reply = self.send(call).await?;
        let document: Document = serde_json::from_slice(&reply.body).map_err(unreadable)?;
        Ok(Written {
            created: reply.code == 201,
            seen: document.metadata.seen(),
        })
    }
}

#[derive(Deserialize)]
struct List {
    items: Vec<Document>,
}

fn path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{name}")
}

fn apply_path(patch: Patch<'_>, manager: &str, dry: bool) -> String {
    let path = path(patch.namespace, patch.name);
    let dry = if dry { "&dryRun=All" } else { "" };
    format!("{path}?fieldManager={manager}&force={}{dry}", patch.force)
}

impl Whole {
    fn matching(&self, type_: &str, data: &Data) -> Matching {
        let there = self.data.as_ref();
        let differs = |(key, wanted): &(&String, &SecretBytes)| {
            let found = there.and_then(|there| there.get(*key));
            found.is_some_and(|text| {
                let bytes = STANDARD.decode(text.as_bytes()).map(Zeroizing::new);
                bytes.is_ok_and(|bytes| bytes.as_slice() != wanted.expose())
            })
        };
        let differing = data.iter().filter(differs).map(|(key, _)| key.clone());
        Matching {
            type_: self.type_ == type_,
            immutable: self.immutable == Some(true),
            differing: differing.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_secret_is_compared_by_type_and_by_the_keys_that_would_be_written() {
        let text = r#"{"type":"Opaque","immutable":true,"data":{"same":"YQ==","other":"Yg==","foreign":"eA=="}}"#;
        let whole: Whole = serde_json::from_str(text).unwrap();
        let data: Data = [("same", "a"), ("other", "c"), ("new", "d")]
            .map(|(key, value)| (key.to_owned(), SecretBytes::new(value.into())))
            .into();
        let matching = whole.matching("Opaque", &data);
        assert!(matching.type_ && matching.immutable);
        assert_eq!(matching.differing, ["other".to_owned()].into());
        assert!(!whole.matching("kubernetes.io/tls", &data).type_);
    }

    #[test]
    fn a_secret_without_data_differs_in_nothing() {
        let whole: Whole = serde_json::from_str("{}").unwrap();
        let data: Data = [("new".to_owned(), SecretBytes::new(b"d".to_vec()))].into();
        assert!(whole.matching("Opaque", &data).differing.is_empty());
    }
}
