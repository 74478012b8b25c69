//! Scene `start`: from the start of the process until it answers, idle memory, size of the binary.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::machine::{Usage, binary_bytes};
use super::quantiles::Quantiles;
use super::report::Section;
use super::table::{Table, cells, float, mebi};
use super::world::{Scale, World};
use crate::driver::client::{Driver, DriverOptions};
use crate::fixture::directory;
use crate::process::Running;
use crate::provider::binary;

const STARTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let mut times = Quantiles::default();
    let starts = scale.count(STARTS);
    for _ in 0..starts {
        times.add(start().await?);
    }
    let world = World::set().await?;
    let provider = world.provider().await?;
    let idle = Usage::of(provider.pid())?;

    let mut table = Table::new(&["what", "value"]);
    let [p50, p99, max] = cells(times.summary());
    let taken = format!("{p50} / {p99} / {max} ms");
    let binary = format!("{:.1} MB", float(binary_bytes()?) / 1e6);
    for (what, value) in [
        (
            format!("start until Version is answered, p50 / p99 / max of {starts}"),
            taken,
        ),
        (
            "resident memory, idle".to_owned(),
            format!("{} MiB", mebi(idle.resident)),
        ),
        (
            "open descriptors, idle".to_owned(),
            idle.descriptors.to_string(),
        ),
        ("binary".to_owned(), binary),
    ] {
        table.row([what, value]);
    }
    Ok(Section {
        scene: "start",
        title: "Process".to_owned(),
        about: "No API server and no store.".to_owned(),
        tables: vec![table],
        plots: Vec::new(),
    })
}

/// The time from the start of the process until it answers Version.
async fn start() -> Result<Duration> {
    let directory = directory("start")?;
    let socket = directory.path().join("vault.sock");
    let endpoint = socket.to_str().context("a directory that is not UTF-8")?;
    let mut command = Command::new(binary("coffer-provider")?);
    command
        .args(["-kubeconfig", "off", "-health-addr", "127.0.0.1:0"])
        .args(["-endpoint", endpoint])
        .env_clear();
    let started = Instant::now();
    let mut process = Running::start("coffer-provider", &mut command, directory.path())?;
    while UnixStream::connect(&socket).is_err() {
        process.still_running()?;
        if started.elapsed() > PATIENCE {
            bail!("the provider does not serve");
        }
        // What is waited for takes milliseconds, so the steps are far shorter.
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    let driver = Driver::connect_with(&socket, DriverOptions::quick())?;
    driver.version().await?;
    let took = started.elapsed();
    process.stop(PATIENCE).await?;
    Ok(took)
}
