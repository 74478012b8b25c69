//! What is allowed, mounts perhaps, and is yet often a mistake.
//!
//! Nothing here is known to be wrong: these are warnings, and each says when it does not apply.

use std::collections::{BTreeMap, BTreeSet};

use coffer_provider_core::params::{ClassSpec, OBJECTS, ObjectSpec};
use coffer_provider_core::problem::{Problem, TYPO, nearest, shown};

use super::yaml::View;

/// Names under which KV engines are mounted by habit.
const KV_MOUNTS: [&str; 2] = ["secret", "kv"];

/// What follows the mount in the paths of KV version 2.
const KV2_PARTS: [&str; 7] = [
    "data", "metadata", "subkeys", "config", "delete", "undelete", "destroy",
];

/// The pitfalls of a class that parsed.
pub(super) fn of_class(spec: &ClassSpec) -> Vec<Problem> {
    let mut found: Vec<Problem> = spec
        .objects
        .iter()
        .enumerate()
        .filter_map(|(index, object)| missing_data(index, object))
        .collect();
    found.extend(only_by_case(&spec.objects));
    found.extend(nothing_needed(&spec.objects));
    found
}

/// Which version a mount has cannot be known here, so only the usual names count.
fn missing_data(index: usize, object: &ObjectSpec) -> Option<Problem> {
    let (mount, rest) = object.request.path.split_once('/')?;
    let next = rest.split('/').next()?;
    let suspect = KV_MOUNTS.contains(&mount)
        && !KV2_PARTS.contains(&next)
        && !object.object.secret_key.is_empty();
    suspect.then(|| {
        Problem::new(
            format!("objects[{index}].secretPath"),
            format!(
                "\"{}\" has no data/ behind the mount",
                shown(&object.object.secret_path)
            ),
            format!(
                "if this mount is KV version 2, the path needs data/: {}",
                shown(&format!("{mount}/data/{rest}"))
            ),
        )
    })
}

/// Each may be absent, but not all of them at once.
fn nothing_needed(objects: &[ObjectSpec]) -> Option<Problem> {
    let all = objects.iter().all(|object| object.object.optional);
    all.then(|| {
        Problem::new(
            OBJECTS,
            "all objects are optional, and a mount fails while none of them exists",
            "take optional from one that is always there, unless that is what you want",
        )
    })
}

fn only_by_case(objects: &[ObjectSpec]) -> Vec<Problem> {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        let path = object.path.as_str();
        let earlier = *first.entry(path.to_lowercase()).or_insert(path);
        if earlier != path {
            found.push(Problem::new(
                format!("objects[{index}].objectName"),
                format!(
                    "\"{}\" differs from \"{}\" only by case",
                    shown(path),
                    shown(earlier)
                ),
                "rename one of them: they are easily taken for each other",
            ));
        }
    }
    found
}

/// The `objectName`s of `spec.secretObjects` that no object has, each with its line.
pub(super) fn of_secret_objects(
    secrets: View<'_>,
    names: &BTreeSet<String>,
) -> Vec<(usize, Problem)> {
    let mut found = Vec::new();
    for (i, secret) in secrets.items().into_iter().enumerate() {
        let data = secret.get(&["data"]).map(View::items).unwrap_or_default();
        for (j, item) in data.into_iter().enumerate() {
            let Some(member) = item.member("objectName") else {
                continue;
            };
            let name = member.value.text().unwrap_or_default();
            if !names.contains(name) {
                let field = format!("secretObjects[{i}].data[{j}].objectName");
                found.push((member.line, no_such_object(field, name, names)));
            }
        }
    }
    found
}

fn no_such_object(field: String, name: &str, names: &BTreeSet<String>) -> Problem {
    let remedy = match nearest(name, names.iter().map(String::as_str), TYPO) {
        Some(meant) => format!("did you mean \"{}\"?", shown(meant)),
        None => "write the objectName of one of them".to_owned(),
    };
    let what = format!(
        "\"{}\" is not among the objects, so the key is never synced",
        shown(name)
    );
    Problem::new(field, what, remedy)
}
