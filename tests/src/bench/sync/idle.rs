//! What a controller takes while no object is due.
//!
//! At an interval of an hour some objects are due in every minute; that is reckoned from a round of all of them,
//! because nobody waits an hour.

use std::time::Duration;

use anyhow::Result;

use super::controller::Controller;
use super::stage::{Spent, Stage};
use crate::bench::table::{Table, float, mebi, millis};

const MINUTE: Duration = Duration::from_secs(60);
/// Minutes of the interval.
const INTERVAL: usize = 60;

/// A minute, or a part of one that stands for it.
pub(super) struct Idle {
    took: Duration,
    spent: Spent,
}

impl Idle {
    pub(super) async fn of(stage: &Stage, controller: &Controller) -> Result<Self> {
        let took = stage.scale.seconds(MINUTE.as_secs());
        let before = stage.mark(controller).await?;
        tokio::time::sleep(took).await;
        let spent = stage.since(controller, &before).await?;
        Ok(Self { took, spent })
    }

    /// `rounds`: the modes of a controller, and what a round of everything took in each.
    pub(super) fn table(&self, stage: &Stage, rounds: &[(&str, &Spent)]) -> Table {
        let objects = stage.size.objects();
        let mut table = Table::new(&[
            "idle, every object polled once an hour",
            "s",
            "controller CPU ms a minute",
            "% of a core",
            "controller's requests",
            "resident MiB",
        ]);
        let none_due = scaled(
            self.spent.cpu,
            MINUTE.as_secs_f64(),
            self.took.as_secs_f64(),
        );
        let [cpu, share] = of_a_minute(none_due);
        table.row([
            "measured, none is due".to_owned(),
            format!("{:.1}", self.took.as_secs_f64()),
            cpu,
            share,
            self.spent.requests.to_string(),
            mebi(self.spent.resident),
        ]);
        for (mode, round) in rounds {
            let polls = objects / INTERVAL;
            let polled = scaled(round.cpu, float(polls), float(objects));
            let [cpu, share] = of_a_minute(none_due + polled);
            let what = format!("reckoned, with {polls} polls, {mode}");
            let unknown = || "-".to_owned();
            table.row([what, unknown(), cpu, share, unknown(), unknown()]);
        }
        table
    }
}

fn scaled(time: Duration, part: f64, whole: f64) -> Duration {
    time.mul_f64(part / whole.max(1e-9))
}

/// Milliseconds, and hundredths of a core.
fn of_a_minute(cpu: Duration) -> [String; 2] {
    let share = cpu.as_secs_f64() / MINUTE.as_secs_f64();
    [millis(cpu), format!("{:.2}", share * 100.0)]
}
