//! The objects a test needs in a cluster: namespaces, accounts, pods, tokens, rights.
//!
//! All by the admin. What exists already is taken as it is only for namespaces and service accounts.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{self as core, Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

use super::ApiServer;
use crate::driver::attributes::{Pod, ServiceToken};
use crate::vault::Vault;

impl ApiServer {
    /// Makes a namespace with the service account `default`, which no controller makes here.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespace = json!({"metadata": {"name": name}});
        create_if_absent::<Namespace>(&Api::all(self.client()), namespace).await?;
        self.create_service_account(name, "default").await
    }

    /// Makes a service account.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_service_account(&self, namespace: &str, name: &str) -> Result<()> {
        let account = json!({"metadata": {"name": name, "namespace": namespace}});
        create_if_absent::<ServiceAccount>(&Api::namespaced(self.client(), namespace), account)
            .await
    }

    /// Makes a pod that never runs; as the driver would see it, with its true UID.
    ///
    /// # Errors
    /// When the server refuses, as for an account that is not there.
    pub async fn create_pod(
        &self,
        namespace: &str,
        name: &str,
        service_account: &str,
    ) -> Result<Pod> {
        let pod = json!({
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "serviceAccountName": service_account,
                // A pod without a node would be deleted without grace; nobody looks at the name.
                "nodeName": "node-1",
                "containers": [{"name": "main", "image": "none"}],
            },
        });
        let api = Api::<core::Pod>::namespaced(self.client(), namespace);
        let pod = api
            .create(&PostParams::default(), &serde_json::from_value(pod)?)
            .await?;
        Ok(Pod {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            uid: pod.metadata.uid.context("a pod without uid")?,
            service_account: service_account.to_owned(),
        })
    }

    /// Deletes a pod at once, as after its grace.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete_pod(&self, pod: &Pod) -> Result<()> {
        let api = Api::<core::Pod>::namespaced(self.client(), &pod.namespace);
        let now = DeleteParams::default().grace_period(0);
        api.delete(&pod.name, &now).await?;
        Ok(())
    }

    /// Makes a Secret with text data.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_secret(
        &self,
        namespace: &str,
        name: &str,
        data: &BTreeMap<&str, &str>,
    ) -> Result<()> {
        let secret =
            json!({"metadata": {"name": name, "namespace": namespace}, "stringData": data});
        let api = Api::<Secret>::namespaced(self.client(), namespace);
        api.create(&PostParams::default(), &serde_json::from_value(secret)?)
            .await?;
        Ok(())
    }

    /// A service account token by TokenRequest, as kubelet gets it. No audience means the server's own; the
    /// server grants at least 600 seconds.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_token(
        &self,
        namespace: &str,
        service_account: &str,
        audiences: &[&str],
        pod: Option<&Pod>,
        seconds: i64,
    ) -> Result<ServiceToken> {
        let bound = pod.map(
            |pod| json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}),
        );
        let request = json!({
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound},
        });
        let request: TokenRequest = serde_json::from_value(request)?;
        let api = Api::<ServiceAccount>::namespaced(self.client(), namespace);
        let made = api
            .create_token_request(service_account, &PostParams::default(), &request)
            .await?;
        let status = made.status.context("a token request without answer")?;
        Ok(ServiceToken {
            audience: audiences.first().copied().unwrap_or_default().to_owned(),
            jwt: status.token,
            expires: status.expiration_timestamp.0.to_string(),
        })
    }

    /// Gives a service account rights in one namespace: `rules` as in a Role.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn bind(
        &self,
        namespace: &str,
        service_account: &str,
        name: &str,
        rules: &Value,
    ) -> Result<()> {
        let metadata = json!({"name": name, "namespace": namespace});
        let role = json!({"metadata": metadata, "rules": rules});
        create::<Role>(&Api::namespaced(self.client(), namespace), role).await?;
        let binding = binding(&metadata, "Role", name, namespace, service_account);
        create::<RoleBinding>(&Api::namespaced(self.client(), namespace), binding).await
    }

    /// Gives a service account rights in the whole cluster: `rules` as in a ClusterRole.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn bind_cluster(
        &self,
        namespace: &str,
        service_account: &str,
        name: &str,
        rules: &Value,
    ) -> Result<()> {
        let role = json!({"metadata": {"name": name}, "rules": rules});
        create::<ClusterRole>(&Api::all(self.client()), role).await?;
        self.bind_cluster_role(namespace, service_account, name)
            .await
    }

    /// Gives a service account a ClusterRole that exists.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn bind_cluster_role(
        &self,
        namespace: &str,
        service_account: &str,
        role: &str,
    ) -> Result<()> {
        let metadata = json!({"name": format!("{role}-{namespace}-{service_account}")});
        let binding = binding(&metadata, "ClusterRole", role, namespace, service_account);
        create::<ClusterRoleBinding>(&Api::all(self.client()), binding).await
    }

    /// Mounts the kubernetes auth method of a store at `mount`, so that it has this server review tokens.
    ///
    /// # Errors
    /// When either of them refuses.
    pub async fn trusted_by(&self, vault: &Vault, mount: &str) -> Result<()> {
        let namespace = format!("reviewer-{mount}");
        self.create_namespace(&namespace).await?;
        self.bind_cluster_role(&namespace, "default", "system:auth-delegator")
            .await?;
        let reviewer = self
            .create_token(&namespace, "default", &[], None, 24 * 3600)
            .await?;
        vault.enable_auth(mount, "kubernetes").await?;
        let config = json!({
            "kubernetes_host": self.url(),
            "kubernetes_ca_cert": self.authority(),
            "token_reviewer_jwt": reviewer.jwt,
        });
        vault
            .write(&format!("auth/{mount}/config"), &config)
            .await
            .map(|_| ())
    }
}

fn binding(
    metadata: &Value,
    kind: &str,
    role: &str,
    namespace: &str,
    service_account: &str,
) -> Value {
    json!({
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": service_account, "namespace": namespace}],
    })
}

async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    Ok(())
}

async fn create_if_absent<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    match api
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await
    {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => Ok(other.map(|_| ())?),
    }
}
