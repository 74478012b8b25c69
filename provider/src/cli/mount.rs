//! `mount`: does what a Mount would do, into memory or a directory. The same code as the server's.
//!
//! Its own login ends with it, unless files that it leaves hang on a lease of that login.

mod failure;
mod files;
mod pod;
mod token;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_provider_core::mount::MountFile;
use coffer_provider_core::params::{MountSpec, Wire};
use coffer_provider_core::problem::one_line;
use secrecy::SecretString;
use serde::Serialize;

use super::class_file::{self, ClassFile, PlayedPod};
use super::{Done, Environment, Failed, Outcome, is_json, runtime, version};
use crate::config::{Config, HmacSource, Invocation, MountArguments};
use crate::metrics::Metrics;
use crate::mounter::Mounted;
use crate::ports::Machine;
use crate::run::{self, Parts};
use crate::vault::session::{Proof, SessionKey};

pub(super) use failure::{Failure, diagnose};
pub(super) use pod::{configured, play, secret_file};
pub(super) use token::Claims;

/// How long giving back a login may take.
const FAREWELL: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    class: String,
    store: String,
    milliseconds: u128,
    /// Where the files were written; none when they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    files: Vec<FileLine>,
}

#[derive(Serialize)]
struct FileLine {
    path: String,
    mode: String,
    bytes: usize,
    /// Only by a key that outlives this process: any other would differ each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Instead of `value` where the bytes are no text.
    #[serde(rename = "valueBase64", skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// Mounts the class of a file.
///
/// # Errors
/// 1 when store or class refuse, 2 for a usage that cannot be meant, 3 when it cannot be tried, 64 for a
/// bad configuration.
pub fn run(
    arguments: &MountArguments,
    invocation: &Invocation,
    environment: Environment,
) -> Outcome {
    let json = is_json(&invocation.output);
    match carry_out(arguments, invocation, environment) {
        Ok(report) if json => Ok(Done {
            text: serde_json::to_string(&report).unwrap_or_default() + "\n",
            code: 0,
        }),
        Ok(report) => Ok(Done {
            text: table(&report),
            code: 0,
        }),
        Err(failure) => failure.outcome(json),
    }
}

fn carry_out(
    arguments: &MountArguments,
    invocation: &Invocation,
    environment: Environment,
) -> Result<Report, Failure> {
    let config = configured(invocation, environment)?;
    let path = arguments.class_file.as_deref();
    let path = path.ok_or_else(|| Failed::new(2, "name a file with a class"))?;
    let class = class_file::read(path, arguments.class_name.as_deref())?;
    let played = play(arguments, &class, &config)?;
    let store_token = arguments.store_token_file.as_deref().map(secret_file);
    let store_token = store_token.transpose()?;
    if store_token.is_none() && played.pod.token.is_none() {
        return Err(Failed::new(2, NO_TOKEN).into());
    }
    let directory = arguments.out.as_deref().filter(|_| !arguments.dry_run);
    let complaint = played
        .claims
        .as_ref()
        .and_then(|claims| claims.complaint(&played.audience, jiff::Timestamp::now()));
    let of_token = complaint.map(|(what, hint)| format!("{what}; {hint}"));
    let of_directory = directory.map(files::remarks).unwrap_or_default();
    for remark in config
        .warnings
        .iter()
        .chain(&played.remarks)
        .chain(&of_token)
        .chain(&of_directory)
    {
        warn(remark);
    }
    let began = Instant::now();
    let mounting = Mounting {
        config: &config,
        class: &class,
        pod: &played.pod,
        keeps_files: directory.is_some(),
    };
    let mounted = runtime()?.block_on(mounting.run(store_token))?;
    let milliseconds = began.elapsed().as_millis();
    if let Some(directory) = directory {
        files::write(directory, &mounted.files).map_err(|what| Failed::new(3, what))?;
    }
    let has_versions = config.hmac_source != HmacSource::Generate;
    let line = |file: &MountFile| line(file, has_versions, arguments.show_secrets);
    Ok(Report {
        schema: "coffer.mount/v1",
        class: class.name.clone(),
        store: mounted.store.clone(),
        milliseconds,
        directory: directory.map(|path| path.display().to_string()),
        files: mounted.files.iter().map(line).collect(),
    })
}

const NO_TOKEN: &str = "give a token: --token-file with one of the service account (kubectl create token NAME --audience=vault), or --vault-token-file with one of the store";

fn warn(what: &str) {
    diagnose(&format!("warning: {}", one_line(what)));
}

/// A Mount that is played.
struct Mounting<'a> {
    config: &'a Config,
    class: &'a ClassFile,
    pod: &'a PlayedPod,
    keeps_files: bool,
}

