//! Scene `republish`: how many republishes a second one provider answers, and what each costs it.

use anyhow::Result;

use super::load::Load;
use super::machine::Usage;
use super::report::Section;
use super::table::{Table, cells, each, micros_each, per_second};
use super::world::{Scale, World};

const OBJECTS: [usize; 3] = [1, 10, 50];
const VOLUMES: usize = 200;
const ACCOUNTS: usize = 20;
const SECONDS: u64 = 12;
const LINES: usize = 4;
const AT_A_TIME: usize = 4;

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let world = World::set().await?;
    let mut table = Table::new(&[
        "objects",
        "republishes/s",
        "count",
        "p50 ms",
        "p99 ms",
        "max ms",
        "store requests each",
        "provider CPU µs each",
        "generator and store CPU µs each",
    ]);
    for objects in OBJECTS {
        let provider = world.provider().await?;
        world
            .judged(&provider, &world.volume("judged", objects)?)
            .await?;
        let frames = world.frames(VOLUMES, ACCOUNTS, objects)?;
        let load = Load::open(provider.socket(), LINES, AT_A_TIME).await?;
        load.count(VOLUMES, |at| frames[at].same()).await?.whole()?;
        let (before, usage) = (world.store.arrived(), Usage::of(provider.pid())?);
        let outcome = load
            .last(scale.seconds(SECONDS), |at| frames[at % VOLUMES].same())
            .await?
            .whole()?;
        let cpu = Usage::of(provider.pid())?.since(&usage);
        let mut row = vec![
            objects.to_string(),
            per_second(outcome.done, outcome.took),
            outcome.done.to_string(),
        ];
        row.extend(cells(outcome.summary()));
        row.push(each(world.store.arrived() - before, outcome.done));
        row.push(micros_each(cpu, outcome.done));
        row.push(micros_each(outcome.own_cpu, outcome.done));
        table.row(row);
    }
    Ok(Section {
        scene: "republish",
        title: "Republishes, as fast as they go".to_owned(),
        about: format!(
            "{VOLUMES} volumes of {ACCOUNTS} accounts, mounted just before, over {LINES} connections with {AT_A_TIME} under way on each. Requests are encoded once. With no store request each, the answers come from memory."
        ),
        tables: vec![table],
        plots: Vec::new(),
    })
}
