//! Scene `memory`: what stays in memory after many mounts, and after ever new pods.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::frame::Frame;
use super::load::{Load, Outcome};
use super::machine::Usage;
use super::plot::Plot;
use super::report::Section;
use super::table::{Table, cells, float, mebi, per_second};
use super::world::{Scale, World};

const PODS: usize = 500;
const ACCOUNTS: usize = 50;
const OBJECTS: usize = 10;
const FURTHER: usize = 10_000;
const CHURN: usize = 100_000;
/// Points of the curve.
const STEPS: usize = 20;
const LINES: usize = 4;
const AT_A_TIME: usize = 8;
/// On a busy machine fewer pods come, so that the whole run ends in time; the table says how many did.
const CHURN_LIMIT: Duration = Duration::from_secs(180);
/// Pods of one account come in a row, so that their equal reads fall together and the run stays short.
const IN_A_ROW: usize = 500;

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let world = World::set().await?;
    let provider = world.provider().await?;
    let mut rows = Rows::new(provider.pid());
    rows.add("start", None)?;
    let pods = scale.count(PODS);
    let frames = world.frames(pods, ACCOUNTS, OBJECTS)?;
    let load = Load::open(provider.socket(), LINES, AT_A_TIME).await?;
    let mounted = load.count(pods, |at| frames[at].same()).await?.whole()?;
    rows.add(&format!("{pods} first mounts"), Some(&mounted))?;
    let further = scale.count(FURTHER);
    let again = load
        .count(further, |at| frames[at % pods].same())
        .await?
        .whole()?;
    rows.add(&format!("{further} republishes"), Some(&again))?;

    let mut points = vec![(0.0, float(rows.resident) / 1024.0)];
    let step = scale.count(CHURN) / STEPS;
    let started = Instant::now();
    for part in 0..STEPS {
        if started.elapsed() > CHURN_LIMIT {
            break;
        }
        let first = part * step;
        let churned = load
            .count(step, |at| of_new_pod(&frames, first + at))
            .await?;
        let churned = churned.whole()?;
        let seen = first + step;
        if (part + 1) % (STEPS / 4) == 0 {
            let what = format!("{seen} new pod UIDs (time of the last {step})");
            rows.add(&what, Some(&churned))?;
        }
        let usage = Usage::of(provider.pid())?;
        points.push((float(seen), float(usage.resident) / 1024.0));
    }
    Ok(Section {
        scene: "memory",
        title: format!("Memory, {PODS} pods with {OBJECTS} objects"),
        about: format!(
            "{ACCOUNTS} accounts, {LINES} connections with {AT_A_TIME} mounts under way on each. At last, first mounts of ever new pods of the same accounts, {IN_A_ROW} of an account in a row."
        ),
        tables: vec![rows.table],
        plots: vec![Plot {
            name: "churn",
            title: "Resident memory over new pod UIDs".to_owned(),
            x: "new pod UIDs",
            y: "MiB",
            points,
        }],
    })
}

fn of_new_pod(frames: &[Frame], number: usize) -> bytes::Bytes {
    let account = number / IN_A_ROW % ACCOUNTS;
    frames[account % frames.len()].of_pod(number)
}

/// Rows of the table, each with the memory of its moment.
struct Rows {
    pid: u32,
    table: Table,
    resident: u64,
}

impl Rows {
    fn new(pid: u32) -> Self {
        let head = [
            "after",
            "resident MiB",
            "descriptors",
            "mounts/s",
            "p99 ms",
            "provider CPU s, in all",
        ];
        Self {
            pid,
            table: Table::new(&head),
            resident: 0,
        }
    }

    fn add(&mut self, after: &str, outcome: Option<&Outcome>) -> Result<()> {
        let usage = Usage::of(self.pid)?;
        self.resident = usage.resident;
        let [_, p99, _] = cells(outcome.and_then(Outcome::summary));
        self.table.row([
            after.to_owned(),
            mebi(usage.resident),
            usage.descriptors.to_string(),
            outcome.map_or_else(
                || "-".to_owned(),
                |outcome| per_second(outcome.done, outcome.took),
            ),
            p99,
            format!("{:.2}", usage.cpu.as_secs_f64()),
        ]);
        Ok(())
    }
}
