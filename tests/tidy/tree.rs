//! The files of the repository, and which lines of a Rust file are code of the product.
//!
//! Built by walking the directory, so that it works on an unpacked archive as well as in git.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::repository;

/// What builds and tools leave behind at the root; the same names stand in `.gitignore`.
const SKIPPED: [&str; 4] = [".git", ".tools", "target", "demo-out"];

/// A text file.
pub(crate) struct Source {
    /// From the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Every line with its number from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The lines that are code of the product: no comments, and nothing after the start of a test module
    /// that is written inline, because such a module stands last.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .take_while(|(number, _)| !self.test_module_starts_at(*number))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn test_module_starts_at(&self, number: usize) -> bool {
        let mut rest = self.text.lines().skip(number - 1);
        rest.next() == Some("#[cfg(test)]")
            && rest
                .find(|line| !line.starts_with("#["))
                .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    }

    /// Whether it belongs to the product: neither a test, an example nor generated.
    fn is_product(&self) -> bool {
        let mut names = self.path.split('/');
        !self.path.starts_with("tests/")
            && !names
                .any(|name| ["tests", "tests.rs", "benches", "examples", "gen"].contains(&name))
    }
}

/// All files that are UTF-8, in the order of their paths.
pub(crate) fn files() -> Result<Vec<Source>> {
    let mut found = Vec::new();
    walk(repository(), "", &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    ensure!(
        found.len() > 100,
        "only {} files in the repository",
        found.len()
    );
    Ok(found)
}

fn walk(directory: &Path, prefix: &str, found: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().context("a file name that is not UTF-8")?;
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        // In a further worktree `.git` is a file.
        if SKIPPED.contains(&path.as_str()) {
            continue;
        }
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), found)?;
        } else if kind.is_file()
            && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
        {
            found.push(Source { path, text });
        }
    }
    Ok(())
}

/// One file that must be there.
pub(crate) fn file(path: &str) -> Result<Source> {
    let text = fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())?;
    Ok(Source {
        path: path.to_owned(),
        text,
    })
}

/// All Rust files that people write.
pub(crate) fn rust() -> Result<Vec<Source>> {
    let mut found = files()?;
    found.retain(|file| file.path.ends_with(".rs") && !file.path.contains("/gen/"));
    Ok(found)
}

/// The Rust files of the product.
pub(crate) fn product() -> Result<Vec<Source>> {
    let mut found = rust()?;
    found.retain(Source::is_product);
    Ok(found)
}

/// Fails with everything that was found, one a line.
pub(crate) fn none(what: &str, found: &[String]) -> Result<()> {
    ensure!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
    Ok(())
}

/// `path:line: text` of every line of code of the product that `wrong` picks.
pub(crate) fn product_lines(wrong: impl Fn(&str, &str) -> bool) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in product()? {
        for (number, line) in file.code().filter(|(_, line)| wrong(&file.path, line)) {
            found.push(format!("{}:{number}: {}", file.path, line.trim()));
        }
    }
    Ok(found)
}
