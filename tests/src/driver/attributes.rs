//! The text of a MountRequest, byte for byte as the driver's Go code writes it.
//!
//! A `Volume` is what a class, a pod and kubelet say together; the driver version decides what of
//! it is sent. Where a value comes from twice, the later source wins as in the driver
//! (`pkg/secrets-store/nodeserver.go`, NodePublishVolume).

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use coffer_proto::attributes::{
    CLASS, EPHEMERAL, POD_NAME, POD_NAMESPACE, POD_UID, SERVICE_ACCOUNT, TOKENS,
};
use coffer_proto::v1alpha1::{MountRequest, ObjectVersion};
use coffer_provider_core::gojson::write_string;

use crate::fixture::uid;

/// File mode 0644 as the driver writes it: JSON of a decimal number.
pub const PERMISSION: &str = "420";

/// The pod that mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub service_account: String,
}

impl Pod {
    /// A pod with a random UID that runs as `default`.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(namespace: &str, name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            uid: uid()?,
            service_account: "default".to_owned(),
        })
    }

    /// The same pod under another service account.
    #[must_use]
    pub fn with_service_account(mut self, name: &str) -> Self {
        name.clone_into(&mut self.service_account);
        self
    }
}

/// A SecretProviderClass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    pub name: String,
    pub parameters: BTreeMap<String, String>,
}

impl Class {
    /// A class without parameters.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let parameters = BTreeMap::new();
        Self {
            name: name.to_owned(),
            parameters,
        }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.parameters.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// A service account token as kubelet hands it over. Its Debug leaves the token out.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceToken {
    pub audience: String,
    pub jwt: String,
    /// RFC 3339 with `Z`.
    pub expires: String,
}

impl ServiceToken {
    /// A token that kubelet says expires in an hour.
    #[must_use]
    pub fn new(audience: &str, jwt: &str) -> Self {
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        Self {
            audience: audience.to_owned(),
            jwt: jwt.to_owned(),
            expires: rfc3339(expires),
        }
    }
}

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            audience,
            jwt: _,
            expires,
        } = self;
        f.debug_struct("ServiceToken")
            .field("audience", audience)
            .field("expires", expires)
            .finish_non_exhaustive()
    }
}

