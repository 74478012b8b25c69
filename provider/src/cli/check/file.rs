//! What is wrong with a file as a whole: it is no YAML, or nothing in it is looked at.
//!
//! What its classes and volumes say is judged elsewhere.

use coffer_provider_core::problem::{Problem, TYPO, nearest, shown};

use super::manifest::{CLASS_GROUP, CLASS_KIND, Contents, Other};
use super::report::{Finding, MANIFEST, NO_CLASS, NOT_YAML, Place};
use super::yaml::Loaded;

/// How many edits an API group may be away from that of the classes: it is long, and its parts are
/// easily left out.
const GROUP_TYPO: usize = 6;

const REMEDY: &str = "give a file with a SecretProviderClass of secrets-store.csi.x-k8s.io/v1";

/// The problems of a file. Objects of other kinds are fine beside a file that holds something.
pub(super) fn problems(
    file: &str,
    loaded: &Loaded,
    contents: &Contents<'_>,
    others_hold_something: bool,
) -> Vec<Finding> {
    let mut found: Vec<Finding> = not_yaml(file, loaded).into_iter().collect();
    found.extend(contents.others.iter().filter_map(|other| misspelt(other)));
    let company = others_hold_something && !contents.others.is_empty();
    if found.is_empty() && contents.is_empty() && !company {
        let place = Place { file, line: 1 };
        let problem = Problem::new("", "holds no SecretProviderClass", REMEDY);
        found.push(Finding::new(place, "", &problem, NO_CLASS));
    }
    found
}

/// Where and why a text is no YAML.
pub(super) fn not_yaml(file: &str, loaded: &Loaded) -> Option<Finding> {
    let broken = loaded.broken.as_ref()?;
    let place = Place {
        file,
        line: broken.line,
    };
    let remedy = "check indentation, quotes and brackets there; nothing below was checked";
    let problem = Problem::new("", broken.what.as_str(), remedy);
    Some(Finding::new(place, "", &problem, NOT_YAML))
}

/// An object that was most likely meant to be a class. With the kind of another group, even the right
/// word is somebody else's.
fn misspelt(other: &Other<'_>) -> Option<Finding> {
    nearest(other.kind, [CLASS_KIND].into_iter(), TYPO)?;
    let group = other.api_version.split('/').next().unwrap_or_default();
    let meant = CLASS_GROUP.trim_end_matches('/');
    if !group.is_empty() {
        nearest(group, [meant].into_iter(), GROUP_TYPO)?;
    }
    let problem = if other.kind != CLASS_KIND {
        let what = format!("\"{}\" is no kind of the driver", shown(other.kind));
        Problem::new("kind", what, format!("did you mean {CLASS_KIND}?"))
    } else if group.is_empty() {
        Problem::new("apiVersion", "is missing", format!("write {CLASS_GROUP}v1"))
    } else {
        let what = format!("\"{}\" is not the driver's", shown(other.api_version));
        Problem::new("apiVersion", what, format!("did you mean {CLASS_GROUP}v1?"))
    };
    Some(Finding::new(
        other.id.place,
        &other.id.label,
        &problem,
        MANIFEST,
    ))
}
