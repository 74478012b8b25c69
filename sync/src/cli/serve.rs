//! `serve`: starts logging, hardens the process and lets the controller work until it is told to stop.

use std::sync::Arc;

use coffer_frame::telemetry::{self, TelemetrySettings};

use super::{Done, Failed, Outcome, build};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::run;

/// Threads for files and name resolution. The library's 512 would each take memory of the allocator that it
/// never gives back.
const BLOCKING_THREADS: usize = 8;

/// What a panic of the controller means.
const PANIC: &str = "a bug in the controller; the round it happened in ends, others go on";

pub(super) fn run(config: Config) -> Outcome {
    let metrics = Arc::new(Metrics::new(build(), config.per_object_metrics));
    let dropped = Arc::clone(&metrics);
    let settings = TelemetrySettings {
        format: config.log_format,
        level: config.log_level,
        on_dropped: Arc::new(move || dropped.log_dropped()),
    };
    let log = telemetry::init(settings).map_err(|error| Failed::new(64, error.to_string()))?;
    telemetry::tell_only_places_of_panics(PANIC);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    coffer_frame::process::harden();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| Failed::new(3, format!("no runtime: {error}")))?;
    let control = log.level_control();
    let served = runtime.block_on(async move {
        tokio::spawn(telemetry::watch_signals(control));
        run::serve(config, metrics).await
    });
    if let Err(error) = &served {
        tracing::error!(error = format!("{error:#}"), "coffer-sync ends");
    }
    drop(log);
    served.map_err(|error| Failed::new(3, format!("{error:#}")))?;
    Ok(Done {
        text: String::new(),
        code: 0,
    })
}
