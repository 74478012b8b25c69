//! Labels and annotations that a spec asks for: the API server's rules, and names that are not the user's.

use std::collections::BTreeMap;

use super::{MOST_ANNOTATIONS, OUR_ANNOTATIONS, Refused, Rule};
use crate::key::metadata::{check_annotation_key, check_key, check_label_value};
use crate::options::names::{DRIVER_LABEL, PREFIX, UPSTREAM_LABEL};
use crate::problem::{Problem, shown};

/// The API server's own sentence, so that a search for it finds the same answers.
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

pub(super) fn check(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Vec<Refused> {
    let mut refused = Vec::new();
    for (key, value) in labels {
        if reserved(key) || key == DRIVER_LABEL {
            refused.push(ours(Rule::Label, "labels", key));
        }
        if check_key(key).is_err() {
            refused.push(syntax("metadata.labels", key));
        }
        if value.len() > 63 {
            let what = "must be no more than 63 characters";
            refused.push(server(
                format!("metadata.labels[{}]", shown(key)),
                what,
                "shorten the value",
            ));
        } else if check_label_value(value).is_err() {
            let what = format!("`{}` is no value of a label", shown(value));
            refused.push(server(
                format!("metadata.labels[{}]", shown(key)),
                &what,
                "use letters, digits, `-`, `_` and `.`, a letter or digit at both ends",
            ));
        }
    }
    for key in annotations.keys() {
        // Options of a class are taken out before; what is left under the prefix came by another way.
        if reserved(key) {
            refused.push(ours(Rule::Annotation, "annotations", key));
        }
        if check_annotation_key(key).is_err() {
            refused.push(syntax("metadata.annotations", key));
        }
    }
    let bytes: usize = annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes + OUR_ANNOTATIONS > MOST_ANNOTATIONS {
        let what = format!(
            "Too long: may not be more than {MOST_ANNOTATIONS} bytes, {OUR_ANNOTATIONS} of them ours"
        );
        refused.push(server("metadata.annotations", &what, "shorten them"));
    }
    refused
}

fn reserved(key: &str) -> bool {
    key.starts_with(PREFIX) || key.starts_with(UPSTREAM_LABEL)
}

fn ours(rule: Rule, field: &str, key: &str) -> Refused {
    let field = format!("{field}[{}]", shown(key));
    Refused {
        rule,
        problem: Problem::new(field, "the name is reserved", "remove it"),
    }
}

fn server(field: impl Into<String>, what: &str, remedy: &str) -> Refused {
    Refused {
        rule: Rule::Server,
        problem: Problem::new(field, what, remedy),
    }
}

fn syntax(field: &str, key: &str) -> Refused {
    let what = format!("Invalid value: \"{}\": {NAME_PART}", shown(key));
    server(field, &what, "correct the key")
}
