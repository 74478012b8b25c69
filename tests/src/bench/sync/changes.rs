//! A tenth of all values changes at once, and all objects that hold one fall due at that moment.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::arrivals::{Arrivals, value};
use super::controller::Controller;
use super::objects;
use super::stage::{Stage, of_wanted};
use crate::bench::quantiles::Quantiles;
use crate::bench::table::{Table, cells, each, mebi, micros_each};

/// Longer than an answer of the vendor is used again.
const REUSE: Duration = Duration::from_secs(6);
/// Three times the target, and less than a watch lasts.
const MOST: Duration = Duration::from_secs(180);
/// The vendor began with revision 0.
const REVISION: usize = 1;

pub(super) async fn measure(stage: &Stage, controller: &Controller) -> Result<Table> {
    let classes = stage.size.tenth();
    let wanted = objects::of_classes(classes.len());
    let new: Vec<Bytes> = classes
        .clone()
        .map(|class| objects::content(class, REVISION))
        .collect();
    tokio::time::sleep(REUSE).await;
    let namespace = objects::namespace(0);
    let mut arrivals = Arrivals::of(stage.cluster.client(), Some(&namespace)).await?;
    let before = stage.mark(controller).await?;
    stage.fill(classes.clone(), REVISION);
    let fallen_due = Instant::now();
    let forced = stage.cluster.force(classes.clone());
    let arrived = arrived(&mut arrivals, &new, wanted, fallen_due);
    let ((), (done, times)) = tokio::try_join!(forced, arrived)?;
    // Their status and Events follow the Secrets.
    let rounds = before.rounds.sum();
    let told = controller.reach(wanted, MOST, |now| now.sum().saturating_sub(rounds));
    told.await?;
    let spent = stage.since(controller, &before).await?;
    let mut table = Table::new(&[
        "Secrets with new values",
        "classes",
        "p50 ms",
        "p99 ms",
        "until the last, ms",
        "API requests each",
        "controller CPU µs each",
        "most resident MiB",
        "failed rounds",
    ]);
    let what = [of_wanted(done, wanted), classes.len().to_string()];
    let cost = [
        each(spent.requests.sum(), done),
        micros_each(spent.cpu, done),
        mebi(spent.peak),
        spent.failed().to_string(),
    ];
    let row = what.into_iter().chain(cells(times.summary())).chain(cost);
    table.row(row);
    Ok(table)
}

/// Notes when each Secret holds one of these values; how many did in time.
async fn arrived(
    arrivals: &mut Arrivals,
    new: &[Bytes],
    wanted: usize,
    since: Instant,
) -> Result<(usize, Quantiles)> {
    let end = since + MOST;
    let mut names = BTreeSet::new();
    let mut times = Quantiles::default();
    while names.len() < wanted {
        let Ok(secret) = timeout_at(end, arrivals.next()).await else {
            break;
        };
        let secret = secret?;
        let is_new = value(&secret).is_some_and(|value| new.iter().any(|new| new[..] == *value));
        if is_new && names.insert(secret.metadata.name) {
            times.add(since.elapsed());
        }
    }
    Ok((names.len(), times))
}
