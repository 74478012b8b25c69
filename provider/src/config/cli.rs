//! The command line, made from the table of options. Peers' flags work with one dash or two.
//!
//! Only says what was typed; reading values and acting on them is done elsewhere.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches};

use super::options::{Kind, OPTIONS};

/// What was typed.
pub struct Invocation {
    /// Option values by option name.
    pub flags: BTreeMap<String, String>,
    /// Configuration file.
    pub config_file: Option<PathBuf>,
    /// Form of results.
    pub output: String,
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve the driver.
    Serve,
    /// Say which version this is.
    Version,
    /// Lint manifests.
    Check {
        /// The files; `-` is standard input.
        files: Vec<PathBuf>,
        /// Unknown keys are problems.
        strict: bool,
    },
    /// Do what a Mount would do.
    Mount(MountArguments),
    /// Find out what stands in the way.
    Doctor(MountArguments),
    /// Print a completion script.
    Completions(clap_complete::Shell),
}

/// What `mount` and `doctor` need to know besides the options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountArguments {
    /// File with the class; `doctor` can do without.
    pub class_file: Option<PathBuf>,
    /// Where files are written.
    pub out: Option<PathBuf>,
    /// File with a service account token.
    pub token_file: Option<PathBuf>,
    /// File with a store token, used instead of a login.
    pub store_token_file: Option<PathBuf>,
    /// Namespace of the pod that is played.
    pub pod_namespace: String,
    /// Service account of the pod that is played.
    pub service_account: String,
    /// Say what would be written and write nothing.
    pub dry_run: bool,
    /// Print values.
    pub show_secrets: bool,
}

/// Reads the command line.
///
/// # Errors
/// What clap says, help and version texts among them.
pub fn parse_arguments(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(normalised(arguments))?;
    Ok(invocation(&matches))
}

/// `-vault-addr` becomes `--vault-addr`: Go's flag package takes either.
fn normalised(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let known = |name: &str| {
        ["config", "output", "version", "help"].contains(&name)
            || super::options::find(name).is_some()
    };
    arguments
        .into_iter()
        .map(|argument| {
            let text = argument.to_string_lossy();
            let name = text
                .strip_prefix('-')
                .filter(|rest| !rest.starts_with('-') && rest.len() > 1);
            match name {
                Some(rest) if known(rest.split('=').next().unwrap_or_default()) => {
                    OsString::from(format!("--{rest}"))
                }
                _ => argument,
            }
        })
        .collect()
}

/// The whole command line as clap sees it.
#[must_use]
pub fn command() -> clap::Command {
    let check = clap::Command::new("check")
        .about("Lint SecretProviderClass manifests offline")
        .arg(
            Arg::new("files")
                .required(true)
                .num_args(1..)
                .value_name("FILE")
                .help("Manifests; - is standard input"),
        )
        .arg(switch("strict", "Refuse unknown keys"));
    let mount = mount_arguments(
        clap::Command::new("mount").about("Do what a Mount would do, into a directory"),
        true,
    )
    .arg(
        Arg::new("out")
            .long("out")
            .alias("dir")
            .value_name("DIR")
            .help("Directory for the files"),
    )
    .arg(switch(
        "dry-run",
        "Say what would be written and write nothing",
    ));
    let doctor = mount_arguments(
        clap::Command::new("doctor").about("Find out what stands in the way, layer by layer"),
        false,
    );
    clap::Command::new("coffer-provider")
        .about("Secrets Store CSI driver provider for HashiCorp Vault and OpenBao")
        .disable_version_flag(true)
        .args(options())
        .arg(
            Arg::new("config")
                .long("config")
                .global(true)
                .value_name("FILE")
                .help("Configuration file: option names and values as YAML"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .global(true)
                .value_name("FORM")
                .help("Form of results: text, json, json-pretty or yaml, where they apply"),
        )
        .arg(switch("version", "Print the version and exit"))
        .subcommand(clap::Command::new("serve").about("Serve the driver (default)"))
        .subcommand(check)
        .subcommand(mount)
        .subcommand(doctor)
        .subcommand(
            clap::Command::new("completions")
                .about("Print a completion script")
                .arg(
                    Arg::new("shell")
                        .required(true)
                        .value_parser(clap::value_parser!(clap_complete::Shell)),
                ),
        )
}

fn mount_arguments(command: clap::Command, needs_file: bool) -> clap::Command {
    let value = |name: &'static str, what: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(what).help(help)
    };
    command
        .arg(file(needs_file))
        .arg(value("class", "FILE", "The same as the argument FILE").conflicts_with("file"))
        .arg(value(
            "token-file",
            "FILE",
            "Service account token to log in with",
        ))
        .arg(value(
            "vault-token-file",
            "FILE",
            "Store token to use instead of a login",
        ))
        .arg(
            value(
                "pod-namespace",
                "NAME",
                "Namespace of the pod that is played",
            )
            .default_value("default"),
        )
        .arg(
            value(
                "service-account",
                "NAME",
                "Service account of the pod that is played",
            )
            .default_value("default"),
        )
        .arg(switch("show-secrets", "Print values"))
}

