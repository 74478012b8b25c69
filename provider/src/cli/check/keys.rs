//! Keys of a class outside its parameters that its schema does not know: the API server drops them
//! without a word, or refuses them, and what they were to do does not happen.

use coffer_provider_core::problem::{Problem, TYPO, nearest, shown};

use super::yaml::View;

const TOP: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];

/// Those of Kubernetes' ObjectMeta.
const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

const SPEC: &[&str] = &["parameters", "provider", "secretObjects"];
const SECRET_OBJECT: &[&str] = &["annotations", "data", "labels", "secretName", "type"];
const SECRET_DATA: &[&str] = &["key", "objectName"];

/// The unknown keys of a class, each with its line.
pub(super) fn unknown(class: View<'_>) -> Vec<(usize, Problem)> {
    let mut found = Vec::new();
    look(class, "", TOP, &mut found);
    for (field, known) in [("metadata", METADATA), ("spec", SPEC)] {
        if let Some(map) = class.get(&[field]) {
            look(map, field, known, &mut found);
        }
    }
    let secrets = class.get(&["spec", "secretObjects"]);
    for (i, secret) in items(secrets).enumerate() {
        let field = format!("spec.secretObjects[{i}]");
        look(secret, &field, SECRET_OBJECT, &mut found);
        for (j, data) in items(secret.get(&["data"])).enumerate() {
            look(data, &format!("{field}.data[{j}]"), SECRET_DATA, &mut found);
        }
    }
    found
}

fn items(list: Option<View<'_>>) -> impl Iterator<Item = View<'_>> {
    list.map(View::items).unwrap_or_default().into_iter()
}

fn look(map: View<'_>, field: &str, known: &[&str], found: &mut Vec<(usize, Problem)>) {
    for member in map.members() {
        if known.contains(&member.key) {
            continue;
        }
        let remedy = match nearest(member.key, known.iter().copied(), TYPO) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "remove it".to_owned(),
        };
        let key = shown(member.key);
        let field = if field.is_empty() {
            key
        } else {
            format!("{field}.{key}")
        };
        let what = "is not known and ignored";
        found.push((member.line, Problem::new(field, what, remedy)));
    }
}
