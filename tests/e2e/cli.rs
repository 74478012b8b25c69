//! The commands that a person starts by hand, as the real binary against a real store.
//!
//! Results are looked for on standard output, everything else on standard error. What needs no store
//! and no other program is in `it`.

mod demo;
mod doctor;
mod mount;
mod tour;
mod usage;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::{Class, Pod};
use coffer_tests::fixture::directory;
use coffer_tests::provider::binary;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::Store;

/// How a command ended and what it said where.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Told {
    /// The result of `--output json`: exactly one object, whatever stands on standard error.
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("no JSON: {self:?}"))
    }

    /// Fails unless it ended with this code and these parts stand in one of the outputs.
    fn expect(&self, code: i32, parts: &[&str]) -> Result<()> {
        ensure!(self.code == Some(code), "not {code}: {self:?}");
        for part in parts {
            let is_there = self.out.contains(part) || self.err.contains(part);
            ensure!(is_there, "{part:?} is not in {self:?}");
        }
        Ok(())
    }
}

/// Runs the command line to its end, with nothing of our environment.
fn run(arguments: &[&str]) -> Result<Told> {
    run_with(arguments, "")
}

/// The same with a text on standard input.
fn run_with(arguments: &[&str], input: &str) -> Result<Told> {
    let mut child = Command::new(binary("coffer-provider")?)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    Ok(Told {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

/// A directory with the files that the commands read.
struct Desk {
    place: TempDir,
}

impl Desk {
    fn new() -> Result<Self> {
        let place = directory("cli")?;
        Ok(Self { place })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(text_of(&path))
    }

    /// A class in the namespace `shop` as a manifest.
    fn class(&self, name: &str, class: &Class) -> Result<String> {
        self.file(name, &manifest(class))
    }

    /// A token of shop/web for an audience.
    fn token(&self, store: &Store, audience: &str) -> Result<String> {
        let mut pod = Pod::new("shop", "p")?;
        "web".clone_into(&mut pod.service_account);
        let token = store.issuer.mint(&pod, audience, 900)?;
        self.file(&format!("{audience}.jwt"), &format!("{}\n", token.jwt))
    }

    /// A token of the store with a policy.
    async fn store_token(&self, store: &Store, policy: &str) -> Result<String> {
        let token = store.vault.create_token(&[policy], "20m").await?;
        self.file(&format!("{policy}.token"), &token)
    }
}

/// JSON is YAML too.
fn manifest(class: &Class) -> String {
    let Class { name, parameters } = class;
    json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"provider": "vault", "parameters": parameters},
    })
    .to_string()
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}
