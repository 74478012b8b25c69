//! From the strings of a MountRequest to a `MountSpec`, or to the list of everything wrong with them.
//!
//! No I/O happens before this has succeeded. A class is parsed apart from the pod that uses it, so
//! that the shell can parse equal classes once. Names of class parameters exist in `params/names.rs`
//! and nowhere else.

mod class;
mod names;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_proto::attributes::{self, Attributes, AttributesError, Tokens};

use crate::file::{DEFAULT_MODE, Mode};
use crate::problem::Problem;

pub use class::{ClassSpec, Note, ObjectSpec, Refused};
pub use names::{Dialect, OBJECTS};

/// The parameters of a class as they reach a provider: those of the class with the pod's
/// `volumeAttributes` over them. The driver does not say which came from where.
pub type Parameters = BTreeMap<String, String>;

/// The attributes of a MountRequest after parsing, or why that failed. They are parsed once: who asks is
/// told also of a request that is refused.
pub struct ParsedAttributes(Result<Attributes, AttributesError>);

impl ParsedAttributes {
    /// Parses a JSON map of strings.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Attributes::parse(text))
    }

    /// Pod and class name, as far as they can be read.
    #[must_use]
    pub fn subject(&self) -> (Pod, Option<String>) {
        self.0.as_ref().map_or_else(
            |_| (Pod::default(), None),
            |attributes| (pod(attributes), class_name(attributes)),
        )
    }
}

/// The parts of a MountRequest.
#[derive(Clone, Copy)]
pub struct Wire<'a> {
    /// What pod and class say.
    pub attributes: &'a ParsedAttributes,
    /// JSON map of strings, `null` or `{}`.
    pub secrets: &'a str,
    /// JSON number.
    pub permission: &'a str,
    /// Where the driver will write; only checked to be there.
    pub target_path: &'a str,
}

/// The pod of a Mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Its service account.
    pub service_account: String,
}

/// What a Mount asks for.
pub struct MountSpec {
    /// For whom.
    pub pod: Pod,
    /// What names the volume within the pod: the class, or the target path where an old driver's
    /// rotation call names no class.
    pub volume: String,
    /// Name of the class, for logs.
    pub class_name: Option<String>,
    /// Mode of files whose object sets none.
    pub default_mode: Mode,
    /// The class.
    pub class: Arc<ClassSpec>,
    /// The driver's tokens.
    pub tokens: Tokens,
}

/// Reads a MountRequest. `parse_class` turns parameters into a class, perhaps from memory.
///
/// # Errors
/// All problems at once, those of the request first.
pub fn read_mount(
    wire: Wire<'_>,
    parse_class: impl FnOnce(Parameters) -> Result<Arc<ClassSpec>, Refused>,
) -> Result<MountSpec, Vec<Problem>> {
    let attributes = wire.attributes.0.as_ref().map_err(|error| {
        vec![Problem::new(
            "attributes",
            error.to_string(),
            "this is the driver's text: check its version",
        )]
    })?;
    let mut problems = Vec::new();
    let tokens = read_tokens(attributes, wire.secrets, &mut problems);
    let default_mode = read_permission(wire.permission, &mut problems);
    if wire.target_path.is_empty() {
        problems.push(Problem::new(
            "target_path",
            "missing target path field",
            "the driver sends it",
        ));
    }
    let class =
        parse_class(parameters(attributes)).map_err(|refused| problems.extend(refused.told()));
    let class_name = class_name(attributes);
    match class {
        Ok(class) if problems.is_empty() => Ok(MountSpec {
            pod: pod(attributes),
            volume: class_name
                .clone()
                .unwrap_or_else(|| wire.target_path.to_owned()),
            class_name,
            default_mode,
            class,
            tokens,
        }),
        _ => Err(problems),
    }
}

fn class_name(attributes: &Attributes) -> Option<String> {
    attributes.get(attributes::CLASS).map(str::to_owned)
}

fn pod(attributes: &Attributes) -> Pod {
    let text = |key| attributes.get(key).unwrap_or_default().to_owned();
    Pod {
        name: text(attributes::POD_NAME),
        namespace: text(attributes::POD_NAMESPACE),
        uid: text(attributes::POD_UID),
        service_account: text(attributes::SERVICE_ACCOUNT),
    }
}

/// What is left when everything is taken away that kubelet and the driver add.
fn parameters(attributes: &Attributes) -> Parameters {
    attributes
        .iter()
        .filter(|(key, _)| {
            !key.starts_with(attributes::KUBELET_PREFIX)
                && ![attributes::CLASS, attributes::PROVIDER_NAME].contains(key)
        })
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The tokens among the attributes, and from Kubernetes 1.35 on among the secrets; the rest of the
/// secrets is the user's and is not looked at.
fn read_tokens(attributes: &Attributes, secrets: &str, problems: &mut Vec<Problem>) -> Tokens {
    let secrets = Attributes::parse(secrets).unwrap_or_else(|error| {
        problems.push(Problem::new(
            "secrets",
            error.to_string(),
            "this is the driver's text: check its version",
        ));
        Attributes::default()
    });
    let mut read = |source: &Attributes| {
        let text = source.get(attributes::TOKENS).unwrap_or_default();
        Tokens::parse(text).unwrap_or_else(|error| {
            problems.push(Problem::new(
                attributes::TOKENS,
                format!("failed to unmarshal service account tokens: {error}"),
                "remove the key from class and volumeAttributes: kubelet sets it",
            ));
            Tokens::default()
        })
    };
    let from_secrets = read(&secrets);
    from_secrets.or(read(attributes))
}

/// The driver sends 420. `null` and 0 would make files that nobody can read.
fn read_permission(text: &str, problems: &mut Vec<Problem>) -> Mode {
    if text == "null" {
        return DEFAULT_MODE;
    }
    let mode = text.parse::<u32>().ok().and_then(Mode::of_class);
    mode.unwrap_or_else(|| {
        problems.push(Problem::new(
            "permission",
            "is not a JSON number from 0 to 511",
            "this is the driver's text: check its version",
        ));
        DEFAULT_MODE
    })
}
