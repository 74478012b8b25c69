//! What no other file is about: what an installation brings and leaves, where sockets are, a key that is lost,
//! refusals of the API server, leaders that end in a rotation, and turns of the content.

/// Turns of the content, and of who claims it.
mod content;
/// Where the sockets of providers are.
mod directories;
/// What is installed, and what is no more.
mod installation;
/// The key of all fingerprints.
mod key;
/// Leaders that end while workloads restart.
mod leaders;
/// What the API server does not take.
mod refusals;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Scene, VENDOR};

/// A class that makes this Secret, whose key `k` is file `f`.
pub(super) async fn maker(scene: &Scene, name: &str, secret: &str) -> Result<Value> {
    let entry = json!({
        "secretName": secret,
        "type": "Opaque",
        "data": [{"objectName": "f", "key": "k"}],
    });
    scene
        .create(json!({
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": {"name": name, "annotations": {"coffer.rs/sync-as": "app"}},
            "spec": {"provider": VENDOR, "secretObjects": [entry]},
        }))
        .await
}

/// A SecretSync of a custom type that requires the key `b` of all files.
fn demanding(scene: &Scene, name: &str) -> Value {
    let sync = scene.sync_of(name, "example.com/login", &[("f", "k")]);
    super::options::with_options(sync, &[("all-keys", "true"), ("required-keys", "b")])
}
