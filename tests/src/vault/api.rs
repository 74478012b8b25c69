//! What tests set up and look up in a store, as the root: plain JSON over HTTP.
//!
//! Not through the provider's own client: a test must not trust the code that it tests.

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Vault;

/// Which key-value engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvVersion {
    V1,
    V2,
}

/// The rights of a policy, for the common cases.
#[derive(Clone, Debug)]
pub struct Policy(String);

impl Policy {
    /// A policy as HCL text.
    #[must_use]
    pub fn hcl(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Read on these paths, such as `secret/data/*`.
    #[must_use]
    pub fn read(paths: &[&str]) -> Self {
        let rules = paths
            .iter()
            .map(|path| format!("path \"{path}\" {{ capabilities = [\"read\"] }}\n"));
        Self(rules.collect())
    }
}

impl Vault {
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.address)
    }

    /// The status of the health endpoint: 200 active, 429 standby, 501 not initialised, 503 sealed.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn health(&self) -> Result<u16> {
        Ok(self
            .client
            .get(self.url("sys/health"))
            .send()
            .await?
            .status()
            .as_u16())
    }

    /// One call as the root; the reply's JSON, null where there is none.
    ///
    /// # Errors
    /// With status and the store's `errors` when it refuses; the request's body is not told.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        self.call_as(&self.token, method, path, body).await
    }

    /// One call with another token.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let mut request = self
            .client
            .request(method.clone(), self.url(path))
            .header("X-Vault-Token", token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = request
            .send()
            .await
            .with_context(|| format!("{method} {path}"))?;
        let status = reply.status();
        let document: Value = serde_json::from_slice(&reply.bytes().await?).unwrap_or_default();
        if status.is_success() {
            return Ok(document);
        }
        bail!("{method} {path}: {status}: {}", document["errors"])
    }

    /// Writes to any path.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn write(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Reads any path: the whole reply.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn read(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Deletes any path.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.call(Method::DELETE, path, None).await.map(|_| ())
    }

    /// Mounts a secrets engine, such as `pki`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn enable_engine(&self, path: &str, kind: &str, options: &Value) -> Result<()> {
        let body = json!({"type": kind, "options": options});
        self.write(&format!("sys/mounts/{path}"), &body)
            .await
            .map(|_| ())
    }

    /// Mounts a key-value engine and waits until it takes writes (version 2 upgrades itself first).
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn enable_kv(&self, path: &str, version: KvVersion) -> Result<()> {
        let number = if version == KvVersion::V1 { "1" } else { "2" };
        self.enable_engine(path, "kv", &json!({"version": number}))
            .await?;
        if version == KvVersion::V2 {
            let ready = async || self.read(&format!("{path}/config")).await.map(|_| ());
            crate::fixture::eventually(super::READY, "a KV v2 engine", ready).await?;
        }
        Ok(())
    }

    /// Mounts an auth method, such as `jwt`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn enable_auth(&self, path: &str, kind: &str) -> Result<()> {
        self.write(&format!("sys/auth/{path}"), &json!({"type": kind}))
            .await
            .map(|_| ())
    }

    /// Sets a policy.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn policy(&self, name: &str, policy: &Policy) -> Result<()> {
        self.write(
            &format!("sys/policies/acl/{name}"),
            &json!({"policy": policy.0}),
        )
        .await
        .map(|_| ())
    }

    /// Sets a KV v2 secret: `mount` as in `secret`, `name` below it without `data/`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn kv2_put(&self, mount: &str, name: &str, data: &Value) -> Result<()> {
        self.write(&format!("{mount}/data/{name}"), &json!({"data": data}))
            .await
            .map(|_| ())
    }

    /// Sets a KV v1 secret.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn kv1_put(&self, mount: &str, name: &str, data: &Value) -> Result<()> {
        self.write(&format!("{mount}/{name}"), data)
            .await
            .map(|_| ())
    }

    /// A token with these policies that lives this long, such as `20m`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn create_token(&self, policies: &[&str], ttl: &str) -> Result<String> {
        let body = json!({"policies": policies, "ttl": ttl});
        let reply = self.write("auth/token/create", &body).await?;
        let token = reply["auth"]["client_token"]
            .as_str()
            .context("no token in the reply")?;
        Ok(token.to_owned())
    }

    /// Whether a token is still valid.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn is_token_valid(&self, token: &str) -> Result<bool> {
        let request = self
            .client
            .get(self.url("auth/token/lookup-self"))
            .header("X-Vault-Token", token);
        Ok(request.send().await?.status() == StatusCode::OK)
    }

    /// Seals an own server.
    ///
    /// # Errors
    /// As [`Self::call`], and when the server is not the test's own.
    pub async fn seal(&self) -> Result<()> {
        if !self.is_own() {
            bail!("a shared store is not sealed");
        }
        self.call(Method::PUT, "sys/seal", None).await.map(|_| ())
    }

    /// Unseals what [`Self::seal`] sealed, and waits until it is active.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn unseal(&self) -> Result<()> {
        let key = match &self.unseal_key {
            Some(key) => key.clone(),
            None => self.printed_unseal_key().await?,
        };
        self.call(Method::PUT, "sys/unseal", Some(&json!({"key": key})))
            .await?;
        crate::fixture::eventually(super::READY, "an active store", async || {
            let status = self.health().await?;
            anyhow::ensure!(status == 200, "health answers {status}");
            Ok(())
        })
        .await
    }

    /// A dev server prints its only key share, a moment after it is ready.
    async fn printed_unseal_key(&self) -> Result<String> {
        crate::fixture::eventually(super::READY, "an unseal key in the log", async || {
            let log = self.log();
            let key = log
                .lines()
                .find_map(|line| line.trim().strip_prefix("Unseal Key:"));
            Ok(key.context("none yet")?.trim().to_owned())
        })
        .await
    }
}
