//! Rounds of all objects in which nothing has changed: what they cost, and that they move nothing.

use std::time::Duration;

use anyhow::Result;

use super::controller::Controller;
use super::stage::{Mark, Setup, Spent, Stage, head, of_wanted};
use super::versions::Seen;
use crate::bench::table::Table;

/// Twice what the target is; a round that takes longer is told as far as it came.
const MOST: Duration = Duration::from_secs(600);

pub(super) struct Rounds(pub(super) Table);

/// How things stood before a round.
struct Before {
    seen: Seen,
    mark: Mark,
}

impl Rounds {
    pub(super) fn new() -> Self {
        let before = [
            "rounds, nothing changed",
            "what made them due",
            "controller",
        ];
        let after = [
            "vendor's calls",
            "controller's requests",
            "requests to Secrets at the API server",
            "Secrets moved",
            "SecretSyncs moved",
            "failed rounds",
        ];
        Self(Table::new(&head(&before, &after)))
    }

    /// The start of a controller that finds everything synced, in the time over which it spreads that itself.
    pub(super) async fn start(&mut self, stage: &Stage, setup: &Setup) -> Result<Controller> {
        let seen = Seen::of(&stage.cluster.client()).await?;
        let (controller, mark) = stage.launch(setup).await?;
        let mut cause = "start of the controller";
        if stage.scale.quick {
            // Nobody waits five minutes for a smoke test.
            stage.cluster.force(stage.size.all()).await?;
            cause = "its start, and all at once";
        }
        let before = Before { seen, mark };
        self.add(stage, &controller, [cause, setup.name], &before)
            .await?;
        Ok(controller)
    }

    /// Everything is due at the same moment.
    pub(super) async fn forced(
        &mut self,
        stage: &Stage,
        controller: &Controller,
        setup: &Setup,
    ) -> Result<Spent> {
        let before = Before {
            seen: Seen::of(&stage.cluster.client()).await?,
            mark: stage.mark(controller).await?,
        };
        stage.cluster.force(stage.size.all()).await?;
        self.add(stage, controller, ["all at once", setup.name], &before)
            .await
    }

    async fn add(
        &mut self,
        stage: &Stage,
        controller: &Controller,
        how: [&str; 2],
        before: &Before,
    ) -> Result<Spent> {
        let objects = stage.size.objects();
        let done = ended(controller, &before.mark, objects).await?;
        let spent = stage.since(controller, &before.mark).await?;
        controller.quiet().await?;
        let seen = Seen::of(&stage.cluster.client()).await?;
        let [secrets, syncs] = seen.moved(&before.seen);
        let what = [of_wanted(done, objects)].into_iter();
        let what = what.chain(how.map(str::to_owned));
        let rest = [
            spent.calls.to_string(),
            spent.requests.to_string(),
            spent.secrets.to_string(),
            secrets.to_string(),
            syncs.to_string(),
            spent.failed().to_string(),
        ];
        let row = what.chain(spent.cells(done)).chain(rest);
        self.0.row(row);
        Ok(spent)
    }
}

/// Has a controller do a round of everything that is not measured, so that it knows every Secret.
pub(super) async fn settle(stage: &Stage, controller: &Controller) -> Result<()> {
    let mark = stage.mark(controller).await?;
    stage.cluster.force(stage.size.all()).await?;
    ended(controller, &mark, stage.size.objects()).await?;
    controller.quiet().await
}

/// Waits until so many rounds ended since then; how many did.
async fn ended(controller: &Controller, since: &Mark, wanted: usize) -> Result<usize> {
    let before = since.rounds.sum();
    let count = controller.reach(wanted, MOST, |rounds| rounds.sum().saturating_sub(before));
    count.await
}
