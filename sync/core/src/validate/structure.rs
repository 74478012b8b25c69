//! What the API server refuses (`ValidateSecret` and `ValidateObjectMeta` of its validation), checked
//! before it is asked: a write that is known to be lost is never sent.

use super::Subject;
use super::check::Check;
use super::finding::{Findings, data_field};
use crate::json::Json;
use crate::key::{self, metadata, name, shown};
use crate::secret_type::Required;

/// The most bytes that all values may have together; keys are not counted.
pub(super) const MAX_DATA_BYTES: usize = 1 << 20;

/// How many keys a message about sizes names.
const SIZES_SHOWN: usize = 5;

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    check_name(subject, findings);
    check_labels(subject, findings);
    check_annotations(subject, findings);
    check_keys(subject, findings);
    check_size(subject, findings);
    check_required(subject, findings);
    check_reserved(subject, findings);
}

fn check_name(subject: &Subject<'_>, findings: &mut Findings) {
    let Err(fault) = name::check(subject.name) else {
        return;
    };
    let remedy = match name::suggestion(subject.name) {
        Some(better) => format!("name it {better:?}"),
        None => "choose another name".to_owned(),
    };
    let what = format!("{fault} (it is '{}')", shown(subject.name));
    findings.add(Check::MetadataName, "metadata.name", what, remedy);
}

fn check_labels(subject: &Subject<'_>, findings: &mut Findings) {
    for (label, value) in subject.labels {
        let field = format!("metadata.labels[{}]", shown(label));
        if let Err(fault) = metadata::check_key(label) {
            let what = fault.to_string();
            findings.add(Check::MetadataLabel, &field, what, "rename the label");
        }
        if let Err(fault) = metadata::check_label_value(value) {
            let what = fault.to_string();
            let remedy = "shorten it, or use an annotation";
            findings.add(Check::MetadataLabel, &field, what, remedy);
        }
    }
}

fn check_annotations(subject: &Subject<'_>, findings: &mut Findings) {
    for annotation in subject.annotations.keys() {
        if let Err(fault) = metadata::check_annotation_key(annotation) {
            let field = format!("metadata.annotations[{}]", shown(annotation));
            let what = fault.to_string();
            findings.add(
                Check::MetadataAnnotation,
                field,
                what,
                "rename the annotation",
            );
        }
    }
    let bytes = metadata::annotations_bytes(subject.annotations);
    let most = metadata::MAX_ANNOTATIONS_BYTES;
    if bytes > most {
        findings.add(
            Check::MetadataAnnotation,
            "metadata.annotations",
            format!("keys and values have {bytes} bytes together, {most} are allowed"),
            "shorten or remove annotations",
        );
    }
}

fn check_keys(subject: &Subject<'_>, findings: &mut Findings) {
    for key in subject.data.keys() {
        if let Err(fault) = key::check(key) {
            let remedy = "map the value to a legal key, like 'db.password'";
            findings.add(Check::DataKey, data_field(key), fault.to_string(), remedy);
        }
    }
}

fn check_size(subject: &Subject<'_>, findings: &mut Findings) {
    let bytes = data_bytes(subject);
    if bytes <= MAX_DATA_BYTES {
        return;
    }
    let what = format!(
        "the values have {bytes} bytes together, {MAX_DATA_BYTES} are allowed: {}",
        largest(subject)
    );
    let remedy = "leave keys out, or split them over several Secrets";
    findings.add(Check::DataSize, "data", what, remedy);
}

/// The largest values by key, for people who have to find out what to leave out.
pub(super) fn largest(subject: &Subject<'_>) -> String {
    let mut sizes: Vec<(usize, &str)> = subject
        .data
        .iter()
        .map(|(key, value)| (value.len(), key.as_str()))
        .collect();
    sizes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let mut texts: Vec<String> = sizes
        .iter()
        .take(SIZES_SHOWN)
        .map(|(bytes, key)| format!("{} {bytes}", shown(key)))
        .collect();
    if sizes.len() > SIZES_SHOWN {
        texts.push(format!("and {} more", sizes.len() - SIZES_SHOWN));
    }
    texts.join(", ")
}

fn check_required(subject: &Subject<'_>, findings: &mut Findings) {
    match subject.secret_type.required() {
        Required::Nothing => {}
        Required::All(keys) => {
            for key in keys.iter().filter(|key| !subject.data.contains_key(**key)) {
                missing(subject, key, findings);
            }
        }
        Required::Any(keys) => {
            if !keys.iter().any(|key| subject.data.contains_key(*key)) {
                for key in keys {
                    missing(subject, key, findings);
                }
            }
        }
        Required::NotEmpty(key) => {
            if subject.value(key).is_none_or(<[u8]>::is_empty) {
                missing(subject, key, findings);
            }
        }
        Required::JsonObject(key) => match subject.value(key) {
            Some(value) => check_json(key, value, findings),
            None => missing(subject, key, findings),
        },
        Required::Annotation(annotation) => {
            if subject
                .annotations
                .get(annotation)
                .is_none_or(String::is_empty)
            {
                findings.add(
                    Check::DataRequired,
                    format!("metadata.annotations[{annotation}]"),
                    "missing or empty, and the type requires it",
                    "name the service account in the annotations of the secret object",
                );
            }
        }
    }
}

fn missing(subject: &Subject<'_>, key: &str, findings: &mut Findings) {
    let secret_type = subject.secret_type.as_str();
    let what = match subject.secret_type.required() {
        Required::Any(keys) => format!("{secret_type} requires one of {}", keys.join(", ")),
        Required::NotEmpty(_) => format!("{secret_type} requires this key, with a value"),
        _ => format!("{secret_type} requires this key"),
    };
    let remedy = format!("map an object to the key {key}");
    findings.add(Check::DataRequired, data_field(key), what, remedy);
}

fn check_json(key: &str, value: &[u8], findings: &mut Findings) {
    let what = match Json::parse(value) {
        Ok(json) if json.is_object() || json.is_null() => return,
        Ok(_) => "JSON, but not an object".to_owned(),
        Err(fault) => format!("not JSON: {fault}"),
    };
    let remedy = "store the file itself, without base64, quotes or a byte order mark around it";
    findings.add(Check::DockerJson, data_field(key), what, remedy);
}

fn check_reserved(subject: &Subject<'_>, findings: &mut Findings) {
    let reserved = subject.secret_type.reserved_keys();
    for key in reserved
        .iter()
        .filter(|key| subject.data.contains_key(**key))
    {
        findings.add(
            Check::SaReservedKey,
            data_field(key),
            "Kubernetes fills this key itself, and never replaces what was written there",
            "map the value to another key",
        );
    }
}

/// How many bytes the API server counts for the values.
pub(super) fn data_bytes(subject: &Subject<'_>) -> usize {
    subject.data.values().map(|value| value.len()).sum()
}
