//! The report: tables of what was measured, with the command and the machine.

use std::fmt::Write as _;
use std::time::Duration;

use super::machine::{Usage, processor};

/// Times of equal operations.
#[derive(Default)]
pub(super) struct Quantiles(Vec<Duration>);

impl Quantiles {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    fn at(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(place).copied().unwrap_or_default()
    }
}

/// Collects rows.
pub(super) struct Report {
    head: String,
    process: String,
    mounts: String,
    nodes: String,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            head: String::new(),
            process: String::new(),
            mounts: String::new(),
            nodes: String::new(),
        }
    }

    pub(super) fn machine(&mut self, store: &str) {
        let _ = writeln!(
            self.head,
            "Measured by `make bench` on {}, store {store} on loopback, one run.",
            processor()
        );
    }

    pub(super) fn process(&mut self, starts: &[Duration], idle: &Usage, binary: u64) {
        let mut times = Quantiles::default();
        starts.iter().for_each(|time| times.add(*time));
        let _ = writeln!(
            self.process,
            "| start until Version is answered, p50 of {} | {} ms |",
            starts.len(),
            millis(times.at(50))
        );
        let _ = writeln!(
            self.process,
            "| resident memory, idle | {} MiB |",
            mebi(idle.resident * 1024)
        );
        let _ = writeln!(
            self.process,
            "| binary | {} MB |",
            tenths(binary * 10 / 1_000_000)
        );
    }

    pub(super) fn mounts(
        &mut self,
        what: &str,
        times: &Quantiles,
        count: usize,
        requests: u64,
        cpu: Duration,
    ) {
        let count64 = u64::try_from(count).unwrap_or(1).max(1);
        let _ = writeln!(
            self.mounts,
            "| {what} | {} | {} | {} | {} |",
            millis(times.at(50)),
            millis(times.at(99)),
            tenths(requests * 10 / count64),
            millis(cpu / u32::try_from(count).unwrap_or(1).max(1))
        );
    }

    pub(super) fn node_start(&mut self, what: &str, took: Duration, requests: u64, after: &Usage) {
        let _ = writeln!(
            self.nodes,
            "| {what} | {} | {requests} | {} | {} MiB |",
            millis(took),
            millis(after.cpu),
            mebi(after.resident * 1024)
        );
    }

    pub(super) fn finish(self, after: &Usage) -> String {
        let Self {
            head,
            mut process,
            mounts,
            nodes,
        } = self;
        let _ = writeln!(
            process,
            "| resident memory after all mounts below | {} MiB |",
            mebi(after.resident * 1024)
        );
        format!(
            "# Benchmarks\n\n{head}\nThe load generator runs on the same machine and takes its share of it.\n\n\
             ## Process\n\n| what | value |\n|---|---|\n{process}\n\
             ## Mounts, one after another\n\n| what | p50 ms | p99 ms | store requests each | CPU ms each |\n|---|---|---|---|---|\n{mounts}\n\
             ## Node start: 100 pods with 3 objects, 50 at a time\n\n| accounts | ms | store requests | CPU ms | memory |\n|---|---|---|---|---|\n{nodes}"
        )
    }
}

fn millis(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}

fn mebi(bytes: u64) -> String {
    tenths(bytes * 10 / (1 << 20))
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}
