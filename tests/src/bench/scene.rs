//! What is measured: a real store with secrets and a role, providers in front of it, volumes.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::driver::attributes::{Class, Pod, Volume};
use crate::driver::client::{Driver, DriverOptions};
use crate::fixture::directory;
use crate::process::Running;
use crate::provider::{ProviderProcess, binary};
use crate::vault::{JwtAuth, JwtRole, Policy, Vault};

/// How many secrets there are, one path each.
const SECRETS: usize = 50;

pub(super) struct Scene {
    vault: Vault,
    jwt: JwtAuth,
    keys: tempfile::TempDir,
    pub(super) store_version: String,
}

impl Scene {
    pub(super) async fn set() -> Result<Self> {
        let vault = Vault::start().await?;
        let jwt = JwtAuth::new("https://bench")?;
        jwt.enable(&vault, "jwt").await?;
        vault
            .policy("bench", &Policy::read(&["secret/data/*"]))
            .await?;
        let role = JwtRole {
            name: "bench",
            audience: Some("vault"),
            subject: None,
            policies: &["bench"],
            ttl: "1h",
        };
        jwt.role(&vault, "jwt", &role).await?;
        for index in 0..SECRETS {
            let value = json!({"password": format!("value-{index}")});
            vault
                .kv2_put("secret", &format!("bench/{index}"), &value)
                .await?;
        }
        let keys = directory("bench")?;
        std::fs::write(keys.path().join("jwks.json"), jwt.jwks().to_string())?;
        let store_version = vault.version().await?;
        Ok(Self {
            vault,
            jwt,
            keys,
            store_version,
        })
    }

    pub(super) async fn provider(&self) -> Result<ProviderProcess> {
        let keys = self.keys.path().join("jwks.json");
        let keys = keys.to_str().context("a directory that is not UTF-8")?;
        ProviderProcess::start(
            &[
                "-kubeconfig",
                "off",
                "-jwks-file",
                keys,
                "-vault-mount",
                "jwt",
            ],
            &[],
        )
        .await
    }

    /// The time from the start of the process until it answers Version.
    pub(super) async fn starts(&self, count: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        for _ in 0..count {
            let directory = directory("start")?;
            let socket = directory.path().join("vault.sock");
            let endpoint = socket.to_str().context("a directory that is not UTF-8")?;
            let mut command = Command::new(binary("coffer-provider")?);
            command
                .args([
                    "-kubeconfig",
                    "off",
                    "-health-addr",
                    "127.0.0.1:0",
                    "-endpoint",
                    endpoint,
                ])
                .env_clear();
            let started = Instant::now();
            let mut process = Running::start("coffer-provider", &mut command, directory.path())?;
            while UnixStream::connect(&socket).is_err() {
                process.still_running()?;
                if started.elapsed() > Duration::from_secs(10) {
                    bail!("the provider does not serve");
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            let driver = Driver::connect_with(&socket, DriverOptions::quick())?;
            driver
                .version()
                .await
                .map_err(|status| anyhow::anyhow!("{status}"))?;
            times.push(started.elapsed());
            process.stop(Duration::from_secs(10)).await?;
        }
        Ok(times)
    }

    /// A volume of so many objects, each on a path of its own.
    pub(super) fn volume(&self, pod: &str, account: &str, objects: usize) -> Result<Volume> {
        let pod = Pod::new("bench", pod)?.with_service_account(account);
        let token = self.jwt.mint(&pod, "vault", 3600)?;
        let list: String = (0..objects)
            .map(|index| format!("- objectName: o{index}\n  secretPath: secret/data/bench/{index}\n  secretKey: password\n"))
            .collect();
        let class = Class::new("bench")
            .with("roleName", "bench")
            .with("vaultAddress", self.vault.address())
            .with("objects", &list);
        Ok(Volume::new(pod, class).with_token(token))
    }

    /// How many requests a provider has sent to the store.
    pub(super) async fn store_requests(&self, provider: &ProviderProcess) -> Result<u64> {
        let (_, text) = provider.ask("/metrics").await?;
        let sum: f64 = text
            .lines()
            .filter(|line| line.starts_with("coffer_store_requests_total{"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count"
        )]
        Ok(sum as u64)
    }
}
