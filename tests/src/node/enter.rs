//! The way into namespaces of our own: mounts, network and processes.
//!
//! The program starts itself once more inside. Whatever happens to either, all that runs inside ends.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Set inside.
const INSIDE: &str = "COFFER_NODE_INSIDE";

/// Returns inside; outside it becomes the program that waits for the one inside.
///
/// # Errors
/// When this is not root, or the system gives no namespaces.
pub fn enter() -> Result<()> {
    // Inside it is the first process; a variable alone would have it mount over the machine.
    if std::env::var_os(INSIDE).is_some() && std::process::id() == 1 {
        return Ok(());
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "a node needs root: namespaces, mounts and containers"
    );
    let myself = std::env::current_exe().context("who am I?")?;
    let failed = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "--propagation=private", "--"])
        .arg(myself)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(failed).context("starting unshare, of util-linux")
}
