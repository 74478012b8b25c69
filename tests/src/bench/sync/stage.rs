//! Cluster, vendor and sockets of the scene, and what a controller took between two moments.
//!
//! Counted where requests arrive: the API server's about Secrets, the controller's own by its metrics, the
//! vendor's calls by the vendor.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::cluster::Cluster;
use super::controller::Controller;
use super::objects::{self, FILE, Size, VENDOR};
use super::tally::Tally;
use crate::bench::machine::Usage;
use crate::bench::table::{float, mebi, micros_each};
use crate::bench::world::Scale;
use crate::syncer::Sockets;
use crate::vendor::Vendor;

/// Of the vendor's provider.
pub(super) const DELAY: Duration = Duration::from_millis(5);

/// How a controller is started.
pub(super) struct Setup {
    /// What the tables call it.
    pub(super) name: &'static str,
    pub(super) flags: &'static [&'static str],
}

pub(super) struct Stage {
    pub(super) scale: Scale,
    pub(super) size: Size,
    pub(super) cluster: Cluster,
    vendor: Vendor,
    sockets: Sockets,
}

/// A moment.
pub(super) struct Mark {
    at: Instant,
    cpu: Duration,
    servers: Duration,
    calls: usize,
    requests: Tally,
    pub(super) rounds: Tally,
    secrets: Tally,
}

/// What happened since a moment.
pub(super) struct Spent {
    pub(super) took: Duration,
    /// Of the controller.
    pub(super) cpu: Duration,
    /// Of the API server and etcd.
    servers: Duration,
    /// Of the vendor.
    pub(super) calls: usize,
    /// Of the controller to the API server.
    pub(super) requests: Tally,
    rounds: Tally,
    /// What the API server counted about Secrets.
    pub(super) secrets: Tally,
    /// KiB now.
    pub(super) resident: u64,
    /// KiB at most since the controller started.
    pub(super) peak: u64,
}

impl Stage {
    pub(super) async fn set(scale: Scale) -> Result<Self> {
        let size = Size::of(scale);
        let sockets = Sockets::new()?;
        let vendor = Vendor::serve(&sockets.of(VENDOR))?;
        vendor.change(|script| script.delay = Some(DELAY));
        let stage = Self {
            scale,
            size,
            cluster: Cluster::start(size).await?,
            vendor,
            sockets,
        };
        stage.fill(size.all(), 0);
        Ok(stage)
    }

    /// Gives the vendor other bytes for these classes.
    pub(super) fn fill(&self, classes: Range<usize>, revision: usize) {
        self.vendor.change(|script| {
            for class in classes {
                let files = [(FILE.to_owned(), objects::content(class, revision))];
                script
                    .classes
                    .insert(objects::class_name(class), files.into());
            }
        });
    }

    /// Starts a controller; the moment is that before its start.
    pub(super) async fn launch(&self, setup: &Setup) -> Result<(Controller, Mark)> {
        let kubeconfig = self.cluster.kubeconfig().await?;
        let born = Mark {
            secrets: self.cluster.requests_to_secrets().await?,
            requests: Tally::default(),
            rounds: Tally::default(),
            calls: self.vendor.calls(),
            servers: self.cluster.processor_time()?,
            cpu: Duration::ZERO,
            at: Instant::now(),
        };
        let controller = Controller::start(&kubeconfig, &self.sockets, setup.flags).await?;
        Ok((controller, born))
    }

    pub(super) async fn mark(&self, controller: &Controller) -> Result<Mark> {
        Ok(Mark {
            secrets: self.cluster.requests_to_secrets().await?,
            requests: controller.requests().await?,
            rounds: controller.rounds().await?,
            calls: self.vendor.calls(),
            servers: self.cluster.processor_time()?,
            cpu: Usage::of(controller.pid())?.cpu,
            at: Instant::now(),
        })
    }

    pub(super) async fn since(&self, controller: &Controller, before: &Mark) -> Result<Spent> {
        let took = before.at.elapsed();
        let usage = Usage::of(controller.pid())?;
        let servers = self.cluster.processor_time()?;
        let requests = controller.requests().await?;
        let secrets = self.cluster.requests_to_secrets().await?;
        Ok(Spent {
            took,
            cpu: usage.cpu.saturating_sub(before.cpu),
            servers: servers.saturating_sub(before.servers),
            calls: self.vendor.calls() - before.calls,
            requests: requests.since(&before.requests),
            rounds: controller.rounds().await?.since(&before.rounds),
            secrets: secrets.since(&before.secrets),
            resident: usage.resident,
            peak: usage.peak,
        })
    }
}

impl Spent {
    /// The heads of [`Self::cells`].
    pub(super) const HEADS: [&str; 5] = [
        "s",
        "objects/s",
        "controller CPU µs each",
        "API server and etcd CPU µs each",
        "most resident MiB",
    ];

    /// For so many objects.
    pub(super) fn cells(&self, count: usize) -> [String; 5] {
        let seconds = self.took.as_secs_f64();
        [
            format!("{seconds:.1}"),
            format!("{:.1}", float(count) / seconds.max(1e-9)),
            micros_each(self.cpu, count),
            micros_each(self.servers, count),
            mebi(self.peak),
        ]
    }

    /// Rounds that did not end as they should.
    pub(super) fn failed(&self) -> u64 {
        let results = ["failed", "refused", "held"].into_iter();
        results.map(|result| self.rounds.of(result)).sum()
    }
}

/// The head of a table of what was spent.
pub(super) fn head<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<&'a str> {
    [before, &Spent::HEADS[..], after].concat()
}

/// A count of a table, with what was wanted where that is another one.
pub(super) fn of_wanted(done: usize, wanted: usize) -> String {
    if done == wanted {
        return done.to_string();
    }
    format!("{done} of {wanted}")
}
