//! What cases of coffer-sync at the API server begin with: documents, requests, and what the server said.
//!
//! Documents are plain JSON, so that a case can hold what no type of ours would let it say.

use anyhow::{Result, ensure};
use coffer_tests::apiserver::ApiServer;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// The definition of SecretSync that Coffer ships.
pub(crate) const SECRET_SYNC: &str = "charts/coffer/files/crds/secretsync.yaml";
/// The definition of SecretProviderClass that Coffer ships.
pub(crate) const CLASS: &str = "charts/coffer/files/crds/secretproviderclass.yaml";
/// What coffer-sync may do in every installation.
pub(crate) const RBAC: &str = "charts/coffer/files/sync/rbac.yaml";
/// Where all of it runs.
pub(crate) const SYSTEM: &str = "coffer-system";
/// Its account there.
pub(crate) const ACCOUNT: &str = "coffer-sync";

/// A SecretSync with no more than it needs.
pub(crate) fn secret_sync(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "secret-sync.x-k8s.io/v1alpha1",
        "kind": "SecretSync",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "secretProviderClassName": "c",
            "serviceAccountName": "app",
            "secretObject": {"data": [{"sourcePath": "a", "targetKey": "b"}]},
        },
    })
}

/// A SecretProviderClass that makes these Secrets.
pub(crate) fn class(namespace: &str, name: &str, secrets: &[&str]) -> Value {
    let secrets: Vec<Value> = secrets
        .iter()
        .map(|name| json!({"secretName": name}))
        .collect();
    json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": "vault", "secretObjects": secrets},
    })
}

/// A Secret without anything.
pub(crate) fn secret(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}})
}

/// The document with another value at this place, such as `/spec/secretObject/type`; what is missing on the way
/// there is made.
pub(crate) fn with(mut document: Value, place: &str, value: Value) -> Value {
    let parts = place.split('/').skip(1);
    *parts.fold(&mut document, |at, part| &mut at[part]) = value;
    document
}

/// The document without what is at this place.
pub(crate) fn without(mut document: Value, place: &str) -> Value {
    let (parent, last) = place.rsplit_once('/').unwrap_or_default();
    if let Some(parent) = document.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.remove(last);
    }
    document
}

/// How a dry run of its creation ends.
pub(crate) async fn tried(client: &Client, object: &Value) -> Result<String> {
    let how = PostParams {
        dry_run: true,
        ..Default::default()
    };
    let objects = ApiServer::objects(client.clone(), object)?;
    said(objects.create(&how, &dynamic(object)?).await)
}

/// Creates it, whatever the server makes of it.
pub(crate) async fn created(client: &Client, object: &Value) -> Result<DynamicObject> {
    let objects = ApiServer::objects(client.clone(), object)?;
    Ok(objects
        .create(&PostParams::default(), &dynamic(object)?)
        .await?)
}

/// What is stored of it now.
pub(crate) async fn stored(client: &Client, object: &Value) -> Result<Value> {
    let objects = ApiServer::objects(client.clone(), object)?;
    Ok(serde_json::to_value(objects.get(name(object)).await?)?)
}

/// How a server-side apply ends.
pub(crate) async fn applied(client: &Client, object: &Value, how: &PatchParams) -> Result<String> {
    let objects = ApiServer::objects(client.clone(), object)?;
    said(
        objects
            .patch(name(object), how, &Patch::Apply(object))
            .await,
    )
}

/// How a merge patch of the object ends.
pub(crate) async fn merged(
    client: &Client,
    object: &Value,
    how: &PatchParams,
    patch: &Value,
) -> Result<String> {
    let objects = ApiServer::objects(client.clone(), object)?;
    said(objects.patch(name(object), how, &Patch::Merge(patch)).await)
}

/// How its deletion ends.
pub(crate) async fn deleted(client: &Client, object: &Value, how: &DeleteParams) -> Result<String> {
    let objects = ApiServer::objects(client.clone(), object)?;
    said(objects.delete(name(object), how).await)
}

/// How a request for a token of an account ends.
pub(crate) async fn token(
    client: &Client,
    namespace: &str,
    account: &str,
    audiences: &[&str],
    seconds: i64,
) -> Result<String> {
    let spec = json!({"audiences": audiences, "expirationSeconds": seconds});
    let request: TokenRequest = serde_json::from_value(json!({"spec": spec}))?;
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    said(
        accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await,
    )
}

/// What the server said: `ok`, or its code and its text.
pub(crate) fn said<T>(answer: Result<T, kube::Error>) -> Result<String> {
    match answer {
        Ok(_) => Ok("ok".to_owned()),
        Err(kube::Error::Api(status)) => Ok(format!("{} {}", status.code, status.message)),
        Err(other) => Err(other.into()),
    }
}

/// Fails unless the server said what was expected: `ok`, or a code and after a blank a part of its text.
pub(crate) fn judge(what: &str, said: &str, expected: &str) -> Result<()> {
    let (code, part) = expected.split_once(' ').unwrap_or((expected, ""));
    ensure!(
        said.starts_with(code) && said.contains(part),
        "{what}: {expected:?} was expected, the server said: {said}"
    );
    Ok(())
}

fn dynamic(object: &Value) -> Result<DynamicObject> {
    Ok(serde_json::from_value(object.clone())?)
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
