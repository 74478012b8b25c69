//! The commands: what a person or a pod starts, and what it prints.
//!
//! Results go to standard output, everything else to standard error; exit codes are those of `main.rs`.

mod render;
mod serve;

use std::collections::BTreeMap;

use coffer_sync_core::problem::Problem;

use crate::config::{Command, Config, Invocation, Sources, command};
use crate::metrics::BuildInfo;

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
#[derive(Debug)]
pub struct Failed {
    /// For standard error.
    pub text: String,
    /// 2 usage, 3 could not be done or checked, 64 bad configuration.
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

/// What this build is.
#[must_use]
pub const fn build() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        revision: match option_env!("COFFER_REVISION") {
            Some(revision) => revision,
            None => "unknown",
        },
        rustc: env!("CARGO_PKG_RUST_VERSION"),
    }
}

/// Does what was typed.
///
/// # Errors
/// When it cannot be done; the text and the exit code say why.
pub fn run(invocation: &Invocation, environment: Environment) -> Outcome {
    if invocation.version {
        return Ok(version());
    }
    match &invocation.command {
        Command::Serve => serve::run(configure(invocation, environment)?),
        Command::Render(arguments) => render::run(arguments, &configure(invocation, environment)?),
        Command::Completions { shell } => Ok(completions(*shell)),
    }
}

fn version() -> Done {
    let BuildInfo {
        version,
        revision,
        rustc,
    } = build();
    Done {
        text: format!("coffer-sync {version} ({revision}, rustc {rustc})\n"),
        code: 0,
    }
}

fn completions(shell: clap_complete::Shell) -> Done {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command(), "coffer-sync", &mut out);
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Environment, run};
    use crate::config::parse_arguments;

    /// Exit code and text of a command line.
    fn typed(arguments: &[&str]) -> (u8, String) {
        let arguments = std::iter::once("coffer-sync")
            .chain(arguments.iter().copied())
            .map(Into::into);
        let invocation = parse_arguments(arguments).unwrap();
        match run(&invocation, Environment::new()) {
            Ok(done) => (done.code, done.text),
            Err(failed) => (failed.code, failed.text),
        }
    }

    #[test]
    fn the_version_names_the_build() {
        let (code, text) = typed(&["--version"]);
        assert_eq!(code, 0);
        let start = concat!("coffer-sync ", env!("CARGO_PKG_VERSION"), " (");
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn a_script_completes_commands_and_options() {
        let (code, text) = typed(&["completions", "bash"]);
        assert_eq!(code, 0);
        for word in ["render", "--show-secrets", "--provider-dirs"] {
            assert!(text.contains(word), "{word}");
        }
    }

    #[test]
    fn a_bad_configuration_is_64_with_every_problem() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.yaml");
        fs::write(&path, "workers: 0\nlog-format: xml\n").unwrap();
        let config = format!("--config={}", path.display());
        let (code, text) = typed(&["render", "a.yaml", &config]);
        assert_eq!(code, 64);
        assert!(
            text.contains("--workers") && text.contains("--log-format"),
            "{text}"
        );
        assert_eq!(typed(&["serve", "--config=/nonexistent/c.yaml"]).0, 64);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_3() {
        assert_eq!(typed(&["render", "/nonexistent/a.yaml"]).0, 3);
    }
}
