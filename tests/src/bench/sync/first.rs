//! First syncs: of very many at once, and of one while nothing else happens.

use std::iter;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::arrivals::Arrivals;
use super::controller::Controller;
use super::objects;
use super::stage::{Mark, Setup, Stage, head, of_wanted};
use crate::bench::quantiles::Quantiles;
use crate::bench::table::{Table, cells, each};

/// What takes longer is told as far as it came.
const MANY: Duration = Duration::from_secs(420);
const SAMPLES: usize = 50;
/// Between two of them: longer than their requests wait for the default limit.
const PAUSE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(30);

/// First syncs of many.
pub(super) struct Firsts(pub(super) Table);

impl Firsts {
    pub(super) fn new() -> Self {
        let before = ["first syncs", "controller"];
        let after = ["API requests each", "failed rounds"];
        Self(Table::new(&head(&before, &after)))
    }

    /// Waits until a controller has done so many, counted from before its start.
    pub(super) async fn add(
        &mut self,
        stage: &Stage,
        controller: &Controller,
        (setup, born): (&Setup, &Mark),
        wanted: usize,
    ) -> Result<()> {
        let created = controller.reach(wanted, MANY, |rounds| rounds.of("created"));
        let done = created.await?;
        let spent = stage.since(controller, born).await?;
        let what = [of_wanted(done, wanted), setup.name.to_owned()];
        let requests = [each(spent.requests.sum(), done), spent.failed().to_string()];
        let row = what.into_iter().chain(spent.cells(done)).chain(requests);
        self.0.row(row);
        Ok(())
    }
}

/// New SecretSyncs one after another, each from before the request that creates it until its Secret is seen. Their
/// classes differ and were not asked for in the last seconds, so that each asks the vendor.
pub(super) async fn singles(stage: &Stage) -> Result<Table> {
    let count = stage.scale.count(SAMPLES);
    let mut arrivals = Arrivals::of(stage.cluster.client(), None).await?;
    let mut times = Quantiles::default();
    for number in 0..count {
        tokio::time::sleep(PAUSE).await;
        let class = stage.size.classes - 1 - number % stage.size.classes;
        let sync = objects::late(class, number);
        let began = Instant::now();
        stage.cluster.create(iter::once(sync)).await?;
        let name = objects::late_name(number);
        arrivals.named(&name, PATIENCE).await?;
        times.add(began.elapsed());
    }
    let mut table = Table::new(&["one new SecretSync at a time", "p50 ms", "p99 ms", "max ms"]);
    let what = [count.to_string()];
    table.row(what.into_iter().chain(cells(times.summary())));
    Ok(table)
}
