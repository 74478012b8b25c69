//! The options of one object: annotations under `coffer.rs/`, read strictly and all at once.
//!
//! A wrong value is a problem that keeps anything from being written; an unknown name is a remark with the
//! name that was probably meant. What an option does is decided where it acts.

mod extra;
pub mod names;
mod restarted;
mod selector;
mod value;

use std::collections::BTreeMap;
use std::time::Duration;

use ring::digest;

pub use self::names::Name;
use self::names::{ADOPTABLE_BY, PREFIX, SYNC_STATUS};
pub use self::restarted::{Kind, Restart, Target};
pub use self::selector::Selector;
use self::value::{Wrong, boolean, duration, list, parse_duration, word};
use crate::key;
use crate::mapping::Entry;
use crate::problem::{Problem, nearest, shown};
use crate::validate::Policy;

/// Shorter polls turn a fleet of objects into a load test of the store.
const LEAST_INTERVAL: Duration = Duration::from_secs(30);
/// Longer than a week is `0`: nobody waits for it.
const MOST_INTERVAL: Duration = Duration::from_secs(168 * 3600);
/// Collecting longer than an hour leaves workloads on a revoked credential.
const MOST_WINDOW: Duration = Duration::from_secs(3600);

/// Where a source comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// A SecretProviderClass with `secretObjects`.
    Class,
    /// A SecretSync.
    Sync,
}

impl Door {
    /// The kind of the source.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Class => "SecretProviderClass",
            Self::Sync => "SecretSync",
        }
    }
}

/// Whether Secrets are immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Immutable {
    /// No.
    #[default]
    Never,
    /// Yes; a change deletes and creates.
    Recreate,
    /// Yes; a change makes a Secret of another name.
    Versioned,
}

/// What is done with a Secret that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Adopt {
    /// It is not touched.
    #[default]
    Never,
    /// It is adopted if nothing in it would change.
    IfMatching,
    /// Our keys win, others stay.
    Merge,
}

/// What becomes of the Secret when its source goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Deletion {
    /// It goes with it, by an ownerReference.
    #[default]
    Delete,
    /// It stays; there never is an ownerReference.
    Retain,
}

/// What is done when the type changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnTypeChange {
    /// Delete and create, where we created the Secret and may delete.
    #[default]
    Recreate,
    /// The old Secret stays.
    Fail,
}

/// What is done with foreign edits of our keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Drift {
    /// They are undone.
    #[default]
    Repair,
    /// They are told.
    Report,
}

/// All options of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Poll period before jitter; none: no polling.
    pub refresh_interval: Option<Duration>,
    /// What is done with unusable values.
    pub validation: Policy,
    /// Whether Secrets are immutable.
    pub immutable: Immutable,
    /// How many versions are kept, 1 to 20.
    pub keep_versions: usize,
    /// Which workloads restart.
    pub restart: Restart,
    /// How long changes are collected before a restart.
    pub restart_window: Duration,
    /// What is done with a Secret that is not ours.
    pub adopt: Adopt,
    /// What becomes of the Secret when its source goes.
    pub deletion: Deletion,
    /// What is done when the type changes.
    pub on_type_change: OnTypeChange,
    /// What is done with foreign edits.
    pub drift: Drift,
    /// Mapped data beyond the spec.
    pub extra_data: Vec<Entry>,
    /// Whether every file becomes a key.
    pub all_keys: bool,
    /// Keys that a custom type must have.
    pub required_keys: Vec<String>,
    /// No fetch, no write.
    pub suspend: bool,
    /// A change means: now.
    pub force_sync: String,
}

impl Options {
    /// The options of an object without annotations, under the operator's poll period.
    #[must_use]
    pub fn new(refresh_interval: Option<Duration>) -> Self {
        Self {
            refresh_interval,
            validation: Policy::default(),
            immutable: Immutable::default(),
            keep_versions: 3,
            restart: Restart::default(),
            restart_window: Duration::from_secs(30),
            adopt: Adopt::default(),
            deletion: Deletion::default(),
            on_type_change: OnTypeChange::default(),
            drift: Drift::default(),
            extra_data: Vec::new(),
            all_keys: false,
            required_keys: Vec::new(),
            suspend: false,
            force_sync: String::new(),
        }
    }
}

