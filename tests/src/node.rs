//! A whole cluster on this machine, with a node that runs real pods, and the chart installed on it.
//!
//! It lives in mount, network and process namespaces of its own: no port is shared with anybody, and everything
//! ends with the process that made it. Needs root. What is shown stands in `cases`, what it runs on in `ground`.

mod cases;
mod chart;
mod driver;
mod enter;
mod examples;
mod ground;
mod images;
mod kubelet;
mod pods;
mod report;
mod rollout;

pub use enter::enter;

use anyhow::Result;

/// Brings the cluster up, shows what the chart does on it, and says how many cases passed and failed.
///
/// # Errors
/// When there is no cluster to show anything on.
pub async fn run() -> Result<bool> {
    let report = report::Report::default();
    Box::pin(cases::run(&report)).await?;
    Ok(report.end())
}