fn file(needed: bool) -> Arg {
    let file = Arg::new("file")
        .value_name("FILE")
        .help("Manifest with the class");
    if needed {
        file.required_unless_present("class")
    } else {
        file
    }
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

fn options() -> impl Iterator<Item = Arg> {
    OPTIONS.iter().map(|option| {
        let arg = Arg::new(option.name)
            .long(option.name)
            .aliases(option.aliases.iter().copied())
            .global(true)
            .help(match option.default {
                "" | "false" => option.help.to_owned(),
                default => format!("{} [default: {default}]", option.help),
            })
            .help_heading("Options");
        match option.kind {
            Kind::Bool => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("BOOL"),
            Kind::Text => arg.value_name("TEXT"),
            // `-cache-size -1` is how the peers switch their cache off.
            Kind::Number => arg.value_name("NUMBER").allow_hyphen_values(true),
            Kind::Duration => arg.value_name("DURATION"),
            Kind::List => arg.value_name("LIST"),
        }
    })
}

fn invocation(matches: &ArgMatches) -> Invocation {
    let text = |matches: &ArgMatches, name: &str| matches.get_one::<String>(name).cloned();
    let flags = OPTIONS
        .iter()
        .filter_map(|option| Some((option.name.to_owned(), text(matches, option.name)?)))
        .collect();
    let command = match matches.subcommand() {
        _ if matches.get_flag("version") => Command::Version,
        Some(("check", sub)) => Command::Check {
            files: sub
                .get_many::<String>("files")
                .into_iter()
                .flatten()
                .map(PathBuf::from)
                .collect(),
            strict: sub.get_flag("strict"),
        },
        Some(("mount", sub)) => Command::Mount(MountArguments {
            out: text(sub, "out").map(PathBuf::from),
            dry_run: sub.get_flag("dry-run"),
            ..played(sub)
        }),
        Some(("doctor", sub)) => Command::Doctor(played(sub)),
        Some(("completions", sub)) => sub
            .get_one::<clap_complete::Shell>("shell")
            .map_or(Command::Serve, |shell| Command::Completions(*shell)),
        _ => Command::Serve,
    };
    Invocation {
        flags,
        config_file: text(matches, "config").map(PathBuf::from),
        output: text(matches, "output").unwrap_or_default(),
        command,
    }
}

fn played(matches: &ArgMatches) -> MountArguments {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    MountArguments {
        class_file: text("file").or_else(|| text("class")).map(PathBuf::from),
        token_file: text("token-file").map(PathBuf::from),
        store_token_file: text("vault-token-file").map(PathBuf::from),
        pod_namespace: text("pod-namespace").unwrap_or_default(),
        service_account: text("service-account").unwrap_or_default(),
        show_secrets: matches.get_flag("show-secrets"),
        ..MountArguments::default()
    }
}
