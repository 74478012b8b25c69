//! Installs the chart on a cluster with real pods, all of it on this machine; `make cluster-test` runs it as root.
//!
//! The cluster lives in namespaces of its own and ends with this process.

use std::process::ExitCode;

use anyhow::{Result, bail};
use coffer_tests::node::{enter, run};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<ExitCode> {
    enter()?;
    coffer_tests::tls::install_crypto();
    let runtime = tokio::runtime::Runtime::new()?;
    let passed = runtime.block_on(show())?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Ends early when asked to, so that the processes that were started end with their owners.
async fn show() -> Result<bool> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        passed = run() => passed,
        _ = term.recv() => bail!("ended by SIGTERM"),
        _ = int.recv() => bail!("ended by SIGINT"),
    }
}
