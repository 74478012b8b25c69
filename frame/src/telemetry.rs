//! Logs: one line per event on stdout, JSON or text with the same fields, never blocking the caller.
//!
//! What is said in a line is decided where it is said. Libraries never speak above `warn` here, and those that print
//! whole bodies or tokens never speak at all (`filter.rs`).

mod filter;
mod level;
mod line;
mod panics;
mod repeat;
mod signals;
mod writer;

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tracing::Subscriber;
use tracing::subscriber::set_global_default;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, reload};

use self::filter::Filter;
pub use self::level::{Level, ParsedLevel};
use self::line::Lines;
pub use self::line::LogFormat;
pub use self::panics::tell_only_places_of_panics;
pub use self::repeat::RepeatGate;
pub use self::signals::watch_signals;
use self::writer::Queue;

/// How long the last lines may take at exit: long enough for a slow pipe, short enough that a blocked
/// one does not eat the grace period.
const FLUSH_AT_EXIT: Duration = Duration::from_secs(1);

/// What [`init`] needs to know.
#[derive(Clone)]
pub struct TelemetrySettings {
    /// Shape of the lines.
    pub format: LogFormat,
    /// Least severe level that is written.
    pub level: Level,
    /// Called once per line that was dropped because stdout did not take it.
    pub on_dropped: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for TelemetrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetrySettings")
            .field("format", &self.format)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Stdout is closed or cannot be duplicated.
    #[error("cannot open stdout")]
    Stdout(#[source] io::Error),
    /// No thread for the writer.
    #[error("cannot start the log writer")]
    Thread(#[source] io::Error),
    /// Somebody installed a logger before.
    #[error("logging has been started before")]
    Started,
}

/// Keeps the log going; writes out what is queued when dropped.
#[derive(Debug)]
pub struct TelemetryHandle {
    control: LevelControl,
    queue: Arc<Queue>,
}

impl TelemetryHandle {
    /// A handle on the level alone, which does not keep the log from being written out at exit.
    #[must_use]
    pub fn level_control(&self) -> LevelControl {
        self.control.clone()
    }
}

impl Drop for TelemetryHandle {
    fn drop(&mut self) {
        self.queue.close(FLUSH_AT_EXIT);
    }
}

/// Changes the level at run time.
#[derive(Clone)]
pub struct LevelControl {
    configured: Level,
    current: Arc<AtomicU8>,
    apply: Arc<dyn Fn(Level) + Send + Sync>,
}

impl LevelControl {
    /// Changes the level from now on.
    pub fn set_level(&self, level: Level) {
        (self.apply)(level);
        self.current.store(level as u8, Ordering::Relaxed);
    }

    /// Goes back to the level of the configuration.
    pub fn reset(&self) {
        self.set_level(self.configured);
    }

    /// The level now.
    #[must_use]
    pub fn level(&self) -> Level {
        let current = self.current.load(Ordering::Relaxed);
        let known = Level::ALL.into_iter().find(|level| *level as u8 == current);
        known.unwrap_or(self.configured)
    }
}

impl fmt::Debug for LevelControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LevelControl")
            .field("configured", &self.configured)
            .field("level", &self.level())
            .finish_non_exhaustive()
    }
}

/// Sends the events of the whole process to stdout. To be called once.
///
/// # Errors
/// Stdout is closed, the writer thread cannot start, or logging was started before.
pub fn init(settings: TelemetrySettings) -> Result<TelemetryHandle, TelemetryError> {
    // A descriptor of our own: what std buffers for its stdout would stay in front of each line
    // after one failed write.
    let stdout = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(TelemetryError::Stdout)?;
    let queue = Queue::start(std::fs::File::from(stdout), settings.on_dropped)
        .map_err(TelemetryError::Thread)?;
    let (subscriber, control) = subscriber(settings.format, settings.level, Arc::clone(&queue));
    // Not `try_init`: it may also collect what libraries send to the `log` crate, and those records
    // carry no target that the filter could judge.
    set_global_default(subscriber).map_err(|_| TelemetryError::Started)?;
    Ok(TelemetryHandle { control, queue })
}

/// The subscriber and the way to change its level.
fn subscriber(
    format: LogFormat,
    level: Level,
    queue: Arc<Queue>,
) -> (impl Subscriber + Send + Sync + 'static, LevelControl) {
    let (filter, reload) = reload::Layer::<Filter, Registry>::new(Filter::new(level));
    let control = LevelControl {
        configured: level,
        current: Arc::new(AtomicU8::new(level as u8)),
        // It fails only once the subscriber is gone, and then there is no level to change.
        apply: Arc::new(move |level| drop(reload.reload(Filter::new(level)))),
    };
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(Lines::new(format, queue));
    (subscriber, control)
}

#[cfg(test)]
mod tests;
