//! The level by signal: SIGUSR1 raises it to debug, SIGUSR2 returns it to the configured one.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::LevelControl;
use super::level::Level;

/// Follows the two signals for the life of the process. Where they cannot be had, the log says so.
pub async fn watch_signals(control: LevelControl) {
    let signals = || -> io::Result<_> {
        let raise = signal(SignalKind::user_defined1())?;
        Ok((raise, signal(SignalKind::user_defined2())?))
    };
    match signals() {
        Ok((raise, reset)) => follow(control, raise, reset).await,
        Err(error) => tracing::warn!(%error, "the log level cannot be changed by signal"),
    }
}

async fn follow(control: LevelControl, mut raise: Signal, mut reset: Signal) {
    loop {
        let signalled = tokio::select! {
            got = raise.recv() => got.map(|()| control.set_level(Level::Debug)),
            got = reset.recv() => got.map(|()| control.reset()),
        };
        if signalled.is_none() {
            return;
        }
        let level = control.level().as_str();
        tracing::info!(log_level = level, "log level changed by signal");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU8;

    use rustix::process::{Signal, getpid, kill_process};
    use tokio::signal::unix::{SignalKind, signal};
    use tokio::sync::mpsc;

    use super::{Level, LevelControl, follow};

    #[tokio::test]
    async fn usr1_raises_to_debug_and_usr2_returns_to_the_configured_level() {
        let (changed, mut changes) = mpsc::unbounded_channel();
        let control = LevelControl {
            configured: Level::Warn,
            current: Arc::new(AtomicU8::new(Level::Warn as u8)),
            apply: Arc::new(move |level| changed.send(level).unwrap()),
        };
        let raise = signal(SignalKind::user_defined1()).unwrap();
        let reset = signal(SignalKind::user_defined2()).unwrap();
        let task = tokio::spawn(follow(control.clone(), raise, reset));
        for (name, expected) in [(Signal::USR1, Level::Debug), (Signal::USR2, Level::Warn)] {
            kill_process(getpid(), name).unwrap();
            assert_eq!(changes.recv().await, Some(expected));
        }
        task.abort();
    }
}
