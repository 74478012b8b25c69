//! From a spec, its options and the files of a provider to the Secret that would be written, or to what is wrong.
//!
//! Pure, so that the controller and `render` share it. Options are read before, and whether the Secret may replace the
//! one that is there is decided after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use coffer_sync_core::build::build;
use coffer_sync_core::bytes::{Data, SecretBytes};
use coffer_sync_core::claim::{Source, secret_name};
use coffer_sync_core::condition::Fault;
use coffer_sync_core::decide::{Failure, FailureKind, Refusal};
use coffer_sync_core::mapping::{Demands, Files, Mapping, Pair, plan};
use coffer_sync_core::options::names::PREFIX;
use coffer_sync_core::options::{Immutable, Options, copied};
use coffer_sync_core::problem::{Problem, joined, shown};
use coffer_sync_core::render::{Parts, Refused, Rendered, Rule, normal_type, render};
use coffer_sync_core::secret_type::gate::AllowedTypes;
use coffer_sync_core::secret_type::{Required, SecretType};
use coffer_sync_core::validate::{Class, Findings, Subject, validate};
use jiff::Timestamp;

use crate::manifest::{ClassSecretObject, SyncSpec};

/// A Secret as one spec asks for it.
pub struct Request<'a> {
    /// Whose it is.
    pub source: &'a Source,
    /// Its name as written.
    pub secret: String,
    /// Its type as written; empty stands for Opaque.
    pub type_: String,
    /// Which file becomes which key.
    pub pairs: Vec<Pair>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations; those of a class without its options.
    pub annotations: BTreeMap<String, String>,
    /// The options of the object.
    pub options: &'a Options,
    /// Types that may be written at all.
    pub allowed: &'a AllowedTypes,
}

/// A Secret that could be written, before its files are there.
pub struct Planned {
    /// Its name.
    pub secret: String,
    /// Its type.
    pub secret_type: SecretType,
    /// The Secret without its data.
    pub frame: Rendered<SecretBytes>,
    /// What becomes of the files.
    pub mapping: Mapping,
    /// What was read otherwise than it was written.
    pub advice: Vec<Problem>,
}

/// The Secret that would be written. No Debug: it holds secrets.
pub struct Desired {
    /// The Secret.
    pub rendered: Rendered<SecretBytes>,
    /// What the checks of its type say; none of it is about structure.
    pub findings: Findings,
    /// What was read otherwise than it was written.
    pub advice: Vec<Problem>,
    /// Optional keys whose file is not there.
    pub absent: Vec<String>,
}

/// Why there is no such Secret. Texts hold no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A file is missing, or nothing can be built of the files: another answer may be better.
    Files(String),
    /// Only a person can mend it.
    Refused(Refusal),
}

impl Wrong {
    /// What conditions tell of it.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Files(message) => Fault::from(&Failure {
                kind: FailureKind::Files,
                message: message.clone(),
                retry_after: None,
            }),
            Self::Refused(refusal) => Fault::from(refusal),
        }
    }
}

impl<'a> Request<'a> {
    /// What a SecretSync asks for.
    #[must_use]
    pub fn of_sync(
        source: &'a Source,
        spec: &SyncSpec,
        options: &'a Options,
        allowed: &'a AllowedTypes,
    ) -> Self {
        let object = &spec.secret_object;
        Self {
            source,
            secret: source.name.clone(),
            type_: object.type_.clone(),
            pairs: object.data.iter().map(Pair::from).collect(),
            labels: object.labels.clone(),
            // Options have no place here: what looks like one is refused with the other reserved names.
            annotations: object.annotations.clone(),
            options,
            allowed,
        }
    }

    /// What one entry of a class's `secretObjects` asks for.
    #[must_use]
    pub fn of_object(
        source: &'a Source,
        object: &ClassSecretObject,
        options: &'a Options,
        allowed: &'a AllowedTypes,
    ) -> Self {
        Self {
            source,
            secret: object.secret_name.clone(),
            type_: object.type_.clone(),
            pairs: object.data.iter().map(Pair::from).collect(),
            labels: object.labels.clone(),
            annotations: copied(&object.annotations),
            options,
            allowed,
        }
    }

    fn render(
        &self,
        secret: &str,
        data: Data,
        adopted: bool,
    ) -> Result<Rendered<SecretBytes>, Refusal> {
        let parts = Parts {
            source: self.source.clone(),
            name: secret.to_owned(),
            type_: self.type_.clone(),
            data,
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            deletion: self.options.deletion,
            adopted,
            immutable: self.options.immutable != Immutable::Never && !adopted,
        };
        render(parts).map_err(|refused| broken_rules(&refused))
    }
}

