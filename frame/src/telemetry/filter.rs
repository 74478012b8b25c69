//! Who may speak, and from which level on.
//!
//! Our own crates follow the configured level. Everybody else speaks from `warn` on at most: HTTP, TLS
//! and RPC libraries print headers and frames below it. Two are silent at every level, and one speaks of errors alone.

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::level::Level;

/// The targets of our own crates all begin like this.
const OURS: &str = "coffer";

/// Their Debug prints whole requests and replies, so tokens and secrets.
const SILENT: [&str; 2] = ["vaultrs", "rustify"];

/// At a warning it quotes whole answers.
const TERSE: &str = "kube_client";

/// Decides by target and level; whether the answer changes is up to `reload`.
#[derive(Debug)]
pub(super) struct Filter(LevelFilter);

impl Filter {
    pub(super) const fn new(level: Level) -> Self {
        Self(level.filter())
    }

    fn admits(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= &self.limit(metadata.target(), metadata.is_span())
    }

    fn limit(&self, target: &str, span: bool) -> LevelFilter {
        if SILENT.iter().any(|silent| target.starts_with(silent)) {
            LevelFilter::OFF
        } else if target.starts_with(OURS) {
            // A span only lends its fields to events: a warning names its pod at level warn too.
            if span { self.spans() } else { self.0 }
        } else if target.starts_with(TERSE) {
            self.0.min(LevelFilter::ERROR)
        } else {
            self.0.min(LevelFilter::WARN)
        }
    }

    fn spans(&self) -> LevelFilter {
        if self.0 == LevelFilter::OFF {
            self.0
        } else {
            self.0.max(LevelFilter::INFO)
        }
    }
}

impl<S: Subscriber> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.admits(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.admits(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.spans())
    }
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::{Filter, Level};

    #[test]
    fn libraries_speak_from_warn_on_and_two_never() {
        use LevelFilter as L;
        for (level, target, expected) in [
            (Level::Trace, "coffer_provider::server", L::TRACE),
            (Level::Warn, "coffer_provider_core", L::WARN),
            (Level::Off, "coffer_provider", L::OFF),
            (Level::Trace, "vaultrs::api", L::OFF),
            (Level::Trace, "rustify::endpoint", L::OFF),
            (Level::Error, "rustify", L::OFF),
            (Level::Trace, "h2::codec", L::WARN),
            (Level::Trace, "hyper::proto", L::WARN),
            (Level::Debug, "hyper_util::client", L::WARN),
            (Level::Trace, "rustls::conn", L::WARN),
            (Level::Trace, "reqwest::connect", L::WARN),
            (Level::Trace, "tower::buffer", L::WARN),
            (Level::Trace, "kube_client::client", L::ERROR),
            (Level::Trace, "kube_runtime::watcher", L::WARN),
            (Level::Trace, "coffer_sync_core::decide", L::TRACE),
            (Level::Trace, "tonic::transport", L::WARN),
            (Level::Error, "h2", L::ERROR),
            (Level::Off, "h2", L::OFF),
        ] {
            let limit = Filter::new(level).limit(target, false);
            assert_eq!(limit, expected, "{target} at {level:?}");
        }
    }
}
