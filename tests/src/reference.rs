//! The reference pages of `docs/reference` that are made from the code: options, metrics, values of the chart.
//!
//! `make reference` writes them, a test compares. Pages that people write are not among them.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::fixture::repository;

/// A page: its path from the root of the repository, and its text.
pub type Page = (&'static str, String);

/// All pages.
///
/// # Errors
/// When what a page is made from cannot be read.
pub fn pages() -> Result<Vec<Page>> {
    Ok(vec![
        ("docs/reference/provider-flags.md", provider_flags()?),
        ("docs/reference/sync-flags.md", sync_flags()?),
        ("docs/reference/metrics.md", metrics()?),
        ("docs/reference/values.md", values()?),
    ])
}

const MADE: &str = "<!-- Made by `make reference`. -->\n";

/// One option of either program.
struct Flag {
    name: &'static str,
    kind: String,
    default: &'static str,
    others: Vec<String>,
    help: &'static str,
}

fn provider_flags() -> Result<String> {
    let flags = coffer_provider::config::OPTIONS.iter().map(|option| {
        let aliases = option.aliases.iter().map(|it| format!("--{it}"));
        let peers = (!option.peer_env.is_empty()).then(|| format!("VAULT_{}", option.peer_env));
        Flag {
            name: option.name,
            kind: format!("{:?}", option.kind),
            default: option.default,
            others: aliases.chain(peers).collect(),
            help: option.help,
        }
    });
    let about = "Each is a flag with one dash or two, a line of the `--config` file, and a variable `COFFER_` with its name \
                 in capitals and underscores. Flags win over variables, variables over the file. The names of the peers count \
                 too: of a variable `VAULT_…` there is a `BAO_…` as well.";
    flag_page("coffer-provider", about, flags)
}

fn sync_flags() -> Result<String> {
    let flags = coffer_sync::config::OPTIONS.iter().map(|option| Flag {
        name: option.name,
        kind: format!("{:?}", option.kind),
        default: option.default,
        others: (!option.variable.is_empty())
            .then(|| option.variable.to_owned())
            .into_iter()
            .collect(),
        help: option.help,
    });
    let about = "Each is a flag, a line of the `--config` file, and a variable `COFFER_SYNC_` with its name in capitals and \
                 underscores. Flags win over variables, variables over the file.";
    flag_page("coffer-sync", about, flags)
}

fn flag_page(program: &str, about: &str, flags: impl Iterator<Item = Flag>) -> Result<String> {
    let mut page = format!("{MADE}# Options of {program}\n\n{about}\n\n");
    page.push_str("| option | kind | default | other names | meaning |\n|---|---|---|---|---|\n");
    for flag in flags {
        let default = match flag.default {
            "" => String::new(),
            default => code(default),
        };
        let others: Vec<String> = flag.others.iter().map(|name| code(name)).collect();
        writeln!(
            page,
            "| {} | {} | {default} | {} | {} |",
            code(&format!("--{}", flag.name)),
            flag.kind.to_lowercase(),
            others.join(", "),
            cell(flag.help)
        )?;
    }
    Ok(page)
}

fn metrics() -> Result<String> {
    let mut page = format!("{MADE}# Metrics\n\n");
    page.push_str(
        "Served at `/metrics` of the health address, in the text format of Prometheus, or as OpenMetrics on request. \
         Names of histograms have `_bucket`, `_sum` and `_count` behind them.\n\n",
    );
    let build = || coffer_provider::metrics::BuildInfo {
        version: "",
        revision: "",
        rustc: "",
    };
    let provider = coffer_provider::metrics::Metrics::new(build(), 0).encode(false);
    page.push_str("## coffer-provider\n\n");
    families(&mut page, &provider)?;
    let build = coffer_sync::metrics::BuildInfo {
        version: "",
        revision: "",
        rustc: "",
    };
    let sync = coffer_sync::metrics::Metrics::new(build, true);
    // These begin with the first call of a provider.
    sync.provider_request("vault", "Ok", Duration::ZERO);
    sync.provider_in_flight("vault", 0);
    sync.provider_paused("vault", false);
    let sync = sync.encode(false);
    page.push_str("\n## coffer-sync\n\n");
    families(&mut page, &sync)?;
    Ok(page)
}

/// The families of an exposition, sorted by name, with the labels of their series where there are some already.
fn families(page: &mut String, exposition: &str) -> Result<()> {
    page.push_str("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    let mut rows = Vec::new();
    for line in exposition.lines() {
        let Some((name, help)) = line
            .strip_prefix("# HELP ")
            .and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        let of = format!("# TYPE {name} ");
        let kind = exposition.lines().find_map(|line| line.strip_prefix(&of));
        let labels = labels(exposition, name).join(", ");
        let kind = kind.context("a family without a type")?;
        rows.push(format!(
            "| `{name}` | {kind} | {labels} | {} |\n",
            cell(help)
        ));
    }
    rows.sort();
    page.extend(rows);
    Ok(())
}

fn labels(exposition: &str, family: &str) -> Vec<String> {
    let series = exposition.lines().find(|line| {
        let rest = line.strip_prefix(family).unwrap_or_default();
        ["{", "_bucket{", "_count{", "_sum{"]
            .iter()
            .any(|start| rest.starts_with(start))
    });
    let Some((_, rest)) = series.and_then(|line| line.split_once('{')) else {
        return Vec::new();
    };
    let within = rest.rsplit_once('}').map_or(rest, |(within, _)| within);
    within
        .split(',')
        .filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()))
        .filter(|label| label != "le")
        .map(|label| code(&label))
        .collect()
}

/// The file itself: its comments are the documentation.
fn values() -> Result<String> {
    let text = fs::read_to_string(repository().join("charts/coffer/values.yaml"))?;
    Ok(format!(
        "{MADE}# Values of the chart\n\nThe file `charts/coffer/values.yaml`, whose comments say what each key is for. \
         Values for common cases, with what they render to, are in [`charts/examples`](https://github.com/coffer-csi/coffer/tree/main/charts/examples).\n\n\
         ```yaml\n{text}```\n"
    ))
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// A pipe would end the cell, and a name in angle brackets would be taken for HTML.
fn cell(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('<', "&lt;");
    text.trim_end_matches('.').to_owned()
}
