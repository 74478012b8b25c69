//! A real store that is killed, sealed or hangs under load and comes back: what running pods, starting pods and
//! the store itself notice.
//!
//! Answers that only a scripted store gives are `it`'s. Times are scaled: memory and periods are short, but
//! probes come as they ship, so that two periods have room for one.

/// Pods that publish for the whole case.
mod load;
/// Store, proxy and provider, and how the store goes away.
mod scene;
/// What must be true of all that was seen.
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::Published;
use coffer_tests::fixture::eventually;
use coffer_tests::proxy::Passed;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cluster::sum;
use crate::world::run;
use load::{Event, Load};
use scene::{DENIED, Generation, IDENTITIES, LATE, Outage, RUNNING, Scene};
use verdict::{
    every_publish_was_answered, logins, running_pods_kept_their_files,
    second_republishes_were_fresh, the_denial_was_told, there_was_no_herd,
};

/// Pods that run before the outage.
const PODS: usize = 80;
/// How long the store is away at least.
const AWAY: Duration = Duration::from_secs(15);
/// How long after its return requests are counted.
const COUNTED: Duration = Duration::from_secs(10);
/// A wait that is a multiple of what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// So slow that nobody gives up yet.
const SLOW: Duration = Duration::from_secs(3);
/// The shortest time between two probes of an open breaker.
const PROBED_EVERY: u64 = 5;

const OPEN: &str = "coffer_store_breaker_open{target=\"0\"}";
const STALE: &str = "coffer_served_stale_total";

/// O1, O2, B1: a store that is killed under load and started again
#[test]
fn a_killed_store_costs_no_pod_a_file_and_is_not_overrun_when_it_is_back() -> Result<()> {
    run(survived(Outage::Killed))
}

/// O1, O2, S1: a store that is sealed under load and unsealed
#[test]
fn a_sealed_store_costs_no_pod_a_file_and_is_not_overrun_when_it_is_back() -> Result<()> {
    run(survived(Outage::Sealed))
}

/// O1, O2, B1: a store that becomes slow under load, then hangs, then is as before
#[test]
fn a_hanging_store_costs_no_pod_a_file_and_is_not_overrun_when_it_is_back() -> Result<()> {
    run(survived(Outage::Hanging))
}

async fn survived(outage: Outage) -> Result<()> {
    let (mut scene, load) = (Scene::set().await?, Load::default());
    good(&scene, &load).await?;
    if outage == Outage::Hanging {
        slow(&scene, &load).await?;
    }
    let (lost, restored) = away(&mut scene, &load, outage)
        .await
        .with_context(|| scene.provider.log())?;
    sleep_until(restored + COUNTED).await;
    let requests = scene.proxy.requests();
    let counted_until = Instant::now();
    recovered(&load, restored)
        .await
        .with_context(|| scene.provider.log())?;
    load.look(|events| {
        every_publish_was_answered(events)?;
        running_pods_kept_their_files(events, lost, restored)?;
        the_denial_was_told(events, lost, restored)?;
        second_republishes_were_fresh(events, restored)?;
        let started = events
            .iter()
            .filter(|event| event.first && event.began <= counted_until && restored <= event.ended)
            .filter(|event| matches!(event.published, Ok(Published::Written)));
        there_was_no_herd(&requests, started.count())
    })?;
    assert_eq!(scene.provider.metric(OPEN).await?, Some(0.0));
    Ok(())
}

/// All pods run, and one of them was denied since.
async fn good(scene: &Scene, load: &Load) -> Result<()> {
    load.add(DENIED, scene.pod(DENIED)?, true);
    for at in 0..PODS {
        let account = RUNNING[at % RUNNING.len()];
        load.add(account, scene.pod(account)?, false);
    }
    eventually(PATIENCE, "running pods", async || {
        load.look(|events| {
            let running = events.iter().filter(|event| event.first);
            let good = running.filter(|event| event.shows(Generation::Good));
            ensure!(good.count() == PODS + 1);
            Ok(())
        })
    })
    .await?;
    assert_eq!(logins(&scene.proxy.requests()), IDENTITIES - 1);
    scene.deny().await?;
    let from = Instant::now();
    eventually(PATIENCE, "a denial", async || told_denied(load, from)).await
}

fn told_denied(load: &Load, from: Instant) -> Result<()> {
    load.look(|events| {
        let mut told = events.iter().filter(|event| {
            event.account == DENIED
                && event.began >= from
                && matches!(&event.published, Ok(Published::Masked(text)) if text.ends_with("[denied]"))
        });
        told.next().context("not yet").map(|_| ())
    })
}

