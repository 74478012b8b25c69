//! Scene `growth`: memory and the cost of a republish while a node gets ever more pods.

use anyhow::Result;

use super::frame::Frame;
use super::load::Load;
use super::machine::Usage;
use super::plot::Plot;
use super::report::Section;
use super::table::{Table, cells, each, float, mebi, micros_each};
use super::world::{Scale, World};

const SIZES: [usize; 6] = [10, 100, 500, 1000, 2500, 5000];
/// So many pods share an account.
const PODS_AN_ACCOUNT: usize = 10;
const OBJECTS: usize = 3;
/// At least so many republishes a size: processor time comes in steps of 10 ms.
const REPUBLISHES: usize = 5000;
/// No divisor of any size: neighbours, which share an account, are not republished together.
const STRIDE: usize = 7919;
const LINES: usize = 4;
const AT_A_TIME: usize = 4;

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let world = World::set().await?;
    let provider = world.provider().await?;
    let mut table = Table::new(&[
        "pods",
        "accounts",
        "resident MiB",
        "descriptors",
        "republish p50 ms",
        "p99 ms",
        "store requests each",
        "provider CPU µs each",
    ]);
    let (mut memory, mut cost) = (Vec::new(), Vec::new());
    let mut frames: Vec<Frame> = Vec::new();
    let load = Load::open(provider.socket(), LINES, AT_A_TIME).await?;
    for size in SIZES.map(|size| scale.count(size)) {
        let known = frames.len();
        for pod in known..size {
            let account = format!("account-{}", pod / PODS_AN_ACCOUNT);
            frames.push(Frame::of(&world.volume(&account, OBJECTS)?));
        }
        load.count(size - known, |at| frames[known + at].same())
            .await?
            .whole()?;
        let count = size.max(scale.count(REPUBLISHES));
        let (before, usage) = (world.store.arrived(), Usage::of(provider.pid())?);
        let outcome = load
            .count(count, |at| frames[at * STRIDE % size].same())
            .await?
            .whole()?;
        let after = Usage::of(provider.pid())?;
        let cpu = after.since(&usage);
        let [p50, p99, _] = cells(outcome.summary());
        memory.push((float(size), float(after.resident) / 1024.0));
        cost.push((float(size), cpu.as_secs_f64() * 1e6 / float(count)));
        table.row([
            size.to_string(),
            size.div_ceil(PODS_AN_ACCOUNT).to_string(),
            mebi(after.resident),
            after.descriptors.to_string(),
            p50,
            p99,
            each(world.store.arrived() - before, count),
            micros_each(cpu, count),
        ]);
    }
    Ok(Section {
        scene: "growth",
        title: format!("Growth, {OBJECTS} objects a pod"),
        about: format!(
            "One provider that gets ever more pods, {PODS_AN_ACCOUNT} an account. At each size every pod is republished at least once, with {} under way. Equal reads that fall together are one request, which the smallest sizes gain from.",
            LINES * AT_A_TIME
        ),
        tables: vec![table],
        plots: vec![
            curve("memory", "Resident memory over pods", "MiB", memory),
            curve(
                "cost",
                "Processor time of a republish over pods",
                "µs",
                cost,
            ),
        ],
    })
}

fn curve(name: &'static str, title: &str, y: &'static str, points: Vec<(f64, f64)>) -> Plot {
    Plot {
        name,
        title: title.to_owned(),
        x: "pods",
        y,
        points,
    }
}
