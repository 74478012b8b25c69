//! The controllers that a test needs beside an API server: garbage collection, tokens, namespaces, quotas.
//!
//! Only those that are named run: no workload controllers, and nothing that looks for nodes.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{ApiServer, binary};
use crate::fixture::{free_port, program};
use crate::process::Running;

const PROGRAM: &str = "kube-controller-manager";

/// Names as `--controllers` has them.
const CONTROLLERS: [&str; 6] = [
    "garbage-collector-controller",
    "namespace-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "token-cleaner-controller",
];

/// A running kube-controller-manager, killed on drop.
pub struct Controllers {
    process: Running,
}

impl ApiServer {
    /// Starts the controllers. They are at work a moment later: whoever needs one waits for what it does.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn controllers(&self) -> Result<Controllers> {
        self.controllers_with(&CONTROLLERS.join(","))
    }

    /// Starts all that run by default, those of workloads and nodes too.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn all_controllers(&self) -> Result<Controllers> {
        self.controllers_with("*")
    }

    fn controllers_with(&self, names: &str) -> Result<Controllers> {
        let directory = self.directory.path();
        let kubeconfig = self.admin_kubeconfig()?;
        let process = start(directory, &kubeconfig, free_port()?, names)?;
        Ok(Controllers { process })
    }
}

impl Controllers {
    /// A shell command that ends it, for a test that ends without a drop.
    #[must_use]
    pub fn farewell(&self) -> String {
        format!("kill -KILL {}", self.process.pid())
    }

    /// What they wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn start(directory: &Path, kubeconfig: &Path, port: u16, names: &str) -> Result<Running> {
    // The usual bundles of KUBEBUILDER_ASSETS lack it.
    let found = binary(PROGRAM).or_else(|_| program(&[PROGRAM]))?;
    let kubeconfig = kubeconfig.display();
    let mut command = Command::new(found);
    command.env_clear().args([
        &format!("--kubeconfig={kubeconfig}"),
        &format!("--authentication-kubeconfig={kubeconfig}"),
        &format!("--authorization-kubeconfig={kubeconfig}"),
        &format!("--controllers={names}"),
        &format!("--root-ca-file={}/ca.crt", directory.display()),
        &format!(
            "--service-account-private-key-file={}/sa.key",
            directory.display()
        ),
        &format!("--cert-dir={}/controllers", directory.display()),
        "--bind-address=127.0.0.1",
        &format!("--secure-port={port}"),
        "--leader-elect=false",
        "--use-service-account-credentials=false",
    ]);
    Running::start("kube-controller-manager", &mut command, directory)
}
