//! The tour of README.md, command by command as a reader types it. Only ports, the directory in memory and where
//! programs lie are replaced; what `make demo` shows has its own tests.

use anyhow::{Context, Result, ensure};
use coffer_tests::demo::script::Script;
use coffer_tests::fixture::{free_port, program, repository};
use coffer_tests::provider::binary;

use super::Desk;
use crate::world;

/// Where the tour keeps its files.
const PLACE: &str = "/dev/shm/coffer";

/// The commands of the tour, a line each as they stand there.
fn commands() -> Result<Vec<String>> {
    let readme = std::fs::read_to_string(repository().join("README.md"))?;
    let (_, tour) = readme
        .split_once("\n## Five minutes\n")
        .context("README.md has no tour")?;
    let tour = tour.split("\n## ").next().unwrap_or_default();
    let blocks = tour.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let lines = lines.map(|line| line.trim().to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}

/// The text with something replaced that must be there.
fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "the tour has no {from:?}: {text}");
    Ok(text.replace(from, to))
}

/// The commands as a script that fails with the first one that does.
fn script(place: &str) -> Result<String> {
    let commands = commands()?;
    ensure!(commands.first().is_some_and(|first| first == "make demo"));
    let text = commands[1..].join("\n");
    let bao = program(&["bao"])?;
    let [ours, tools] = [&binary("coffer-provider")?, &bao]
        .map(|path| path.parent().map(|place| place.display().to_string()));
    let text = replaced(&text, "$PWD/target/debug", &ours.context("no directory")?)?;
    let text = replaced(&text, "$PWD/.tools/bin", &tools.context("no directory")?)?;
    let (store, health) = (free_port()?, free_port()?);
    let text = replaced(&text, "127.0.0.1:8200", &format!("127.0.0.1:{store}"))?;
    let text = replaced(&text, "127.0.0.1:8080", &format!("127.0.0.1:{health}"))?;
    let listen = format!("-dev -dev-listen-address=127.0.0.1:{store}");
    let text = replaced(&text, "server -dev", &format!("server {listen}"))?;
    let text = replaced(&text, PLACE, place)?;
    let shown = format!("cat {place}/secrets/api/token");
    let text = replaced(
        &text,
        &shown,
        &format!("test \"$({shown})\" = demo-api-token"),
    )?;
    let repository = repository().display();
    Ok(format!("set -eu\ncd '{repository}'\n{text}\n"))
}

#[test]
fn the_tour_of_the_readme_runs_as_it_stands_there() -> Result<()> {
    world::run(async {
        let (desk, memory) = (Desk::new()?, super::mount::in_memory()?);
        let place = memory.path().join("tour");
        let path = desk.path("tour.sh");
        std::fs::write(&path, script(&place.display().to_string())?)?;
        Script::run(&path, &[]).await?;
        ensure!(!place.exists(), "the tour leaves something behind");
        Ok(())
    })
}
