//! Child processes: started with their output in a file, ended by their own pid when dropped.
//!
//! They stay in the test's process group, so a test runner that ends the group ends them as well.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{Hopeless, eventually};

/// A process that is killed and waited for when dropped.
pub struct Running {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts a process; its output goes to `<directory>/<name>.stdout` and `.stderr`.
    ///
    /// # Errors
    /// When the files cannot be made or the program cannot be run.
    pub fn start(name: &str, command: &mut Command, directory: &Path) -> Result<Self> {
        let stdout = File::create(directory.join(format!("{name}.stdout")))?;
        Self::start_into(name, command, directory, stdout.into())
    }

    /// The same with a standard output of the test's choice, which is then no part of the log.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_into(
        name: &str,
        command: &mut Command,
        directory: &Path,
        stdout: Stdio,
    ) -> Result<Self> {
        let stderr = directory.join(format!("{name}.stderr"));
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let stdout = directory.join(format!("{name}.stdout"));
        let name = name.to_owned();
        Ok(Self {
            name,
            child,
            stdout,
            stderr,
        })
    }

    /// The pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far: standard output, then standard error.
    #[must_use]
    pub fn log(&self) -> String {
        [&self.stdout, &self.stderr]
            .map(|file| std::fs::read(file).unwrap_or_default())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("looking after a process")
    }

    /// Fails with the end of its log when it has ended, as a server should not have.
    ///
    /// # Errors
    /// [`Hopeless`] when it has ended.
    pub fn still_running(&mut self) -> Result<()> {
        let Some(status) = self.ended()? else {
            return Ok(());
        };
        let log = tail(&self.log());
        Err(Hopeless(format!("{} ended ({status}): {log}", self.name)).into())
    }

    /// Sends a signal: TERM to end it, STOP and CONT to make it hang and go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("signalling {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time; it then still runs.
    pub async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("end of {}", self.name);
        let child = &mut self.child;
        eventually(within, &what, || {
            let status = child.try_wait();
            async { status?.context("it still runs") }
        })
        .await
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// When it does not end in time, with the end of its log.
    pub async fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let ended = self.wait(within).await;
        ended.with_context(|| tail(&self.log()))
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing left to end.
        let _ = self.kill();
    }
}

/// The last lines of a log: what a failed start most likely says.
fn tail(log: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::directory;

    fn shell(script: &str, place: &Path) -> Running {
        Running::start("shell", Command::new("sh").args(["-c", script]), place).unwrap()
    }

    #[tokio::test]
    async fn output_is_kept_and_the_end_is_seen() {
        let place = directory("process").unwrap();
        let mut process = shell("echo out; echo err >&2; exit 3", place.path());
        let status = process.wait(Duration::from_secs(10)).await.unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.log(), "out\nerr\n");
        let error = process.still_running().unwrap_err().to_string();
        assert!(error.starts_with("shell ended (exit status: 3)"), "{error}");
    }

    #[tokio::test]
    async fn a_dropped_process_is_gone() {
        let place = directory("process").unwrap();
        let process = shell("exec sleep 600", place.path());
        let entry = PathBuf::from(format!("/proc/{}", process.pid()));
        assert!(entry.exists());
        drop(process);
        assert!(!entry.exists());
    }

    #[tokio::test]
    async fn a_stop_is_a_termination_signal() {
        let place = directory("process").unwrap();
        let mut process = shell("exec sleep 600", place.path());
        let status = process.stop(Duration::from_secs(10)).await.unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(15)
        );
    }
}
