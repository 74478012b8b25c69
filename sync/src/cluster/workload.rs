//! Workloads whose Pods are restarted: listed by namespace, patched by name.
//!
//! Which of them, when, and by which patch is decided in the core.

use std::collections::BTreeMap;

use coffer_sync_core::answer::Answer;
use coffer_sync_core::claim::APPLY_MANAGER;
use coffer_sync_core::options::{Kind, Target};
use coffer_sync_core::restart::{Replacement, Workload};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Cluster, unreadable};

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Spec {
    template: Value,
}

impl Cluster {
    /// All workloads of a namespace that can be restarted.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn workloads(&self, namespace: &str) -> Result<Vec<Workload>, Answer> {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let call = Call::new("list", Method::GET, path(namespace, kind));
            let reply = self.send(call).await?;
            let list: List = serde_json::from_slice(&reply.body).map_err(unreadable)?;
            all.extend(list.items.into_iter().map(|item| workload(kind, item)));
        }
        Ok(all)
    }

    /// One workload; none if it is not there.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn workload(
        &self,
        namespace: &str,
        target: &Target,
    ) -> Result<Option<Workload>, Answer> {
        let path = format!("{}/{}", path(namespace, target.kind), target.name);
        match self.send(Call::new("get", Method::GET, path)).await {
            Ok(reply) => {
                let item: Item = serde_json::from_slice(&reply.body).map_err(unreadable)?;
                Ok(Some(workload(target.kind, item)))
            }
            Err(answer) if answer.code == 404 => Ok(None),
            Err(answer) => Err(answer),
        }
    }

    /// Merges a patch into a workload. One that is missing is an error and is never created.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn merge_workload(
        &self,
        namespace: &str,
        target: &Target,
        patch: &Value,
    ) -> Result<(), Answer> {
        self.patch_workload(namespace, target, "application/merge-patch+json", patch)
            .await
    }

    /// Puts a new name wherever an old one still stands, all or nothing.
    ///
    /// # Errors
    /// What the API server said instead of yes, as where a name is another one by now.
    pub async fn repoint_workload(
        &self,
        namespace: &str,
        target: &Target,
        replacements: &[Replacement],
        new: &str,
    ) -> Result<(), Answer> {
        let steps = replacements.iter().flat_map(|replacement| {
            let (path, old) = (&replacement.path, &replacement.old);
            [
                json!({"op": "test", "path": path, "value": old}),
                json!({"op": "replace", "path": path, "value": new}),
            ]
        });
        let patch = Value::Array(steps.collect());
        self.patch_workload(namespace, target, "application/json-patch+json", &patch)
            .await
    }

    async fn patch_workload(
        &self,
        namespace: &str,
        target: &Target,
        content_type: &'static str,
        patch: &Value,
    ) -> Result<(), Answer> {
        let body = patch.to_string();
        let path = format!(
            "{}/{}?fieldManager={APPLY_MANAGER}",
            path(namespace, target.kind),
            target.name
        );
        let call = Call::new("patch", Method::PATCH, path)
            .body(content_type, body.as_bytes())
            .accept(super::METADATA_ONLY);
        self.send(call).await.map(|_| ())
    }
}

fn workload(kind: Kind, item: Item) -> Workload {
    Workload {
        target: Target {
            kind,
            name: item.metadata.name,
        },
        labels: item.metadata.labels,
        template: item.spec.template,
    }
}

fn path(namespace: &str, kind: Kind) -> String {
    let plural = match kind {
        Kind::Deployment => "deployments",
        Kind::StatefulSet => "statefulsets",
        Kind::DaemonSet => "daemonsets",
    };
    format!("/apis/apps/v1/namespaces/{namespace}/{plural}")
}