/// What reading the annotations gave.
pub struct Parsed {
    /// The options, or every wrong value.
    pub options: Result<Options, Vec<Problem>>,
    /// Names under `coffer.rs/` that mean nothing here: told once, otherwise ignored.
    pub unknown: Vec<Problem>,
}

type Annotations = BTreeMap<String, String>;

/// Reads the annotations of a source and, for a class, those of one of its `secretObjects`, which win.
#[must_use]
pub fn parse(
    door: Door,
    source: &Annotations,
    object: &Annotations,
    refresh_interval: Option<Duration>,
) -> Parsed {
    let mut reader = Reader {
        values: BTreeMap::new(),
        problems: Vec::new(),
    };
    let mut unknown = Vec::new();
    let of_object = match door {
        Door::Class => ours(object),
        // A SecretSync's secretObject.annotations are no place for options: `render` refuses them.
        Door::Sync => Vec::new(),
    };
    let of_source = ours(source).into_iter().map(|pair| (pair, false));
    for ((annotation, text), inner) in
        of_source.chain(of_object.into_iter().map(|pair| (pair, true)))
    {
        match Name::of(annotation) {
            Some(Name::SyncAs) if inner => reader.wrong(
                Name::SyncAs,
                Wrong::new(
                    "it stands on one of the secretObjects",
                    "write it on the class: one call serves all of them",
                ),
            ),
            Some(Name::SyncAs) if door == Door::Sync => {
                unknown.push(misplaced(annotation, "spec.serviceAccountName says it"))
            }
            Some(name) => {
                reader.values.insert(name, text);
            }
            None if annotation == ADOPTABLE_BY => unknown.push(misplaced(
                annotation,
                "it belongs on the Secret that is to be adopted",
            )),
            None if annotation == SYNC_STATUS && door == Door::Class && !inner => {}
            None => unknown.push(unknown_name(annotation)),
        }
    }
    let options = reader.options(refresh_interval);
    Parsed {
        options: if reader.problems.is_empty() {
            Ok(options)
        } else {
            Err(reader.problems)
        },
        unknown,
    }
}

/// The workloads that a text of the option `restart` means; none where it is wrong.
#[must_use]
pub fn restart(text: &str) -> Option<Restart> {
    restarted::restart(text).ok()
}