/// A store that only takes its time is waited for.
async fn slow(scene: &Scene, load: &Load) -> Result<()> {
    scene.slow_down(SLOW);
    let from = Instant::now();
    let waited_for = eventually(PATIENCE, "a pod that starts slowly", async || {
        load.look(|events| {
            let mut started = events
                .iter()
                .filter(|event| event.first && event.began >= from);
            // Those of the first second are answered from memory.
            ensure!(started.any(|event| {
                event.shows(Generation::Good) && event.ended - event.began >= SLOW
            }));
            Ok(())
        })
    });
    under_arrivals(scene, load, waited_for).await
}

/// The outage, under pods that start: from when to when.
async fn away(scene: &mut Scene, load: &Load, outage: Outage) -> Result<(Instant, Instant)> {
    let stale = sum(&scene.provider, STALE, &[]).await?;
    scene.lose(outage).await?;
    let lost = Instant::now();
    under_arrivals(scene, load, left_alone(scene, load, lost)).await?;
    let served = sum(&scene.provider, STALE, &[]).await? - stale;
    ensure!(served > 0.0, "nobody was served old bytes");
    scene.mend(outage).await?;
    let restored = Instant::now();
    scene.restore();
    Ok((lost, restored))
}

/// Runs a phase while every second a new pod is started.
async fn under_arrivals(
    scene: &Scene,
    load: &Load,
    phase: impl Future<Output = Result<()>>,
) -> Result<()> {
    tokio::select! {
        arrived = arrivals(scene, load) => match arrived? {},
        ended = phase => ended,
    }
}

async fn arrivals(scene: &Scene, load: &Load) -> Result<Infallible> {
    loop {
        for account in RUNNING.into_iter().chain([LATE]) {
            load.add(account, scene.pod(account)?, false);
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Waits until the breaker is open and what was under way has ended. From then on nobody but probes asks,
/// however many pods are started and republished.
async fn left_alone(scene: &Scene, load: &Load, lost: Instant) -> Result<()> {
    eventually(PATIENCE, "an open breaker", async || {
        ensure!(scene.provider.metric(OPEN).await? == Some(1.0));
        ensure!(scene.provider.metric("coffer_store_in_flight").await? == Some(0.0));
        Ok(())
    })
    .await?;
    let from = Instant::now();
    let (requests, connections) = (scene.proxy.requests(), scene.proxy.connections());
    eventually(PATIENCE, "a publish of every pod", async || {
        load.look(|events| {
            ensure!(all_asked_since(events, lost));
            let refused = events.iter().filter(|event| {
                event.began >= from && matches!(event.published, Ok(Published::Refused(_)))
            });
            ensure!(refused.count() > 0, "no pod was started");
            Ok(())
        })
    })
    .await?;
    sleep_until(lost + AWAY).await;
    let (probes, others): (Vec<Passed>, Vec<Passed>) = scene.proxy.requests()[requests.len()..]
        .iter()
        .cloned()
        .partition(|passed| passed.target == "/v1/sys/health");
    ensure!(others.is_empty(), "asked all the same: {others:?}");
    let most = usize::try_from(from.elapsed().as_secs() / PROBED_EVERY)? + 1;
    ensure!(probes.len() <= most, "{} probes of {most}", probes.len());
    let connections = scene.proxy.connections() - connections;
    ensure!(connections <= most, "{connections} connections of {most}");
    Ok(())
}

/// Whether each of the pods from before the outage has republished since a moment.
fn all_asked_since(events: &[Event], since: Instant) -> bool {
    let pods = events.iter().filter(|event| event.began >= since);
    let pods: BTreeSet<usize> = pods.map(|event| event.pod).collect();
    // The denied one was the first, and newcomers came later.
    (0..=PODS).all(|pod| pods.contains(&pod))
}

/// Waits until every pod sees what was rotated in the outage, and the denial is told again.
async fn recovered(load: &Load, restored: Instant) -> Result<()> {
    eventually(PATIENCE, "pods with the rotated secrets", async || {
        let shown = load.look(|events| {
            let last: BTreeMap<usize, &Event> =
                events.iter().map(|event| (event.pod, event)).collect();
            let rotated = |event: &&&Event| event.shows(Generation::Rotated);
            last.values().filter(rotated).count()
        });
        // The denied one keeps its files, as kubelet masks the failure.
        ensure!(shown == load.pods() - 1, "{shown} of {}", load.pods());
        Ok(())
    })
    .await?;
    eventually(PATIENCE, "a denial", async || told_denied(load, restored)).await
}
