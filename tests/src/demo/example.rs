//! A folder of `examples/`: its class, its pod, its script, and what the pod should find.
//!
//! The manifests are taken as they are. Only what depends on the place, such as the store's address,
//! is overridden, and that by volume attributes, as a pod's author could.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::expected::ExpectedFile;
use super::script::Script;
use crate::driver::{Class, Pod, Volume};
use crate::fixture::repository;

/// The driver's name in a pod's volume.
const DRIVER: &str = "secrets-store.csi.k8s.io";

/// One folder.
pub struct Example {
    /// The folder's name, which class, pod, service account and role share.
    pub name: String,
    /// Where it is.
    pub directory: PathBuf,
    pub class: Class,
    /// The service account as a manifest.
    pub service_account: Value,
    /// The pod as a manifest.
    pub pod: Value,
    pub expected: Vec<ExpectedFile>,
    volume: String,
}

#[derive(Deserialize)]
struct ClassManifest {
    kind: String,
    metadata: Metadata,
    spec: ClassSpec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
struct ClassSpec {
    provider: String,
    parameters: BTreeMap<String, String>,
}

impl Example {
    /// The names of all folders, sorted.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn names() -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(repository().join("examples"))? {
            let entry = entry?;
            // Those of typed Secrets are of another shape.
            if entry.file_type()?.is_dir() && entry.file_name() != "secrets" {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads a folder and makes sure that its parts belong together.
    ///
    /// # Errors
    /// When a file is missing, is not what it should be, or names another than the folder.
    pub fn read(name: &str) -> Result<Self> {
        Self::from(name).with_context(|| format!("examples/{name}"))
    }

    fn from(name: &str) -> Result<Self> {
        let directory = repository().join("examples").join(name);
        let class = read_class(&directory.join("class.yaml"))?;
        ensure!(class.name == name, "the class is called {}", class.name);
        let documents: Vec<Value> = yaml(&directory.join("pod.yaml"))?;
        let [service_account, pod] = documents
            .try_into()
            .ok()
            .context("pod.yaml is no service account and a pod")?;
        for (manifest, kind) in [(&service_account, "ServiceAccount"), (&pod, "Pod")] {
            ensure!(manifest["kind"] == kind, "pod.yaml has no {kind} there");
            ensure!(
                manifest["metadata"]["name"] == name,
                "the {kind} has another name"
            );
        }
        let volume = volume_of(&pod, name)?;
        let mut expected: Vec<Vec<ExpectedFile>> = yaml(&directory.join("expected.yaml"))?;
        let expected = expected.pop().unwrap_or_default();
        ensure!(!expected.is_empty(), "expected.yaml names no file");
        Ok(Self {
            name: name.to_owned(),
            directory,
            class,
            service_account,
            pod,
            expected,
            volume,
        })
    }

    /// Sets the store's side up.
    ///
    /// # Errors
    /// When the script fails, with what it said.
    pub async fn set_up(&self, environment: &[(String, String)]) -> Result<()> {
        Script::run(&self.directory.join("setup.sh"), environment).await
    }

    /// The volume of a pod of this example.
    #[must_use]
    pub fn volume(&self, pod: Pod) -> Volume {
        let mut volume = Volume::new(pod, self.class.clone());
        volume.name.clone_from(&self.volume);
        volume
    }

    /// Fails unless these are the files that a pod should find: name, then mode and content.
    ///
    /// # Errors
    /// With the first difference; of contents only what was expected is told.
    pub fn verify(&self, found: &BTreeMap<String, (u32, Vec<u8>)>) -> Result<()> {
        let names: Vec<&String> = found.keys().collect();
        let mut wanted: Vec<&String> = self.expected.iter().map(|file| &file.path).collect();
        wanted.sort();
        ensure!(names == wanted, "files {names:?} instead of {wanted:?}");
        for file in &self.expected {
            let (mode, contents) = found.get(&file.path).context("a file is missing")?;
            file.verify(*mode, contents)?;
        }
        Ok(())
    }
}

/// Reads a file with one SecretProviderClass.
///
/// # Errors
/// When it holds something else.
pub fn read_class(path: &Path) -> Result<Class> {
    let mut classes: Vec<ClassManifest> = yaml(path)?;
    let class = classes.pop().context("an empty file")?;
    ensure!(classes.is_empty(), "{} holds several", path.display());
    ensure!(class.kind == "SecretProviderClass", "kind {}", class.kind);
    ensure!(class.spec.provider == "vault", "{}", class.spec.provider);
    Ok(Class {
        name: class.metadata.name,
        parameters: class.spec.parameters,
    })
}

/// The name of the pod's volume for this class, which a container mounts.
fn volume_of(pod: &Value, class: &str) -> Result<String> {
    let spec = &pod["spec"];
    ensure!(
        spec["serviceAccountName"] == class,
        "the pod runs as another service account"
    );
    let volumes = spec["volumes"].as_array().context("a pod without volume")?;
    let volume = volumes
        .iter()
        .find(|volume| volume["csi"]["driver"] == DRIVER)
        .context("no volume of the driver")?;
    let csi = &volume["csi"];
    ensure!(csi["readOnly"] == true, "the volume is not read-only");
    ensure!(
        csi["volumeAttributes"]["secretProviderClass"] == class,
        "the volume names another class"
    );
    let mounts = spec["containers"][0]["volumeMounts"].as_array();
    let mut mounts = mounts.into_iter().flatten();
    ensure!(
        mounts.any(|mount| mount["name"] == volume["name"] && mount["readOnly"] == true),
        "the container does not mount the volume read-only"
    );
    let name = volume["name"].as_str().context("a volume without name")?;
    Ok(name.to_owned())
}

/// All documents of a file.
fn yaml<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_multiple(&text).with_context(|| path.display().to_string())
}
