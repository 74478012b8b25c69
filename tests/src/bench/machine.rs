//! What the machine says: memory and time of a process, size of a binary, the processor.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::provider::binary;

/// Memory, descriptors and processor time of a process at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Resident memory, in KiB.
    pub(super) resident: u64,
    /// The most of it since the process started, in KiB.
    pub(super) peak: u64,
    /// Open descriptors.
    pub(super) descriptors: usize,
    /// User and system time together.
    pub(super) cpu: Duration,
}

impl Usage {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the name in brackets: utime and stime are the 12th and 13th field (proc(5)).
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields
            .iter()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Self {
            resident: kibi(&status, "VmRSS:")?,
            peak: kibi(&status, "VmHWM:")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            cpu: Duration::from_millis(ticks * 1000 / per_second),
        })
    }

    /// Of the harness itself: the load generator and the counting servers.
    pub(super) fn own() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// The processor time since another moment.
    pub(super) fn since(&self, before: &Self) -> Duration {
        self.cpu.saturating_sub(before.cpu)
    }
}

/// A field of `/proc/<pid>/status` that is in KiB.
fn kibi(status: &str, field: &str) -> Result<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let value = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok());
    value.with_context(|| format!("no {field}"))
}

/// Size of the provider's binary.
pub(super) fn binary_bytes() -> Result<u64> {
    Ok(fs::metadata(binary("coffer-provider")?)?.len())
}

/// Name of the processor and how many of it there are.
pub(super) fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let count = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{count} × {}", name.unwrap_or("unknown").trim())
}
