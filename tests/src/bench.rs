//! The measurements of `make bench`: start, memory, first mounts, mounts with a live session, node start.
//!
//! Figures are of one run on one machine and say so; asserting on them is for nobody.

mod machine;
mod scene;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};

use machine::Usage;
use scene::Scene;
use table::{Quantiles, Report};

/// How often the provider is started.
const STARTS: usize = 20;
/// First mounts, each with a login of its own.
const FIRST_MOUNTS: usize = 300;
/// Mounts of one pod with a live session, for each number of objects.
const LIVE_MOUNTS: usize = 500;
/// Pods of a node's start.
const PODS: usize = 100;
/// How many of them the driver asks for at a time.
const AT_A_TIME: usize = 50;

/// Runs everything and gives the report as Markdown.
///
/// # Errors
/// When a server does not start, or a mount fails.
pub async fn run() -> Result<String> {
    let mut report = Report::new();
    let scene = Scene::set().await?;
    report.machine(&scene.store_version);
    say("starting");
    let starts = scene.starts(STARTS).await?;
    let provider = scene.provider().await?;
    let driver = provider.driver()?;
    driver
        .version()
        .await
        .map_err(|status| anyhow::anyhow!("{status}"))?;
    let idle = Usage::of(provider.pid())?;
    report.process(&starts, &idle, machine::binary_bytes()?);

    say("first mounts");
    let mut first = Quantiles::default();
    let before = scene.store_requests(&provider).await?;
    let usage = Usage::of(provider.pid())?;
    for index in 0..FIRST_MOUNTS {
        let request = scene
            .volume(&format!("first-{index}"), &format!("account-{index}"), 3)?
            .first_mount();
        first.add(timed(driver.mount(&request)).await?);
    }
    let cost = Usage::of(provider.pid())?.since(&usage);
    let requests = scene.store_requests(&provider).await? - before;
    report.mounts(
        "first mount, 3 objects",
        &first,
        FIRST_MOUNTS,
        requests,
        cost,
    );

    for objects in [1, 10, 50] {
        say(&format!("live session, {objects} objects"));
        let request = scene.volume("live", "live", objects)?.first_mount();
        driver.mount(&request).await?;
        let mut live = Quantiles::default();
        let before = scene.store_requests(&provider).await?;
        let usage = Usage::of(provider.pid())?;
        for _ in 0..LIVE_MOUNTS {
            live.add(timed(driver.mount(&request)).await?);
        }
        let cost = Usage::of(provider.pid())?.since(&usage);
        let requests = scene.store_requests(&provider).await? - before;
        report.mounts(
            &format!("live session, {objects} objects"),
            &live,
            LIVE_MOUNTS,
            requests,
            cost,
        );
    }

    say("node start");
    for (what, accounts) in [("one account each", PODS), ("one account for all", 1)] {
        let fresh = scene.provider().await?;
        let driver = fresh.driver()?;
        let requests = (0..PODS)
            .map(|pod| {
                Ok(scene
                    .volume(
                        &format!("node-{pod}"),
                        &format!("node-{}", pod % accounts),
                        3,
                    )?
                    .first_mount())
            })
            .collect::<Result<Vec<_>>>()?;
        let started = Instant::now();
        let mounted = stream::iter(&requests)
            .map(|request| driver.mount(request))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<Vec<_>>()
            .await?;
        ensure!(
            mounted.len() == PODS,
            "{} of {PODS} pods were mounted",
            mounted.len()
        );
        let took = started.elapsed();
        report.node_start(
            what,
            took,
            scene.store_requests(&fresh).await?,
            &Usage::of(fresh.pid())?,
        );
    }
    let after = Usage::of(provider.pid())?;
    Ok(report.finish(&after))
}

async fn timed<T>(mount: impl Future<Output = Result<T>>) -> Result<Duration> {
    let started = Instant::now();
    mount.await?;
    Ok(started.elapsed())
}

#[expect(
    clippy::print_stderr,
    reason = "progress of a program that runs for minutes"
)]
fn say(what: &str) {
    eprintln!("bench: {what}");
}
