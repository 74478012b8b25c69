//! The Kubernetes API, off the mount path: the version key, the cluster's token keys, Events, and tokens
//! where the driver sent none.
//!
//! Every request has a time limit and is counted. What is done with the answers is decided elsewhere.

mod events;
mod pods;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::params::Pod;
use coffer_provider_core::problem::one_line;
use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use secrecy::SecretString;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::metrics::{KubeCode, KubeVerb, Metrics};
use crate::ports::{TokenRequests, VersionKeyStore};
use crate::proof::{IssuerKeys, KeySource};

pub use events::EventWriter;
pub use pods::{NodePods, node_pods};

/// The longest that a request may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Life of a requested token, in seconds: as with the peers, and enough for one login.
const TOKEN_SECONDS: i64 = 900;

/// The data key of the version key in its Secret.
const KEY: &str = "key";

/// How the API server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeAccess {
    /// As a pod, if this is one.
    InCluster,
    /// By a kubeconfig file.
    Kubeconfig(PathBuf),
    /// Not at all.
    Off,
}

/// The API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    secret_name: String,
    /// Looked up among the driver's tokens for a class without one.
    audience: String,
    metrics: Arc<Metrics>,
}

/// Connects, if there is a cluster to connect to. Nothing is sent yet. `audience` is the one that the
/// driver's token should have for a class that names none.
///
/// # Errors
/// When there is access but it cannot be used.
pub async fn connect(
    access: &KubeAccess,
    namespace: Option<&str>,
    secret_name: &str,
    audience: &str,
    metrics: Arc<Metrics>,
) -> Result<Option<Cluster>, String> {
    let Some(config) = config(access).await? else {
        return Ok(None);
    };
    let namespace = namespace.map_or_else(|| config.default_namespace.clone(), str::to_owned);
    let client = Client::try_from(config).map_err(|error| kind(&error))?;
    Ok(Some(Cluster {
        client,
        namespace,
        secret_name: secret_name.to_owned(),
        audience: audience.to_owned(),
        metrics,
    }))
}

async fn config(access: &KubeAccess) -> Result<Option<Config>, String> {
    let mut config = match access {
        KubeAccess::Off => return Ok(None),
        KubeAccess::InCluster
            if !Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").exists() =>
        {
            return Ok(None);
        }
        KubeAccess::InCluster => Config::incluster().map_err(|error| error.to_string())?,
        KubeAccess::Kubeconfig(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(|error| error.to_string())?
        }
    };
    config.connect_timeout = Some(LIMIT);
    config.read_timeout = Some(LIMIT);
    Ok(Some(config))
}

/// The kind of an error without what it may quote.
fn kind(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => one_line(&status.message),
        kube::Error::Auth(_) => "the credentials for the API server cannot be used".to_owned(),
        kube::Error::SerdeError(_) => "the API server's answer cannot be read".to_owned(),
        other => one_line(&other.to_string()),
    }
}

