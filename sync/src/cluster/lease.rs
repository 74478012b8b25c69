//! The Lease of the election: read, created, replaced. Never patched: a patch could land on a state that was not seen.

use std::time::Duration;

use coffer_sync_core::answer::Answer;
use http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Call, Cluster, When, unreadable};

const API: &str = "coordination.k8s.io/v1";

/// A Lease as far as an election needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it; empty for nobody.
    pub holder: String,
    /// How long it holds without renewal.
    pub duration: Duration,
    /// Its resourceVersion; empty before it is created.
    pub resource_version: String,
    spec: Spec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: Option<i64>,
}

#[derive(Deserialize)]
struct Document {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

impl Lease {
    fn read(resource_version: String, spec: Spec) -> Self {
        Self {
            holder: spec.holder_identity.clone().unwrap_or_default(),
            duration: Duration::from_secs(spec.lease_duration_seconds.unwrap_or_default()),
            resource_version,
            spec,
        }
    }

    /// One that is to be created.
    #[must_use]
    pub fn fresh(holder: &str, duration: Duration, now: Timestamp) -> Self {
        let spec = Spec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(duration.as_secs()),
            acquire_time: Some(micro(now)),
            renew_time: Some(micro(now)),
            lease_transitions: Some(0),
        };
        Self::read(String::new(), spec)
    }

    /// The same, renewed.
    #[must_use]
    pub fn renewed(&self, now: Timestamp) -> Self {
        let spec = Spec {
            renew_time: Some(micro(now)),
            ..self.spec.clone()
        };
        Self::read(self.resource_version.clone(), spec)
    }

    /// The same, held by somebody else.
    #[must_use]
    pub fn taken(&self, holder: &str, duration: Duration, now: Timestamp) -> Self {
        let transitions = self.spec.lease_transitions.unwrap_or_default();
        let spec = Spec {
            lease_transitions: Some(transitions.saturating_add(1)),
            ..Self::fresh(holder, duration, now).spec
        };
        Self::read(self.resource_version.clone(), spec)
    }

    /// The same, held by nobody.
    #[must_use]
    pub fn released(&self, now: Timestamp) -> Self {
        let spec = Spec {
            holder_identity: Some(String::new()),
            // The API server refuses 0.
            lease_duration_seconds: Some(1),
            renew_time: Some(micro(now)),
            ..self.spec.clone()
        };
        Self::read(self.resource_version.clone(), spec)
    }
}

/// Kubernetes' MicroTime.
fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

impl Cluster {
    /// The Lease; none if there is none.
    ///
    /// # Errors
    /// What the API server said instead.
    pub async fn lease(&self, namespace: &str, name: &str) -> Result<Option<Lease>, Answer> {
        let path = format!("{}/{name}", path(namespace));
        match self
            .send(Call::new("get", Method::GET, path).when(When::Now))
            .await
        {
            Ok(reply) => {
                let document: Document = serde_json::from_slice(&reply.body).map_err(unreadable)?;
                let version = document.metadata.resource_version;
                Ok(Some(Lease::read(version, document.spec)))
            }
            Err(answer) if answer.code == 404 => Ok(None),
            Err(answer) => Err(answer),
        }
    }

    /// Creates it.
    ///
    /// # Errors
    /// What the API server said instead of yes; 409 where there is one by now.
    pub async fn create_lease(
        &self,
        namespace: &str,
        name: &str,
        lease: &Lease,
    ) -> Result<(), Answer> {
        let body = document(namespace, name, lease).to_string();
        let call = Call::new("create", Method::POST, path(namespace)).when(When::Now);
        self.send(call.body(super::JSON, body.as_bytes()))
            .await
            .map(|_| ())
    }

    /// Puts this state in the place of the one that it was made of.
    ///
    /// # Errors
    /// What the API server said instead of yes; 409 where it is another one by now.
    pub async fn replace_lease(
        &self,
        namespace: &str,
        name: &str,
        lease: &Lease,
    ) -> Result<(), Answer> {
        let body = document(namespace, name, lease).to_string();
        let path = format!("{}/{name}", path(namespace));
        let call = Call::new("update", Method::PUT, path).when(When::Now);
        self.send(call.body(super::JSON, body.as_bytes()))
            .await
            .map(|_| ())
    }
}

fn document(namespace: &str, name: &str, lease: &Lease) -> serde_json::Value {
    let version = Some(&lease.resource_version).filter(|version| !version.is_empty());
    json!({
        "apiVersion": API,
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": version},
        "spec": lease.spec,
    })
}

fn path(namespace: &str) -> String {
    format!("/apis/{API}/namespaces/{namespace}/leases")
}
