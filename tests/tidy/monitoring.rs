//! Dashboard and alerts: every metric that they ask for exists, every alert has its page.
//!
//! What Prometheus makes of the expressions is not asked here.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use coffer_tests::reference::pages;
use serde_json::Value;

use crate::tree::{file, none};

/// Metrics of others that alerts may ask for: of kube-state-metrics.
const FOREIGN: [&str; 5] = [
    "kube_daemonset_labels",
    "kube_daemonset_status_number_ready",
    "kube_pod_info",
    "kube_pod_status_ready",
    "kube_daemonset_status_desired_number_scheduled",
];

/// Names of the metrics of both programs, as the reference page lists them.
fn known() -> Result<BTreeSet<String>> {
    let pages = pages()?;
    let page = pages.iter().find(|(path, _)| path.ends_with("/metrics.md"));
    let (_, text) = page.context("no page of metrics")?;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()));
    Ok(names.collect())
}

/// Words of an expression that can only be names of metrics.
fn names(expression: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression
        .split(|c| !is_part(c))
        .filter(|word| {
            ["coffer_", "process_", "kube_"]
                .iter()
                .any(|start| word.starts_with(start))
        })
        .map(str::to_owned)
        .collect()
}

/// The name of the family that a series belongs to.
fn family(series: &str) -> &str {
    let endings = ["_bucket", "_count", "_sum"];
    endings
        .iter()
        .find_map(|ending| series.strip_suffix(ending))
        .unwrap_or(series)
}

fn unknown(expressions: &[String]) -> Result<Vec<String>> {
    let known = known()?;
    let asked: BTreeSet<String> = expressions.iter().flat_map(|it| names(it)).collect();
    ensure!(
        asked.len() > 10,
        "hardly any metric is asked for: {asked:?}"
    );
    let is_known = |name: &&String| {
        known.contains(*name) || known.contains(family(name)) || FOREIGN.contains(&name.as_str())
    };
    Ok(asked
        .iter()
        .filter(|name| !is_known(name))
        .cloned()
        .collect())
}

/// Every text under this key, wherever it is.
fn collect(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value.as_str() {
                    Some(text) if name == key => found.push(text.to_owned()),
                    _ => collect(value, key, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| collect(value, key, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&file("charts/coffer/files/dashboard.json")?.text)?;
    let mut expressions = Vec::new();
    collect(&dashboard, "expr", &mut expressions);
    none("metrics that nobody has", &unknown(&expressions)?)
}

#[test]
fn alerts_ask_for_metrics_that_exist_and_lead_to_their_page() -> Result<()> {
    let alerts: Value = serde_saphyr::from_str(&file("charts/coffer/files/alerts.yaml")?.text)?;
    let mut expressions = Vec::new();
    collect(&alerts, "expr", &mut expressions);
    none("metrics that nobody has", &unknown(&expressions)?)?;
    let (mut names, mut links) = (Vec::new(), Vec::new());
    collect(&alerts, "alert", &mut names);
    collect(&alerts, "runbook_url", &mut links);
    ensure!(names.len() == links.len() && !names.is_empty());
    let runbook = file("docs/runbook.md")?.text;
    let headings: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|it| it.strip_prefix("## "))
        .collect();
    let lost: Vec<String> = names
        .iter()
        .filter(|name| {
            let link = format!("https://RUNBOOK_BASE#{}", name.to_lowercase());
            !headings.contains(name.as_str()) || !links.contains(&link)
        })
        .cloned()
        .collect();
    none("alerts without a page", &lost)
}
