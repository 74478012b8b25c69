//! Logs: one line per event on stdout, JSON or text, written by a thread of its own.
//!
//! Our own crates speak at the configured level, everybody else at `warn` at most: libraries print headers, frames
//! and objects below it. What is said in a line is decided where it is said.

mod panics;

use std::fmt;
use std::io;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

pub use self::panics::tell_only_places_of_panics;

/// The targets of our own crates all begin like this.
const OURS: &str = "coffer_sync";

/// Lines that wait for stdout. At 300 bytes each that is 2.5 MB, and enough for a burst of all workers.
const QUEUED: usize = 8192;

/// Shape of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    /// Reads the word for it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Logging was started before.
#[derive(Debug, thiserror::Error)]
#[error("logging has been started before")]
pub struct Started;

/// Keeps the log going; writes out what is queued when dropped.
#[must_use = "the log ends when this is dropped"]
pub struct Guard {
    _worker: WorkerGuard,
    dropped: ErrorCounter,
}

impl Guard {
    /// How many lines were dropped because stdout did not take them.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// Sends the events of the whole process to stdout. To be called once.
///
/// # Errors
/// When it was called before.
pub fn init(format: LogFormat, level: Level) -> Result<Guard, Started> {
    // Lossy: whoever does not read our log must not stop the controller.
    let (writer, worker) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUED)
        .lossy(true)
        .thread_name("log")
        .finish(io::stdout());
    let dropped = writer.error_counter();
    // Not `try_init`: it may also collect what libraries send to the `log` crate, and those records carry no
    // target that the filter could judge.
    set_global_default(subscriber(format, level, writer)).map_err(|_| Started)?;
    Ok(Guard {
        _worker: worker,
        dropped,
    })
}

fn subscriber<W>(format: LogFormat, level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    Registry::default()
        .with(filter(level))
        .with(lines(format, writer))
}

fn filter(level: Level) -> Targets {
    let level = LevelFilter::from_level(level);
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(OURS, level)
        // At a warning it quotes whole answers.
        .with_target("kube_client", level.min(LevelFilter::ERROR))
}

fn lines<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer::<S>()
        .with_ansi(false)
        .with_writer(writer);
    match format {
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => layer.boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::{Level, LevelFilter, LogFormat, filter, subscriber};

    /// What was written.
    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: Level, speak: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        with_default(subscriber(format, level, move || writer.clone()), speak);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_of_json_has_its_fields_at_the_top() {
        let text = logged(LogFormat::Json, Level::INFO, || {
            tracing::info!(target: "coffer_sync::rounds", namespace = "shop", keys = 2, "synced\nnow");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "synced\nnow");
        assert_eq!(line["namespace"], "shop");
        assert_eq!(line["keys"], 2);
        assert_eq!(line["target"], "coffer_sync::rounds");
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }

    #[test]
    fn text_says_the_same_for_people() {
        let text = logged(LogFormat::Text, Level::INFO, || {
            tracing::warn!(target: "coffer_sync", namespace = "shop", "not synced");
        });
        for part in ["WARN", "coffer_sync: ", "not synced", "namespace=\"shop\""] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn libraries_speak_from_warn_on() {
        use tracing::Level as L;
        for (level, target, speaks_at) in [
            (L::TRACE, "coffer_sync", L::TRACE),
            (L::TRACE, "coffer_sync_core::decide", L::TRACE),
            (L::WARN, "coffer_sync::rounds", L::WARN),
            (L::TRACE, "kube_client::client", L::ERROR),
            (L::DEBUG, "h2::codec", L::WARN),
            (L::TRACE, "hyper_util::client", L::WARN),
            (L::TRACE, "kube_runtime::watcher", L::WARN),
            (L::ERROR, "tonic::transport", L::ERROR),
        ] {
            let filter = filter(level);
            for at in [L::TRACE, L::DEBUG, L::INFO, L::WARN, L::ERROR] {
                assert_eq!(
                    filter.would_enable(target, &at),
                    LevelFilter::from_level(at) <= LevelFilter::from_level(speaks_at),
                    "{target} at {at} under {level}"
                );
            }
        }
    }

    #[test]
    fn formats_are_known_by_their_words() {
        assert_eq!(LogFormat::parse("json"), Some(LogFormat::Json));
        assert_eq!(LogFormat::parse("text"), Some(LogFormat::Text));
        assert_eq!(LogFormat::parse("JSON"), None);
    }
}
