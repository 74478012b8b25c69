//! Who holds a Secret, read from metadata alone: owners, marks and managedFields. No data is needed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Source;
use crate::options::names::{ADOPTABLE_BY, ADOPTED, DRIVER_LABEL, SOURCE_UID};

/// The field manager of every write, for ever: another name would conflict with the fields of this one.
pub const APPLY_MANAGER: &str = "coffer-sync";
/// The field manager of dry runs, so that they never look like ours.
pub const PROBE_MANAGER: &str = "coffer-sync-probe";
/// Field managers of upstream's controller, the second up to v0.0.4.
pub const UPSTREAM_MANAGERS: [&str; 2] = [
    "secrets-store-sync-controller",
    "v1-secrets-store-sync-controller",
];
/// Field manager of the CSI driver's own sync, by Update.
const DRIVER_MANAGER: &str = "csi-secrets-store";

/// How a manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By everything else.
    Update,
}

/// One entry of managedFields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// Name of the manager.
    pub manager: String,
    /// How it wrote.
    pub operation: Operation,
    /// The `fieldsV1` document.
    pub fields: Value,
}

/// The metadata of a Secret, as far as it matters whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Kind, name and uid of each ownerReference.
    pub owners: Vec<(String, String, String)>,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// Its managedFields.
    pub managed: Vec<Managed>,
}

/// Who holds a Secret, as one source sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This source, through us.
    Ours {
        /// It stood before us: it is never deleted, recreated or versioned.
        adopted: bool,
    },
    /// This source, through upstream's controller: managers to be cleared after our first write.
    Upstream(Vec<String>),
    /// An object of the same kind and name that is gone: the garbage collector deletes the Secret at any moment.
    Former,
    /// The CSI driver's own sync.
    Driver,
    /// Somebody else.
    Stranger,
}

/// Whether a Secret is immutable, as metadata tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// Nobody set the field.
    No,
    /// We made it immutable; every later write has to say so again.
    Ours,
    /// Somebody else set the field; only a refused write tells that it was to `true`.
    Perhaps,
}

/// Whose Secret it is for this source.
#[must_use]
pub fn holder(source: &Source, seen: &Metadata) -> Holder {
    let owned = seen.owners.iter().any(|(_, _, uid)| *uid == source.uid);
    let marked = seen.annotations.get(SOURCE_UID) == Some(&source.uid);
    let wrote = |manager: &str| {
        let entries = seen
            .managed
            .iter()
            .filter(|entry| entry.manager == manager && entry.operation == Operation::Apply);
        entries.into_iter().any(|entry| {
            owned && owns_reference(&entry.fields, &source.uid)
                || marked && owns_mark(&entry.fields)
        })
    };
    let upstream: Vec<String> = UPSTREAM_MANAGERS
        .into_iter()
        .filter(|manager| wrote(manager))
        .map(str::to_owned)
        .collect();
    if !upstream.is_empty() {
        return Holder::Upstream(upstream);
    }
    if wrote(APPLY_MANAGER) {
        let adopted = seen
            .annotations
            .get(ADOPTED)
            .is_some_and(|text| text == "true");
        return Holder::Ours { adopted };
    }
    let mut owners = seen.owners.iter();
    if owners.len() > 0
        && owners.all(|(kind, name, uid)| {
            kind == source.door.kind() && *name == source.name && *uid != source.uid
        })
    {
        return Holder::Former;
    }
    let by_driver = seen
        .managed
        .iter()
        .any(|entry| entry.manager == DRIVER_MANAGER && entry.operation == Operation::Update);
    if by_driver
        && seen
            .labels
            .get(DRIVER_LABEL)
            .is_some_and(|text| text == "true")
    {
        return Holder::Driver;
    }
    Holder::Stranger
}

/// Whether the owner of the Secret consents to its adoption by this source.
#[must_use]
pub fn consents(source: &Source, seen: &Metadata) -> bool {
    seen.annotations.get(ADOPTABLE_BY) == Some(&source.reference())
}

/// Whether the field `immutable` is set, and by whom.
#[must_use]
pub fn frozen(seen: &Metadata) -> Frozen {
    let mut setters = seen
        .managed
        .iter()
        .filter(|entry| !entry.fields["f:immutable"].is_null())
        .peekable();
    if setters.peek().is_none() {
        return Frozen::No;
    }
    // We only ever write `true`.
    let ours =
        |entry: &Managed| entry.manager == APPLY_MANAGER && entry.operation == Operation::Apply;
    if setters.any(ours) {
        Frozen::Ours
    } else {
        Frozen::Perhaps
    }
}

/// The keys that the Secret holds, by whomever: names only, as managedFields tell them.
#[must_use]
pub fn keys(seen: &Metadata) -> BTreeSet<String> {
    seen.managed
        .iter()
        .flat_map(|entry| data_keys(&entry.fields))
        .collect()
}

/// The keys that we wrote.
#[must_use]
pub fn keys_of_ours(seen: &Metadata) -> BTreeSet<String> {
    let ours = seen
        .managed
        .iter()
        .filter(|entry| entry.manager == APPLY_MANAGER && entry.operation == Operation::Apply);
    ours.flat_map(|entry| data_keys(&entry.fields)).collect()
}

fn owns_reference(fields: &Value, uid: &str) -> bool {
    let key = format!(r#"k:{{"uid":"{uid}"}}"#);
    !fields["f:metadata"]["f:ownerReferences"][&key].is_null()
}

fn owns_mark(fields: &Value) -> bool {
    !fields["f:metadata"]["f:annotations"][format!("f:{SOURCE_UID}")].is_null()
}

/// Keys written through `stringData` are recorded there.
fn data_keys(fields: &Value) -> Vec<String> {
    let maps = ["f:data", "f:stringData"]
        .into_iter()
        .filter_map(|field| fields[field].as_object());
    let keys = maps.flat_map(|map| map.keys());
    keys.filter_map(|key| key.strip_prefix("f:"))
        .map(str::to_owned)
        .collect()
}
