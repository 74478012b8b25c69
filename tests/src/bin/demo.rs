//! `make demo`, from the command line to an exit code: 0 shown, 1 not as it should be, 130 interrupted.
//!
//! What is shown stands in the library. An interrupt drops it, and with it all that it started and wrote.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use coffer_tests::demo;
use coffer_tests::demo::screen::Screen;
use tokio::signal::unix::{SignalKind, signal};

/// Shows Mounts with a real store and no cluster. Values are made up; nothing stays behind.
#[derive(Parser)]
struct Options {
    /// Leave the files of the pods in demo-out.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let shown = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(show(&options)));
    match shown {
        Ok(code) => code,
        Err(error) => {
            say(&format!("demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn show(options: &Options) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let screen = Screen::default();
    // Dropped as soon as a signal wins, before anything is said.
    let demo = Box::pin(demo::run(&screen, options.keep));
    tokio::select! {
        shown = demo => return shown.map(|()| ExitCode::SUCCESS),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    say("demo: interrupted; everything is stopped and removed");
    Ok(ExitCode::from(130))
}

fn say(text: &str) {
    // Nobody may read any more; there is no other place to say it.
    let _ = writeln!(std::io::stderr(), "{text}");
}
