//! Manifests of the repository on a server: the documents of a YAML file, applied as an installer would.
//!
//! Names of resources follow from kinds as kube guesses them, so nothing is discovered. A document goes to the
//! server as it stands in its file.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, TypeMeta,
};
use serde::Deserialize;
use serde_json::Value;

use super::ApiServer;
use crate::fixture::{eventually, repository};

/// A definition is served within a second on an idle machine.
const SERVED: Duration = Duration::from_secs(30);
/// Field manager of what a test applies.
const MANAGER: &str = "coffer-tests";

impl ApiServer {
    /// The documents of a YAML file, by its path from the root of the repository.
    ///
    /// # Errors
    /// When it cannot be read, is no YAML, or is empty.
    pub fn documents(path: &str) -> Result<Vec<Value>> {
        let text = fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| path.to_owned())?;
        ensure!(!documents.is_empty(), "{path} holds no document");
        Ok(documents)
    }

    /// The objects of a document's kind, in its namespace if it has one, as this client sees them.
    ///
    /// # Errors
    /// When the document has no kind.
    pub fn objects(client: Client, document: &Value) -> Result<Api<DynamicObject>> {
        let types = TypeMeta::deserialize(document).context("a document without a kind")?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
        Ok(match document["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        })
    }

    /// Applies every document of a file and waits until what it defines is served. What is there already follows.
    ///
    /// # Errors
    /// When the server refuses a document.
    pub async fn install(&self, path: &str) -> Result<()> {
        for document in Self::documents(path)? {
            let applied = self.apply(&document).await;
            applied.with_context(|| format!("{path}: {}", document["kind"]))?;
        }
        Ok(())
    }

    /// Deletes every document of a file.
    ///
    /// # Errors
    /// When one is not there.
    pub async fn uninstall(&self, path: &str) -> Result<()> {
        for document in Self::documents(path)? {
            let objects = Self::objects(self.client(), &document)?;
            objects
                .delete(name(&document)?, &DeleteParams::default())
                .await?;
        }
        Ok(())
    }

    /// Applies one document.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn apply(&self, document: &Value) -> Result<()> {
        let how = PatchParams::apply(MANAGER).force();
        let objects = Self::objects(self.client(), document)?;
        objects
            .patch(name(document)?, &how, &Patch::Apply(document))
            .await?;
        if document["kind"] == "CustomResourceDefinition" {
            self.served(document).await?;
        }
        Ok(())
    }

    /// Waits until a definition is established and its objects can be listed.
    async fn served(&self, definition: &Value) -> Result<()> {
        let objects = Self::objects(self.client(), definition)?;
        let name = name(definition)?;
        let spec = &definition["spec"];
        let group = spec["group"].as_str().context("no group")?;
        let plural = spec["names"]["plural"].as_str().context("no plural")?;
        let versions = spec["versions"].as_array().context("no versions")?;
        eventually(SERVED, "a definition that is served", async || {
            let status = objects.get(name).await?.data["status"].clone();
            let conditions = status["conditions"].as_array();
            let established = conditions.into_iter().flatten().any(|condition| {
                condition["type"] == "Established" && condition["status"] == "True"
            });
            ensure!(established, "{name}: {status}");
            for version in versions {
                let version = version["name"].as_str().context("a version without name")?;
                let list = format!("/apis/{group}/{version}/{plural}?limit=1");
                let request = http::Request::get(list).body(Vec::new())?;
                self.client.request_text(request).await?;
            }
            Ok(())
        })
        .await
    }
}

fn name(document: &Value) -> Result<&str> {
    document["metadata"]["name"]
        .as_str()
        .context("a document without a name")
}
