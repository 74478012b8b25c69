//! The Secret that would be written: type, data, labels, annotations, owner; and whether it may be.
//!
//! Rules that a single type has for its keys and values are not checked here.

mod body;
mod metadata;

use std::collections::BTreeMap;

use ring::digest;

pub use self::body::Body;
use crate::claim::Source;
use crate::fingerprint::{Fingerprint, Key, length};
use crate::mapping::Value;
use crate::options::names::{ADOPTED, RECORD, SOURCE_UID, SYNC_LABEL, UPSTREAM_LABEL};
use crate::options::{Deletion, Door};
use crate::problem::{Problem, shown};

/// What the values of a Secret may come to; the API server does not count keys.
pub const MOST_BYTES: usize = 1 << 20;
/// What etcd takes as one object by default.
const MOST_OBJECT: usize = 3 << 19;
/// The API server's limit for the keys and values of all annotations together.
const MOST_ANNOTATIONS: usize = 262_144;
/// Left of it for the record and the marks of ownership.
const OUR_ANNOTATIONS: usize = 2048;
/// How many keys a message about size lists, the largest first.
const LISTED: usize = 10;

/// What the Secret is made of.
pub struct Parts<B> {
    /// Whose it is.
    pub source: Source,
    /// Its name.
    pub name: String,
    /// Its type as written; empty stands for Opaque.
    pub type_: String,
    /// Its keys.
    pub data: BTreeMap<String, B>,
    /// Labels of the spec.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the spec; those of a class without its options.
    pub annotations: BTreeMap<String, String>,
    /// What becomes of it when its source goes.
    pub deletion: Deletion,
    /// It stood before us, or is about to be adopted.
    pub adopted: bool,
    /// Whether it is written immutable.
    pub immutable: bool,
}

/// The Secret that would be written. Clones share its values.
#[derive(Clone)]
pub struct Rendered<B> {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its type, never empty.
    pub type_: String,
    /// Its keys.
    pub data: BTreeMap<String, B>,
    /// All of its labels.
    pub labels: BTreeMap<String, String>,
    /// All of its annotations but the record.
    pub annotations: BTreeMap<String, String>,
    /// Its owner, unless it stays when the source goes.
    pub owner: Option<Reference>,
    /// Whether it is written immutable.
    pub immutable: bool,
}

/// The one ownerReference: neither `controller` nor `blockOwnerDeletion`, as upstream writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Group and version of the source.
    pub api_version: &'static str,
    /// Kind of the source.
    pub kind: &'static str,
    /// Name of the source.
    pub name: String,
    /// uid of the source.
    pub uid: String,
}

/// Which rule keeps a Secret from being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A label that is not the user's to set.
    Label,
    /// An annotation that is not the user's to set.
    Annotation,
    /// Something that the API server refuses.
    Server,
    /// Too many bytes.
    Size,
}

/// A broken rule, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The rule.
    pub rule: Rule,
    /// Where and how.
    pub problem: Problem,
}

/// How large a Secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of all values, as the API server counts them.
    pub values: usize,
    /// About what etcd stores: each key stands in the data and again in managedFields.
    pub object: usize,
}

impl Size {
    /// Whether nine tenths of either limit are used up.
    #[must_use]
    pub fn near_limit(self) -> bool {
        self.values > MOST_BYTES / 10 * 9 || self.object > MOST_OBJECT / 10 * 9
    }
}

/// Puts the Secret together.
///
/// # Errors
///
/// Every rule that it breaks.
pub fn render<B: Value>(parts: Parts<B>) -> Result<Rendered<B>, Vec<Refused>> {
    let mut refused = metadata::check(&parts.labels, &parts.annotations);
    let rendered = assemble(parts);
    if rendered.size().values > MOST_BYTES {
        refused.push(Refused {
            rule: Rule::Size,
            problem: too_large(&rendered.data),
        });
    }
    if refused.is_empty() {
        Ok(rendered)
    } else {
        Err(refused)
    }
}

