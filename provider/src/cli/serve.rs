//! `serve`: reads the configuration, starts logging, hardens the process and serves.

use std::sync::Arc;

use super::{Done, Environment, Failed, Outcome, configure, runtime, version};
use crate::config::Invocation;
use crate::metrics::Metrics;
use crate::run;
use coffer_frame::telemetry::{self, TelemetrySettings};

/// What a panic of the provider means.
const PANIC: &str = "a bug in the provider; the mount it happened in fails, others go on";

/// Serves until told to stop.
///
/// # Errors
/// 64 for a configuration that cannot be used, or a socket or listener that cannot be had.
pub fn run(invocation: &Invocation, environment: Environment) -> Outcome {
    let config = configure(invocation, environment)?;
    let metrics = Arc::new(Metrics::new(version::build(), config.http_rules.own.len()));
    let dropped = Arc::clone(&metrics);
    let settings = TelemetrySettings {
        format: config.log_format,
        level: config.log_level.level,
        on_dropped: Arc::new(move || dropped.log_dropped()),
    };
    let telemetry =
        telemetry::init(settings).map_err(|error| Failed::new(64, error.to_string()))?;
    if !config.log_level.recognised {
        tracing::warn!("the log level is not known: info is used");
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    coffer_frame::process::harden();
    telemetry::tell_only_places_of_panics(PANIC);
    let control = telemetry.level_control();
    let served = runtime()?.block_on(async move {
        tokio::spawn(telemetry::watch_signals(control));
        run::serve(config, metrics, run::Signals::watch()?).await
    });
    drop(telemetry);
    served.map_err(|error| Failed::new(64, format!("{error:#}")))?;
    Ok(Done {
        text: String::new(),
        code: 0,
    })
}
