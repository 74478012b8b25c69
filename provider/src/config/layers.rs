//! The sources of configuration and their order: file, environment, flags.
//!
//! Values are text here; what they mean is read in `config/values.rs`.

use std::collections::BTreeMap;

use coffer_frame::variables::is_of_a_service;
use coffer_provider_core::params::Dialect;
use coffer_provider_core::problem::{Problem, nearest, shown};
use coffer_provider_core::target::{Layer, parse_bool};

use super::options::{self, OPTIONS, OptionSpec};

/// Where values come from. Flags hold option names; the environment is passed in whole.
#[derive(Clone, Default)]
pub struct Sources {
    /// By option name.
    pub flags: BTreeMap<String, String>,
    /// By variable name.
    pub environment: BTreeMap<String, String>,
    /// By option name.
    pub file: BTreeMap<String, String>,
}

/// How many edits an option's name may be away: they are long, and `vault-address` is still `vault-addr`.
const LONG_NAME_TYPO: usize = 3;

/// What the environment names of all options begin with.
const OWN_PREFIX: &str = "COFFER_";

/// Variables of the peers that change nothing here, and what to do instead.
const WITHOUT_EFFECT: [(&str, &str); 2] = [
    (
        "AGENT_ADDR",
        "no Agent is needed: set vaultAddress or --vault-addr",
    ),
    ("TOKEN", "every pod logs in as itself"),
];

impl Sources {
    /// Reads a configuration file: a flat map of option names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_file(&mut self, name: &str, text: &str) -> Result<(), Vec<Problem>> {
        let field = |key: &str| format!("{name}: {key}");
        let map: BTreeMap<String, FileValue> = serde_saphyr::from_str(text).map_err(|error| {
            let place = error
                .location()
                .map(|at| format!(" at line {}", at.line()))
                .unwrap_or_default();
            vec![Problem::new(
                name,
                format!("is no map of options{place}"),
                "write one `option: value` per line",
            )]
        })?;
        let mut problems = Vec::new();
        for (key, value) in map {
            match options::find(&key) {
                Some(option) => {
                    self.file.insert(option.name.to_owned(), value.into_text());
                }
                None => problems.push(Problem::new(
                    field(&shown(&key)),
                    "is no option",
                    meant(&key),
                )),
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// The value of an option from the strongest source that has a non-empty one.
    #[must_use]
    pub fn get(&self, option: &OptionSpec) -> Option<&str> {
        [
            self.flags.get(option.name),
            self.in_environment(option),
            self.file.get(option.name),
        ]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .find(|value| !value.is_empty())
    }

    /// Whether a flag or the file gives an option an empty value and nothing stronger gives one.
    pub(super) fn is_emptied(&self, name: &str) -> bool {
        let given = self.flags.get(name).or_else(|| self.file.get(name));
        given.is_some_and(String::is_empty)
    }

    /// Our own name first, then the peers'. Under `openbao` BAO_ comes before VAULT_, as in its library.
    fn in_environment(&self, option: &OptionSpec) -> Option<&String> {
        let mut names = vec![own_variable(option)];
        // The provider's name, on which the order depends, has no peers' name itself.
        if !option.peer_env.is_empty() {
            let peers = self.peer_prefixes().into_iter();
            names.extend(peers.map(|prefix| format!("{prefix}{}", option.peer_env)));
        }
        names.into_iter().find_map(|name| {
            self.environment
                .get(&name)
                .filter(|value| !value.is_empty())
        })
    }

    /// The given name of the provider, else the base name of the endpoint's socket: a swapped openbao
    /// image passes only `-endpoint`.
    #[must_use]
    pub fn provider_name(&self) -> String {
        let text = |name| options::find(name).and_then(|option| self.get(option));
        let given = text("provider-name");
        let socket = text("endpoint").and_then(|endpoint| {
            let name = endpoint.rsplit('/').next()?.strip_suffix(".sock")?;
            (!name.is_empty()).then_some(name)
        });
        given.or(socket).unwrap_or("vault").to_owned()
    }

    fn peer_prefixes(&self) -> [&'static str; 2] {
        match Dialect::of_provider(&self.provider_name()) {
            Dialect::Vault => ["VAULT_", "BAO_"],
            Dialect::OpenBao => ["BAO_", "VAULT_"],
        }
    }

    /// The connection settings of each source, the weakest first. They stay apart because each layer's
    /// CA replaces the one below and a client certificate is a pair within one layer.
    pub(super) fn layers(&self, problems: &mut Vec<Problem>) -> Vec<Layer> {
        let environment: BTreeMap<String, String> = OPTIONS
            .iter()
            .filter_map(|option| {
                Some((option.name.to_owned(), self.in_environment(option)?.clone()))
            })
            .collect();
        [&self.file, &environment, &self.flags]
            .into_iter()
            .map(|values| layer(values, problems))
            .collect()
    }

    /// What is set but changes nothing.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for prefix in ["VAULT_", "BAO_"] {
            for (suffix, remedy) in WITHOUT_EFFECT {
                let name = format!("{prefix}{suffix}");
                if self
                    .environment
                    .get(&name)
                    .is_some_and(|value| !value.is_empty())
                {
                    warnings.push(format!("{name} is ignored: {remedy}"));
                }
            }
        }
        warnings.extend(self.unknown_variables());
        if self.flags.contains_key("debug") {
            warnings.push("-debug is deprecated: use --log-level=debug".to_owned());
        }
        warnings
    }

