//! Shell scripts in a process group of their own, so that what they started ends with them.
//!
//! A terminal's Ctrl-C reaches the demo alone; dropping the script ends the whole group.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::fixture::program;

/// A script that runs.
pub struct Script {
    child: Child,
    group: Option<Pid>,
}

impl Script {
    /// Runs a script to its end.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run(path: &Path, environment: &[(String, String)]) -> Result<()> {
        Self::run_with(path, &[], environment).await
    }

    /// Runs a script with arguments to its end.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run_with(
        path: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<()> {
        let script = Self::start(path, arguments, environment)?;
        let output = script.output().await?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        bail!("{} ({}): {}", path.display(), output.status, said.trim())
    }

    fn start(path: &Path, arguments: &[&str], environment: &[(String, String)]) -> Result<Self> {
        let child = Command::new("sh")
            .arg(path)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", path.display()))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = id.and_then(Pid::from_raw);
        Ok(Self { child, group })
    }

    async fn output(mut self) -> Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut out = self.child.stdout.take().context("no output")?;
        let mut err = self.child.stderr.take().context("no output")?;
        tokio::try_join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr))?;
        let status = self.child.wait().await?;
        // It has ended by itself: its number may soon be another's.
        self.group = None;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended already; then there is nothing left to end.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The environment in which `setup.sh` speaks to a store: address, token, and the command line client.
///
/// # Errors
/// When there is no client.
pub fn store_environment(address: &str, token: &str) -> Result<Vec<(String, String)>> {
    let client = program(&["bao", "vault"])?;
    let mut places: Vec<PathBuf> = client.parent().map(Path::to_owned).into_iter().collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path));
    let path = std::env::join_paths(places)?;
    let path = path.to_str().context("PATH is not UTF-8")?;
    let pairs = [
        ("BAO_ADDR", address),
        ("BAO_TOKEN", token),
        ("VAULT_ADDR", address),
        ("VAULT_TOKEN", token),
        ("PATH", path),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(pairs.to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::fixture::{directory, eventually};

    fn script(place: &Path, text: &str) -> PathBuf {
        let path = place.join("script.sh");
        fs::write(&path, text).unwrap();
        path
    }

    #[tokio::test]
    async fn a_failed_script_tells_what_it_said() {
        let place = directory("script").unwrap();
        let path = script(place.path(), "echo \"no $WHAT\" >&2; exit 3");
        let environment = [("WHAT".to_owned(), "way".to_owned())];
        let error = Script::run(&path, &environment).await.unwrap_err();
        let error = error.to_string();
        assert!(error.ends_with("(exit status: 3): no way"), "{error}");
    }

    #[tokio::test]
    async fn a_dropped_script_takes_its_children_along() {
        let place = directory("script").unwrap();
        let pid = place.path().join("pid");
        let text = format!("sleep 600 & echo $! >{}; wait", pid.display());
        let path = script(place.path(), &text);
        let running = Script::start(&path, &[], &[]).unwrap();
        let child = eventually(Duration::from_secs(10), "a child", async || {
            let text = fs::read_to_string(&pid)?;
            Ok(text.trim().parse::<u32>()?)
        })
        .await
        .unwrap();
        drop(running);
        eventually(Duration::from_secs(10), "the child's end", async || {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            // Gone, or a zombie that nobody has buried yet.
            anyhow::ensure!(stat.is_empty() || stat.contains(") Z"), "{stat}");
            Ok(())
        })
        .await
        .unwrap();
    }
}
