//! The command line, made from the table of options. Peers' flags work with one dash or two.
//!
//! Only says what was typed; reading values and acting on them is done elsewhere.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, ColorChoice, ValueHint};

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
    /// Give the directories of the node to a provider without root.
    Prepare {
        /// Its user and group.
        group: u32,
    },
    /// Print a completion script.
    Completions(clap_complete::Shell),
}

/// What `mount` and `doctor` need to know besides the options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountArguments {
    /// File with the class; `doctor` can do without.
    pub class_file: Option<PathBuf>,
    /// Which class of the file, when it holds several.
    pub class_name: Option<String>,
    /// Where files are written.
    pub out: Option<PathBuf>,
    /// Socket of a provider that is asked instead.
    pub socket: Option<PathBuf>,
    /// File with a service account token.
    pub token_file: Option<PathBuf>,
    /// File with a store token, used instead of a login.
    pub store_token_file: Option<PathBuf>,
    /// Namespace of the pod that is played; empty for that of the token or the class.
    pub pod_namespace: String,
    /// Service account of the pod that is played; empty for that of the token.
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
    let mut command = command();
    let matches = command.try_get_matches_from_mut(normalised(arguments))?;
    let invocation = invocation(&matches);
    let forms = forms(matches.subcommand_name(), &invocation.command);
    if invocation.output.is_empty() || forms.contains(&invocation.output.as_str()) {
        return Ok(invocation);
    }
    let what = match &invocation.command {
        Command::Serve => {
            "--output: leave it out, serving has no result (--log-format is the form of the log)"
                .to_owned()
        }
        Command::Completions(_) => "--output: leave it out, a script has one form only".to_owned(),
        Command::Prepare { .. } => "--output: leave it out, there is one form only".to_owned(),
        _ => format!("--output: write {} here", forms.join(" or ")),
    };
    Err(command.error(ErrorKind::InvalidValue, what))
}

/// All forms of results; those of the version are the peers'.
const FORMS: [&str; 4] = ["text", "json", "json-pretty", "yaml"];

/// The forms that the results of a command have; none where nothing could have another form. Without the
/// word `serve` the command line is that of the peers, which serve with `-output` too and leave it unused.
const fn forms(subcommand: Option<&str>, command: &Command) -> &'static [&'static str] {
    match command {
        Command::Check { .. } | Command::Mount(_) | Command::Doctor(_) => &["text", "json"],
        Command::Serve if subcommand.is_some() => &[],
        Command::Completions(_) | Command::Prepare { .. } => &[],
        Command::Version | Command::Serve => &FORMS,
    }
}

/// `-vault-addr` becomes `--vault-addr`: Go's flag package takes either. So does `-vault-adr`, for which
/// clap then names the flag that was meant; there is no cluster of short flags that it could be.
fn normalised(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut flags = true;
    arguments
        .into_iter()
        .map(|argument| {
            flags &= argument != "--";
            let text = argument.to_string_lossy();
            match text.strip_prefix('-') {
                Some(name) if flags && is_long_name(name) => OsString::from(format!("--{name}")),
                _ => argument,
            }
        })
        .collect()
}

