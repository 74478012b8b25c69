//! The command line: what a person starts by hand, and what it prints.
//!
//! Results go to standard output, everything else to standard error; exit codes are those of `main.rs`.

pub mod check;
pub mod class_file;
pub mod doctor;
pub mod mount;
pub mod prepare;
pub mod serve;
pub mod version;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use coffer_provider_core::problem::Problem;

use crate::config::{Config, Invocation, Sources, command};

/// The environment, passed in by `main`.
pub type Environment = BTreeMap<String, String>;

/// A command that ran: what it prints, and its exit code.
pub struct Done {
    /// For standard output.
    pub text: String,
    /// 0 fine, 1 findings.
    pub code: u8,
}

/// A command that could not run.
pub struct Failed {
    /// For standard error.
    pub text: String,
    /// 2 usage, 3 could not be checked, 64 bad configuration.
    pub code: u8,
}

impl Failed {
    fn new(code: u8, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code,
        }
    }
}

/// The outcome of a command.
pub type Outcome = Result<Done, Failed>;

/// Lints the files of `check`.
///
/// The operator's flags and configuration file count, because classes are judged by them; the environment does not: it
/// is that of whoever lints.
///
/// # Errors
/// When a file cannot be read, 64 for a configuration that cannot be used.
pub fn check_files(files: &[PathBuf], strict: bool, invocation: &Invocation) -> Outcome {
    let output = &invocation.output;
    // A node's name is known on the node alone, and no class is judged by it.
    let node = Environment::from([("COFFER_NODE_NAME".to_owned(), "any".to_owned())]);
    let config = configure(invocation, node)?;
    let rules = check::Rules {
        policy: names_policy(invocation).then_some(config.rules.policy),
        layers: config.rules.layers,
        provider_name: Some(config.provider_name),
    };
    let inputs: Vec<check::Input> = match files.iter().map(input).collect() {
        Ok(inputs) => inputs,
        Err(failed) => return mount::Failure::from(failed).outcome(is_json(output)),
    };
    let mut report = check::check(&inputs, &rules);
    if strict {
        report = report.strict();
    }
    let text = if is_json(output) {
        report.to_json()
    } else {
        report.to_text()
    };
    Ok(Done {
        text,
        code: u8::from(report.has_problems()),
    })
}

/// Whether anything was said about what classes may do.
fn names_policy(invocation: &Invocation) -> bool {
    let is_policy = |name: &String| {
        name == "policy-profile" || name == "lock-connection" || name.starts_with("allow")
    };
    invocation.config_file.is_some() || invocation.flags.keys().any(is_policy)
}

fn input(path: &PathBuf) -> Result<check::Input, Failed> {
    let unreadable = |error: std::io::Error| Failed::new(3, format!("{}: {error}", path.display()));
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        return Ok(check::Input {
            name: "-".to_owned(),
            text,
        });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(check::Input {
        name: path.display().to_string(),
        text,
    })
}

/// A completion script for a shell.
#[must_use]
pub fn completions(shell: clap_complete::Shell) -> Done {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command(), "coffer-provider", &mut out);
    Done {
        text: String::from_utf8_lossy(&out).into_owned(),
        code: 0,
    }
}

/// Reads the configuration of a command.
fn configure(invocation: &Invocation, environment: Environment) -> Result<Config, Failed> {
    let mut sources = Sources {
        flags: invocation.flags.clone(),
        environment,
        file: BTreeMap::new(),
    };
    if let Some(path) = &invocation.config_file {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failed::new(64, format!("{name}: {error}")))?;
        sources.read_file(&name, &text).map_err(bad_configuration)?;
    }
    Config::read(&sources).map_err(bad_configuration)
}

fn bad_configuration(problems: Vec<Problem>) -> Failed {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failed::new(64, lines.join("\n"))
}

fn is_json(output: &str) -> bool {
    output.starts_with("json")
}

/// Threads for name resolution and files. The library's 512 would each take memory of the allocator that
/// it never gives back.
const BLOCKING_THREADS: usize = 8;

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| Failed::new(3, format!("no runtime: {error}")))
}
