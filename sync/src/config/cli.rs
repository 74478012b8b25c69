//! The command line: commands and their arguments as types, options from their table.
//!
//! Only says what was typed; reading values and acting on them is done elsewhere.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ColorChoice, CommandFactory, FromArgMatches, ValueHint};

use super::options::{Kind, OPTIONS};

/// What was typed.
pub struct Invocation {
    /// Option values by option name.
    pub flags: BTreeMap<String, String>,
    /// Configuration file.
    pub config_file: Option<PathBuf>,
    /// Say which version this is, and nothing else.
    pub version: bool,
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Sync Secrets (default)
    Serve,
    /// Show the Secrets that would be written, offline
    #[command(after_help = RENDER_CODES)]
    Render(RenderArguments),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// What `render` needs to know besides the options.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct RenderArguments {
    /// Manifests with SecretSyncs and SecretProviderClasses; - is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub manifests: Vec<PathBuf>,
    /// Directory with what the provider would return: one file per object, at its path
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub files: Option<PathBuf>,
    /// Print the values
    #[arg(long, requires = "files")]
    pub show_secrets: bool,
    /// Form of the result
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    pub output: Form,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people
    #[default]
    Text,
    /// For machines: one JSON object with a version
    Json,
}

const CODES: &str = "\
Exit codes: 0 fine, 1 findings, 2 usage, 3 could not be done or checked (network, rights), 64 bad
configuration.

Every option can be set by a line of --config and by an environment variable COFFER_SYNC_<NAME>; flags win.";

const RENDER_CODES: &str = "\
Looks at SecretSyncs, and at SecretProviderClasses with coffer.rs/sync-as. Without --files it tells which
file becomes which key; with it, the Secrets as they would be written and everything that is found in them.
Values are printed with --show-secrets only. Nothing is fetched and nothing is written.

Exit codes: 0 all would be written, 1 something would not, 2 usage, 3 a file cannot be read, 64 bad
configuration.";

/// Keeps Kubernetes Secrets in step with what providers of the Secrets Store CSI driver return
#[derive(clap::Parser)]
#[command(
    name = "coffer-sync",
    after_help = CODES,
    color = ColorChoice::Never,
    // Of a flag that stands there twice the last one counts.
    args_override_self = true,
    disable_version_flag = true
)]
struct Line {
    /// Configuration file: option names and values as YAML
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Print the version and exit
    #[arg(long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Reads the command line.
///
/// # Errors
/// What clap says, help among it.
pub fn parse_arguments(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let line = Line::from_arg_matches(&matches)?;
    let flags = OPTIONS.iter().filter_map(|option| {
        let values: Vec<&str> = matches
            .get_many::<String>(option.name)?
            .map(String::as_str)
            .collect();
        Some((option.name.to_owned(), values.join(",")))
    });
    Ok(Invocation {
        flags: flags.collect(),
        config_file: line.config,
        version: line.version,
        command: line.command.unwrap_or(Command::Serve),
    })
}

/// The whole command line as clap sees it.
#[must_use]
pub fn command() -> clap::Command {
    Line::command().args(options())
}

fn options() -> impl Iterator<Item = Arg> {
    OPTIONS.iter().map(|option| {
        let arg = Arg::new(option.name)
            .long(option.name)
            .global(true)
            .help(match option.default {
                "" | "false" => option.help.to_owned(),
                default => format!("{} [default: {default}]", option.help),
            })
            .hide_short_help(true)
            .help_heading("Options of the controller");
        match option.kind {
            Kind::Bool => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("BOOL"),
            Kind::Text => arg.value_name("TEXT"),
            Kind::Number => arg.value_name("NUMBER"),
            Kind::Duration => arg.value_name("DURATION"),
            Kind::List => arg.value_name("LIST").action(ArgAction::Append),
        }
    })
}