/// Everything that can be known before the provider is asked.
///
/// # Errors
/// The first of: the name of the Secret, its type, its labels and annotations, its mapping; each with all that is
/// wrong with it.
pub fn preflight(request: &Request<'_>) -> Result<Planned, Refusal> {
    let options = request.options;
    let versioned = options.immutable == Immutable::Versioned;
    let secret = secret_name(&request.secret, versioned)
        .map_err(|problem| Refusal::InvalidData(problem.to_string()))?;
    let secret_type = SecretType::parse(&normal_type(request.source.door, &request.type_));
    if request.allowed.admit(&secret_type).is_err() {
        return Err(Refusal::TypeNotAllowed(shown(secret_type.as_str())));
    }
    let frame = request.render(&secret, Data::new(), false)?;
    let required = required(&secret_type, &options.required_keys);
    let demands = Demands {
        required: &required,
        may_be_empty: matches!(secret_type, SecretType::Opaque | SecretType::Custom(_)),
    };
    let planned = plan(request.source.door, &request.pairs, options, demands)
        .map_err(|problems| unplannable(&problems))?;
    Ok(Planned {
        secret,
        secret_type,
        frame,
        mapping: planned.mapping,
        advice: planned.advice,
    })
}

/// The Secret made of the files of an answer. `adopted`: it stood before us. `service_account_exists`: where the type
/// names one and it is known.
///
/// # Errors
/// Files that are missing or of no use, or rules that the Secret would break.
pub fn desired(
    request: &Request<'_>,
    planned: &Planned,
    files: &Files<SecretBytes>,
    adopted: bool,
    now: Timestamp,
    service_account_exists: Option<bool>,
) -> Result<Desired, Wrong> {
    let mapped = planned
        .mapping
        .apply(files)
        .map_err(|problems| Wrong::Files(joined(&problems)))?;
    let data =
        build(&planned.secret_type, mapped.data).map_err(|faults| Wrong::Files(listed(&faults)))?;
    let rendered = request
        .render(&planned.secret, data, adopted)
        .map_err(Wrong::Refused)?;
    let options = request.options;
    let subject = Subject {
        name: &rendered.name,
        namespace: &rendered.namespace,
        secret_type: &planned.secret_type,
        data: &rendered.data,
        labels: &rendered.labels,
        annotations: &rendered.annotations,
        required_keys: &options.required_keys,
        service_account_exists,
    };
    let findings = validate(&subject, options.validation, now);
    if findings.refused() {
        let texts = listed(findings.of(Class::Structure));
        return Err(Wrong::Refused(Refusal::InvalidData(texts)));
    }
    Ok(Desired {
        rendered,
        findings,
        advice: planned.advice.clone(),
        absent: mapped.absent,
    })
}

/// Keys that the type, or the user for it, requires.
fn required(secret_type: &SecretType, of_user: &[String]) -> BTreeSet<String> {
    let of_type: &[&str] = match secret_type.required() {
        Required::All(keys) => keys,
        Required::NotEmpty(key) | Required::JsonObject(key) => &[key],
        Required::Nothing | Required::Any(_) | Required::Annotation(_) => &[],
    };
    let of_type = of_type.iter().map(ToString::to_string);
    of_type.chain(of_user.iter().cloned()).collect()
}

/// The reason follows the gravest rule, the text tells all of them.
fn broken_rules(refused: &[Refused]) -> Refusal {
    let problems: Vec<Problem> = refused
        .iter()
        .map(|broken| broken.problem.clone())
        .collect();
    let text = joined(&problems);
    match refused.iter().map(|broken| broken.rule).min() {
        Some(Rule::Label) => Refusal::Label(text),
        Some(Rule::Annotation) => Refusal::Annotation(text),
        Some(Rule::Size) => Refusal::TooLarge(text),
        Some(Rule::Server) | None => Refusal::InvalidData(text),
    }
}

/// An option is named where options alone are wrong.
fn unplannable(problems: &[Problem]) -> Refusal {
    let text = joined(problems);
    let of_options = |problem: &Problem| problem.field.starts_with(PREFIX);
    if problems.iter().all(of_options) {
        Refusal::InvalidOption(text)
    } else {
        Refusal::InvalidData(text)
    }
}

fn listed<T: Display>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| text.to_string()).collect();
    texts.join(" | ")
}

#[cfg(test)]
mod tests;