impl Mounting<'_> {
    async fn run(&self, store_token: Option<SecretString>) -> Result<Mounted, Failure> {
        let metrics = Arc::new(Metrics::new(version::build(), 1));
        let parts = run::build(self.config, None, Arc::new(Machine), &metrics)
            .map_err(super::bad_configuration)?;
        parts.keys.settle().await;
        let is_given = store_token.is_some();
        let outcome = self.mount(&parts, store_token).await;
        parts.reads.shut_down().await;
        let leases = parts.kept.leases();
        let stays = outcome.is_ok() && (self.keeps_files || is_given);
        if leases > 0 && stays {
            warn(&format!(
                "{leases} of the answers are leased: their credentials, and the login they hang on, live until the lease ends"
            ));
        }
        let sessions = Arc::clone(&parts.sessions);
        // What was issued keeps its login from being given back; without files nobody uses it.
        let parts = stays.then_some(parts);
        let _ = tokio::time::timeout(FAREWELL, sessions.shut_down()).await;
        drop(parts);
        outcome
    }

    async fn mount(
        &self,
        parts: &Parts,
        store_token: Option<SecretString>,
    ) -> Result<Mounted, Failure> {
        let spec = read_spec(parts, self.class, self.pod)?;
        for note in &spec.class.notes {
            warn(&note.to_string());
        }
        let deadline = tokio::time::Instant::now() + self.config.mount_deadline;
        let Some(token) = store_token else {
            return Ok(parts.mounter.mount(&spec, deadline).await?);
        };
        let identity = parts.mounter.identity(&spec, parts.mounter.target(&spec)?);
        let key = SessionKey {
            identity: Arc::new(identity),
            proof: Proof::Given,
        };
        parts.sessions.adopt(&key, token).await;
        let mounted = parts.mounter.mount_as(&spec, deadline, Some(Proof::Given));
        Ok(mounted.await?)
    }
}

/// Reads a class as the request of a driver that mounts it in a pod.
pub(super) fn read_spec(
    parts: &Parts,
    class: &ClassFile,
    pod: &PlayedPod,
) -> Result<MountSpec, coffer_provider_core::fault::MountFault> {
    let attributes = class.attributes(pod);
    parts.mounter.read(Wire {
        attributes: &attributes,
        secrets: "null",
        permission: "420",
        target_path: "cli",
    })
}

fn line(file: &MountFile, has_versions: bool, show: bool) -> FileLine {
    let bytes = file.contents.expose();
    let text = std::str::from_utf8(bytes).ok();
    FileLine {
        path: file.path.clone(),
        mode: format!("{:04o}", file.mode),
        bytes: bytes.len(),
        version: has_versions.then(|| file.version.clone()),
        value: text.filter(|_| show).map(str::to_owned),
        value_base64: (show && text.is_none()).then(|| STANDARD.encode(bytes)),
    }
}

fn table(report: &Report) -> String {
    let Report {
        schema: _,
        class,
        store,
        milliseconds,
        directory,
        files,
    } = report;
    let count = match files.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let place = match directory {
        Some(directory) => format!("written below {directory} with mode 0600"),
        None => "nothing written".to_owned(),
    };
    let mut out = format!("class {class} from {store}: {count} in {milliseconds} ms, {place}\n");
    for file in files {
        // Writing to a string cannot fail.
        let _ = write!(out, "  {} {:>8} B  {}", file.mode, file.bytes, file.path);
        let _ = match file
            .version
            .as_deref()
            .filter(|version| !version.is_empty())
        {
            Some(version) => writeln!(out, "  version {version}"),
            None => writeln!(out),
        };
        if let Some(base64) = &file.value_base64 {
            let _ = writeln!(out, "      base64: {base64}");
        }
        for text in file.value.iter().flat_map(|value| value.lines()) {
            let _ = writeln!(out, "      {}", one_line(text));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use coffer_provider_core::secret::SecretBytes;

    use super::{MountFile, Report, line, table};

    fn told(contents: &[u8], show: bool) -> (String, String) {
        let file = MountFile {
            path: "d/f".to_owned(),
            mode: 0o640,
            contents: SecretBytes::new(contents.to_vec()),
            version: "v1".to_owned(),
        };
        let report = Report {
            schema: "coffer.mount/v1",
            class: "c".to_owned(),
            store: "s:1".to_owned(),
            milliseconds: 5,
            directory: None,
            files: vec![line(&file, true, show)],
        };
        (table(&report), serde_json::to_string(&report).unwrap())
    }

    #[test]
    fn values_are_told_only_when_they_are_asked_for() {
        let (text, json) = told(b"canary\n", false);
        assert!(!text.contains("canary") && !json.contains("canary"));
        assert_eq!(
            text,
            "class c from s:1: 1 file in 5 ms, nothing written\n  0640        7 B  d/f  version v1\n"
        );
        let (text, json) = told(b"canary\n", true);
        assert!(text.ends_with("\n      canary\n") && json.contains(r#""value":"canary\n""#));
    }

    #[test]
    fn a_value_cannot_command_the_terminal_and_bytes_stay_whole() {
        let (text, _) = told(b"\x1b[2J\tx", true);
        assert!(!text.contains('\u{1b}'), "{text}");
        let (text, json) = told(&[0xff, 0x00], true);
        assert!(text.contains("base64: /wA=") && json.contains(r#""valueBase64":"/wA=""#));
    }
}
