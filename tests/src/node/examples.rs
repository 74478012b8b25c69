//! The examples of typed Secrets, from the store to the pod that uses them: `examples/secrets`.
//!
//! Manifests and scripts are taken as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ground::Ground;
use super::{images, pods};
use crate::apiserver::ApiServer;
use crate::fixture::{eventually, repository};

const FOLDER: &str = "examples/secrets";
const SOON: Duration = Duration::from_secs(90);
/// The volumes of this driver cannot be had without it: what is mounted is shown by its part, played.
const DRIVER: &str = "secrets-store.csi.k8s.io";

/// One folder.
pub(super) struct Example {
    pub(super) name: String,
    pub(super) expected: Expected,
    manifests: Vec<Value>,
    pod: Value,
}

/// `expected.yaml`.
#[derive(Deserialize)]
pub(super) struct Expected {
    pub(super) secret: ExpectedSecret,
    pod: ExpectedPod,
}

/// The Secret as it should be.
#[derive(Deserialize)]
pub(super) struct ExpectedSecret {
    pub(super) name: String,
    pub(super) namespace: String,
    #[serde(rename = "type")]
    pub(super) type_: String,
    #[serde(default)]
    immutable: bool,
    /// Sizes in bytes; none where they differ from run to run.
    keys: BTreeMap<String, Option<usize>>,
}

#[derive(Deserialize)]
struct ExpectedPod {
    lines: Vec<String>,
}

/// All folders, sorted by name.
pub(super) fn all() -> Result<Vec<Example>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(repository().join(FOLDER))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(!names.is_empty(), "{FOLDER} holds no example");
    names.into_iter().map(|name| read(&name)).collect()
}

fn read(name: &str) -> Result<Example> {
    let expected = repository().join(FOLDER).join(name).join("expected.yaml");
    let expected = fs::read_to_string(expected).with_context(|| name.to_owned())?;
    let mut manifests = Vec::new();
    let mut pod = Value::Null;
    for file in ["class.yaml", "sync.yaml", "pod.yaml"] {
        let path = format!("{FOLDER}/{name}/{file}");
        if !repository().join(&path).is_file() {
            continue;
        }
        for mut document in ApiServer::documents(&path)? {
            let metadata = &mut document["metadata"];
            if metadata["namespace"].is_null() {
                metadata["namespace"] = json!("default");
            }
            match document["kind"].as_str() {
                Some("Pod") => pod = document,
                // Whoever syncs as an account needs it first.
                Some("ServiceAccount") => manifests.insert(0, document),
                _ => manifests.push(document),
            }
        }
    }
    Ok(Example {
        name: name.to_owned(),
        expected: serde_saphyr::from_str(&expected).with_context(|| name.to_owned())?,
        manifests,
        pod,
    })
}

impl Example {
    /// Names of the images that its pod runs.
    fn images(&self) -> BTreeSet<String> {
        let spec = &self.pod["spec"];
        let all = [&spec["containers"], &spec["initContainers"]];
        all.into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(|it| it["image"].as_str().map(str::to_owned))
            .collect()
    }

    /// Whether its pod also mounts files by the driver, which is not here.
    pub(super) fn needs_driver(&self) -> bool {
        let volumes = self.pod["spec"]["volumes"].as_array();
        let mut volumes = volumes.into_iter().flatten();
        volumes.any(|it| it["csi"]["driver"] == DRIVER)
    }

    /// Puts its data into the store and its manifests into the cluster, its pod apart.
    pub(super) async fn apply(&self, ground: &Ground) -> Result<()> {
        let script: PathBuf = repository().join(FOLDER).join(&self.name).join("setup.sh");
        ground.script(&script).await?;
        for manifest in &self.manifests {
            let applied = ground.api.apply(manifest).await;
            applied.with_context(|| format!("{}", manifest["kind"]))?;
        }
        Ok(())
    }

    /// Waits for the Secret and says what is in it.
    pub(super) async fn synced(&self, ground: &Ground) -> Result<String> {
        let expected = &self.expected.secret;
        let secrets: Api<Secret> = Api::namespaced(ground.client(), &expected.namespace);
        eventually(SOON, &format!("Secret {}", expected.name), async || {
            let secret = secrets.get(&expected.name).await?;
            expected.verify(&secret)?;
            let sizes = sizes(&secret);
            Ok(format!("{} {}: {sizes:?}", expected.type_, expected.name))
        })
        .await
    }

    /// Starts the pod, waits until it is ready, and compares what it says. Returns that.
    pub(super) async fn used(&self, ground: &Ground) -> Result<Vec<String>> {
        for image in self.images() {
            images::shell(&image)?;
        }
        ground.api.apply(&self.pod).await?;
        let (namespace, name) = self.pod();
        pods::ready(&ground.client(), namespace, name).await?;
        let lines = &self.expected.pod.lines;
        pods::pulled(&ground.client(), namespace, name).await?;
        let said = pods::lines(&ground.client(), namespace, name, lines.len()).await?;
        for (line, said) in lines.iter().zip(&said) {
            let fits = match line.strip_suffix("null") {
                Some(start) => said.starts_with(start) && !said.ends_with("=0"),
                None => line == said,
            };
            ensure!(fits, "the pod says {said:?}, expected {line:?}");
        }
        Ok(said)
    }

    /// Changes its SecretSync.
    pub(super) async fn annotate(&self, ground: &Ground, patch: &Value) -> Result<()> {
        let sync = self.manifests.iter().find(|it| it["kind"] == "SecretSync");
        let sync = sync.context("no SecretSync")?;
        let objects = ApiServer::objects(ground.client(), sync)?;
        let name = sync["metadata"]["name"].as_str().context("no name")?;
        let how = PatchParams::default();
        objects.patch(name, &how, &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Namespace and name of the pod.
    pub(super) fn pod(&self) -> (&str, &str) {
        let text = |field: &str| self.pod["metadata"][field].as_str().unwrap_or_default();
        (text("namespace"), text("name"))
    }
}

impl ExpectedSecret {
    fn verify(&self, secret: &Secret) -> Result<()> {
        let sizes = sizes(secret);
        ensure!(secret.type_.as_deref() == Some(&self.type_), "another type");
        ensure!(secret.immutable.unwrap_or_default() == self.immutable);
        let (found, wanted): (Vec<_>, Vec<_>) =
            (sizes.keys().collect(), self.keys.keys().collect());
        ensure!(found == wanted, "it has {sizes:?}");
        for (key, size) in &self.keys {
            let found = sizes[key];
            let fits = size.map_or(found > 0, |size| size == found);
            ensure!(fits, "{key} has {found} bytes");
        }
        Ok(())
    }
}

/// Keys with the sizes of their values.
fn sizes(secret: &Secret) -> BTreeMap<String, usize> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.len()))
        .collect()
}