/// A digest of everything that [`parse`] reads, to notice a change that leaves the generation alone.
///
/// Coffer's own writes do not move it. It is compared in memory and published nowhere.
#[must_use]
pub fn digest(source: &Annotations) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for (annotation, text) in ours(source) {
        if annotation == SYNC_STATUS {
            continue;
        }
        for part in [annotation, text] {
            context.update(&crate::fingerprint::length(part.len()));
            context.update(part.as_bytes());
        }
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// The annotations that are copied to the Secret of a class: all but options.
#[must_use]
pub fn copied(object: &Annotations) -> Annotations {
    let others = object
        .iter()
        .filter(|(annotation, _)| !annotation.starts_with(PREFIX));
    others
        .map(|(annotation, text)| (annotation.clone(), text.clone()))
        .collect()
}

fn ours(annotations: &Annotations) -> Vec<(&str, &str)> {
    let pairs = annotations
        .iter()
        .filter(|(annotation, _)| annotation.starts_with(PREFIX));
    pairs
        .map(|(annotation, text)| (annotation.as_str(), text.as_str()))
        .collect()
}

fn misplaced(annotation: &str, remedy: &str) -> Problem {
    Problem::new(annotation, "it has no effect here", remedy)
}

fn unknown_name(annotation: &str) -> Problem {
    let remedy = match nearest(annotation, Name::ALL.map(Name::as_str)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "remove it, or see the list of options".to_owned(),
    };
    Problem::new(shown(annotation), "there is no such option", remedy)
}

struct Reader<'a> {
    values: BTreeMap<Name, &'a str>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn options(&mut self, refresh_interval: Option<Duration>) -> Options {
        let default = Options::new(refresh_interval);
        Options {
            refresh_interval: self.read(Name::RefreshInterval, default.refresh_interval, interval),
            validation: self.word(
                Name::Validation,
                &[
                    ("Off", Policy::Off),
                    ("Warn", Policy::Warn),
                    ("Hold", Policy::Hold),
                    ("Strict", Policy::Strict),
                ],
            ),
            immutable: self.word(
                Name::Immutable,
                &[
                    ("Never", Immutable::Never),
                    ("Recreate", Immutable::Recreate),
                    ("Versioned", Immutable::Versioned),
                ],
            ),
            keep_versions: self.read(Name::KeepVersions, default.keep_versions, keep_versions),
            restart: self.read(Name::Restart, default.restart, restarted::restart),
            restart_window: self.read(Name::RestartWindow, default.restart_window, |text| {
                duration(
                    text,
                    Duration::ZERO,
                    MOST_WINDOW,
                    "a duration from 0s to 1h",
                )
            }),
            adopt: self.word(
                Name::Adopt,
                &[
                    ("Never", Adopt::Never),
                    ("IfMatching", Adopt::IfMatching),
                    ("Merge", Adopt::Merge),
                ],
            ),
            deletion: self.word(
                Name::DeletionPolicy,
                &[("Delete", Deletion::Delete), ("Retain", Deletion::Retain)],
            ),
            on_type_change: self.word(
                Name::OnTypeChange,
                &[
                    ("Recreate", OnTypeChange::Recreate),
                    ("Fail", OnTypeChange::Fail),
                ],
            ),
            drift: self.word(
                Name::Drift,
                &[("Repair", Drift::Repair), ("Report", Drift::Report)],
            ),
            extra_data: match self.values.get(&Name::ExtraData) {
                Some(text) => extra::extra_data(text, &mut self.problems),
                None => Vec::new(),
            },
            all_keys: self.read(Name::AllKeys, false, boolean),
            required_keys: self.read(Name::RequiredKeys, Vec::new(), required_keys),
            suspend: self.read(Name::Suspend, false, boolean),
            force_sync: self
                .values
                .get(&Name::ForceSync)
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }

    fn word<T: Copy + Default>(&mut self, name: Name, words: &[(&str, T)]) -> T {
        self.read(name, T::default(), |text| word(text, words))
    }

    fn read<T>(
        &mut self,
        name: Name,
        default: T,
        parse: impl FnOnce(&'a str) -> Result<T, Wrong>,
    ) -> T {
        let Some(text) = self.values.get(&name) else {
            return default;
        };
        parse(text).unwrap_or_else(|wrong| {
            self.wrong(name, wrong);
            default
        })
    }

    fn wrong(&mut self, name: Name, wrong: Wrong) {
        self.problems
            .push(Problem::new(name.as_str(), wrong.what, wrong.remedy));
    }
}

fn interval(text: &str) -> Result<Option<Duration>, Wrong> {
    if parse_duration(text) == Some(Duration::ZERO) {
        return Ok(None);
    }
    let range = "a duration from 30s to 168h, or 0 for no polling";
    duration(text, LEAST_INTERVAL, MOST_INTERVAL, range).map(Some)
}

fn keep_versions(text: &str) -> Result<usize, Wrong> {
    let value = text
        .parse::<usize>()
        .ok()
        .filter(|value| (1..=20).contains(value));
    value.ok_or_else(|| {
        Wrong::new(
            format!("`{}` is no such number", shown(text)),
            "write a number from 1 to 20",
        )
    })
}

fn required_keys(text: &str) -> Result<Vec<String>, Wrong> {
    let keys = list(text)?;
    let bad: Vec<String> = keys
        .iter()
        .filter(|name| key::check(name).is_err())
        .map(|key| format!("`{}`", shown(key)))
        .collect();
    if !bad.is_empty() {
        let remedy = "use letters, digits, `-`, `_` and `.`, not starting with `..`";
        return Err(Wrong::new(
            format!("no keys of a Secret: {}", bad.join(", ")),
            remedy,
        ));
    }
    Ok(keys.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
