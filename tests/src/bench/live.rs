//! Scene `live`: mounts by new pods of an account that is logged in, at several distances of the store.

use std::time::Duration;

use anyhow::{Context, Result};

use super::frame::Frame;
use super::load::Load;
use super::machine::Usage;
use super::openbao::OpenBao;
use super::report::Section;
use super::table::{Table, cells, each, micros_each};
use super::world::{Scale, World};
use crate::provider::ProviderProcess;
use crate::proxy::Proxy;

/// Added to every request on its way to the store.
const LATENCIES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(5),
    Duration::from_millis(50),
];
const OBJECTS: [usize; 3] = [1, 10, 50];
const MOUNTS: usize = 500;
/// Where each mount waits long, fewer say as much.
const MOUNTS_FAR: usize = 60;
/// Open the connections; not measured.
const WARM_UP: usize = 5;

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let world = World::set().await?;
    let mut table = Table::new(&[
        "store latency ms",
        "objects",
        "mounts",
        "p50 ms",
        "p99 ms",
        "max ms",
        "store requests each",
        "provider CPU µs each",
    ]);
    let mut ratios = Table::new(&["store latency ms", "p50 of 50 objects : 1 object"]);
    for latency in LATENCIES {
        let proxy = Proxy::start(&world.store.address()).await?;
        proxy.set_latency(latency);
        let provider = world.provider_at(&proxy.address()).await?;
        let count = scale.count(if latency > Duration::from_millis(10) {
            MOUNTS_FAR
        } else {
            MOUNTS
        });
        let mut medians = Vec::new();
        for objects in OBJECTS {
            let arrived = || world.store.arrived();
            let (median, row) = mounts(&world, &provider, objects, count, arrived).await?;
            let head = [latency.as_millis().to_string(), objects.to_string()];
            table.row(head.into_iter().chain(row));
            medians.push(median.as_secs_f64());
        }
        if let [one, .., fifty] = medians[..] {
            let ratio = format!("{:.1}", fifty / one.max(1e-9));
            ratios.row([latency.as_millis().to_string(), ratio]);
        }
    }
    let real = real(&world, scale).await?;
    Ok(Section {
        scene: "live",
        title: "Mounts by new pods with a live session".to_owned(),
        about: "One after another, all of one account, with `refreshInterval: 0` so that each reads all its objects. A proxy on loopback holds each request to the store back.".to_owned(),
        tables: vec![table, ratios, real],
        plots: Vec::new(),
    })
}

/// The same against a real store.
async fn real(world: &World, scale: Scale) -> Result<Table> {
    let most = OBJECTS.into_iter().max().unwrap_or_default();
    let store = OpenBao::start(world, most).await?;
    let provider = world.provider_at(&store.proxy.address()).await?;
    let mut table = Table::new(&[
        "real store",
        "objects",
        "mounts",
        "p50 ms",
        "p99 ms",
        "max ms",
        "store requests each",
        "provider CPU µs each",
    ]);
    let count = scale.count(MOUNTS);
    for objects in OBJECTS {
        let arrived = || store.arrived();
        let (_, row) = mounts(world, &provider, objects, count, arrived).await?;
        let head = [format!("version {}", store.version), objects.to_string()];
        table.row(head.into_iter().chain(row));
    }
    Ok(table)
}

/// The median and the cells of a row.
async fn mounts(
    world: &World,
    provider: &ProviderProcess,
    objects: usize,
    count: usize,
    arrived: impl Fn() -> u64,
) -> Result<(Duration, Vec<String>)> {
    let mut volume = world.volume("live", objects)?;
    // Mounts follow one another within the second in which they would share a read.
    volume.class = volume.class.with("refreshInterval", "0");
    world.judged(provider, &volume).await?;
    let (frame, load) = (
        Frame::of(&volume),
        Load::one_line(provider.socket(), 1).await?,
    );
    // Numbers that no other row uses.
    let number = |at: usize| objects * 1_000_000 + at;
    load.count(WARM_UP, |at| frame.of_pod(number(count + at)))
        .await?
        .whole()?;
    let (before, usage) = (arrived(), Usage::of(provider.pid())?);
    let outcome = load
        .count(count, |at| frame.of_pod(number(at)))
        .await?
        .whole()?;
    let cpu = Usage::of(provider.pid())?.since(&usage);
    let summary = outcome.summary().context("nothing was mounted")?;
    let mut row = vec![count.to_string()];
    row.extend(cells(Some(summary)));
    row.push(each(arrived() - before, count));
    row.push(micros_each(cpu, count));
    Ok((summary.p50, row))
}
