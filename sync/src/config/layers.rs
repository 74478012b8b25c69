//! The sources of configuration and their order: file, environment, flags.
//!
//! Values are text here; what they mean is read in `config/values.rs`.

use std::collections::BTreeMap;

use coffer_frame::variables::is_of_a_service;
use coffer_sync_core::problem::{Problem, nearest, shown};
use serde_json::Value;

use super::options::{self, OPTIONS, OptionSpec};

/// Where values come from. Flags and file hold option names; the environment is passed in whole.
#[derive(Clone, Default)]
pub struct Sources {
    /// By option name.
    pub flags: BTreeMap<String, String>,
    /// By variable name.
    pub environment: BTreeMap<String, String>,
    /// By option name.
    pub file: BTreeMap<String, String>,
}

/// What the environment names of all options begin with.
const OWN_PREFIX: &str = "COFFER_SYNC_";

impl Sources {
    /// Reads a configuration file: a flat map of option names. Lists and maps stand for what the flag has with
    /// commas between entries.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_file(&mut self, name: &str, text: &str) -> Result<(), Vec<Problem>> {
        let read = serde_saphyr::from_str::<Option<BTreeMap<String, Value>>>(text);
        let map = read.map_err(|error| {
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
        for (key, value) in map.unwrap_or_default() {
            let field = format!("{name}: {}", shown(&key));
            match (options::find(&key), text_of(&value)) {
                (Some(option), Some(text)) => {
                    self.file.insert(option.name.to_owned(), text);
                }
                (Some(_), None) => problems.push(Problem::new(
                    field,
                    "is nested too deeply",
                    "write a value, a list, or a map of values",
                )),
                (None, _) => problems.push(Problem::new(field, "is no option", meant(&key))),
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
        let own = own_variable(option);
        [
            self.flags.get(option.name),
            self.environment.get(&own).filter(|text| !text.is_empty()),
            self.environment.get(option.variable),
            self.file.get(option.name),
        ]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .find(|value| !value.is_empty())
    }

    /// Names of ours that no option has. A file with such a name is refused; an environment also holds
    /// what somebody else put there.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let known: Vec<String> = OPTIONS.iter().map(own_variable).collect();
        let unknown = self.environment.iter().filter(|(name, value)| {
            let ours = name.starts_with(OWN_PREFIX) && !value.is_empty();
            ours && !known.contains(name) && !is_of_a_service(name)
        });
        unknown
            .map(|(name, _)| {
                let meant = nearest(name, known.iter().map(String::as_str)).map_or_else(
                    || "see --help for the options".to_owned(),
                    |known| format!("did you mean {known}?"),
                );
                format!("{} is not known and ignored: {meant}", shown(name))
            })
            .collect()
    }
}

/// The name of an option in the environment.
fn own_variable(option: &OptionSpec) -> String {
    let name = option.name.to_ascii_uppercase().replace('-', "_");
    format!("{OWN_PREFIX}{name}")
}

/// What may have been meant by a name that is no option's.
fn meant(key: &str) -> String {
    match nearest(key, OPTIONS.iter().map(|option| option.name)) {
        Some(name) => format!("did you mean {name}?"),
        None => "see --help for their names".to_owned(),
    }
}

/// The text that the flag would have.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(scalar).collect();
            Some(texts?.join(","))
        }
        Value::Object(members) => {
            let pairs = members
                .iter()
                .map(|(key, value)| Some(format!("{key}={}", scalar(value)?)));
            Some(pairs.collect::<Option<Vec<String>>>()?.join(","))
        }
        other => scalar(other),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}