/// Not `h` of `-h`, `-long` of `--long` or `1` of a number below zero.
fn is_long_name(name: &str) -> bool {
    name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

const RESULTS: &str = "\
Results go to standard output, warnings and errors to standard error. With --output json the result is one
JSON object with a `schema`.";

const FAILURES: &str = "\
When it fails, --output json prints {\"schema\":\"coffer.error/v1\",\"exit\":…,\"reason\":…,\"message\":…} instead,
with one entry in `objects` for each object that failed; what was typed wrong is told as text alone.";

const SERVE_CODES: &str = "\
Exit codes: 0 fine, 1 findings or a refusal, 2 usage, 3 could not be checked (network, rights), 64 bad
configuration.

Every option can be set by a line of --config, by an environment variable COFFER_<NAME> and by the
environment names of the peers; flags win. One dash will do: -vault-addr.";

const CHECK_CODES: &str = "\
With --policy-profile, a list of what is allowed, or --config, what that policy refuses is a problem; without, what
the profile strict would refuse is a warning. The environment does not count.

When a file cannot be read, --output json prints {\"schema\":\"coffer.error/v1\",\"exit\":3,\"reason\":…,\"message\":…}
instead.

Exit codes: 0 no problems (warnings do not count), 1 problems, 2 usage, 3 a file cannot be read.";

const MOUNT_CODES: &str = "\
Needs --token-file or --vault-token-file. Reads the store as the server would, issues what the class
issues, and gives its login back. Without --out, and with --dry-run, nothing is written. Files are
written with mode 0600 below directories of mode 0700, and replaced as a whole. Values are printed with
--show-secrets only.

With --socket the provider that runs there does it, by its own configuration, for a pod `coffer-cli` that
does not exist; what it issues and its login stay with it, as for any pod.

Exit codes: 0 mounted, 1 class or store refuse (denied, not found, login refused), 2 usage, 3 could not be
tried (store unreachable, sealed, TLS, unreadable file), 64 bad configuration.";

const DOCTOR_CODES: &str = "\
Looks at: socket, class, policy, dns, connection, tls, clock, store, token, login, capabilities. Reads no
secret, and gives its login back.

Exit codes: 0 nothing failed (skipped steps do not count), 1 a step failed, 2 usage, 3 a file cannot be
read, 64 bad configuration.";

const PREPARE_CODES: &str = "\
Runs before the provider, as root with the capabilities CHOWN and FOWNER. The directory of the sockets stays its
owner's and gets the group, mode 1775; a socket of our name on which nobody listens is removed, one that is served
is given to the user, who may then take it over.

Exit codes: 0 prepared, 2 usage, 3 the system refuses, 64 bad configuration.";

/// The whole command line as clap sees it.
#[must_use]
pub fn command() -> clap::Command {
    clap::Command::new("coffer-provider")
        .about("Secrets Store CSI driver provider for HashiCorp Vault and OpenBao")
        .after_help(SERVE_CODES)
        .color(ColorChoice::Never)
        // Of a flag that stands there twice the last one counts, as in Go.
        .args_override_self(true)
        .disable_version_flag(true)
        .args(options())
        .arg(
            Arg::new("config")
                .long("config")
                .global(true)
                .value_name("FILE")
                .value_hint(ValueHint::FilePath)
                .help("Configuration file: option names and values as YAML"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .global(true)
                .value_name("FORM")
                .value_parser(FORMS)
                .help("Form of results: text or json; of --version also json-pretty and yaml [default: text, of --version json]")
                .hide_possible_values(true),
        )
        .arg(switch("version", "Print the version and exit"))
        .subcommand(clap::Command::new("serve").about("Serve the driver (default)"))
        .subcommand(check())
        .subcommand(mount())
        .subcommand(doctor())
        .subcommand(prepare())
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

fn check() -> clap::Command {
    clap::Command::new("check")
        .about("Lint SecretProviderClass manifests offline")
        .after_help(format!("{RESULTS}\n\n{CHECK_CODES}"))
        .arg(
            Arg::new("files")
                .required(true)
                .num_args(1..)
                .value_name("FILE")
                .value_hint(ValueHint::FilePath)
                .help("Manifests; - is standard input"),
        )
        .arg(switch("strict", "Refuse unknown keys"))
}

fn mount() -> clap::Command {
    let command = clap::Command::new("mount")
        .about("Do what a Mount would do, into a directory")
        .override_usage("coffer-provider mount [OPTIONS] <FILE>")
        .after_help(format!("{RESULTS}\n{FAILURES}\n\n{MOUNT_CODES}"));
    mount_arguments(command, true)
        .arg(
            Arg::new("out")
                .long("out")
                .alias("dir")
                .value_name("DIR")
                .value_hint(ValueHint::DirPath)
                .help("Directory for the files; best on a tmpfs"),
        )
        .arg(
            Arg::new("socket")
                .long("socket")
                .value_name("PATH")
                .value_hint(ValueHint::FilePath)
                .conflicts_with("vault-token-file")
                .help("Ask the provider that listens there, as the driver would"),
        )
        .arg(switch(
            "dry-run",
            "Say what would be written and write nothing",
        ))
        .arg(switch("show-secrets", "Print the values of the files"))
}

fn doctor() -> clap::Command {
    let command = clap::Command::new("doctor")
        .about("Find out what stands in the way, layer by layer")
        .after_help(format!("{RESULTS}\n{FAILURES}\n\n{DOCTOR_CODES}"));
    mount_arguments(command, false)
}

fn prepare() -> clap::Command {
    clap::Command::new("prepare")
        .about("Give the directories of --endpoint and --state-dir to a provider that runs without root")
        .after_help(PREPARE_CODES)
        .arg(
            Arg::new("group")
                .long("group")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(u32))
                .default_value("65532")
                .help("User and group of that provider"),
        )
}

fn mount_arguments(command: clap::Command, needs_file: bool) -> clap::Command {
    let value = |name: &'static str, what: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(what).help(help)
    };
    let path = |name, help| value(name, "FILE", help).value_hint(ValueHint::FilePath);
    command
        .arg(file(needs_file))
        .arg(path("class", "The same as the argument FILE").conflicts_with("file"))
        .arg(value(
            "class-name",
            "NAME",
            "Which class of FILE, as name or namespace/name, when it holds several",
        ))
        .arg(path("token-file", "Service account token to log in with"))
        .arg(
            path("vault-token-file", "Store token to use instead of a login")
                .alias("store-token-file")
                .conflicts_with("token-file"),
        )
        .arg(value(
            "pod-namespace",
            "NAME",
            "Namespace of the pod that is played [default: that of the token, of the class, or default]",
        ))
        .arg(value(
            "service-account",
            "NAME",
            "Service account of the pod that is played [default: that of the token, or default]",
        ))
}

fn file(needed: bool) -> Arg {
    let file = Arg::new("file")
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .help("Manifest with the class; - is standard input");
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
            .hide_short_help(true)
            .help_heading("Options of the provider");
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
            socket: text(sub, "socket").map(PathBuf::from),
            dry_run: sub.get_flag("dry-run"),
            show_secrets: sub.get_flag("show-secrets"),
            ..played(sub)
        }),
        Some(("doctor", sub)) => Command::Doctor(played(sub)),
        Some(("prepare", sub)) => Command::Prepare {
            group: sub.get_one("group").copied().unwrap_or_default(),
        },
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
        class_name: text("class-name"),
        token_file: text("token-file").map(PathBuf::from),
        store_token_file: text("vault-token-file").map(PathBuf::from),
        pod_namespace: text("pod-namespace").unwrap_or_default(),
        service_account: text("service-account").unwrap_or_default(),
        ..MountArguments::default()
    }
}