fn assemble<B: Value>(parts: Parts<B>) -> Rendered<B> {
    let Parts {
        source,
        name,
        type_,
        data,
        mut labels,
        mut annotations,
        deletion,
        adopted,
        immutable,
    } = parts;
    labels.insert(SYNC_LABEL.to_owned(), "true".to_owned());
    if source.door == Door::Sync {
        labels.insert(UPSTREAM_LABEL.to_owned(), String::new());
    }
    // Whoever deletes the source of an adopted Secret must not delete the keys of others in it.
    let referenced = deletion == Deletion::Delete && !adopted;
    if !referenced {
        annotations.insert(SOURCE_UID.to_owned(), source.uid.clone());
    }
    if adopted {
        annotations.insert(ADOPTED.to_owned(), "true".to_owned());
    }
    let owner = referenced.then(|| Reference {
        api_version: match source.door {
            Door::Class => "secrets-store.csi.x-k8s.io/v1",
            Door::Sync => "secret-sync.x-k8s.io/v1alpha1",
        },
        kind: source.door.kind(),
        name: source.name,
        uid: source.uid,
    });
    Rendered {
        namespace: source.namespace,
        name,
        type_: normal_type(source.door, &type_),
        data,
        labels,
        annotations,
        owner,
        immutable,
    }
}

/// The type as it is sent: empty is Opaque, and a class's type is trimmed as the driver does.
#[must_use]
pub fn normal_type(door: Door, written: &str) -> String {
    let type_ = match door {
        Door::Class => written.trim(),
        Door::Sync => written,
    };
    if type_.is_empty() {
        "Opaque".to_owned()
    } else {
        type_.to_owned()
    }
}

impl<B: Value> Rendered<B> {
    /// Its content's fingerprint. A version is named after it, so the name in it is the one without a version.
    #[must_use]
    pub fn fingerprint(&self, key: &Key) -> Fingerprint {
        let data = self
            .data
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_ref()));
        key.content(&self.namespace, &self.name, &self.type_, data)
    }

    /// The same Secret as the immutable version of this name.
    #[must_use]
    pub fn as_version(mut self, name: String) -> Self {
        self.name = name;
        self.immutable = true;
        self
    }

    /// A digest of everything but the content. Kept in memory only.
    #[must_use]
    pub fn metadata_digest(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |part: &str| {
            context.update(&length(part.len()));
            context.update(part.as_bytes());
        };
        for map in [&self.labels, &self.annotations] {
            add(&map.len().to_string());
            map.iter().for_each(|(key, value)| {
                add(key);
                add(value);
            });
        }
        add(self.owner.as_ref().map_or("", |owner| &owner.uid));
        add(if self.immutable { "immutable" } else { "" });
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        out
    }

    /// How large it is.
    #[must_use]
    pub fn size(&self) -> Size {
        let values = self.data.values().map(|value| value.as_ref().len()).sum();
        let keys: usize = self.data.keys().map(|key| 2 * key.len() + 16).sum();
        Size {
            values,
            object: values + keys,
        }
    }

    /// Keys and byte counts, for messages.
    #[must_use]
    pub fn outline(&self) -> Vec<(String, usize)> {
        self.data
            .iter()
            .map(|(key, value)| (key.clone(), value.as_ref().len()))
            .collect()
    }

    /// The body of a server-side apply, with the record of what it holds. `uid` guards it: with it, the write
    /// never creates and never reaches a Secret of the same name that somebody else made.
    #[must_use]
    pub fn body(&self, record: &str, uid: Option<&str>) -> Body {
        let mut annotations = self.annotations.clone();
        annotations.insert(RECORD.to_owned(), record.to_owned());
        Body::apply(self, &annotations, uid)
    }
}

fn too_large<B: Value>(data: &BTreeMap<String, B>) -> Problem {
    let total: usize = data.values().map(|value| value.as_ref().len()).sum();
    let mut sizes: Vec<(usize, &str)> = data
        .iter()
        .map(|(key, value)| (value.as_ref().len(), key.as_str()))
        .collect();
    sizes.sort_by(|one, other| other.cmp(one));
    let listed: Vec<String> = sizes
        .iter()
        .take(LISTED)
        .map(|(bytes, key)| format!("{} {bytes}", shown(key)))
        .collect();
    let what = format!(
        "the values are {total} bytes, more than {MOST_BYTES}: {}",
        listed.join(", ")
    );
    Problem::new("data", what, "split the Secret")
}

#[cfg(test)]
mod tests;