impl Cluster {
    /// Sends a request within the limit and counts it.
    async fn ask<T>(
        &self,
        verb: KubeVerb,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, kube::Error> {
        let outcome = tokio::time::timeout(LIMIT, request)
            .await
            .unwrap_or_else(|_| {
                let late =
                    std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within 5 s");
                Err(kube::Error::Service(Box::new(late)))
            });
        let code = match &outcome {
            Ok(_) => KubeCode::Success,
            Err(kube::Error::Api(status)) => KubeCode::from_http(status.code),
            Err(_) => KubeCode::Error,
        };
        self.metrics.kube_request(verb, code);
        outcome
    }

    async fn read_key(&self, secrets: &Api<Secret>) -> Result<Option<Vec<u8>>, String> {
        let name = &self.secret_name;
        let secret = match self.ask(KubeVerb::Get, secrets.get(name)).await {
            Ok(secret) => secret,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(error) => {
                return Err(format!(
                    "Secret {}/{name} cannot be read: {}; grant get on it",
                    self.namespace,
                    kind(&error)
                ));
            }
        };
        let key = secret
            .data
            .and_then(|mut data| data.remove(KEY))
            .map(|ByteString(bytes)| bytes);
        key.filter(|bytes| !bytes.is_empty())
            .map(Some)
            .ok_or_else(|| {
                format!(
                    "Secret {}/{name} has no data key \"{KEY}\": delete it, and a new one is made",
                    self.namespace
                )
            })
    }
}

#[async_trait]
impl VersionKeyStore for Cluster {
    async fn get_or_create(&self, fresh: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        if let Some(key) = self.read_key(&secrets).await? {
            return Ok(key);
        }
        let made = Secret {
            metadata: ObjectMeta {
                name: Some(self.secret_name.clone()),
                ..ObjectMeta::default()
            },
            immutable: Some(true),
            data: Some([(KEY.to_owned(), ByteString(fresh.to_vec()))].into()),
            ..Secret::default()
        };
        match self
            .ask(
                KubeVerb::Create,
                secrets.create(&PostParams::default(), &made),
            )
            .await
        {
            Ok(_) => Ok(fresh.to_vec()),
            // Another node was faster: its key is the key.
            Err(kube::Error::Api(status)) if status.code == 409 => self
                .read_key(&secrets)
                .await?
                .ok_or_else(|| "the version key was deleted while it was read".to_owned()),
            Err(error) => Err(format!(
                "Secret {}/{} cannot be created: {}; grant create on secrets",
                self.namespace,
                self.secret_name,
                kind(&error)
            )),
        }
    }
}

#[async_trait]
impl TokenRequests for Cluster {
    async fn request(&self, pod: &Pod, audience: Option<&str>) -> Result<SecretString, Fault> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &pod.namespace);
        let spec = TokenRequestSpec {
            audiences: audience.map(str::to_owned).into_iter().collect(),
            expiration_seconds: Some(TOKEN_SECONDS),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name.clone()),
                uid: Some(pod.uid.clone()),
            }),
        };
        let request = TokenRequest {
            spec,
            ..TokenRequest::default()
        };
        let params = PostParams::default();
        let asked = accounts.create_token_request(&pod.service_account, &params, &request);
        let answer = self
            .ask(KubeVerb::Create, asked)
            .await
            .map_err(|error| refused(pod, audience.unwrap_or(&self.audience), &error))?;
        let token = answer.status.map(|status| SecretString::from(status.token));
        token.ok_or_else(|| {
            Fault::new(
                Reason::NoToken,
                "the API server answered without a token",
                "see its log",
            )
        })
    }
}

fn refused(pod: &Pod, audience: &str, error: &kube::Error) -> Fault {
    let forbidden = matches!(error, kube::Error::Api(status) if status.code == 403);
    let hint = if forbidden {
        format!(
            "add audience \"{audience}\" to tokenRequests of the CSIDriver, or grant the provider create on serviceaccounts/token (csi.tokenRequest.enabled)"
        )
    } else {
        format!(
            "add audience \"{audience}\" to tokenRequests of the CSIDriver, then no request is needed"
        )
    };
    Fault::new(
        Reason::NoToken,
        format!(
            "failed to create a service account token for requesting pod {}/{}: {}",
            pod.namespace,
            pod.name,
            kind(error)
        ),
        hint,
    )
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

#[async_trait]
impl KeySource for Cluster {
    async fn fetch(&self) -> Result<IssuerKeys, String> {
        let keys = self.get_json("/openid/v1/jwks").await?;
        // The issuer is checked only if it is known: the signature is what proves.
        let discovery = self
            .get_json::<Discovery>("/.well-known/openid-configuration")
            .await;
        Ok(IssuerKeys {
            keys,
            issuer: discovery.ok().map(|found| found.issuer),
        })
    }
}

impl Cluster {
    async fn get_json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let request = http::Request::get(path)
            .body(Vec::new())
            .map_err(|error| error.to_string())?;
        let text = self
            .ask(KubeVerb::Get, self.client.request_text(request))
            .await
            .map_err(|error| kind(&error))?;
        serde_json::from_str(&text).map_err(|_| format!("{path} is not what was expected"))
    }
}

/// Token keys from a file, for where no API server can be asked.
pub struct KeyFile(pub PathBuf);

#[async_trait]
impl KeySource for KeyFile {
    async fn fetch(&self) -> Result<IssuerKeys, String> {
        let text = tokio::fs::read(&self.0)
            .await
            .map_err(|error| format!("{}: {error}", self.0.display()))?;
        let keys = serde_json::from_slice(&text)
            .map_err(|_| format!("{}: no JSON Web Key Set", self.0.display()))?;
        Ok(IssuerKeys { keys, issuer: None })
    }
}
