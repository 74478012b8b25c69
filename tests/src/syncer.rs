//! The controller's real binary as a process, with a directory of sockets of its own.
//!
//! Nothing of the test's environment reaches it but what the test passes.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{directory, eventually, free_port};
use crate::process::Running;
use crate::provider::binary;
use crate::tls::http_client;

/// It is ready when everything is listed: in well under a second, if the machine is not busy.
const READY: Duration = Duration::from_secs(30);
/// Rounds under way have five seconds, and so has giving back the Lease.
const STOP: Duration = Duration::from_secs(20);

/// A running controller, killed on drop.
pub struct SyncProcess {
    process: Running,
    health: String,
    directory: TempDir,
}

/// Where the sockets of its providers are; outlives the controller.
pub struct Sockets(TempDir);

impl Sockets {
    /// An empty directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        directory("sockets").map(Self)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The socket of a provider.
    #[must_use]
    pub fn of(&self, provider: &str) -> PathBuf {
        self.path().join(format!("{provider}.sock"))
    }
}

impl SyncProcess {
    /// Starts `coffer-sync` and waits until it says that it is ready.
    ///
    /// # Errors
    /// When the binary is not built, ends, or does not become ready; with its log.
    pub async fn start(kubeconfig: &Path, sockets: &Sockets, arguments: &[&str]) -> Result<Self> {
        let started = Self::launch(kubeconfig, sockets, arguments)?;
        started.settled().await?;
        Ok(started)
    }

    /// Starts it without waiting.
    ///
    /// # Errors
    /// When the binary is not built.
    pub fn launch(kubeconfig: &Path, sockets: &Sockets, arguments: &[&str]) -> Result<Self> {
        let directory = directory("sync")?;
        let health = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(binary("coffer-sync")?);
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--provider-dirs")
            .arg(sockets.path())
            .args(["--health-addr", &health, "--pod-name", "coffer-sync-0"])
            .args(["--namespace", "coffer-system", "--log-level", "debug"])
            .args(arguments)
            .env_clear()
            .env("HOME", directory.path())
            .current_dir(directory.path());
        let process = Running::start("coffer-sync", &mut command, directory.path())?;
        Ok(Self {
            process,
            health,
            directory,
        })
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it does not, with its log.
    pub async fn settled(&self) -> Result<()> {
        eventually(READY, "a ready controller", async || {
            let (status, text) = self.ask("/readyz").await?;
            ensure!(status == 200, "readyz answers {status}: {text}");
            Ok(())
        })
        .await
        .with_context(|| self.log())
    }

    /// Status and body of a path of the admin port.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn ask(&self, path: &str) -> Result<(u16, String)> {
        let url = format!("http://{}{path}", self.health);
        let reply = http_client()?.get(url).send().await?;
        Ok((reply.status().as_u16(), reply.text().await?))
    }

    /// The value of a metric's series; 0 when there is none.
    ///
    /// # Errors
    /// When nobody answers or the value is no number.
    pub async fn metric(&self, series: &str) -> Result<f64> {
        let (status, text) = self.ask("/metrics").await?;
        ensure!(status == 200, "/metrics answers {status}");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?.unwrap_or_default())
    }

    /// What `/objects` shows.
    ///
    /// # Errors
    /// When nobody answers or it is no JSON.
    pub async fn objects(&self) -> Result<Value> {
        let (status, text) = self.ask("/objects").await?;
        ensure!(status == 200, "/objects answers {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// The pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its own directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends a signal, STOP and CONT for a process that hangs.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.process.stop(STOP).await
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.process.kill()
    }
}
