//! Helm on the chart, without a cluster: what it renders, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::fixture::{program, repository};

/// Kinds that clusters with Prometheus' operator have.
const KINDS: [&str; 2] = [
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
];

/// The folders of `charts/examples`, sorted.
///
/// # Errors
/// When there is none.
pub fn examples() -> Result<Vec<PathBuf>> {
    let folder = repository().join("charts/examples");
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut folders: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    folders.sort();
    ensure!(!folders.is_empty(), "there is no example of values");
    Ok(folders)
}

/// What the chart renders with a file of values, for a cluster that knows the kinds of monitoring.
///
/// # Errors
/// When Helm refuses, with what it says.
pub fn render(values: &Path) -> Result<String> {
    let values = values.display().to_string();
    let mut arguments = vec!["--values", &values];
    for kind in KINDS {
        arguments.extend(["--api-versions", kind]);
    }
    let output = template(&arguments)?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(String::from_utf8(output.stdout)?)
}

/// What the chart renders with a file of values and one value more, given as JSON; none where Helm refuses it.
///
/// # Errors
/// When Helm cannot be started.
pub fn render_with(values: &Path, path: &str, value: &str) -> Result<Option<String>> {
    let values = values.display().to_string();
    let set = format!("{path}={value}");
    let mut arguments = vec!["--values", &values, "--set-json", &set];
    for kind in KINDS {
        arguments.extend(["--api-versions", kind]);
    }
    let output = template(&arguments)?;
    let taken = output.status.success();
    Ok(taken.then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// What Helm says against values that are given one by one, on one line; none where it takes them.
///
/// # Errors
/// When Helm cannot be started.
pub fn refusal(set: &[&str]) -> Result<Option<String>> {
    let arguments: Vec<&str> = set.iter().flat_map(|value| ["--set", value]).collect();
    let output = template(&arguments)?;
    let refused = !output.status.success();
    Ok(refused.then(|| said(&output).replace('\n', " ")))
}

/// Lints the chart with a file of values, warnings included.
///
/// # Errors
/// When it finds something, with what it says.
pub fn lint(values: &Path) -> Result<()> {
    let values = values.display().to_string();
    let output = helm(&["lint", "--strict", "charts/coffer", "--values", &values])?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}

fn template(arguments: &[&str]) -> Result<Output> {
    let start = [
        "template",
        "coffer",
        "charts/coffer",
        "--namespace",
        "coffer-system",
    ];
    helm(&[&start, arguments].concat())
}

fn helm(arguments: &[&str]) -> Result<Output> {
    let helm = program(&["helm"]).context("tools/install.sh helm builds it")?;
    let mut command = Command::new(helm);
    command.args(arguments).current_dir(repository());
    // Whatever a user has configured is not for tests.
    command.env_clear().env("HOME", "/nonexistent");
    command.output().context("starting helm")
}

fn said(output: &Output) -> String {
    let all = [&output.stderr[..], &output.stdout[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}
