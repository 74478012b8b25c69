//! The measurements of `make bench`, one scene each; what each does stands in its file.
//!
//! Figures are of one run on one machine and say so; asserting on them is for nobody.

mod counter;
mod first;
mod frame;
mod growth;
mod hour;
mod kubernetes;
mod line;
mod live;
mod load;
mod machine;
mod memory;
mod node;
mod openbao;
mod outage;
mod plot;
mod quantiles;
mod report;
mod republish;
mod start;
mod store;
mod sync;
mod table;
mod world;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use report::{Run, Section};
use world::Scale;

pub use report::Report;

/// Name of each scene, and what it measures, in the order of the report.
pub const SCENES: [(&str, &str); 10] = [
    (
        "start",
        "start of the process, idle memory, size of the binary",
    ),
    ("first", "first mounts with a login, 3 objects"),
    (
        "live",
        "mounts by new pods with a live session, 1 to 50 objects, store near and far",
    ),
    (
        "republish",
        "republishes a second, and processor time of each",
    ),
    ("node", "a node's start: 100 and 250 pods at once"),
    (
        "memory",
        "memory after mounts, republishes and 100,000 new pods",
    ),
    (
        "growth",
        "memory and cost of a republish from 10 to 5,000 pods",
    ),
    (
        "hour",
        "an hour of republishes on a clock that is moved by hand",
    ),
    ("outage", "the store is killed under load and comes back"),
    (
        "sync",
        "coffer-sync with 10,000 SecretSyncs and a real API server",
    ),
];

/// A whole run takes about twenty minutes on two cores with nothing else to do, most of them for `sync`.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// What is measured, and how thoroughly.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Names of scenes; all when there is none.
    pub only: Vec<String>,
    /// Counts and times are divided, for a smoke test.
    pub quick: bool,
}

impl Choice {
    /// Whether the report is one to keep: every scene, in full.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.only.is_empty() && !self.quick
    }

    fn takes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// Measures what was chosen, within half an hour: a scene that does not end in time is left out, and the
/// report says so.
///
/// # Errors
/// When a scene is not known, a server does not start, or a mount fails that should not.
pub async fn run(choice: &Choice) -> Result<Report> {
    for name in &choice.only {
        let known = SCENES.iter().any(|(scene, _)| scene == name);
        ensure!(known, "no scene {name:?}: `--list` names them");
    }
    let started = Instant::now();
    let scale = Scale {
        quick: choice.quick,
    };
    let (mut sections, mut unfinished) = (Vec::new(), Vec::new());
    for (name, about) in SCENES.iter().filter(|(name, _)| choice.takes(name)) {
        say(&format!("{name}: {about}"));
        let left = LIMIT.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, scene(name, scale)).await {
            Ok(section) => sections.push(section.with_context(|| format!("scene {name}"))?),
            Err(_) => unfinished.push(*name),
        }
        say(&format!("{} s so far", started.elapsed().as_secs()));
    }
    let run = Run {
        quick: choice.quick,
        took: started.elapsed().as_secs(),
        unfinished,
    };
    Report::of(&sections, &run)
}

async fn scene(name: &str, scale: Scale) -> Result<Section> {
    // Boxed, because the state of all scenes together would be large on the stack.
    match name {
        "start" => Box::pin(start::measure(scale)).await,
        "first" => Box::pin(first::measure(scale)).await,
        "live" => Box::pin(live::measure(scale)).await,
        "republish" => Box::pin(republish::measure(scale)).await,
        "node" => Box::pin(node::measure(scale)).await,
        "memory" => Box::pin(memory::measure(scale)).await,
        "growth" => Box::pin(growth::measure(scale)).await,
        "hour" => Box::pin(hour::measure(scale)).await,
        "outage" => Box::pin(outage::measure(scale)).await,
        "sync" => Box::pin(sync::measure(scale)).await,
        other => anyhow::bail!("scene {other:?} is listed and not written"),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "progress of a program that runs for minutes"
)]
fn say(what: &str) {
    eprintln!("bench: {what}");
}