    /// Names of ours that no option has. A file with such a name is refused; an environment also holds
    /// what somebody else put there.
    fn unknown_variables(&self) -> impl Iterator<Item = String> {
        let known: Vec<String> = OPTIONS.iter().map(own_variable).collect();
        self.environment.iter().filter_map(move |(name, value)| {
            let ours = name.starts_with(OWN_PREFIX) && !value.is_empty();
            let unknown = ours && !known.contains(name) && !is_of_a_service(name);
            unknown.then(|| {
                let meant = nearest(name, known.iter().map(String::as_str), LONG_NAME_TYPO);
                let meant = meant.map_or_else(
                    || "see --help for the options".to_owned(),
                    |known| format!("did you mean {known}?"),
                );
                format!("{} is not known and ignored: {meant}", shown(name))
            })
        })
    }
}

/// The name of an option in the environment, besides those of the peers.
fn own_variable(option: &OptionSpec) -> String {
    let name = option.name.to_ascii_uppercase().replace('-', "_");
    format!("{OWN_PREFIX}{name}")
}

fn layer(values: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Layer {
    let text = |name: &str| values.get(name).cloned().unwrap_or_default();
    let skip = text("vault-tls-skip-verify");
    let skip_verify = parse_bool(&skip).unwrap_or_else(|| {
        if !skip.is_empty() {
            problems.push(Problem::new(
                "vault-tls-skip-verify",
                format!("\"{}\" is not a boolean", shown(&skip)),
                "write true or false",
            ));
        }
        false
    });
    Layer {
        address: text("vault-addr"),
        namespace: text("vault-namespace"),
        ca_file: text("vault-tls-ca-cert"),
        ca_directory: text("vault-tls-ca-directory"),
        ca_pem: text("vault-tls-ca-pem"),
        client_cert: text("vault-tls-client-cert"),
        client_key: text("vault-tls-client-key"),
        server_name: text("vault-tls-server-name"),
        skip_verify,
        // One setting over all sources: unlike the others here, a flag's `false` undoes it.
        srv_lookup: false,
    }
}

/// What may have been meant by a name that is no option's.
fn meant(key: &str) -> String {
    match nearest(
        key,
        OPTIONS.iter().map(|option| option.name),
        LONG_NAME_TYPO,
    ) {
        Some(name) => format!("did you mean {name}?"),
        None => "see --help for their names".to_owned(),
    }
}

/// A value of the file: YAML's types are read as the text that a flag would have.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum FileValue {
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<String>),
}

impl FileValue {
    fn into_text(self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(value) => value,
            Self::List(values) => values.join(","),
        }
    }
}
