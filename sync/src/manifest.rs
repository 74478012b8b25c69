//! The specs of the two kinds that Secrets are synced from, read leniently: what the CRD lets be absent or null may
//! be absent or null, and what is not known is ignored.
//!
//! Whether a spec makes sense is judged in `desired`. Their groups and versions stand in `kinds`.

use std::collections::BTreeMap;
use std::fmt;

use coffer_sync_core::mapping::Pair;
use serde::{Deserialize, Deserializer};

/// The longest name of a provider, as the driver has it.
const MOST_NAME: usize = 30;

/// The spec of a SecretProviderClass.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClassSpec {
    /// Which provider it is for.
    #[serde(deserialize_with = "or_default")]
    pub provider: String,
    /// What that provider is to do.
    #[serde(deserialize_with = "or_default")]
    pub parameters: BTreeMap<String, String>,
    /// Which Secrets are made of it.
    #[serde(deserialize_with = "or_default")]
    pub secret_objects: Vec<ClassSecretObject>,
}

/// A Secret that is made of a SecretProviderClass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClassSecretObject {
    /// Name of the Secret.
    #[serde(deserialize_with = "or_default")]
    pub secret_name: String,
    /// Its type as written.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub type_: String,
    /// Which file becomes which key.
    #[serde(deserialize_with = "or_default")]
    pub data: Vec<ClassData>,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations, options of Coffer among them.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// A file and the key it becomes, in a SecretProviderClass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClassData {
    /// Path of the file.
    #[serde(deserialize_with = "or_default")]
    pub object_name: String,
    /// Key of the Secret.
    #[serde(deserialize_with = "or_default")]
    pub key: String,
}

/// The spec of a SecretSync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncSpec {
    /// The class that is fetched.
    #[serde(deserialize_with = "or_default")]
    pub secret_provider_class_name: String,
    /// The account in whose name it is fetched.
    #[serde(deserialize_with = "or_default")]
    pub service_account_name: String,
    /// Which controller is to sync it; empty where the user leaves that open.
    #[serde(deserialize_with = "or_default")]
    pub secret_sync_controller_name: String,
    /// A change means: sync now.
    #[serde(deserialize_with = "or_default")]
    pub force_synchronization: String,
    /// The Secret.
    #[serde(deserialize_with = "or_default")]
    pub secret_object: SyncSecretObject,
}

/// The Secret of a SecretSync; its name is that of the SecretSync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncSecretObject {
    /// Its type as written; empty stands for Opaque.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub type_: String,
    /// Which file becomes which key.
    #[serde(deserialize_with = "or_default")]
    pub data: Vec<SyncData>,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// A file and the key it becomes, in a SecretSync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncData {
    /// Path of the file.
    #[serde(deserialize_with = "or_default")]
    pub source_path: String,
    /// Key of the Secret.
    #[serde(deserialize_with = "or_default")]
    pub target_key: String,
}

/// Without values of parameters: some hold what is secret to the store.
impl fmt::Debug for ClassSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            provider,
            parameters,
            secret_objects,
        } = self;
        f.debug_struct("ClassSpec")
            .field("provider", provider)
            .field("parameters", &parameters.keys())
            .field("secret_objects", secret_objects)
            .finish()
    }
}

impl From<&ClassData> for Pair {
    fn from(data: &ClassData) -> Self {
        let ClassData { object_name, key } = data;
        Self {
            source: object_name.clone(),
            key: key.clone(),
        }
    }
}

impl From<&SyncData> for Pair {
    fn from(data: &SyncData) -> Self {
        let SyncData {
            source_path,
            target_key,
        } = data;
        Self {
            source: source_path.clone(),
            key: target_key.clone(),
        }
    }
}

/// Whether the driver would take this name of a provider.
#[must_use]
pub fn is_provider_name(name: &str) -> bool {
    (1..=MOST_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// `null` is as good as nothing.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