/// Seconds precision and `Z`, as Kubernetes writes times.
pub(crate) fn rfc3339(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Whose requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverVersion {
    /// 1.4.0 to 1.5.6: a rotation carries less than the first mount.
    V1_5,
    /// 1.6.0: a rotation is a mount like the first.
    V1_6,
}

/// A CSI volume of a pod: all that goes into its MountRequests.
#[derive(Clone)]
pub struct Volume {
    pub pod: Pod,
    pub class: Class,
    /// Name of the volume in the pod; part of the target path.
    pub name: String,
    /// What the pod's author wrote besides the class name; overrides class parameters.
    pub volume_attributes: BTreeMap<String, String>,
    /// `None` when the CSIDriver has no `tokenRequests`.
    pub tokens: Option<Vec<ServiceToken>>,
    /// Kubernetes 1.35 and later with `serviceAccountTokenInSecrets`: the tokens stand in the secrets as well.
    pub tokens_in_secrets: bool,
    /// Data of the `nodePublishSecretRef`.
    pub secrets: Option<BTreeMap<String, String>>,
    pub driver: DriverVersion,
}

impl Volume {
    /// A volume as driver 1.6.0 sees it, without tokens, volume attributes or secrets.
    #[must_use]
    pub fn new(pod: Pod, class: Class) -> Self {
        Self {
            pod,
            class,
            name: "secrets".to_owned(),
            volume_attributes: BTreeMap::new(),
            tokens: None,
            tokens_in_secrets: false,
            secrets: None,
            driver: DriverVersion::V1_6,
        }
    }

    /// Adds a token.
    #[must_use]
    pub fn with_token(mut self, token: ServiceToken) -> Self {
        self.tokens.get_or_insert_default().push(token);
        self
    }

    /// Adds a volume attribute.
    #[must_use]
    pub fn with_attribute(mut self, key: &str, value: &str) -> Self {
        self.volume_attributes
            .insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an entry to the `nodePublishSecretRef` data.
    #[must_use]
    pub fn with_secret(mut self, key: &str, value: &str) -> Self {
        self.secrets
            .get_or_insert_default()
            .insert(key.to_owned(), value.to_owned());
        self
    }

    /// Lets another driver version write the requests.
    #[must_use]
    pub fn by(mut self, driver: DriverVersion) -> Self {
        self.driver = driver;
        self
    }

    /// Where kubelet mounts it.
    #[must_use]
    pub fn target_path(&self) -> String {
        let (uid, name) = (&self.pod.uid, &self.name);
        format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/{name}/mount")
    }

    /// The request at the pod's start; all versions send the same.
    #[must_use]
    pub fn first_mount(&self) -> MountRequest {
        self.request(self.all_attributes(), self.secrets_text("null"), Vec::new())
    }

    /// The request of a rotation, with the versions that are mounted (only drivers up to 1.5 send them).
    #[must_use]
    pub fn rotation(&self, mounted: &[ObjectVersion]) -> MountRequest {
        match self.driver {
            DriverVersion::V1_6 => self.first_mount(),
            DriverVersion::V1_5 => {
                let mut attributes = self.class.parameters.clone();
                self.add_pod(&mut attributes);
                self.add_tokens(&mut attributes);
                self.request(attributes, self.secrets_text("{}"), mounted.to_vec())
            }
        }
    }

    fn request(
        &self,
        attributes: BTreeMap<String, String>,
        secrets: String,
        current_object_version: Vec<ObjectVersion>,
    ) -> MountRequest {
        MountRequest {
            attributes: string_map(&attributes),
            secrets,
            target_path: self.target_path(),
            permission: PERMISSION.to_owned(),
            current_object_version,
        }
    }

    fn all_attributes(&self) -> BTreeMap<String, String> {
        let mut attributes = self.class.parameters.clone();
        attributes.insert(CLASS.to_owned(), self.class.name.clone());
        attributes.extend(self.volume_attributes.clone());
        attributes.insert(EPHEMERAL.to_owned(), "true".to_owned());
        self.add_pod(&mut attributes);
        self.add_tokens(&mut attributes);
        attributes
    }

    fn add_pod(&self, attributes: &mut BTreeMap<String, String>) {
        for (key, value) in [
            (POD_NAME, &self.pod.name),
            (POD_NAMESPACE, &self.pod.namespace),
            (POD_UID, &self.pod.uid),
            (SERVICE_ACCOUNT, &self.pod.service_account),
        ] {
            attributes.insert(key.to_owned(), value.clone());
        }
    }

    fn add_tokens(&self, attributes: &mut BTreeMap<String, String>) {
        if let Some(tokens) = &self.tokens {
            attributes.insert(TOKENS.to_owned(), tokens_text(tokens));
        }
    }

    fn secrets_text(&self, absent: &str) -> String {
        let mut secrets = self.secrets.clone();
        if self.tokens_in_secrets {
            self.add_tokens(secrets.get_or_insert_default());
        }
        secrets.map_or_else(|| absent.to_owned(), |secrets| string_map(&secrets))
    }
}

/// JSON of a map of strings as Go's encoding/json marshals it: sorted keys, no spaces, HTML escaped.
#[must_use]
pub fn string_map(map: &BTreeMap<String, String>) -> String {
    object(map.iter().map(|(key, value)| (key, quoted(value))))
}

/// The value of the tokens attribute: audiences sorted, a repeated audience keeps its last token.
#[must_use]
pub fn tokens_text(tokens: &[ServiceToken]) -> String {
    let sorted: BTreeMap<&String, &ServiceToken> = tokens
        .iter()
        .map(|token| (&token.audience, token))
        .collect();
    object(sorted.into_iter().map(|(audience, token)| {
        let (jwt, expires) = (quoted(&token.jwt), quoted(&token.expires));
        (
            audience,
            format!(r#"{{"token":{jwt},"expirationTimestamp":{expires}}}"#),
        )
    }))
}

/// The entries of an attributes text, for a test that alters some and sends the rest as it was.
///
/// # Errors
/// When the text is not a JSON map of strings.
pub fn parse(attributes: &str) -> Result<BTreeMap<String, String>> {
    serde_json::from_str(attributes).context("attributes are not a JSON map of strings")
}

fn object<'a>(entries: impl Iterator<Item = (&'a String, String)>) -> String {
    let entries: Vec<String> = entries
        .map(|(key, value)| format!("{}:{value}", quoted(key)))
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    write_string(&mut out, text);
    // The writer only adds ASCII to what was a string.
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
