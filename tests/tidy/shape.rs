//! Shape of Rust files: they say what they are for, have a noun for a name, and leave nothing for later.

use anyhow::Result;

use crate::tree::{files, none, product, rust};

#[test]
fn every_file_opens_with_its_purpose() -> Result<()> {
    let silent: Vec<String> = rust()?
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    none("no `//!` in the first line", &silent)
}

#[test]
fn no_file_is_a_mod_rs_or_a_drawer() -> Result<()> {
    let drawers = [
        "mod", "util", "utils", "helper", "helpers", "common", "types", "misc",
    ];
    let wrong: Vec<String> = rust()?
        .into_iter()
        .map(|file| file.path)
        .filter(|path| {
            let names = path.trim_end_matches(".rs").split('/');
            names.into_iter().any(|name| drawers.contains(&name))
        })
        .collect();
    none("a name that says nothing of what is inside", &wrong)?;

    let mut inline = Vec::new();
    for file in rust()? {
        for (number, line) in file.lines() {
            let module = line
                .trim()
                .strip_suffix(" {")
                .and_then(|line| line.split_once("mod "));
            if module.is_some_and(|(_, name)| drawers.contains(&name)) {
                inline.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none(
        "a module whose name says nothing of what is inside",
        &inline,
    )
}

#[test]
fn nothing_is_left_for_later() -> Result<()> {
    // Put together here, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[", "ignore"),
    ];
    let ours = [
        ".rs", ".go", ".sh", ".toml", ".yaml", ".md", "Makefile", ".ci/run",
    ];
    let mut found = Vec::new();
    for file in files()? {
        if !ours.iter().any(|end| file.path.ends_with(end)) {
            continue;
        }
        for (number, line) in file.lines() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none("left for later, or a test that does not run", &found)
}

#[test]
fn inline_test_modules_stand_last() -> Result<()> {
    // The other rules take everything after the start of such a module for tests.
    let mut found = Vec::new();
    for file in product()? {
        let code = file.code().last().map_or(0, |(number, _)| number);
        let mut rest = file.lines().skip_while(|(number, _)| *number <= code);
        let end = rest
            .find(|(_, line)| *line == "}")
            .map(|(number, _)| number);
        if let Some(end) = end
            && let Some((number, line)) = file
                .lines()
                .skip(end)
                .find(|(_, line)| !line.trim().is_empty())
        {
            found.push(format!("{}:{number}: {line}", file.path));
        }
    }
    none("code after a test module", &found)
}
