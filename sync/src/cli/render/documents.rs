//! From manifests to the two kinds of objects, read as the API server would read them.
//!
//! Several documents per text, lists of objects too; whatever is of another kind is counted and ignored.

use std::collections::BTreeMap;

use coffer_sync_core::claim::Source;
use coffer_sync_core::options::Door;
use coffer_sync_core::problem::{Problem, shown};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::DuplicateKeyPolicy;

use super::Input;
use crate::kinds::{CLASS_API, SYNC_API};
use crate::manifest::{ClassSpec, SyncSpec};

/// The namespace of objects that name none, as with kubectl.
const NAMESPACE: &str = "default";

/// Stands for a uid that only the cluster knows.
const UID: &str = "(uid)";

/// All objects, in the order in which they came.
#[derive(Default)]
pub(super) struct Documents {
    pub(super) classes: Vec<Found<ClassSpec>>,
    pub(super) syncs: Vec<Found<SyncSpec>>,
    /// What is wrong with the texts themselves.
    pub(super) problems: Vec<Problem>,
    /// Objects of other kinds.
    pub(super) ignored: usize,
}

/// One object.
pub(super) struct Found<S> {
    pub(super) file: String,
    pub(super) source: Source,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) spec: S,
    /// What the API server would refuse.
    pub(super) problems: Vec<Problem>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    creation_timestamp: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Documents {
    /// Reads all texts.
    pub(super) fn read(inputs: &[Input]) -> Self {
        let mut documents = Self::default();
        for input in inputs {
            // As kubectl reads: the last of equal keys counts.
            let options = serde_saphyr::options! {
                duplicate_keys: DuplicateKeyPolicy::LastWins,
            };
            match serde_saphyr::from_multiple_with_options::<Value>(&input.text, options) {
                Ok(values) => {
                    for value in values {
                        documents.add(&input.name, value);
                    }
                }
                Err(error) => {
                    let place = error
                        .location()
                        .map(|at| format!(" at line {}", at.line()))
                        .unwrap_or_default();
                    documents.problems.push(Problem::new(
                        &input.name,
                        format!("is no YAML{place}"),
                        "correct it; nothing of it is looked at",
                    ));
                }
            }
        }
        let nothing = documents.syncs.is_empty() && documents.classes.is_empty();
        if nothing && documents.problems.is_empty() {
            documents.problems.push(Problem::new(
                "manifests",
                "there is no SecretSync and no SecretProviderClass in them",
                "name a file that has one",
            ));
        }
        documents
    }

    fn add(&mut self, file: &str, mut value: Value) {
        let text = |field: &str| {
            let text = value.get(field).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let (api, kind) = (text("apiVersion"), text("kind"));
        let of = |wanted: &str, door: Door| group(&api) == group(wanted) && kind == door.kind();
        if of(CLASS_API, Door::Class) {
            keep(
                found(file, Door::Class, value),
                &mut self.classes,
                &mut self.problems,
            );
        } else if of(SYNC_API, Door::Sync) {
            keep(
                found(file, Door::Sync, value),
                &mut self.syncs,
                &mut self.problems,
            );
        } else if let Some(Value::Array(items)) = value.get_mut("items").map(Value::take)
            && kind.ends_with("List")
        {
            for item in items {
                self.add(file, item);
            }
        } else {
            self.ignored += 1;
        }
    }
}

impl<S> Found<S> {
    /// `shop/db`
    pub(super) fn label(&self) -> String {
        let Source {
            namespace, name, ..
        } = &self.source;
        format!("{}/{}", shown(namespace), shown(name))
    }
}

fn keep<S>(
    found: Result<Found<S>, Problem>,
    objects: &mut Vec<Found<S>>,
    problems: &mut Vec<Problem>,
) {
    match found {
        Ok(found) => objects.push(found),
        Err(problem) => problems.push(problem),
    }
}

fn group(api: &str) -> &str {
    api.split_once('/').map_or("", |(group, _)| group)
}

fn found<S: DeserializeOwned + Default>(
    file: &str,
    door: Door,
    mut value: Value,
) -> Result<Found<S>, Problem> {
    let mut problems = Vec::new();
    for (pointer, field) in [
        ("/metadata/annotations", "metadata.annotations"),
        ("/spec", "spec"),
    ] {
        if let Some(part) = value.pointer_mut(pointer) {
            quote(part, field, &mut problems);
        }
    }
    let told = |field: &str| format!("{file}: {}: {field}", door.kind());
    let metadata: Metadata = part(&mut value, "metadata", told)?;
    if metadata.name.as_deref().unwrap_or_default().is_empty() {
        problems.push(Problem::new("metadata.name", "it is missing", "add it"));
    }
    let created = metadata.creation_timestamp.as_deref();
    let created = created.and_then(|text| text.parse::<Timestamp>().ok());
    Ok(Found {
        file: file.to_owned(),
        source: Source {
            door,
            namespace: metadata.namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_else(|| UID.to_owned()),
            created: created.unwrap_or(Timestamp::UNIX_EPOCH),
        },
        annotations: metadata.annotations.unwrap_or_default(),
        spec: part(&mut value, "spec", told)?,
        problems,
    })
}

/// In both kinds' specs and in annotations every single value is text. What YAML reads as something else is taken as it
/// is written, and told: the API server would refuse it.
fn quote(value: &mut Value, field: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Null | Value::String(_) => {}
        Value::Bool(_) | Value::Number(_) => {
            let what = "it is a number or a boolean, and must be text";
            problems.push(Problem::new(field, what, "put it in quotes"));
            *value = Value::String(value.to_string());
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                quote(item, &format!("{field}[{index}]"), problems);
            }
        }
        Value::Object(members) => {
            for (key, item) in members.iter_mut() {
                quote(item, &format!("{field}.{}", shown(key)), problems);
            }
        }
    }
}

/// A part of the object; what serde says of one with another shape may quote it, so it is not told.
fn part<T: DeserializeOwned + Default>(
    value: &mut Value,
    field: &str,
    told: impl Fn(&str) -> String,
) -> Result<T, Problem> {
    let part = match value.get_mut(field).map(Value::take) {
        None | Some(Value::Null) => return Ok(T::default()),
        Some(part) => part,
    };
    serde_json::from_value(part).map_err(|_| {
        let what = "it has not the shape that the CRD asks for";
        Problem::new(told(field), what, "see kubectl apply --dry-run=server")
    })
}
