//! Scene `first`: first mounts, each of an account of its own, so with a login.

use anyhow::Result;

use super::load::Load;
use super::machine::Usage;
use super::openbao::OpenBao;
use super::report::Section;
use super::table::{Table, cells, each, micros_each};
use super::world::{Scale, World};
use crate::provider::ProviderProcess;

const MOUNTS: usize = 300;
const OBJECTS: usize = 3;

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let world = World::set().await?;
    let count = scale.count(MOUNTS);
    let mut table = Table::new(&[
        "store",
        "p50 ms",
        "p99 ms",
        "max ms",
        "store requests each",
        "provider CPU µs each",
    ]);

    let real = OpenBao::start(&world, OBJECTS).await?;
    let provider = world.provider_at(&real.proxy.address()).await?;
    let row = mounts(&world, &provider, count, || real.arrived()).await?;
    let name = format!("real, version {}", real.version);
    table.row(std::iter::once(name).chain(row));
    drop((provider, real));

    let provider = world.provider().await?;
    let row = mounts(&world, &provider, count, || world.store.arrived()).await?;
    table.row(std::iter::once("counting".to_owned()).chain(row));
    Ok(Section {
        scene: "first",
        title: format!("First mounts, {OBJECTS} objects"),
        about: format!(
            "{count} pods one after another, each of an account of its own: one login and {OBJECTS} reads. The real store stands behind a counting proxy."
        ),
        tables: vec![table],
        plots: Vec::new(),
    })
}

async fn mounts(
    world: &World,
    provider: &ProviderProcess,
    count: usize,
    arrived: impl Fn() -> u64,
) -> Result<Vec<String>> {
    world
        .judged(provider, &world.volume("judged", OBJECTS)?)
        .await?;
    let frames = world.frames(count, count, OBJECTS)?;
    let load = Load::one_line(provider.socket(), 1).await?;
    let (before, usage) = (arrived(), Usage::of(provider.pid())?);
    let outcome = load.count(count, |at| frames[at].same()).await?.whole()?;
    let cpu = Usage::of(provider.pid())?.since(&usage);
    let mut row = cells(outcome.summary()).to_vec();
    row.push(each(arrived() - before, count));
    row.push(micros_each(cpu, count));
    Ok(row)
}
