//! What a decision is taken from: the wanted content, the Secret that is there, what happened before, the options.
//!
//! None of it holds a value: content is known by its fingerprint, its keys and its verdict.

use std::collections::BTreeSet;

use super::contest::Contest;
use super::plan::{Failure, Refusal};
use super::record::Record;
use crate::claim::{
    Frozen, Holder, Metadata, Source, consents, frozen, holder, keys, keys_of_ours,
};
use crate::fingerprint::Fingerprint;
use crate::options::names::RECORD;
use crate::options::{Adopt, Drift, Immutable, OnTypeChange, Options};
use crate::validate::{self, Verdict};

/// What came of options, gates, fetch, mapping, builders and structural rules, in that order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Something that only a person can mend keeps the Secret from being written.
    Refused(Refusal),
    /// The object is suspended.
    Suspended,
    /// There is no content now; the last good stays.
    Failed(Failure),
    /// This is to stand in the Secret.
    Content(Box<Content>),
}

/// The content of a Secret, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Name of the Secret, without a version.
    pub secret: String,
    /// Its type.
    pub type_: String,
    /// Fingerprint of type and data.
    pub fingerprint: Fingerprint,
    /// `Rendered::metadata_digest`.
    pub metadata: [u8; 32],
    /// Its keys.
    pub keys: BTreeSet<String>,
    /// Which checks it fails; none under `validation: Off`.
    pub verdict: Option<Verdict>,
    /// Of which spec and options it was made.
    pub revision: Revision,
}

/// Spec and options of a source at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Revision {
    /// `metadata.generation`.
    pub generation: i64,
    /// `options::digest`.
    pub options: [u8; 32],
}

/// The Secret of that name; under `immutable: Versioned` of the version's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// It was not looked at yet.
    Unknown,
    /// There is none.
    Absent,
    /// There is one.
    Present(Box<Present>),
}

/// Whether something equals what would be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Metadata does not tell; a refused write does.
    Unknown,
}

/// A Secret that is there, known by its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Whether it has a deletionTimestamp.
    pub deleting: bool,
    /// Whose it is.
    pub holder: Holder,
    /// Whether it is of the wanted type.
    pub same_type: Same,
    /// Whether it is of the wanted data: told by a write that was refused because it is immutable.
    pub same_data: Same,
    /// Whether it is immutable.
    pub frozen: Frozen,
    /// What was written last, from its annotation; none counts as a first write.
    pub record: Option<Record>,
    /// Names of the keys that we wrote.
    pub our_keys: Box<[String]>,
    /// Names of all its keys.
    pub all_keys: BTreeSet<String>,
    /// Whether its owner consents to adoption by this source.
    pub consent: bool,
    /// How its content compares, after a dry run that returned it.
    pub matching: Option<Matching>,
}

impl Present {
    /// What the metadata of a Secret tells this source; the rest is unknown.
    #[must_use]
    pub fn read(
        source: &Source,
        uid: &str,
        resource_version: &str,
        deleting: bool,
        seen: &Metadata,
    ) -> Self {
        let record = seen
            .annotations
            .get(RECORD)
            .and_then(|text| Record::parse(text));
        let holder = holder(source, seen);
        // What stands on a Secret that we did not write proves nothing about its content.
        let record = record.filter(|_| matches!(holder, Holder::Ours { .. }));
        Self {
            uid: uid.to_owned(),
            resource_version: resource_version.to_owned(),
            deleting,
            holder,
            same_type: Same::Unknown,
            same_data: Same::Unknown,
            frozen: frozen(seen),
            record,
            our_keys: keys_of_ours(seen).into_iter().collect(),
            all_keys: keys(seen),
            consent: consents(source, seen),
            matching: None,
        }
    }
}

/// How the content of a Secret that is not ours compares with the wanted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    /// Whether the type is equal.
    pub type_: bool,
    /// Whether it is immutable.
    pub immutable: bool,
    /// Keys that are there with other bytes.
    pub differing: BTreeSet<String>,
}

/// What happened to the object before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The last write, as the status tells it, if there was one.
    pub written: Option<Written>,
    /// The last apply of this process.
    pub applied: Option<Applied>,
    /// Under `immutable: Versioned`: the record of the newest version.
    pub latest: Option<Record>,
    /// Repairs and re-creations.
    pub contest: Contest,
}

/// A write that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What was written.
    pub fingerprint: Fingerprint,
    /// For which spec.
    pub revision: Revision,
}

/// An apply that succeeded, as its answer told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// uid of the Secret.
    pub uid: String,
    /// Its resourceVersion afterwards.
    pub resource_version: String,
    /// [`Content::metadata`] of which it was made.
    pub metadata: [u8; 32],
}

/// The options that matter for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `validation`.
    pub validation: validate::Policy,
    /// `immutable`.
    pub immutable: Immutable,
    /// `adopt`.
    pub adopt: Adopt,
    /// `on-type-change`.
    pub on_type_change: OnTypeChange,
    /// `drift`.
    pub drift: Drift,
    /// What the operator granted.
    pub rights: Rights,
}

/// Rights that not every installation grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Rights {
    /// To delete Secrets.
    pub delete: bool,
    /// To watch their metadata.
    pub watch: bool,
}

impl Policy {
    /// The policy of an object under these rights.
    #[must_use]
    pub const fn new(options: &Options, rights: Rights) -> Self {
        Self {
            validation: options.validation,
            immutable: options.immutable,
            adopt: options.adopt,
            on_type_change: options.on_type_change,
            drift: options.drift,
            rights,
        }
    }
}
