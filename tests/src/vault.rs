//! A real OpenBao or Vault: a child process, a container, or one that is already there.
//!
//! The set-up calls a test needs are in `api`, identities in `jwt`. Which server is taken:
//! `TEST_VAULT_ADDR` with `TEST_VAULT_TOKEN`, else a container with `TEST_VAULT=container`, else the
//! program `bao` or `vault`. A server that is already there is shared, so tests use names of their own.

mod api;
mod container;
mod jwt;
mod lasting;
mod sealed;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{directory, eventually, free_port, program};
use crate::process::Running;
use crate::tls::http_client;

pub use api::{KvVersion, Policy};
use container::Container;
pub use jwt::{JwtAuth, JwtRole};

/// Root token of the dev servers that this harness starts.
const ROOT_TOKEN: &str = "root";
/// A dev server is ready in a quarter of a second; a busy machine takes its time.
const READY: Duration = Duration::from_secs(30);

/// A store with its root token. A server that was started for it ends on drop.
pub struct Vault {
    address: String,
    token: String,
    /// Of a server that was initialised here; a dev server prints its own.
    unseal_key: Option<String>,
    client: reqwest::Client,
    server: Server,
    directory: TempDir,
    tls: Option<TlsFiles>,
}

enum Server {
    Process(Running),
    Container(Container),
    Shared,
}

/// What a provider needs to speak to a store with TLS.
#[derive(Clone)]
pub struct TlsFiles {
    /// The authority of the server's certificate, and of the client's.
    pub ca: PathBuf,
    pub client_certificate: PathBuf,
    pub client_key: PathBuf,
}

impl Vault {
    /// A dev server, unsealed, with KV v2 at `secret/` (OpenBao and Vault alike).
    ///
    /// # Errors
    /// When no server can be found or it does not become ready; with the end of its log.
    pub async fn start() -> Result<Self> {
        if let Ok(address) = env::var("TEST_VAULT_ADDR") {
            let token = env::var("TEST_VAULT_TOKEN")
                .context("TEST_VAULT_ADDR is set, TEST_VAULT_TOKEN is not")?;
            return Self::new(address, token, Server::Shared, directory("vault")?)?
                .ready()
                .await;
        }
        let directory = directory("vault")?;
        let port = free_port()?;
        let variables = [format!("VAULT_DEV_ROOT_TOKEN_ID={ROOT_TOKEN}")];
        let server = Server::start(directory.path(), &dev_arguments(port), &variables).await?;
        let address = format!("http://127.0.0.1:{port}");
        Self::new(address, ROOT_TOKEN.to_owned(), server, directory)?
            .ready()
            .await
    }

    fn new(address: String, token: String, server: Server, directory: TempDir) -> Result<Self> {
        let client = http_client()?;
        Ok(Self {
            address,
            token,
            unseal_key: None,
            client,
            server,
            directory,
            tls: None,
        })
    }

    /// Waits until the server answers as an active, unsealed one.
    async fn ready(mut self) -> Result<Self> {
        eventually(READY, "a ready store", async || {
            self.still_running()?;
            let status = self.health().await?;
            ensure!(status == 200, "health answers {status}");
            Ok(())
        })
        .await?;
        Ok(self)
    }

    /// The URL that a class or flag names.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The root token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The files for TLS; none for a plain server.
    #[must_use]
    pub const fn tls(&self) -> Option<&TlsFiles> {
        self.tls.as_ref()
    }

    /// Its own directory: its files for TLS, and room for a test's.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What the server wrote so far; empty for one that was there already.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.server {
            Server::Process(process) => process.log(),
            Server::Container(container) => container.log(),
            Server::Shared => String::new(),
        }
    }

    /// Whether the server is the test's own, so that it may be sealed or stopped.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        !matches!(self.server, Server::Shared)
    }

    /// Ends the server at once. What it held is lost, unless it is one of [`Self::start_lasting`].
    ///
    /// # Errors
    /// When it is not the test's own.
    pub fn kill(&mut self) -> Result<()> {
        match &mut self.server {
            Server::Process(process) => process.kill().map(|_| ()),
            Server::Container(container) => container.kill(),
            Server::Shared => anyhow::bail!("a shared store is not killed"),
        }
    }

    /// Name and version, as its health endpoint tells: `2.7.2`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> Result<String> {
        let reply: Value = self
            .client
            .get(self.url("sys/health"))
            .send()
            .await?
            .json()
            .await?;
        let version = reply["version"]
            .as_str()
            .context("health names no version")?;
        Ok(version.to_owned())
    }

    /// A shell command that ends the server and removes what it leaves, for a test that ends without a drop.
    #[must_use]
    pub fn farewell(&self) -> String {
        let end = match &self.server {
            Server::Process(process) => format!("kill -KILL {}", process.pid()),
            Server::Container(container) => container.removal(),
            Server::Shared => "true".to_owned(),
        };
        format!("{end}; rm -rf '{}'", self.directory.path().display())
    }

    fn still_running(&mut self) -> Result<()> {
        match &mut self.server {
            Server::Process(process) => process.still_running(),
            Server::Container(container) => container.still_running(),
            Server::Shared => Ok(()),
        }
    }
}

/// The arguments of a dev server; the same for a process and a container.
fn dev_arguments(port: u16) -> [String; 5] {
    [
        "server".to_owned(),
        "-dev".to_owned(),
        "-dev-no-store-token".to_owned(),
        format!("-dev-root-token-id={ROOT_TOKEN}"),
        format!("-dev-listen-address=127.0.0.1:{port}"),
    ]
}

impl Server {
    /// Starts what `TEST_VAULT` asks for. The variables are for the scripts of images.
    async fn start(directory: &Path, arguments: &[String], for_images: &[String]) -> Result<Self> {
        match env::var("TEST_VAULT").as_deref() {
            Ok("container") => {
                let container = Container::start(directory, arguments, for_images).await?;
                Ok(Self::Container(container))
            }
            Ok("") | Err(_) => {
                let mut command = Command::new(program(&["bao", "vault"])?);
                command.args(arguments).env_clear().env("HOME", directory);
                let process = Running::start("vault", &mut command, directory)?;
                Ok(Self::Process(process))
            }
            Ok(other) => anyhow::bail!("TEST_VAULT={other:?}: only `container` is known"),
        }
    }
}

#[cfg(test)]
mod tests;
