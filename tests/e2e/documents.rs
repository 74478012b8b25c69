//! What the documents show, tried: manifests by the programs, values by Helm, scripts by the shell's parser.
//!
//! Whether links lead somewhere is asked in `tidy`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use coffer_tests::fixture::{directory, repository};
use coffer_tests::helm;
use coffer_tests::provider::binary;
use serde_json::Value;

/// A fenced block of a document.
struct Snippet {
    /// Document and line.
    place: String,
    language: String,
    text: String,
}

fn documents() -> Result<Vec<PathBuf>> {
    let mut found = vec![repository().join("README.md")];
    let mut folders = vec![repository().join("docs"), repository().join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// All blocks of all documents, without the spaces by which lists indent them.
fn snippets() -> Result<Vec<Snippet>> {
    let mut found = Vec::new();
    for path in documents()? {
        let text = fs::read_to_string(&path)?;
        let name = path.strip_prefix(repository())?.display().to_string();
        let mut open: Option<(usize, Snippet)> = None;
        for (number, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(language)) => {
                    let indent = line.len() - line.trim_start().len();
                    let snippet = Snippet {
                        place: format!("{name}:{}", number + 1),
                        language: language.trim().to_owned(),
                        text: String::new(),
                    };
                    open = Some((indent, snippet));
                }
                (Some(_), Some(_)) => found.extend(open.take().map(|(_, snippet)| snippet)),
                (Some((indent, snippet)), None) => {
                    snippet
                        .text
                        .push_str(line.get(*indent..).unwrap_or_default());
                    snippet.text.push('\n');
                }
                (None, None) => {}
            }
        }
        ensure!(open.is_none(), "{name}: a block does not end");
    }
    Ok(found)
}

fn of_language(language: &str) -> Result<Vec<Snippet>> {
    let mut found = snippets()?;
    found.retain(|snippet| snippet.language == language);
    ensure!(
        found.len() > 10,
        "only {} blocks of {language}",
        found.len()
    );
    Ok(found)
}

#[test]
fn scripts_are_such_that_a_shell_can_read_them() -> Result<()> {
    for Snippet { place, text, .. } in of_language("sh")? {
        let mut shell = Command::new("sh")
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        shell
            .stdin
            .take()
            .context("no input")?
            .write_all(text.as_bytes())?;
        let output = shell.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{place}: {said}");
    }
    Ok(())
}

/// What a YAML block is about.
fn kinds(snippet: &Snippet) -> Result<Vec<(String, Value)>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&snippet.text).with_context(|| snippet.place.clone())?;
    let kind = |document: &Value| document["kind"].as_str().unwrap_or_default().to_owned();
    Ok(documents.into_iter().map(|it| (kind(&it), it)).collect())
}

#[test]
fn manifests_are_such_that_the_programs_take_them() -> Result<()> {
    let place = directory("documents")?;
    let (mut classes, mut syncs) = (0, 0);
    for snippet in of_language("yaml")? {
        let file = place.path().join("snippet.yaml");
        fs::write(&file, &snippet.text)?;
        let kinds = kinds(&snippet)?;
        let ours = |wanted: &str, group: &str| {
            kinds.iter().any(|(kind, document)| {
                let version = document["apiVersion"].as_str().unwrap_or_default();
                kind == wanted && version.starts_with(group)
            })
        };
        let class = ours("SecretProviderClass", "secrets-store.csi.x-k8s.io/");
        if class && of_vault(&kinds) {
            judged("coffer-provider", &["check"], &file, &snippet)?;
            classes += 1;
        }
        if class && ours("SecretSync", "secret-sync.x-k8s.io/") {
            judged(
                "coffer-sync",
                &["render", "--claim-unnamed"],
                &file,
                &snippet,
            )?;
            syncs += 1;
        }
    }
    ensure!(
        classes > 5 && syncs > 2,
        "{classes} classes, {syncs} SecretSyncs"
    );
    Ok(())
}

/// Whether all classes are for our provider: those of other vendors have other parameters.
fn of_vault(kinds: &[(String, Value)]) -> bool {
    let classes = kinds
        .iter()
        .filter(|(kind, _)| kind == "SecretProviderClass");
    let mut providers = classes.map(|(_, class)| class["spec"]["provider"].as_str());
    providers.all(|it| matches!(it, Some("vault" | "openbao")))
}

fn judged(program: &str, arguments: &[&str], file: &Path, snippet: &Snippet) -> Result<()> {
    let output = Command::new(binary(program)?)
        .args(arguments)
        .arg(file)
        .output()?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{}: {}", snippet.place, String::from_utf8_lossy(&said));
    }
    Ok(())
}

/// A block of values begins with a key of the chart, and is whole enough to be one.
#[test]
fn values_are_such_that_the_chart_takes_them() -> Result<()> {
    let values = fs::read_to_string(repository().join("charts/coffer/values.yaml"))?;
    let keys: BTreeMap<String, Value> = serde_saphyr::from_str(&values)?;
    let place = directory("values")?;
    let mut tried = 0;
    for snippet in of_language("yaml")? {
        let documents = kinds(&snippet)?;
        let [(kind, Value::Object(map))] = &documents[..] else {
            continue;
        };
        if !kind.is_empty() || !map.keys().all(|key| keys.contains_key(key)) {
            continue;
        }
        // What a reader has before a migration.
        let image = &map.get("csi").unwrap_or(&Value::Null)["image"]["repository"];
        if image
            .as_str()
            .is_some_and(|it| it.ends_with("-csi-provider"))
        {
            continue;
        }
        let file = place.path().join("values.yaml");
        fs::write(&file, &snippet.text)?;
        helm::render(&file).with_context(|| snippet.place.clone())?;
        tried += 1;
    }
    ensure!(tried > 3, "only {tried} blocks of values");
    Ok(())
}
