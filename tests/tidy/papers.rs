//! The papers and the tree as a whole: links lead somewhere, the changelog knows the version, and no
//! file names one machine or a package registry.

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::repository;

use crate::tree::{Source, file, files, none};

#[test]
fn relative_links_lead_to_files() -> Result<()> {
    let mut seen = 0;
    let mut broken = Vec::new();
    for paper in files()?.iter().filter(|file| file.path.ends_with(".md")) {
        let directory = repository().join(&paper.path);
        let directory = directory.parent().context("a file without a directory")?;
        for (number, link) in links(paper) {
            seen += 1;
            if !directory.join(link).exists() {
                broken.push(format!("{}:{number}: {link}", paper.path));
            }
        }
    }
    ensure!(seen > 0, "found no link in any paper");
    none("links that lead nowhere", &broken)
}

/// Targets of `[text](target)` within the repository, without their anchors.
fn links(paper: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in paper.lines() {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((number, target));
            }
        }
    }
    found
}

#[test]
fn reference_pages_say_what_the_code_says() -> Result<()> {
    for (path, text) in coffer_tests::reference::pages()? {
        ensure!(file(path)?.text == text, "{path}: `make reference`");
    }
    Ok(())
}

#[test]
fn the_changelog_knows_the_current_version() -> Result<()> {
    let manifest = file("Cargo.toml")?.text;
    let version = manifest
        .split_once("[workspace.package]\n")
        .and_then(|(_, rest)| rest.split_once("version = \""))
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(version, _)| version)
        .context("Cargo.toml has no version")?;
    let heading = format!("## {version}");
    let known = file("CHANGELOG.md")?
        .text
        .lines()
        .any(|line| line == heading || line.starts_with(&format!("{heading} ")));
    ensure!(known, "CHANGELOG.md has no heading `{heading}`");
    Ok(())
}

#[test]
fn no_file_names_one_machine_or_a_registry() -> Result<()> {
    // Put together here, so that this file does not find itself.
    let machines = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/tmp/", "bash"),
    ];
    let registries = [
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("pythonhosted", ".org"),
        concat!("proxy.golang", ".org"),
        concat!("sum.golang", ".org"),
        concat!("npmjs", ".org"),
        concat!("deb.debian", ".org"),
    ];
    let mut found = Vec::new();
    // Cargo writes the name of its index into every entry of the lock file.
    for file in files()?.iter().filter(|file| file.path != "Cargo.lock") {
        for (number, line) in file.lines() {
            let machine = machines.iter().any(|path| starts_path(line, path));
            if machine || registries.iter().any(|host| line.contains(host)) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none("a path of one machine, or a package registry", &found)
}

/// Whether the line holds the path from its root, not as the middle of a longer one.
fn starts_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-}".contains(c))
    })
}

#[test]
fn papers_name_the_drivers_that_the_binary_names() -> Result<()> {
    let home = file("provider/src/cli/version.rs")?;
    let oldest = home
        .text
        .split_once("MIN_DRIVER_VERSION: &str = \"")
        .and_then(|(_, rest)| rest.split_once(".0\""))
        .with_context(|| format!("{} names no oldest driver", home.path))?
        .0;
    for path in ["README.md", "CHANGELOG.md"] {
        let words = format!("Drivers {oldest} to 1.");
        ensure!(
            file(path)?.text.contains(&words),
            "{path} does not say \"{words}…\""
        );
    }
    Ok(())
}
