//! The objects of the scene as documents: classes, SecretSyncs, and the bytes that the vendor has for each class.
//!
//! Everything follows from numbers, so nothing of it is kept.

use std::ops::Range;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bench::world::Scale;

/// The name of the vendor's provider.
pub(super) const VENDOR: &str = "vendor";
/// The account that every object is fetched as.
pub(super) const ACCOUNT: &str = "app";
/// The one file of every answer.
pub(super) const FILE: &str = "f";
/// The key that it becomes.
pub(super) const KEY: &str = "k";
/// Of the value in each Secret.
pub(super) const BYTES: usize = 2048;

const CLASSES: usize = 100;
const OF_CLASS: usize = 100;
/// So many classes share a namespace.
const OF_NAMESPACE: usize = 10;

/// How many objects there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) classes: usize,
}

impl Size {
    pub(super) const fn of(scale: Scale) -> Self {
        Self {
            classes: scale.count(CLASSES),
        }
    }

    /// SecretSyncs, and so Secrets.
    pub(super) const fn objects(self) -> usize {
        self.classes * OF_CLASS
    }

    pub(super) const fn namespaces(self) -> usize {
        self.classes.div_ceil(OF_NAMESPACE)
    }

    pub(super) const fn all(self) -> Range<usize> {
        0..self.classes
    }

    /// Classes of the first namespace that together have a tenth of all objects.
    pub(super) const fn tenth(self) -> Range<usize> {
        0..self.classes.div_ceil(10)
    }
}

/// SecretSyncs of so many classes.
pub(super) const fn of_classes(classes: usize) -> usize {
    classes * OF_CLASS
}

/// The name of a namespace.
pub(super) fn namespace(number: usize) -> String {
    format!("team-{number}")
}

/// The name of a class.
pub(super) fn class_name(class: usize) -> String {
    format!("class-{class:03}")
}

/// A SecretProviderClass.
pub(super) fn class(class: usize) -> Value {
    json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": class_name(class), "namespace": namespace(class / OF_NAMESPACE)},
        "spec": {"provider": VENDOR, "parameters": {"roleName": "app"}},
    })
}

/// One of the SecretSyncs.
pub(super) fn sync(number: usize) -> Value {
    named(number / OF_CLASS, &format!("secret-{number:05}"))
}

/// The name of one that comes later.
pub(super) fn late_name(number: usize) -> String {
    format!("late-{number:03}")
}

/// One that comes later.
pub(super) fn late(class: usize, number: usize) -> Value {
    named(class, &late_name(number))
}

/// What the vendor has for a class: other bytes in every revision.
pub(super) fn content(class: usize, revision: usize) -> Bytes {
    let words = format!("class {class} revision {revision}; ");
    let mut text = words.repeat(BYTES / words.len() + 1);
    text.truncate(BYTES);
    text.into()
}

fn named(class: usize, name: &str) -> Value {
    json!({
        "apiVersion": "secret-sync.x-k8s.io/v1alpha1",
        "kind": "SecretSync",
        "metadata": {"name": name, "namespace": namespace(class / OF_NAMESPACE)},
        "spec": {
            "secretProviderClassName": class_name(class),
            "serviceAccountName": ACCOUNT,
            "secretSyncControllerName": "coffer.rs/sync",
            "secretObject": {"type": "Opaque", "data": [{"sourcePath": FILE, "targetKey": KEY}]},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_length_and_differ_by_class_and_revision() {
        let all = [content(1, 0), content(1, 1), content(11, 0), content(2, 1)];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(one.len(), BYTES);
            assert!(!all[..at].contains(one), "{at} is there twice");
        }
    }

    #[test]
    fn a_full_run_has_ten_thousand_objects_and_changes_a_thousand_of_one_namespace() {
        let size = Size::of(Scale { quick: false });
        assert_eq!((size.objects(), size.namespaces()), (10_000, 10));
        let tenth = size.tenth();
        assert_eq!(of_classes(tenth.len()), 1000);
        let last = class(tenth.end - 1);
        assert_eq!(last["metadata"]["namespace"], namespace(0));
    }

    #[test]
    fn a_secret_sync_stands_beside_its_class() {
        let (sync, class) = (sync(4321), class(43));
        assert_eq!(
            sync["spec"]["secretProviderClassName"],
            class["metadata"]["name"]
        );
        assert_eq!(
            sync["metadata"]["namespace"],
            class["metadata"]["namespace"]
        );
    }
}
