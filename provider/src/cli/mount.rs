//! `mount`: does what a Mount would do, into memory or a directory. The same code as the server's.

use std::fmt::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_provider_core::mount::MountFile;
use coffer_provider_core::params::Wire;
use secrecy::SecretString;
use serde::Serialize;

use super::class_file::{self, ClassFile, PlayedPod};
use super::{Done, Environment, Failed, Outcome, configure, is_json, runtime, version};
use crate::config::{Config, Invocation, MountArguments};
use crate::metrics::Metrics;
use crate::mounter::Mounted;
use crate::run::{self, Parts};
use crate::vault::session::{Proof, SessionKey};

/// `f_type` of tmpfs (linux/magic.h).
const TMPFS: i64 = 0x0102_1994;

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    class: String,
    store: String,
    milliseconds: u128,
    files: Vec<FileLine>,
}

#[derive(Serialize)]
struct FileLine {
    path: String,
    mode: String,
    bytes: usize,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// Mounts the class of a file.
///
/// # Errors
/// 1 when the Mount fails, 2 and 3 when it cannot be tried, 64 for a bad configuration.
pub fn run(
    arguments: &MountArguments,
    invocation: &Invocation,
    environment: Environment,
) -> Outcome {
    let config = configure(invocation, environment)?;
    let path = arguments
        .class_file
        .as_deref()
        .ok_or_else(|| Failed::new(2, "name a file with a class"))?;
    let class = class_file::read(path)?;
    let pod = played_pod(arguments, &class, &config)?;
    let store_token = arguments
        .store_token_file
        .as_deref()
        .map(secret_file)
        .transpose()?;
    let began = Instant::now();
    let mounted = runtime()?.block_on(mount(&config, &class, &pod, store_token))?;
    let mut text = String::new();
    if let Some(directory) = arguments.out.as_deref().filter(|_| !arguments.dry_run) {
        text += &warn_unless_tmpfs(directory);
        write(directory, &mounted.files)
            .map_err(|error| Failed::new(3, format!("{}: {error}", directory.display())))?;
    }
    let report = Report {
        schema: "coffer.mount/v1",
        class: class.metadata.name.clone(),
        store: mounted.store.clone(),
        milliseconds: began.elapsed().as_millis(),
        files: mounted
            .files
            .iter()
            .map(|file| line(file, arguments.show_secrets))
            .collect(),
    };
    if is_json(&invocation.output) {
        return Ok(Done {
            text: serde_json::to_string(&report).unwrap_or_default() + "\n",
            code: 0,
        });
    }
    text += &table(&report);
    Ok(Done { text, code: 0 })
}

/// The pod that the arguments describe, with a token for the audience that the class wants.
pub(super) fn played_pod(
    arguments: &MountArguments,
    class: &ClassFile,
    config: &Config,
) -> Result<PlayedPod, Failed> {
    let audience = class
        .spec
        .parameters
        .get("audience")
        .cloned()
        .filter(|text| !text.is_empty());
    let audience = audience.unwrap_or_else(|| config.rules.audience.clone());
    let token = arguments.token_file.as_deref().map(text_file).transpose()?;
    Ok(PlayedPod {
        namespace: class
            .metadata
            .namespace
            .clone()
            .unwrap_or_else(|| arguments.pod_namespace.clone()),
        service_account: arguments.service_account.clone(),
        token: token.map(|token| (audience, token)),
    })
}

pub(super) fn text_file(path: &Path) -> Result<String, Failed> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::new(3, format!("{}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

pub(super) fn secret_file(path: &Path) -> Result<SecretString, Failed> {
    text_file(path).map(SecretString::from)
}

async fn mount(
    config: &Config,
    class: &ClassFile,
    pod: &PlayedPod,
    store_token: Option<SecretString>,
) -> Result<Mounted, Failed> {
    let metrics = Arc::new(Metrics::new(version::build(), 1));
    let cluster = run::cluster(config, &metrics).await;
    let parts = run::build(config, cluster, &metrics).map_err(super::bad_configuration)?;
    parts.keys.settle().await;
    let outcome = mount_with(config, &parts, class, pod, store_token).await;
    let _ = tokio::time::timeout(Duration::from_secs(5), parts.sessions.shut_down()).await;
    outcome
}

async fn mount_with(
    config: &Config,
    parts: &Parts,
    class: &ClassFile,
    pod: &PlayedPod,
    store_token: Option<SecretString>,
) -> Result<Mounted, Failed> {
    let failed = |fault: coffer_provider_core::fault::MountFault| Failed::new(1, fault.to_string());
    let attributes = class.attributes(pod);
    let wire = Wire {
        attributes: &attributes,
        secrets: "null",
        permission: "420",
        target_path: "cli",
    };
    let spec = parts.mounter.read(wire).map_err(failed)?;
    let deadline = tokio::time::Instant::now() + config.mount_deadline;
    let Some(token) = store_token else {
        return parts.mounter.mount(&spec, deadline).await.map_err(failed);
    };
    let identity = parts
        .mounter
        .identity(&spec, parts.mounter.target(&spec).map_err(failed)?);
    let key = SessionKey {
        identity,
        proof: Proof::Given,
    };
    parts.sessions.adopt(&key, token).await;
    parts
        .mounter
        .mount_as(&spec, deadline, Some(Proof::Given))
        .await
        .map_err(failed)
}

fn line(file: &MountFile, show: bool) -> FileLine {
    FileLine {
        path: file.path.clone(),
        mode: format!("{:04o}", file.mode),
        bytes: file.contents.len(),
        version: file.version.clone(),
        value: show.then(|| String::from_utf8_lossy(file.contents.expose()).into_owned()),
    }
}

fn table(report: &Report) -> String {
    let mut out = format!(
        "class {} from {}: {} files in {} ms\n",
        report.class,
        report.store,
        report.files.len(),
        report.milliseconds
    );
    for FileLine {
        path,
        mode,
        bytes,
        version,
        value,
    } in &report.files
    {
        let _ = writeln!(out, "  {mode} {bytes:>8} B  {version}  {path}");
        if let Some(value) = value {
            let _ = writeln!(out, "      {value}");
        }
    }
    out
}

fn warn_unless_tmpfs(directory: &Path) -> String {
    let existing = directory
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(directory);
    let is_tmpfs = rustix::fs::statfs(existing).is_ok_and(|fs| fs.f_type == TMPFS);
    if is_tmpfs {
        return String::new();
    }
    format!(
        "warning: {} is not on a tmpfs: the secrets are written to a disk\n",
        directory.display()
    )
}

/// Readable by the caller alone, whatever the modes of the class are: this is no pod.
fn write(directory: &Path, files: &[MountFile]) -> std::io::Result<()> {
    use std::io::Write as _;
    for file in files {
        let path = directory.join(&file.path);
        if let Some(parent) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)?;
        }
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        out.write_all(file.contents.expose())?;
    }
    Ok(())
}
