//! Measures provider and controller and writes `docs/benchmarks.md`; `make bench` runs it on a release build.
//!
//! Loopback only, bounded in time, ends by itself. No test reads these figures.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Parser;
use coffer_tests::bench::{Choice, Report, SCENES, run};
use coffer_tests::fixture::repository;
use tokio::signal::unix::{SignalKind, signal};

/// Measures the provider and the controller.
#[derive(Parser)]
struct Arguments {
    /// Runs this scene only; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Names the scenes and ends.
    #[arg(long)]
    list: bool,
    /// Divides counts and times, for a smoke test.
    #[arg(long)]
    quick: bool,
}

#[expect(clippy::print_stdout, reason = "what the user asked for")]
fn main() -> Result<()> {
    let Arguments { only, list, quick } = Arguments::parse();
    if list {
        for (name, about) in SCENES {
            println!("{name:<10} {about}");
        }
        return Ok(());
    }
    let choice = Choice { only, quick };
    coffer_tests::tls::install_crypto();
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(measure(&choice))?;
    let place = place(choice.is_whole() && report.is_complete);
    write(&report, &place)?;
    println!("{}\nwritten to {}", report.text, place.display());
    ensure!(report.is_complete, "not every scene ended in time");
    Ok(())
}

/// Ends early when asked to, so that the processes that were started end with their owners.
async fn measure(choice: &Choice) -> Result<Report> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        report = run(choice) => report,
        _ = term.recv() => bail!("ended by SIGTERM"),
        _ = int.recv() => bail!("ended by SIGINT"),
    }
}

/// A whole run is for the documentation; anything less must not overwrite it.
fn place(to_keep: bool) -> PathBuf {
    repository().join(if to_keep { "docs" } else { "target/bench" })
}

fn write(report: &Report, place: &std::path::Path) -> Result<()> {
    let pictures = place.join("benchmarks");
    std::fs::create_dir_all(&pictures)?;
    std::fs::write(place.join("benchmarks.md"), &report.text)?;
    for (name, svg) in &report.pictures {
        std::fs::write(pictures.join(name), svg)?;
    }
    Ok(())
}
