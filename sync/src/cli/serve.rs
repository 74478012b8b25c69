//! `serve`: starts logging, hardens the process and lets the controller work until it is told to stop.

use std::sync::Arc;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use super::{Done, Failed, Outcome, build};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::{run, telemetry};

/// Threads for files and name resolution. The library's 512 would each take memory of the allocator that it
/// never gives back.
const BLOCKING_THREADS: usize = 8;

pub(super) fn run(config: Config) -> Outcome {
    let metrics = Arc::new(Metrics::new(build(), config.per_object_metrics));
    let log = telemetry::init(config.log_format, config.log_level)
        .map_err(|error| Failed::new(64, error.to_string()))?;
    telemetry::tell_only_places_of_panics();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    harden();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| Failed::new(3, format!("no runtime: {error}")))?;
    let served = runtime.block_on(run::serve(config, metrics));
    if let Err(error) = &served {
        tracing::error!(error = format!("{error:#}"), "coffer-sync ends");
    }
    let dropped = log.dropped_lines();
    if dropped > 0 {
        tracing::warn!(dropped, "stdout did not take all lines of the log");
    }
    drop(log);
    served.map_err(|error| Failed::new(3, format!("{error:#}")))?;
    Ok(Done {
        text: String::new(),
        code: 0,
    })
}

/// No core dump and no debugger of another process may see secrets.
fn harden() {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, nothing);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Some(error) = limited.err().or(hidden.err()) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
}
