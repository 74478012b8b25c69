//! The controller's binary on one core, and what its own metrics say of its rounds and requests.
//!
//! Looked at four times a second while something is waited for, which its own figures include.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::tally::Tally;
use crate::fixture::eventually;
use crate::syncer::{Sockets, SyncProcess};

/// What all of them have. No object falls due by itself while others are measured, and the log is that of a
/// default installation.
const ALWAYS: [&str; 4] = ["--refresh-interval", "1h", "--log-level", "info"];
/// Everything is listed within seconds.
const READY: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);
/// Longer than a round waits for anything when nothing is wrong.
const QUIET: Duration = Duration::from_secs(2);
/// What is not quiet by then stays as it is.
const MOST_QUIET: Duration = Duration::from_secs(60);

pub(super) struct Controller {
    process: SyncProcess,
}

impl Controller {
    /// Starts one and waits until it leads.
    pub(super) async fn start(
        kubeconfig: &Path,
        sockets: &Sockets,
        flags: &[&str],
    ) -> Result<Self> {
        let arguments: Vec<&str> = ALWAYS.iter().chain(flags).copied().collect();
        // A process begins on the cores of the thread that starts it, and its threads stay there.
        let launched = thread::scope(|scope| {
            let starting = scope.spawn(|| {
                stay_on_one_core()?;
                SyncProcess::launch(kubeconfig, sockets, &arguments)
            });
            starting.join()
        });
        let launched = launched.map_err(|_| anyhow!("the thread that starts it panicked"));
        let controller = Self {
            process: launched??,
        };
        controller.leads().await?;
        Ok(controller)
    }

    /// A candidate that stands by is ready too, and says so in other words.
    async fn leads(&self) -> Result<()> {
        eventually(READY, "a controller that leads", async || {
            let (status, text) = self.process.ask("/readyz").await?;
            ensure!(
                status == 200 && text.trim() == "ok",
                "readyz answers {status}: {text}"
            );
            Ok(())
        })
        .await
        .with_context(|| self.process.log())
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its rounds so far, by how they ended.
    pub(super) async fn rounds(&self) -> Result<Tally> {
        self.tally("coffer_sync_reconciles_total", "result").await
    }

    /// Its requests to the API server so far, by verb.
    pub(super) async fn requests(&self) -> Result<Tally> {
        self.tally("coffer_kube_requests_total", "verb").await
    }

    async fn tally(&self, counter: &str, label: &str) -> Result<Tally> {
        let (status, page) = self.process.ask("/metrics").await?;
        ensure!(status == 200, "/metrics answers {status}");
        Ok(Tally::read(&page, counter, |labels| {
            Some(labels.get(label).to_owned())
        }))
    }

    /// Waits until so many rounds are counted, or the time is over; how many there are then.
    pub(super) async fn reach(
        &self,
        wanted: usize,
        within: Duration,
        count: impl Fn(&Tally) -> u64,
    ) -> Result<usize> {
        let end = Instant::now() + within;
        loop {
            let done = usize::try_from(count(&self.rounds().await?))?;
            if done >= wanted || Instant::now() >= end {
                return Ok(done);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until no round ends any more.
    pub(super) async fn quiet(&self) -> Result<()> {
        let end = Instant::now() + MOST_QUIET;
        let mut before = self.rounds().await?;
        while Instant::now() < end {
            tokio::time::sleep(QUIET).await;
            let now = self.rounds().await?;
            if now == before {
                return Ok(());
            }
            before = now;
        }
        Ok(())
    }

    /// Ends it in order, so that the next one can lead at once.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.process.stop().await.map(|_| ())
    }
}

/// Leaves this thread the last one of its cores.
fn stay_on_one_core() -> Result<()> {
    let all = sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).rev();
    let last = cores.find(|core| all.is_set(*core)).context("no core")?;
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stays_on_one_core_passes_that_on() {
        let cores = || {
            stay_on_one_core().unwrap();
            let status = std::process::Command::new("cat")
                .arg("/proc/self/status")
                .output()
                .unwrap();
            let status = String::from_utf8(status.stdout).unwrap();
            let allowed = status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
                .unwrap();
            allowed.trim().to_owned()
        };
        let allowed = thread::spawn(cores).join().unwrap();
        assert!(allowed.parse::<usize>().is_ok(), "{allowed} is no one core");
    }
}
