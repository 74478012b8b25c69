//! The servers of an outage: a store of the case's own, a proxy that counts, a provider with a memory; and how
//! the store goes away and comes back.
//!
//! Who asks, and what of that is right, stands elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use coffer_tests::driver::{Class, Driver, DriverOptions, Kubelet, Pod, Volume};
use coffer_tests::provider::{DEFAULT_MEMORY, ProviderProcess};
use coffer_tests::proxy::Proxy;
use coffer_tests::vault::{JwtAuth, JwtRole, Policy, Vault};
use serde_json::json;

use crate::stage::{object, provider_as};

/// The service accounts of the pods that run before the outage.
pub(super) const RUNNING: [&str; 4] = ["app-0", "app-1", "app-2", "app-3"];
/// One whose first login falls into the outage.
pub(super) const LATE: &str = "late";
/// One that is denied what it had.
pub(super) const DENIED: &str = "denied";
/// All of them.
pub(super) const IDENTITIES: usize = RUNNING.len() + 2;
/// What each reads of its own.
pub(super) const PATHS: usize = 3;

/// Kubelet's deadline of a publish; a provider that answers later has given no answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// How the store goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// The process ends at once.
    Killed,
    /// It answers that it is sealed.
    Sealed,
    /// Requests hang for longer than anybody waits.
    Hanging,
}

/// What the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    Good,
    /// Written in the outage.
    Rotated,
}

/// Everything but the pods.
pub(super) struct Scene {
    vault: Vault,
    issuer: JwtAuth,
    pub proxy: Proxy,
    pub provider: ProviderProcess,
    driver: Driver,
}

impl Scene {
    /// A store with good secrets, and a provider whose memory is that of a release at a tenth of the time.
    pub(super) async fn set() -> Result<Self> {
        let vault = Vault::start_lasting().await?;
        let issuer = JwtAuth::new("https://issuer.test")?;
        issuer.enable(&vault, "jwt").await?;
        for (role, paths) in [("csi", "secret/data/*"), (DENIED, "secret/data/denied/*")] {
            vault.policy(role, &Policy::read(&[paths])).await?;
            let role = JwtRole {
                name: role,
                audience: Some("vault"),
                subject: None,
                policies: &[role],
                ttl: "20m",
            };
            issuer.role(&vault, "jwt", &role).await?;
        }
        let proxy = Proxy::start(vault.address()).await?;
        let keys = vault.directory().join("jwks.json");
        std::fs::write(&keys, issuer.jwks().to_string())?;
        let address = proxy.address();
        let arguments = [
            "-vault-addr",
            &address,
            "--jwks-file",
            keys.to_str().context("a directory that is not UTF-8")?,
            "--refresh-interval",
            "6s",
        ];
        let provider = provider_as("vault", &arguments, &DEFAULT_MEMORY).await?;
        let options = DriverOptions {
            deadline: DEADLINE,
            ..DriverOptions::quick()
        };
        let driver = Driver::connect_with(provider.socket(), options)?;
        let scene = Self {
            vault,
            issuer,
            proxy,
            provider,
            driver,
        };
        scene.write(Generation::Good).await?;
        Ok(scene)
    }

    /// A new pod of an account, which every publish asks the provider for.
    pub(super) fn pod(&self, account: &str) -> Result<Kubelet> {
        let pod = Pod::new("default", account)?.with_service_account(account);
        let token = self.issuer.mint(&pod, "vault", 3600)?;
        let volume = Volume::new(pod, class(account)).with_token(token);
        Kubelet::new(self.driver.clone(), volume, Duration::ZERO)
    }

    /// Takes from the denied account what it had.
    pub(super) async fn deny(&self) -> Result<()> {
        let nothing = Policy::read(&["secret/data/nothing"]);
        self.vault.policy(DENIED, &nothing).await
    }

    /// Lets every request take this long from now on.
    pub(super) fn slow_down(&self, latency: Duration) {
        self.proxy.set_latency(latency);
    }

    /// The store goes away.
    pub(super) async fn lose(&mut self, outage: Outage) -> Result<()> {
        match outage {
            Outage::Killed => self.vault.kill(),
            Outage::Sealed => self.vault.seal().await,
            Outage::Hanging => {
                self.slow_down(DEADLINE);
                Ok(())
            }
        }
    }

    /// Mends the store and rotates all secrets, while nobody can reach it.
    pub(super) async fn mend(&mut self, outage: Outage) -> Result<()> {
        self.proxy.refuse(true);
        match outage {
            Outage::Killed => {
                self.vault.start_again().await?;
                self.vault.unseal().await?;
            }
            Outage::Sealed => self.vault.unseal().await?,
            Outage::Hanging => self.slow_down(Duration::ZERO),
        }
        self.write(Generation::Rotated).await
    }

    /// Lets the provider reach it again, and counts anew.
    pub(super) fn restore(&self) {
        self.proxy.forget();
        self.proxy.refuse(false);
    }

    async fn write(&self, generation: Generation) -> Result<()> {
        for account in RUNNING.into_iter().chain([LATE, DENIED]) {
            for at in 0..PATHS {
                let name = format!("{account}/{at}");
                let data = json!({"k": content(account, at, generation)});
                self.vault.kv2_put("secret", &name, &data).await?;
            }
        }
        Ok(())
    }
}

fn class(account: &str) -> Class {
    let objects: String = (0..PATHS)
        .map(|at| {
            let path = format!("secret/data/{account}/{at}");
            object(&format!("o{at}"), &path, "secretKey: k")
        })
        .collect();
    let role = if account == DENIED { DENIED } else { "csi" };
    Class::new("c")
        .with("roleName", role)
        .with("vaultAuthMountPath", "jwt")
        .with("objects", &objects)
}

fn content(account: &str, at: usize, generation: Generation) -> String {
    format!("{generation:?} {at} of {account}")
}

/// The files of an account's pods.
pub(super) fn files(account: &str, generation: Generation) -> BTreeMap<String, Bytes> {
    (0..PATHS)
        .map(|at| (format!("o{at}"), content(account, at, generation).into()))
        .collect()
}
