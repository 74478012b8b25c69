//! The provider's real binary as a process, with a socket and a directory of its own.
//!
//! Nothing of the test's environment reaches it but what the test passes.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::driver::client::{Driver, DriverOptions};
use crate::fixture::{directory, eventually, free_port};
use crate::process::Running;
use crate::tls::http_client;

/// A provider is ready in milliseconds; a busy machine takes its time.
const READY: Duration = Duration::from_secs(30);
/// Its budget of a Mount, and a little for the rest of a shutdown.
const STOP: Duration = Duration::from_secs(40);

/// Most cases look at what a Mount makes of the store as it is at that moment. Those about memory pass
/// [`DEFAULT_MEMORY`], or flags of their own.
const NO_MEMORY: [(&str, &str); 2] = [("COFFER_REFRESH_INTERVAL", "0"), ("COFFER_MAX_STALE", "0")];
/// Environment of a provider that remembers as it ships: an empty value is none.
pub const DEFAULT_MEMORY: [(&str, &str); 2] =
    [("COFFER_REFRESH_INTERVAL", ""), ("COFFER_MAX_STALE", "")];
/// What a provider has less of than it would like; the default is enough of everything.
#[derive(Default)]
pub struct Scarcity {
    /// The most descriptors it may have open.
    pub descriptors: Option<u32>,
    /// Where its log goes, instead of a file.
    pub stdout: Option<Stdio>,
}

/// A running provider, killed on drop.
pub struct ProviderProcess {
    process: Running,
    socket: PathBuf,
    health: String,
    directory: TempDir,
}

