//! From objects of the API server to what is kept of them.
//!
//! Lenient: what the schema lets be absent is absent.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_sync_core::claim::Source;
use coffer_sync_core::options::Door;
use coffer_sync_core::options::names::PREFIX;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;

use super::{Change, Moved, Read, SecretState};
use crate::cluster::SyncStatus;
use crate::world::{Class, Key, Sync};

/// A class or SecretSync; none if it cannot be read.
pub(super) fn source(door: Door, object: &DynamicObject) -> Option<Read> {
    let key = key(&object.metadata)?;
    let gone = Change::Gone(door, key.clone());
    // The collector takes what it owns; nothing is written for it any more.
    if object.metadata.deletion_timestamp.is_some() {
        let now = Change::Gone(door, key.clone());
        return Some(Read { key, now, gone });
    }
    let source = identity(door, &object.metadata)?;
    let generation = object.metadata.generation.unwrap_or_default();
    let annotations = ours(&object.metadata);
    let now = match door {
        Door::Class => Change::Class(Box::new(Class {
            source,
            generation,
            annotations,
            spec: Arc::new(part(object, "spec")?),
        })),
        Door::Sync => Change::Sync(Box::new(Sync {
            source,
            generation,
            annotations,
            spec: Arc::new(part(object, "spec")?),
            status: part::<SyncStatus>(object, "status")
                .unwrap_or_default()
                .read(),
        })),
    };
    Some(Read { key, now, gone })
}

/// A Secret by its metadata; none if it cannot be read.
pub(super) fn secret(metadata: &ObjectMeta) -> Option<Read> {
    let key = key(metadata)?;
    let state = SecretState {
        uid: metadata.uid.clone()?,
        resource_version: metadata.resource_version.clone()?,
    };
    let moved = |state| {
        Change::Secret(Moved {
            key: key.clone(),
            state,
        })
    };
    let (now, gone) = (moved(Some(state)), moved(None));
    Some(Read { key, now, gone })
}

/// Whether the kind itself is not there.
pub(super) fn is_missing(error: &watcher::Error) -> bool {
    matches!(code(error), Some(404))
}

/// Whether the right to list is missing.
pub(super) fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(code(error), Some(403))
}

/// What went wrong, as far as it says more than that something did.
pub(super) fn cause(error: &watcher::Error) -> String {
    match code(error) {
        Some(403) => "the right to list and watch is missing".to_owned(),
        Some(code) => format!("the API server answered {code}"),
        None => "the API server cannot be reached, or ended the watch".to_owned(),
    }
}

fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

fn key(metadata: &ObjectMeta) -> Option<Key> {
    Some((metadata.namespace.clone()?, metadata.name.clone()?))
}

fn identity(door: Door, metadata: &ObjectMeta) -> Option<Source> {
    let (namespace, name) = key(metadata)?;
    let created = metadata.creation_timestamp.as_ref()?.0.as_second();
    Some(Source {
        door,
        namespace,
        name,
        uid: metadata.uid.clone()?,
        created: Timestamp::from_second(created).ok()?,
    })
}

fn ours(metadata: &ObjectMeta) -> BTreeMap<String, String> {
    let all = metadata.annotations.iter().flatten();
    all.filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect()
}

/// `spec` or `status`; what is absent reads as empty.
fn part<T: DeserializeOwned>(object: &DynamicObject, name: &str) -> Option<T> {
    match object.data.get(name).filter(|value| !value.is_null()) {
        Some(value) => T::deserialize(value).ok(),
        None => T::deserialize(&serde_json::Value::Object(serde_json::Map::new())).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: serde_json::Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn metadata() -> serde_json::Value {
        json!({"namespace": "ns", "name": "a", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
               "generation": 2, "annotations": {"coffer.rs/sync-as": "app", "other": "x"}})
    }

    /// Sync §1: the schema demands nothing of a class.
    #[test]
    fn a_class_without_a_spec_is_read() {
        let read = source(Door::Class, &object(json!({"metadata": metadata()}))).unwrap();
        let Change::Class(class) = read.now else {
            panic!("no class")
        };
        assert_eq!(class.generation, 2);
        assert_eq!(class.annotations.len(), 1);
        assert!(class.spec.parameters.is_empty());
    }

    #[test]
    fn a_source_that_is_being_deleted_is_gone() {
        let mut metadata = metadata();
        metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let read = source(Door::Sync, &object(json!({"metadata": metadata}))).unwrap();
        assert!(matches!(read.now, Change::Gone(Door::Sync, _)));
    }

    /// Style 23: one malformed object does not end a watch.
    #[test]
    fn a_source_that_cannot_be_read_is_none() {
        let odd = json!({"metadata": metadata(), "spec": {"parameters": 3}});
        assert!(source(Door::Class, &object(odd)).is_none());
        assert!(source(Door::Class, &object(json!({"metadata": {}}))).is_none());
    }
}
