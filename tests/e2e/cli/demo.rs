//! `make demo` as people see it: the whole of it, and what an interrupt leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::{directory, eventually};
use coffer_tests::process::Running;
use coffer_tests::provider::binary;
use rustix::process::Signal;

use crate::world::run;

/// The whole demo takes some ten seconds.
const SHOWN: Duration = Duration::from_secs(120);

/// A running demo whose children can be told by their process group.
fn demo(place: &std::path::Path) -> Result<Running> {
    let mut command = Command::new(binary("demo")?);
    // It finds its own store, as on a machine of a newcomer.
    command.process_group(0).env_remove("TEST_VAULT");
    Running::start("demo", &mut command, place)
}

/// Processes of the group that are not zombies.
fn members(group: u32) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // One that ends meanwhile is no member.
        let Ok(stat) = fs::read_to_string(format!("/proc/{name}/stat")) else {
            continue;
        };
        // What stands in parentheses may hold blanks.
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let fields: Vec<&str> = rest.split(' ').collect();
        if let [state, _, of, ..] = fields[..]
            && state != "Z"
            && of == group.to_string()
        {
            found.insert(name);
        }
    }
    Ok(found)
}

/// Mount secrets, point 2: the demo runs to its end, says that it cleaned up, and did.
#[test]
fn the_demo_runs_to_its_end_and_leaves_nothing_running() -> Result<()> {
    run(async {
        let place = directory("demo-run")?;
        let mut demo = demo(place.path())?;
        let group = demo.pid();
        let status = demo.wait(SHOWN).await.with_context(|| demo.log())?;
        ensure!(status.success(), "{status}: {}", demo.log());
        ensure!(demo.log().contains("Everything is stopped and removed."));
        ensure!(members(group)?.is_empty(), "{:?}", members(group)?);
        Ok(())
    })
}

/// Mount secrets, point 2: an interrupt stops everything that was started.
#[test]
fn an_interrupted_demo_leaves_nothing_running() -> Result<()> {
    run(async {
        let place = directory("demo-run")?;
        let mut demo = demo(place.path())?;
        let group = demo.pid();
        eventually(SHOWN, "pods of the demo", async || {
            demo.still_running()?;
            ensure!(demo.log().contains("Pods start"), "{}", demo.log());
            Ok(())
        })
        .await?;
        let started = members(group)?;
        ensure!(started.len() >= 3, "store and provider run: {started:?}");
        demo.signal(Signal::INT)?;
        let status = demo.wait(SHOWN).await.with_context(|| demo.log())?;
        ensure!(status.code() == Some(130), "{status}: {}", demo.log());
        eventually(SHOWN, "no child", async || {
            let left = members(group)?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await
    })
}
