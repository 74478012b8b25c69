//! What most scenes stand on: a counting store, an issuer of tokens, providers that know its keys, volumes.

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::frame::Frame;
use super::store::{Secrets, Store};
use crate::driver::attributes::{Class, Pod, Volume};
use crate::fixture::directory;
use crate::provider::{DEFAULT_MEMORY, ProviderProcess};
use crate::vault::JwtAuth;

/// The audience of the tokens that the driver sends.
const AUDIENCE: &str = "vault";
/// Longer than any run, and than the hour that one scene plays.
const TOKEN_LIFE: i64 = 3 * 3600;

pub(super) struct World {
    pub(super) store: Store,
    pub(super) issuer: JwtAuth,
    keys: TempDir,
}

/// How much of the full counts is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) quick: bool,
}

impl Scale {
    /// The full count, or a twentieth of it.
    pub(super) const fn count(self, full: usize) -> usize {
        if self.quick { full.div_ceil(20) } else { full }
    }

    /// The full seconds, or a tenth of them.
    pub(super) const fn seconds(self, full: u64) -> std::time::Duration {
        std::time::Duration::from_millis(if self.quick { full * 100 } else { full * 1000 })
    }
}

impl World {
    pub(super) async fn set() -> Result<Self> {
        let issuer = JwtAuth::new("https://load")?;
        let keys = directory("load")?;
        std::fs::write(keys.path().join("jwks.json"), issuer.jwks().to_string())?;
        let store = Store::start(Secrets::new()).await?;
        Ok(Self {
            store,
            issuer,
            keys,
        })
    }

    /// Where the issuer's keys stand as a file.
    pub(super) fn keys(&self) -> Result<String> {
        let path = self.keys.path().join("jwks.json");
        let text = path.to_str().context("a directory that is not UTF-8")?;
        Ok(text.to_owned())
    }

    /// A provider in front of the store.
    pub(super) async fn provider(&self) -> Result<ProviderProcess> {
        self.provider_at(&self.store.address()).await
    }

    /// A provider whose store is at this address, without an API server; ready.
    pub(super) async fn provider_at(&self, address: &str) -> Result<ProviderProcess> {
        let keys = self.keys()?;
        let arguments = [
            "-kubeconfig",
            "off",
            "-jwks-file",
            &keys,
            "-vault-mount",
            "jwt",
            "-vault-addr",
            address,
        ];
        let provider = ProviderProcess::start(&arguments, &DEFAULT_MEMORY).await?;
        provider.settled().await?;
        Ok(provider)
    }

    /// A volume of a new pod of an account, with so many objects, each on a path of its own.
    pub(super) fn volume(&self, account: &str, objects: usize) -> Result<Volume> {
        let pod = Pod::new("load", "pod")?.with_service_account(account);
        let token = self.issuer.mint(&pod, AUDIENCE, TOKEN_LIFE)?;
        let list: String = (0..objects)
            .map(|at| format!("- objectName: o{at}\n  secretPath: secret/data/load/{at}\n  secretKey: password\n"))
            .collect();
        let class = Class::new("load")
            .with("roleName", "load")
            .with("objects", &list);
        Ok(Volume::new(pod, class).with_token(token))
    }

    /// Frames of so many pods, spread evenly over so many accounts.
    pub(super) fn frames(
        &self,
        pods: usize,
        accounts: usize,
        objects: usize,
    ) -> Result<Vec<Frame>> {
        (0..pods)
            .map(|pod| {
                let account = format!("account-{}", pod % accounts.max(1));
                Ok(Frame::of(&self.volume(&account, objects)?))
            })
            .collect()
    }

    /// Mounts a volume as the driver does, so that the harness judges one reply of every kind.
    pub(super) async fn judged(&self, provider: &ProviderProcess, volume: &Volume) -> Result<()> {
        let outcome = provider.driver()?.mount(&volume.first_mount()).await?;
        outcome.response().map(|_| ())
    }
}