impl ProviderProcess {
    /// Starts `coffer-provider` on `<own directory>/vault.sock` and waits until it answers Version.
    ///
    /// `-endpoint` and `-health-addr` are set here; `arguments` come after them.
    ///
    /// # Errors
    /// When the binary is not built, ends, or does not answer; with the end of its log.
    pub async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        Self::start_as("vault", arguments, environment).await
    }

    /// Starts it under another name, which is that of the socket: `openbao` selects that dialect.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_as(
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let directory = directory("provider")?;
        let socket = directory.path().join(format!("{name}.sock"));
        let enough = Scarcity::default();
        Self::start_in(directory, socket, enough, arguments, environment).await
    }

    /// Starts it short of something.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_short_of(scarcity: Scarcity, arguments: &[&str]) -> Result<Self> {
        let directory = directory("provider")?;
        let socket = directory.path().join("vault.sock");
        Self::start_in(directory, socket, scarcity, arguments, &[]).await
    }

    /// Starts it on a socket path of the test's choice, for what stands there already: a stale file, or the
    /// socket of a provider that it takes over from.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on(
        socket: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_in(
            directory("provider")?,
            socket.to_path_buf(),
            Scarcity::default(),
            arguments,
            environment,
        )
        .await
    }

    async fn start_in(
        directory: TempDir,
        socket: PathBuf,
        scarcity: Scarcity,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let health = format!("127.0.0.1:{}", free_port()?);
        let endpoint = socket.to_str().context("a directory that is not UTF-8")?;
        let mut command = limited(binary("coffer-provider")?, scarcity.descriptors);
        command
            .args(["-endpoint", endpoint, "-health-addr", &health])
            .args(arguments)
            .env_clear()
            .env("HOME", directory.path())
            .envs(NO_MEMORY)
            // The default is one place for the whole machine, which cases must not share.
            .env("COFFER_STATE_DIR", "off")
            .envs(environment.iter().copied())
            .current_dir(directory.path());
        let (name, place) = ("coffer-provider", directory.path());
        let process = match scarcity.stdout {
            Some(stdout) => Running::start_into(name, &mut command, place, stdout)?,
            None => Running::start(name, &mut command, place)?,
        };
        let mut provider = Self {
            process,
            socket,
            health,
            directory,
        };
        provider.ready().await?;
        Ok(provider)
    }

    async fn ready(&mut self) -> Result<()> {
        eventually(READY, "a provider that answers", async || {
            self.process.still_running()?;
            let driver = Driver::connect_with(&self.socket, DriverOptions::quick())?;
            let version = driver.version().await?;
            ensure!(
                !version.runtime_name.is_empty(),
                "Version names no provider"
            );
            Ok(())
        })
        .await
        .with_context(|| self.process.log())
    }

    /// Waits until it says that it is ready, so that its version key is there.
    ///
    /// # Errors
    /// When it does not, with the end of its log.
    pub async fn settled(&self) -> Result<()> {
        eventually(READY, "a ready provider", async || {
            let (status, text) = self.ask("/readyz").await?;
            ensure!(status == 200, "readyz answers {status}: {text}");
            Ok(())
        })
        .await
        .with_context(|| self.log())
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its own directory: the working directory, and room for files that its flags name.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The driver's side, with short waits.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn driver(&self) -> Result<Driver> {
        Driver::connect_with(&self.socket, DriverOptions::quick())
    }

    /// The pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Status and body of a path of the health listener: `/livez`, `/readyz`, `/metrics`.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn ask(&self, path: &str) -> Result<(u16, String)> {
        let url = format!("http://{}{path}", self.health);
        let reply = http_client()?.get(url).send().await?;
        Ok((reply.status().as_u16(), reply.text().await?))
    }

    /// The value of a metric's series as it stands in `/metrics`, such as `coffer_mounts_total{reason="ok"}`;
    /// none when there is no such series.
    ///
    /// # Errors
    /// When nobody answers or the value is no number.
    pub async fn metric(&self, series: &str) -> Result<Option<f64>> {
        let (status, text) = self.ask("/metrics").await?;
        ensure!(status == 200, "/metrics answers {status}");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?)
    }

    /// What it wrote so far; a line may still be on its way.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Everything it wrote until its end, for which it is stopped: the log is written behind the answers, so
    /// that a line may not be there yet while it runs.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub async fn whole_log(&mut self) -> Result<String> {
        self.stop().await?;
        Ok(self.log())
    }

    /// Asks it to end (SIGTERM), without waiting.
    ///
    /// # Errors
    /// When it is gone.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(rustix::process::Signal::TERM)
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// When it does not end within 40 s.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.process.stop(STOP).await
    }

    /// Waits for its end without asking for it.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.process.wait(STOP).await
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.process.kill()
    }
}

/// A program, by way of a shell where the number of its descriptors is limited; the pid is its own either way.
fn limited(program: PathBuf, descriptors: Option<u32>) -> Command {
    let Some(most) = descriptors else {
        return Command::new(program);
    };
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &most.to_string()])
        .arg(program);
    command
}

/// Finds a binary of the workspace in the directory that cargo built this test into.
///
/// # Errors
/// When it is not there.
pub fn binary(name: &str) -> Result<PathBuf> {
    let test = env::current_exe()?;
    // target/<profile>/deps/<test>, or target/<profile>/<program>.
    let places = test.ancestors().skip(1).take(2);
    match places
        .map(|place| place.join(name))
        .find(|path| path.is_file())
    {
        Some(path) => Ok(path),
        None => {
            bail!("{name} is not built: `cargo build --workspace --bins` in the same profile first")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_provider_that_does_not_start_fails_at_once_with_its_log() {
        let start = std::time::Instant::now();
        let failed = ProviderProcess::start(&["--no-such-flag"], &[]).await;
        let error = format!("{:#}", failed.err().unwrap());
        assert!(error.contains("coffer-provider"), "{error}");
        assert!(start.elapsed() < READY, "{error}");
    }

    #[test]
    fn a_binary_that_is_not_built_is_an_error_that_says_how_to() {
        let error = binary("no-such-binary").unwrap_err().to_string();
        assert!(error.contains("cargo build"), "{error}");
    }
}
