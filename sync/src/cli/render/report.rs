//! What `render` found, as data. This is the schema of `--output json`; the form for people is in `text.rs`.
//!
//! A field may be added under the same version, never taken away. No Debug: values are in here when they are asked for.

use std::collections::BTreeMap;

use serde::Serialize;

/// Version of the schema.
const VERSION: u32 = 1;

/// All that was found.
#[derive(Serialize)]
pub(super) struct Report {
    version: u32,
    /// What is wrong beyond a single Secret.
    pub(super) problems: Vec<Told>,
    /// What is worth a look beyond a single Secret.
    pub(super) warnings: Vec<Told>,
    /// The Secrets, in the order of the manifests.
    pub(super) secrets: Vec<SecretReport>,
    /// How many objects were of kinds that are not looked at.
    pub(super) ignored: usize,
}

/// One Secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretReport {
    /// The manifest.
    pub(super) file: String,
    /// Kind and name of the source.
    pub(super) source: String,
    /// The class that is fetched.
    pub(super) class: String,
    /// Its provider; none where the class is not in the manifests.
    pub(super) provider: Option<String>,
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_: String,
    /// Kind and name; none where the Secret stays when its source goes, or is not known.
    pub(super) owner: Option<String>,
    pub(super) immutable: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    /// Which file becomes which key.
    pub(super) mapped: Vec<Mapped>,
    /// Whether every other file becomes a key too.
    pub(super) all_keys: bool,
    /// The keys as they would be written; none without files, or where the Secret would not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keys: Option<Vec<Key>>,
    /// Optional keys whose file is not there.
    pub(super) absent: Vec<String>,
    /// Why it would not be written.
    pub(super) problems: Vec<Told>,
    /// What is worth a look.
    pub(super) warnings: Vec<Told>,
}

/// A file and the key it becomes.
#[derive(Serialize)]
pub(super) struct Mapped {
    pub(super) key: String,
    pub(super) source: String,
    pub(super) optional: bool,
    /// How its bytes are unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decode: Option<&'static str>,
    /// Whether a part of the JSON in it is taken.
    pub(super) pointer: bool,
}

/// A key that would be written.
#[derive(Serialize)]
pub(super) struct Key {
    pub(super) key: String,
    pub(super) bytes: usize,
    /// Its value, where it is asked for and is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    /// Its value, where it is asked for and is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base64: Option<String>,
}

/// One thing that was found.
#[derive(Clone, Serialize)]
pub(super) struct Told {
    /// For machines: the reason that a condition would have, the id of a check, or one of `render`'s own.
    pub(super) reason: &'static str,
    /// For people.
    pub(super) text: String,
}

impl Told {
    pub(super) fn new(reason: &'static str, text: impl ToString) -> Self {
        Self {
            reason,
            text: text.to_string(),
        }
    }
}

impl Report {
    pub(super) fn new(ignored: usize) -> Self {
        Self {
            version: VERSION,
            problems: Vec::new(),
            warnings: Vec::new(),
            secrets: Vec::new(),
            ignored,
        }
    }

    /// Whether something would not be written.
    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty() || self.secrets.iter().any(SecretReport::is_refused)
    }

    /// The report for machines, indented, with a line feed at its end.
    pub(super) fn to_json(&self) -> String {
        // Texts and numbers alone: there is nothing that could fail to be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl SecretReport {
    pub(super) fn is_refused(&self) -> bool {
        !self.problems.is_empty()
    }
}
