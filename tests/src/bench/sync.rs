//! Scene `sync`: coffer-sync with 10,000 SecretSyncs at a real API server with etcd, and a vendor's provider that is
//! played.
//!
//! Three controllers follow one another: one with the default limits for a few first syncs; one with the drift watch
//! and a raised limit for all the others; one with the default limits that finds everything synced. Each part stands
//! in its file.

mod arrivals;
mod changes;
mod cluster;
mod controller;
mod first;
mod idle;
mod objects;
mod rounds;
mod stage;
mod tally;
mod versions;

use anyhow::Result;

use super::report::Section;
use super::say;
use super::table::Table;
use super::world::Scale;
use first::{Firsts, singles};
use idle::Idle;
use objects::BYTES;
use rounds::{Rounds, settle};
use stage::{DELAY, Setup, Spent, Stage};

/// First syncs at the default limit of requests: more would say the same.
const FEW: usize = 300;
/// What an installation has that says nothing.
const DEFAULT: Setup = Setup {
    name: "write-only, 50 requests/s",
    flags: &[],
};
/// So many requests that the API server is the limit.
const RAISED: Setup = Setup {
    name: "drift watch, 1000 requests/s",
    flags: &[
        "--drift-watch",
        "--kube-api-qps",
        "1000",
        "--kube-api-burst",
        "2000",
    ],
};

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let stage = Stage::set(scale).await?;
    let (mut firsts, mut rounds) = (Firsts::new(), Rounds::new());
    few(&stage, &mut firsts).await?;
    let (watched, idle) = all(&stage, &mut firsts, &mut rounds).await?;
    let known = known(&stage, &mut rounds).await?;
    let modes = [("drift watch", &watched), ("write-only", &known.round)];
    Ok(Section {
        scene: "sync",
        title: format!("coffer-sync, {} SecretSyncs", stage.size.objects()),
        about: about(&stage),
        tables: vec![
            rounds.0,
            known.changes,
            known.singles,
            firsts.0,
            idle.table(&stage, &modes),
        ],
        plots: Vec::new(),
    })
}

/// A few first syncs at the default limits.
async fn few(stage: &Stage, firsts: &mut Firsts) -> Result<()> {
    let count = stage.scale.count(FEW);
    say(&format!("sync: {count} first syncs, {}", DEFAULT.name));
    let syncs = (0..count).map(objects::sync);
    stage.cluster.create(syncs).await?;
    let (controller, born) = stage.launch(&DEFAULT).await?;
    let setup = (&DEFAULT, &born);
    firsts.add(stage, &controller, setup, count).await?;
    controller.stop().await
}

/// All other first syncs, a round under the drift watch, and a minute of nothing.
async fn all(stage: &Stage, firsts: &mut Firsts, rounds: &mut Rounds) -> Result<(Spent, Idle)> {
    let done = stage.scale.count(FEW);
    let count = stage.size.objects() - done;
    say(&format!("sync: {count} first syncs, {}", RAISED.name));
    let syncs = (done..stage.size.objects()).map(objects::sync);
    stage.cluster.create(syncs).await?;
    let (controller, born) = stage.launch(&RAISED).await?;
    let setup = (&RAISED, &born);
    firsts.add(stage, &controller, setup, count).await?;
    say("sync: a round of all under the drift watch, and a minute of nothing");
    // It does not know the Secrets of the first few yet.
    settle(stage, &controller).await?;
    let round = rounds.forced(stage, &controller, &RAISED).await?;
    let idle = Idle::of(stage, &controller).await?;
    controller.stop().await?;
    Ok((round, idle))
}

/// What a controller did that found everything synced.
struct Known {
    round: Spent,
    changes: Table,
    singles: Table,
}

async fn known(stage: &Stage, rounds: &mut Rounds) -> Result<Known> {
    say(&format!("sync: start with all of them, {}", DEFAULT.name));
    let controller = rounds.start(stage, &DEFAULT).await?;
    say("sync: a round of all");
    let round = rounds.forced(stage, &controller, &DEFAULT).await?;
    say("sync: a tenth of all values changes");
    let changes = changes::measure(stage, &controller).await?;
    say("sync: single first syncs");
    controller.quiet().await?;
    let singles = singles(stage).await?;
    controller.stop().await?;
    Ok(Known {
        round,
        changes,
        singles,
    })
}

fn about(stage: &Stage) -> String {
    let (size, delay) = (stage.size, DELAY.as_millis());
    let (classes, namespaces) = (size.classes, size.namespaces());
    let (default, raised) = (DEFAULT.name, RAISED.name);
    format!(
        "{classes} SecretProviderClasses in {namespaces} namespaces, {BYTES} bytes in each Secret, one vendor's provider that answers in {delay} ms. \
         The controller's process has one core of the machine, which it shares with kube-apiserver, etcd, vendor and harness; it holds its Lease, polls every hour, and is bounded by the chart's admission policies. \
         *{default}*: the defaults, `--kube-api-qps 50 --kube-api-burst 100`. *{raised}*: `--drift-watch --kube-api-qps 1000 --kube-api-burst 2000`. \
         8 workers and the provider's 40 calls/s are the defaults in both. *All at once*: an annotation of every class changes. \
         *Moved* are objects whose resourceVersion differs afterwards. The controller's requests are those of its metric, Lease among them; the API server counts those to Secrets itself, watches apart, `dry run` being looks that store nothing. \
         Where API server and etcd take nearly all the processor time of the machine, they are the limit. \
         A single first sync lasts from before the request that creates the SecretSync until a watch shows its Secret."
    )
}
