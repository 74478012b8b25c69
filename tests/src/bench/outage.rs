//! Scene `outage`: the store is killed under a steady load of republishes, and comes back.

use std::time::Duration;

use anyhow::Result;

use super::frame::Frame;
use super::load::{Load, Outcome};
use super::quantiles::Quantiles;
use super::report::Section;
use super::table::{Table, cells};
use super::world::{Scale, World};

const PODS: usize = 250;
const ACCOUNTS: usize = 25;
const OBJECTS: usize = 3;
/// Every pod once in five seconds: far more often than kubelet, so that a herd shows.
const A_SECOND: u32 = 50;
const BEFORE: u64 = 10;
/// Longer than answers are kept fresh in memory: at the end every volume is due.
const DOWN: u64 = 50;
const AFTER: u64 = 10;
/// First mounts while the store is down, one after another with this pause.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let mut world = World::set().await?;
    let provider = world.provider().await?;
    let frames = world.frames(PODS, ACCOUNTS, OBJECTS)?;
    let load = Load::open(provider.socket(), 2, 8).await?;
    load.count(PODS, |at| frames[at].same()).await?.whole()?;
    let republish = |seconds| {
        load.paced(A_SECOND, scale.seconds(seconds), |at| {
            frames[at % PODS].same()
        })
    };
    let mut phases = Phases::new();

    let asked = world.store.arrived();
    let before = republish(BEFORE).await?;
    phases.add("store up", &before, world.store.arrived() - asked);

    world.store.kill().await;
    let asked = world.store.arrived();
    let newcomers = world.frames(1000, 1000, OBJECTS)?;
    let (down, firsts) = tokio::join!(
        republish(DOWN),
        first_mounts(&load, scale.seconds(DOWN), &frames, &newcomers)
    );
    phases.add("store down", &down?, world.store.arrived() - asked);

    world.store.restore().await?;
    let asked = world.store.arrived();
    let (after, by_second) = tokio::join!(republish(AFTER), arrivals(&world, scale.seconds(AFTER)));
    phases.add("store back", &after?, world.store.arrived() - asked);
    Ok(Section {
        scene: "outage",
        title: format!(
            "The store is killed for {} s under load",
            scale.seconds(DOWN).as_secs()
        ),
        about: format!(
            "{PODS} pods of {ACCOUNTS} accounts with {OBJECTS} objects, {A_SECOND} republishes a second. The store refuses connections while it is down. Meanwhile new pods come, in turn of a known account and of a new one. Requests that arrived at the store in each of the seconds after it was back: {}.",
            by_second.join(", ")
        ),
        tables: vec![phases.table, firsts?],
        plots: Vec::new(),
    })
}

/// First mounts for a while, in turn of an account with a session and of one without.
async fn first_mounts(
    load: &Load,
    long: Duration,
    known: &[Frame],
    newcomers: &[Frame],
) -> Result<Table> {
    let mut table = Table::new(&[
        "first mounts while down",
        "tried",
        "failed",
        "until the answer, p50 ms",
        "p99 ms",
        "max ms",
    ]);
    let end = tokio::time::Instant::now() + long;
    let mut outcomes = [("known account", Vec::new()), ("new account", Vec::new())];
    let mut number = 0;
    while tokio::time::Instant::now() < end {
        let frame = if number % 2 == 0 {
            known[number % known.len()].of_pod(number)
        } else {
            newcomers[number % newcomers.len()].of_pod(number)
        };
        outcomes[number % 2].1.push(load.one(frame).await);
        number += 1;
        tokio::time::sleep(PAUSE.min(long / 4)).await;
    }
    for (who, outcomes) in outcomes {
        let failed = outcomes.iter().filter(|(mounted, _)| !mounted).count();
        let times: Quantiles = outcomes.iter().map(|(_, time)| *time).collect();
        let row = [
            who.to_owned(),
            outcomes.len().to_string(),
            failed.to_string(),
        ];
        table.row(row.into_iter().chain(cells(times.summary())));
    }
    Ok(table)
}

/// How many requests arrive in each second.
async fn arrivals(world: &World, long: Duration) -> Vec<String> {
    let mut seconds = Vec::new();
    let mut before = world.store.arrived();
    for _ in 0..long.as_secs().max(1) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = world.store.arrived();
        seconds.push((now - before).to_string());
        before = now;
    }
    seconds
}

struct Phases {
    table: Table,
}

impl Phases {
    fn new() -> Self {
        let head = [
            "phase",
            "s",
            "republishes",
            "failed",
            "p50 ms",
            "p99 ms",
            "max ms",
            "failed after, p50 ms",
            "max ms",
            "store requests",
        ];
        Self {
            table: Table::new(&head),
        }
    }

    fn add(&mut self, phase: &str, outcome: &Outcome, requests: u64) {
        let mut row = vec![
            phase.to_owned(),
            outcome.took.as_secs().to_string(),
            (outcome.done + outcome.failed).to_string(),
            outcome.failed.to_string(),
        ];
        row.extend(cells(outcome.summary()));
        let [p50, _, max] = cells(outcome.failed_times.summary());
        row.extend([p50, max, requests.to_string()]);
        self.table.row(row);
    }
}
