//! What crates may depend on: pure cores, arrows between members, lints and tests of every member.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::repository;

use crate::tree::{Source, file, none};

/// Runtimes, transports, clients and system calls: none of them has a place in a core.
const IMPURE: [&str; 17] = [
    "async-std",
    "h2",
    "hyper",
    "hyper-util",
    "k8s-openapi",
    "kube",
    "kube-client",
    "mio",
    "reqwest",
    "rustify",
    "rustix",
    "rustls",
    "socket2",
    "tokio",
    "tonic",
    "tower",
    "vaultrs",
];

/// Which members a member may use in what ships. The harness may use all.
const ARROWS: [(&str, &[&str]); 6] = [
    ("frame", &[]),
    ("proto", &[]),
    ("provider/core", &["coffer-proto"]),
    (
        "provider",
        &["coffer-frame", "coffer-proto", "coffer-provider-core"],
    ),
    ("sync/core", &["coffer-proto"]),
    (
        "sync",
        &["coffer-frame", "coffer-proto", "coffer-sync-core"],
    ),
];
/// The members that do no I/O, by directory and package.
const CORES: [(&str, &str); 2] = [
    ("provider/core", "coffer-provider-core"),
    ("sync/core", "coffer-sync-core"),
];
const HARNESS: &str = "tests";

/// The directories of the members.
fn members() -> Result<Vec<String>> {
    let manifest = file("Cargo.toml")?;
    let list = manifest
        .text
        .split_once("\nmembers = [")
        .and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.context("Cargo.toml lists no members")?;
    Ok(list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect())
}

fn manifest(member: &str) -> Result<Source> {
    file(&format!("{member}/Cargo.toml"))
}

/// The names in `[dependencies]`, and in the same section of a target.
fn dependencies(manifest: &Source) -> Vec<&str> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.text.lines() {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section == "dependencies" || section.ends_with(".dependencies");
        } else if inside && line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            names.extend(line.split(['.', ' ', '=']).next());
        }
    }
    names
}

#[test]
fn no_core_names_a_runtime_transport_or_client() -> Result<()> {
    for (core, _) in CORES {
        let manifest = manifest(core)?;
        let names = dependencies(&manifest);
        ensure!(
            names.contains(&"thiserror"),
            "{} could not be read: {names:?}",
            manifest.path
        );
        let found: Vec<String> = names
            .iter()
            .filter(|name| IMPURE.contains(name))
            .map(ToString::to_string)
            .collect();
        none(&format!("{core} depends on"), &found)?;
    }
    Ok(())
}

#[test]
fn nothing_below_a_core_brings_one_in() -> Result<()> {
    for (_, package) in CORES {
        let names = below(package)?;
        ensure!(
            names.iter().any(|name| name == "thiserror"),
            "cargo tree says only {names:?}"
        );
        let found: Vec<String> = names
            .into_iter()
            .filter(|name| IMPURE.contains(&name.as_str()))
            .collect();
        none(&format!("below {package} stands"), &found)?;
    }
    Ok(())
}

/// The packages that a package depends on, itself included.
fn below(package: &str) -> Result<Vec<String>> {
    let cargo = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}", "--locked", "--offline"])
        .current_dir(repository())
        .output()
        .context("running cargo tree")?;
    ensure!(
        cargo.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&cargo.stderr)
    );
    Ok(String::from_utf8(cargo.stdout)?
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect())
}

#[test]
fn members_use_each_other_only_along_the_arrows() -> Result<()> {
    let mut known: Vec<&str> = ARROWS
        .iter()
        .map(|(member, _)| *member)
        .chain([HARNESS])
        .collect();
    let mut members = members()?;
    known.sort_unstable();
    members.sort_unstable();
    ensure!(
        members == known,
        "members are {members:?}, arrows are known of {known:?}"
    );
    for (member, allowed) in ARROWS {
        let manifest = manifest(member)?;
        let found: Vec<String> = dependencies(&manifest)
            .into_iter()
            .filter(|name| name.starts_with("coffer-") && !allowed.contains(name))
            .map(str::to_owned)
            .collect();
        none(&format!("{member} may use {allowed:?} but uses"), &found)?;
    }
    Ok(())
}

#[test]
fn provider_and_sync_never_meet() -> Result<()> {
    let mut seen = 0;
    for member in members()? {
        let other = match member.split('/').next() {
            Some("provider") => "coffer-sync",
            Some("sync") => "coffer-provider",
            _ => continue,
        };
        seen += 1;
        let manifest = manifest(&member)?;
        // Development counts too: tests of both sides live in the harness.
        let found: Vec<String> = manifest
            .text
            .lines()
            .filter(|line| line.starts_with(other))
            .map(str::to_owned)
            .collect();
        none(&format!("{member} uses the other side"), &found)?;
    }
    ensure!(seen >= 2, "looked at {seen} members only");
    Ok(())
}

#[test]
fn every_member_takes_the_lints_of_the_workspace() -> Result<()> {
    for member in members()? {
        let manifest = manifest(&member)?;
        ensure!(
            manifest.text.contains("\n[lints]\nworkspace = true"),
            "{} takes no lints",
            manifest.path
        );
    }
    Ok(())
}

#[test]
fn every_core_repeats_the_clippy_rules_of_the_root() -> Result<()> {
    // The nearest file wins and does not merge.
    for (core, _) in CORES {
        let rules = file(&format!("{core}/.clippy.toml"))?;
        let missing: Vec<String> = file(".clippy.toml")?
            .text
            .lines()
            .filter(|line| {
                !line.starts_with('#') && !rules.text.lines().any(|there| there == *line)
            })
            .map(str::to_owned)
            .collect();
        none(&format!("missing in {}", rules.path), &missing)?;
    }
    Ok(())
}

#[test]
fn every_test_target_belongs_to_a_level() -> Result<()> {
    let makefile = file("Makefile")?.text;
    let words: Vec<&str> = makefile.split([' ', '\n', ';', ')']).collect();
    let mut seen = 0;
    for member in members()? {
        let manifest = manifest(&member)?;
        for target in manifest.text.split("\n[[test]]\n").skip(1) {
            let name = target
                .split('"')
                .nth(1)
                .context("a test target without a name")?;
            let run = words.windows(2).any(|pair| pair == ["--test", name]);
            ensure!(
                run,
                "{}: no level of the Makefile runs the test target {name}",
                manifest.path
            );
            seen += 1;
        }
    }
    ensure!(seen >= 2, "found {seen} test targets only");
    Ok(())
}
