//! The chart, by Helm: installed, upgraded, rolled back, uninstalled.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::apiserver::ApiServer;
use crate::fixture::{program, repository};

/// The release, and its namespace.
const RELEASE: &str = "coffer";
pub(super) const NAMESPACE: &str = "coffer-system";
/// Its components, as their label names them.
pub(super) const COMPONENTS: [&str; 2] = ["provider", "sync"];
/// Longer than the pods take to become ready, shorter than anybody waits.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Helm against one cluster.
pub(super) struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Helm {
    pub(super) fn new(api: &ApiServer) -> Result<Self> {
        Ok(Self {
            program: program(&["helm"]).context("tools/install.sh helm")?,
            kubeconfig: api.admin_kubeconfig()?,
        })
    }

    /// Installs or upgrades to these values, and waits until everything is ready. Returns what the notes say.
    pub(super) async fn upgrade(&self, values: &[&str]) -> Result<String> {
        let chart = repository().join("charts/coffer");
        let chart = chart.display().to_string();
        let mut arguments = vec![
            "upgrade",
            RELEASE,
            &chart,
            "--install",
            "--create-namespace",
        ];
        for value in values {
            arguments.extend(["--set", value]);
        }
        self.run(&arguments).await
    }

    /// Goes back to the revision before, and waits.
    pub(super) async fn rollback(&self) -> Result<()> {
        self.run(&["rollback", RELEASE]).await.map(drop)
    }

    /// Takes the release away, and waits until it is gone.
    pub(super) async fn uninstall(&self) -> Result<()> {
        self.run(&["uninstall", RELEASE]).await.map(drop)
    }

    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let timeout = format!("{}s", TIMEOUT.as_secs());
        let output = Command::new(&self.program)
            .args(arguments)
            .args(["--namespace", NAMESPACE, "--wait", "--timeout", &timeout])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", "/run")
            .kill_on_drop(true)
            .output();
        let Ok(output) = tokio::time::timeout(TIMEOUT * 2, output).await else {
            bail!("helm {arguments:?} does not end");
        };
        let output = output?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {arguments:?}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
