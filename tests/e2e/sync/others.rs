//! What other products get wrong, line by line of the reference's table: each line is what ours does instead.
//!
//! Black box: objects in; Secrets, conditions, Events, metrics and calls of the provider out.

/// The Secrets Store CSI driver's own sync.
mod csi_driver;
/// External Secrets.
mod external_secrets;
/// Upstream's sync controller, the first four lines.
mod upstream;
/// Upstream's sync controller, the other three.
mod upstream_claims;
/// Vault Secrets Operator.
mod vault_operator;

use anyhow::{Result, ensure};
use kube::api::PatchParams;
use serde_json::{Value, json};

use super::drift::encoded;
use super::{Scene, value};
use crate::sync_objects::{applied, judge};

/// A class of the vendor's provider that is open to us and makes these Secrets.
async fn open_class(scene: &Scene, name: &str, secrets: Value) -> Result<Value> {
    scene
        .create(json!({
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": {"name": name, "annotations": {"coffer.rs/sync-as": "app"}},
            "spec": {"provider": "vendor", "secretObjects": secrets},
        }))
        .await
}

/// An object of the namespace that may own a Secret.
async fn other_owner(scene: &Scene) -> Result<Value> {
    scene
        .create(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "owner"},
        }))
        .await
}

/// A reference to such an owner.
fn reference(owner: &Value) -> Value {
    let metadata = &owner["metadata"];
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": metadata["name"],
        "uid": metadata["uid"],
    })
}

/// Somebody puts an owner, a label, an annotation and a key of their own into the Secret `a`.
async fn add_owner(scene: &Scene, owner: &Value) -> Result<()> {
    let theirs = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "a",
            "namespace": scene.namespace,
            "labels": {"theirs": "x"},
            "annotations": {"theirs": "x"},
            "ownerReferences": [reference(owner)],
        },
        "data": {"theirs": encoded("x")},
    });
    let how = PatchParams::apply("somebody");
    let said = applied(&scene.ground.admin, &theirs, &how).await?;
    judge("what somebody else applies", &said, "ok")
}

/// Fails unless that is still there.
fn has_owner(secret: &Value, owner: &Value) -> Result<()> {
    let metadata = &secret["metadata"];
    ensure!(
        owners(secret).contains(&&owner["metadata"]["uid"]),
        "{metadata}"
    );
    ensure!(metadata["labels"]["theirs"] == "x", "{metadata}");
    ensure!(metadata["annotations"]["theirs"] == "x", "{metadata}");
    ensure!(value(secret, "theirs") == Some(b"x".to_vec()), "{metadata}");
    Ok(())
}

/// The uids of a Secret's owners.
fn owners(secret: &Value) -> Vec<&Value> {
    let references = secret["metadata"]["ownerReferences"].as_array();
    let references = references.into_iter().flatten();
    references.map(|reference| &reference["uid"]).collect()
}
