//! A class from a manifest, played as the driver would send it for a pod.

use std::collections::BTreeMap;
use std::path::Path;

use coffer_proto::attributes;
use serde::Deserialize;

use super::Failed;

/// A SecretProviderClass as far as a Mount needs it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ClassFile {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its spec.
    pub spec: Spec,
}

/// Metadata of a manifest.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Metadata {
    /// The name.
    pub name: String,
    /// The namespace; none where the manifest leaves it open.
    pub namespace: Option<String>,
}

/// The spec of a class.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Spec {
    /// Which provider it is for.
    pub provider: String,
    /// What that provider is to do.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    kind: String,
}

/// The pod that is played.
#[derive(Clone, Debug)]
pub struct PlayedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// A token of that account, with the audience it is for.
    pub token: Option<(String, String)>,
}

/// Reads the first SecretProviderClass of a file.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn read(path: &Path) -> Result<ClassFile, Failed> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::new(3, format!("{name}: {error}")))?;
    let document = text
        .split("\n---")
        .find(|document| {
            serde_saphyr::from_str::<Kind>(document)
                .is_ok_and(|kind| kind.kind == "SecretProviderClass")
        })
        .ok_or_else(|| Failed::new(2, format!("{name}: holds no SecretProviderClass")))?;
    serde_saphyr::from_str(document).map_err(|_| {
        Failed::new(
            1,
            format!("{name}: the class cannot be read; run `coffer-provider check {name}`"),
        )
    })
}

impl ClassFile {
    /// The attributes of a Mount of this class by a pod.
    #[must_use]
    pub fn attributes(&self, pod: &PlayedPod) -> String {
        let mut all = self.spec.parameters.clone();
        for (key, value) in [
            (attributes::CLASS, self.metadata.name.as_str()),
            (attributes::POD_NAME, "coffer-cli"),
            (attributes::POD_NAMESPACE, pod.namespace.as_str()),
            (attributes::POD_UID, "coffer-cli"),
            (attributes::SERVICE_ACCOUNT, pod.service_account.as_str()),
            (attributes::EPHEMERAL, "true"),
        ] {
            all.insert(key.to_owned(), value.to_owned());
        }
        if let Some((audience, token)) = &pod.token {
            let tokens = serde_json::json!({ audience: { "token": token } });
            all.insert(attributes::TOKENS.to_owned(), tokens.to_string());
        }
        serde_json::to_string(&all).unwrap_or_default()
    }
}
