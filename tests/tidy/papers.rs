//! The papers and the tree as a whole: links lead somewhere, the changelog knows the version, and no
//! file names one machine or a package registry.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use coffer_provider_core::fault::Reason;
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
            let there = match of_repository(link) {
                Some(path) => repository().join(path).exists(),
                None => directory.join(link).exists(),
            };
            if !there {
                broken.push(format!("{}:{number}: {link}", paper.path));
            }
        }
    }
    ensure!(seen > 0, "found no link in any paper");
    none("links that lead nowhere", &broken)
}

/// The path of a link into the repository that leads there from a book too.
fn of_repository(link: &str) -> Option<&str> {
    let rest = link.strip_prefix("https://github.com/coffer-csi/coffer/")?;
    rest.strip_prefix("blob/main/")
        .or_else(|| rest.strip_prefix("tree/main/"))
}

/// Every page is in the book, and what leaves it does so by a link that works from there too.
#[test]
fn the_book_has_every_page() -> Result<()> {
    let summary = file("docs/SUMMARY.md")?.text;
    let all = files()?;
    let pages = all.iter().filter(|file| {
        file.path.starts_with("docs/")
            && file.path.ends_with(".md")
            && file.path != "docs/SUMMARY.md"
    });
    let mut lost = Vec::new();
    for page in pages {
        let path = page.path.trim_start_matches("docs/");
        if !summary.contains(&format!("]({path})")) {
            lost.push(format!("{path} is not in SUMMARY.md"));
        }
        for (number, link) in links(page) {
            if of_repository(link).is_none() && !resolved(&page.path, link).starts_with("docs") {
                lost.push(format!("{}:{number}: {link} leaves the book", page.path));
            }
        }
    }
    none("pages and links", &lost)
}

/// Targets of `[text](target)`, with the numbers of their lines.
fn targets(paper: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in paper.lines() {
        for rest in line.split("](").skip(1) {
            found.push((number, rest.split([')', ' ']).next().unwrap_or_default()));
        }
    }
    found
}

/// Those within the repository, without their anchors.
fn links(paper: &Source) -> Vec<(usize, &str)> {
    let mut found = targets(paper);
    for (_, target) in &mut found {
        *target = target.split('#').next().unwrap_or_default();
    }
    found.retain(|(_, target)| {
        let elsewhere = target.contains("://") && of_repository(target).is_none();
        !target.is_empty() && !elsewhere && !target.starts_with("mailto:")
    });
    found
}

#[test]
fn reference_pages_say_what_the_code_says() -> Result<()> {
    for (path, text) in coffer_tests::reference::pages()? {
        ensure!(file(path)?.text == text, "{path}: `make reference`");
    }
    Ok(())
}

/// A page for each reason that anybody may be told, and none for what nobody is told.
#[test]
fn every_reason_has_its_page() -> Result<()> {
    let provider = Reason::ALL.iter().map(|reason| reason.as_str().to_owned());
    let sync = coffer_sync::metrics::REASONS
        .iter()
        .map(|reason| format!("sync-{}", kebab(reason)));
    let expected: BTreeSet<String> = provider.chain(sync).collect();
    let pages = files()?;
    let pages: BTreeSet<&str> = pages
        .iter()
        .filter_map(|file| file.path.strip_prefix("docs/errors/")?.strip_suffix(".md"))
        .collect();
    let lost: Vec<String> = expected
        .iter()
        .filter(|it| !pages.contains(it.as_str()))
        .cloned()
        .collect();
    none("reasons without a page", &lost)?;
    // Conditions that are no failure have pages too.
    let left: Vec<String> = pages
        .iter()
        .filter(|page| {
            !expected.contains(**page) && !page.starts_with("sync-") && **page != "README"
        })
        .map(ToString::to_string)
        .collect();
    none("pages of no reason", &left)
}

/// `TypeNotAllowed` as `type-not-allowed`.
fn kebab(reason: &str) -> String {
    let mut name = String::new();
    for c in reason.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// Names that people write are on the page that is for them.
#[test]
fn every_parameter_and_annotation_is_on_its_page() -> Result<()> {
    let names = file("provider/core/src/params/names.rs")?.text;
    let suffixes = names
        .lines()
        .filter_map(|line| Some(line.split_once("=> \"")?.1.split_once('"')?.0));
    let parameters: Vec<&str> = suffixes
        .filter(|it| it.starts_with(char::is_uppercase))
        .collect();
    ensure!(parameters.len() >= 11, "only {parameters:?}");
    let page = file("docs/reference/parameters.md")?.text;
    let mut lost: Vec<String> = parameters
        .iter()
        .filter(|suffix| !page.contains(&format!("vault{suffix}")))
        .map(ToString::to_string)
        .collect();
    let names = file("sync/core/src/options/names.rs")?.text;
    let quoted = names.split('"').skip(1).step_by(2);
    let annotations: BTreeSet<&str> = quoted.filter(|it| it.starts_with("coffer.rs/")).collect();
    ensure!(annotations.len() > 20, "only {annotations:?}");
    let page = file("docs/reference/annotations.md")?.text;
    let unnamed = annotations
        .iter()
        .filter(|name| **name != "coffer.rs/" && !page.contains(**name));
    lost.extend(unnamed.map(ToString::to_string));
    none("names on no page", &lost)
}

/// The heading that an anchor names, as GitHub makes it.
#[test]
fn anchors_lead_to_headings() -> Result<()> {
    let all = files()?;
    let papers: Vec<&Source> = all
        .iter()
        .filter(|file| file.path.ends_with(".md"))
        .collect();
    let mut broken = Vec::new();
    for paper in &papers {
        for (number, link) in targets(paper) {
            let Some((target, anchor)) = link.split_once('#') else {
                continue;
            };
            if target.contains("://") {
                continue;
            }
            let path = resolved(&paper.path, target);
            let found = papers.iter().find(|it| it.path == path);
            if found.is_none_or(|it| !anchors(it).contains(anchor)) {
                broken.push(format!("{}:{number}: {link}", paper.path));
            }
        }
    }
    none("anchors that lead nowhere", &broken)
}

fn resolved(from: &str, target: &str) -> String {
    if target.is_empty() {
        return from.to_owned();
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn anchors(paper: &Source) -> BTreeSet<String> {
    let headings = paper.lines().filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
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
