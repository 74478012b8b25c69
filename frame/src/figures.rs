//! What a scrape says about the process: read from `/proc` and the runtime when it is asked for.
//!
//! A value that cannot be read is left out; it is never reported as zero.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric,
};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::process::{Resource, getrlimit};

/// Reads the state of this process on each scrape.
#[derive(Debug)]
pub struct Process {
    started: f64,
}

impl Process {
    /// Takes now as the start: this is made within milliseconds of it, which spares the arithmetic of
    /// boot time and clock ticks.
    #[must_use]
    pub fn starting_now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: since.as_secs_f64(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let e = &mut encoder;
        if let Some(usage) = Usage::read() {
            counter(
                e,
                "process_cpu_seconds",
                "User and system time spent",
                usage.cpu_seconds,
            )?;
            gauge(
                e,
                "process_resident_memory_bytes",
                "Resident memory",
                usage.resident_bytes,
            )?;
        }
        if let Some(open) = open_descriptors() {
            gauge(e, "process_open_fds", "Open file descriptors", open)?;
        }
        if let Some(max) = getrlimit(Resource::Nofile).current {
            gauge(
                e,
                "process_max_fds",
                "Most file descriptors that may be open",
                max,
            )?;
        }
        let help = "Start of the process, in Unix time";
        gauge(e, "process_start_time_seconds", help, self.started)?;
        gauge(
            e,
            "coffer_tasks",
            "Tasks of the runtime that have not ended",
            tasks(),
        )
    }
}

fn counter<V>(e: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: V) -> std::fmt::Result
where
    V: EncodeCounterValue,
{
    let metric = ConstCounter::new(value);
    metric.encode(e.encode_descriptor(name, &format!("{help}."), None, metric.metric_type())?)
}

fn gauge<V>(e: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: V) -> std::fmt::Result
where
    V: EncodeGaugeValue,
{
    let metric = ConstGauge::new(value);
    metric.encode(e.encode_descriptor(name, &format!("{help}."), None, metric.metric_type())?)
}

/// The two numbers of `/proc/self/stat` that matter.
#[derive(Debug, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    resident_bytes: u64,
}

impl Usage {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let ticks = rustix::param::clock_ticks_per_second();
        Self::parse(&stat, ticks, rustix::param::page_size())
    }

    /// The fields are those of proc_pid_stat(5); the second is the command in parentheses and may itself
    /// hold blanks and parentheses, so counting starts after the last one.
    fn parse(stat: &str, ticks_per_second: u64, page_size: usize) -> Option<Self> {
        let (_, after_command) = stat.rsplit_once(')')?;
        let field = |number: usize| -> Option<u64> {
            after_command
                .split_ascii_whitespace()
                .nth(number - 3)?
                .parse()
                .ok()
        };
        let (user, system, resident_pages) = (field(14)?, field(15)?, field(24)?);
        Some(Self {
            cpu_seconds: (user + system) as f64 / ticks_per_second as f64,
            resident_bytes: resident_pages * u64::try_from(page_size).ok()?,
        })
    }
}

/// Open descriptors, without the one that counting needs.
fn open_descriptors() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(entries.saturating_sub(1)).ok()
}

/// Tasks alive in the runtime that the scrape runs on; none outside of one.
fn tasks() -> u64 {
    let alive = tokio::runtime::Handle::try_current().map(|h| h.metrics().num_alive_tasks());
    alive
        .ok()
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn usage_is_read_past_a_command_with_parentheses() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4 1 0 0 0 250 50 0 0 20 0 9 0 99 1000 3 5 0";
        let expected = Usage {
            cpu_seconds: 3.0,
            resident_bytes: 3 * 4096,
        };
        assert_eq!(Usage::parse(stat, 100, 4096), Some(expected));
        assert_eq!(Usage::parse("7 (a) S 1", 100, 4096), None);
        assert_eq!(Usage::parse("", 100, 4096), None);
    }

    #[test]
    fn this_process_can_read_itself() {
        let usage = Usage::read().expect("proc is mounted");
        assert!(usage.resident_bytes > 100_000);
    }
}
