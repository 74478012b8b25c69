//! Scene `hour`: an hour of a node's republishes, played in this process on a clock that is moved by hand.
//!
//! It needs a `Mounter` and its clock and nothing of the process around them; no time passes but what the
//! mounts take.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use coffer_proto::v1alpha1::MountRequest;
use coffer_provider::mounter::Source;
use coffer_provider::ports::Chance as _;

use super::report::Section;
use super::store::Store;
use super::table::{Table, each, millis};
use super::world::{Scale, World};
use crate::in_process::{Clock, InProcess};

const PODS: usize = 250;
const ACCOUNTS: usize = 25;
const OBJECTS: usize = 3;
const HOUR: Duration = Duration::from_secs(3600);
/// Kubelet syncs a pod after a minute and up to half of one more.
const SYNC: Duration = Duration::from_secs(60);
/// How often a serving provider looks after its tokens.
const UPKEEP: Duration = Duration::from_secs(2);

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let world = World::set().await?;
    let provider = provider(&world).await?;
    let pods = scale.count(PODS);
    let requests: Vec<MountRequest> = (0..pods)
        .map(|pod| {
            let account = format!("account-{}", pod % ACCOUNTS);
            Ok(world.volume(&account, OBJECTS)?.first_mount())
        })
        .collect::<Result<_>>()?;

    let mut table = Table::new(&[
        "what",
        "mounts",
        "from memory",
        "logins",
        "reads",
        "other store requests",
        "store requests a mount",
        "real ms a mount",
    ]);
    let mut before = Seen::of(&world.store);
    let started = Instant::now();
    for request in &requests {
        mount(&provider, request).await?;
    }
    let first = Played {
        mounts: pods,
        from_memory: 0,
        took: started.elapsed(),
    };
    table.row(before.row("first mounts", &world.store, &first));
    let played = play(&provider, &requests).await?;
    table.row(before.row("one hour of republishes", &world.store, &played));
    provider.parts.sessions.shut_down().await;
    Ok(Section {
        scene: "hour",
        title: format!("An hour of republishes, {pods} pods with {OBJECTS} objects"),
        about: format!(
            "{ACCOUNTS} accounts, tokens of an hour. The provider's library in the harness's process, on a clock that is moved from one republish to the next; kubelet's syncs come 60 to 90 s apart."
        ),
        tables: vec![table],
        plots: Vec::new(),
    })
}

/// Republishes for an hour of the clock, with upkeep in between.
async fn play(provider: &InProcess, requests: &[MountRequest]) -> Result<Played> {
    let clock = &*provider.clock;
    let mut due: BinaryHeap<Reverse<(Duration, usize)>> = (0..requests.len())
        .map(|pod| Reverse((sync(clock), pod)))
        .collect();
    let (mut played, mut next_upkeep) = (Played::default(), UPKEEP);
    let started = Instant::now();
    while let Some(Reverse((at, pod))) = due.pop() {
        if at > HOUR {
            break;
        }
        while next_upkeep <= at {
            clock.move_to(next_upkeep);
            provider.parts.kept.sweep();
            provider.parts.sessions.maintain().await;
            next_upkeep += UPKEEP;
        }
        clock.move_to(at);
        let source = mount(provider, &requests[pod]).await?;
        played.mounts += 1;
        played.from_memory += usize::from(source == Source::Memory);
        due.push(Reverse((at + sync(clock), pod)));
    }
    played.took = started.elapsed();
    Ok(played)
}

fn sync(clock: &Clock) -> Duration {
    SYNC + (SYNC / 2).mul_f64(clock.random())
}

async fn mount(provider: &InProcess, request: &MountRequest) -> Result<Source> {
    let mounted = provider.mount(request).await;
    Ok(mounted.map_err(|fault| anyhow!("{fault}"))?.source)
}

/// A provider in this process, which knows the issuer's keys and has settled.
async fn provider(world: &World) -> Result<InProcess> {
    InProcess::start(&[
        ("jwks-file", &world.keys()?),
        ("vault-mount", "jwt"),
        ("vault-addr", &world.store.address()),
        ("hmac-source", "generate"),
    ])
    .await
}

#[derive(Default)]
struct Played {
    mounts: usize,
    from_memory: usize,
    took: Duration,
}

/// What the store has seen.
struct Seen {
    arrived: u64,
    logins: u64,
    reads: u64,
}

impl Seen {
    fn of(store: &Store) -> Self {
        Self {
            arrived: store.arrived(),
            logins: store.answers().logins(),
            reads: store.answers().reads(),
        }
    }

    /// A row of what came since the last one.
    fn row(&mut self, what: &str, store: &Store, played: &Played) -> Vec<String> {
        let now = Self::of(store);
        let before = std::mem::replace(self, Self::of(store));
        let (arrived, logins, reads) = (
            now.arrived - before.arrived,
            now.logins - before.logins,
            now.reads - before.reads,
        );
        let mean = played.took / u32::try_from(played.mounts.max(1)).unwrap_or(u32::MAX);
        vec![
            what.to_owned(),
            played.mounts.to_string(),
            played.from_memory.to_string(),
            logins.to_string(),
            reads.to_string(),
            (arrived - logins - reads).to_string(),
            each(arrived, played.mounts),
            millis(mean),
        ]
    }
}
