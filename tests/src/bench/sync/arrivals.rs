//! Secrets as a watch shows them, so that the moment of each is known without asking for it again and again.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};

use super::objects::KEY;

/// Secrets that were made or changed since the watch began.
pub(super) struct Arrivals(LocalBoxStream<'static, Result<WatchEvent<Secret>, kube::Error>>);

impl Arrivals {
    /// Of one namespace, or of all of them, from now on.
    pub(super) async fn of(client: Client, namespace: Option<&str>) -> Result<Self> {
        let secrets: Api<Secret> = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let now = secrets
            .list_metadata(&ListParams::default().limit(1))
            .await?;
        let version = now.metadata.resource_version.unwrap_or_default();
        let stream = secrets.watch(&WatchParams::default(), &version).await?;
        Ok(Self(stream.boxed_local()))
    }

    /// The next one.
    ///
    /// # Errors
    /// When the watch ends, as it does by itself after 290 s.
    pub(super) async fn next(&mut self) -> Result<Secret> {
        loop {
            match self.0.next().await {
                Some(Ok(WatchEvent::Added(secret) | WatchEvent::Modified(secret))) => {
                    return Ok(secret);
                }
                Some(Ok(WatchEvent::Deleted(_) | WatchEvent::Bookmark(_))) => {}
                Some(Ok(WatchEvent::Error(status))) => {
                    bail!("the watch of Secrets failed: {}", status.message)
                }
                Some(Err(error)) => return Err(error).context("the watch of Secrets"),
                None => bail!("the watch of Secrets ended"),
            }
        }
    }

    /// Waits for the Secret of this name.
    ///
    /// # Errors
    /// When it does not come in time.
    pub(super) async fn named(&mut self, name: &str, within: Duration) -> Result<()> {
        let come = async {
            while self.next().await?.metadata.name.as_deref() != Some(name) {}
            anyhow::Ok(())
        };
        let in_time = tokio::time::timeout(within, come).await;
        in_time.with_context(|| format!("Secret {name} did not come within {within:?}"))?
    }
}

/// The bytes that a Secret of this scene holds.
pub(super) fn value(secret: &Secret) -> Option<&[u8]> {
    let value = secret.data.as_ref()?.get(KEY)?;
    Some(&value.0)
}
