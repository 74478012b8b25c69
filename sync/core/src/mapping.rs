//! From the files of a provider to the keys of a Secret: which file, which key, how its bytes are read.
//!
//! What a type demands of its keys is not decided here, beyond that a demanded key cannot be optional.

mod answer;
mod decode;

use std::collections::{BTreeMap, BTreeSet};

pub use self::answer::{Answer, Files, NoFiles, clean};
pub use self::decode::{Decode, Pointer};
use crate::key;
use crate::options::{Door, Name, Options};
use crate::problem::{Problem, nearest, shown};

/// How many names of returned files a message lists: enough to see what was meant.
const LISTED: usize = 20;

/// Secret bytes: shared when cloned, wiped when dropped, without Debug. Implemented by whatever can be so used.
pub trait Value: Clone + AsRef<[u8]> + From<Vec<u8>> {}

impl<B: Clone + AsRef<[u8]> + From<Vec<u8>>> Value for B {}

/// A file and the key it becomes, as a spec says it (`objectName` and `key`, `sourcePath` and `targetKey`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Path of the file.
    pub source: String,
    /// Key of the Secret.
    pub key: String,
}

/// A file and the key it becomes, with what is done to its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path of the file.
    pub source_path: String,
    /// Key of the Secret.
    pub target_key: String,
    /// Whether the key may be absent when the file is.
    pub optional: bool,
    /// How the bytes are unpacked.
    pub decode: Decode,
    /// Which part of the JSON document inside is taken.
    pub pointer: Option<Pointer>,
}

/// What becomes of the files of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    entries: BTreeMap<String, Entry>,
    all_keys: bool,
}

/// The mapping, and what was read otherwise than it was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Planned {
    /// The mapping.
    pub mapping: Mapping,
    /// Trimmed names and keys that stand twice.
    pub advice: Vec<Problem>,
}

/// The keys of a Secret.
pub struct Mapped<B> {
    /// Key and bytes.
    pub data: BTreeMap<String, B>,
    /// Optional keys whose source is not there.
    pub absent: Vec<String>,
}

/// What the type of the Secret means for its mapping.
#[derive(Clone, Copy, Debug)]
pub struct Demands<'a> {
    /// Keys that the type, or the user for a custom type, requires.
    pub required: &'a BTreeSet<String>,
    /// Whether a Secret without any mapped key makes sense: only for Opaque and custom types.
    pub may_be_empty: bool,
}

/// Joins the pairs of the spec with the options of the object; every problem is told.
///
/// # Errors
///
/// Everything that is wrong with the pairs, or with how they go together.
pub fn plan(
    door: Door,
    pairs: &[Pair],
    options: &Options,
    demands: Demands<'_>,
) -> Result<Planned, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut advice = Vec::new();
    let mut entries = BTreeMap::new();
    for (index, pair) in pairs.iter().enumerate() {
        let field = format!("data[{index}]");
        let pair = match door {
            Door::Class => trimmed(&field, pair, &mut advice),
            Door::Sync => pair.clone(),
        };
        if pair.source.is_empty() || pair.key.is_empty() {
            problems.push(Problem::new(&field, "file or key is empty", "name both"));
        } else if key::check(&pair.key).is_err() {
            problems.push(illegal(&field, &pair.key));
        } else if let Some(before) = entries.insert(pair.key.clone(), Entry::from(pair.clone())) {
            let what = format!(
                "key `{}` stands twice, `{}` is not used",
                shown(&pair.key),
                shown(&before.source_path)
            );
            advice.push(Problem::new(&field, what, "leave one of them"));
        }
    }
    for entry in &options.extra_data {
        entries.insert(entry.target_key.clone(), entry.clone());
    }
    for entry in entries.values() {
        if entry.optional && demands.required.contains(&entry.target_key) {
            let what = format!("the type requires `{}`", entry.target_key);
            problems.push(Problem::new(
                Name::ExtraData.as_str(),
                what,
                "do not mark it optional",
            ));
        }
    }
    if entries.is_empty() && problems.is_empty() && !options.all_keys && !demands.may_be_empty {
        problems.push(Problem::new(
            "data",
            "the type requires keys and none is mapped",
            "map its keys",
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let all_keys = options.all_keys;
    Ok(Planned {
        mapping: Mapping { entries, all_keys },
        advice,
    })
}

impl Mapping {
    /// The keys that are mapped whatever the provider returns.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Takes the files of an answer.
    ///
    /// # Errors
    ///
    /// Every file that is missing or cannot be read as asked. Nothing of a Secret is written then: half of
    /// its keys would be of another time.
    pub fn apply<B: Value>(&self, files: &Files<B>) -> Result<Mapped<B>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut mapped = Mapped {
            data: BTreeMap::new(),
            absent: Vec::new(),
        };
        if self.all_keys {
            self.every_file(files, &mut mapped, &mut problems);
        }
        for (target, entry) in &self.entries {
            match entry.read(files) {
                Ok(Some(bytes)) => {
                    mapped.data.insert(target.clone(), bytes);
                }
                Ok(None) if entry.optional => {
                    mapped.data.remove(target);
                    mapped.absent.push(target.clone());
                }
                Ok(None) => problems.push(missing(entry, files)),
                Err(what) => {
                    let remedy = format!(
                        "check file `{}`, or how it is read",
                        shown(&entry.source_path)
                    );
                    problems.push(Problem::new(target, what, remedy));
                }
            }
        }
        if problems.is_empty() {
            Ok(mapped)
        } else {
            Err(problems)
        }
    }

    /// A key that is mapped explicitly is left to its entry.
    fn every_file<B: Value>(
        &self,
        files: &Files<B>,
        mapped: &mut Mapped<B>,
        problems: &mut Vec<Problem>,
    ) {
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        for (path, bytes) in files.iter() {
            let target = path.replace('/', ".");
            if self.entries.contains_key(&target) {
                continue;
            }
            if key::check(&target).is_err() {
                problems.push(illegal(Name::AllKeys.as_str(), &target));
            } else if let Some(other) = taken.insert(target.clone(), path) {
                let what = format!(
                    "files `{}` and `{}` become the same key",
                    shown(other),
                    shown(path)
                );
                problems.push(Problem::new(
                    Name::AllKeys.as_str(),
                    what,
                    "map them by extra-data",
                ));
            } else {
                mapped.data.insert(target, bytes.clone());
            }
        }
    }
}

impl From<Pair> for Entry {
    fn from(pair: Pair) -> Self {
        Self {
            source_path: pair.source,
            target_key: pair.key,
            optional: false,
            decode: Decode::None,
            pointer: None,
        }
    }
}

impl Entry {
    /// None when the file, or the part of it, is not there.
    fn read<B: Value>(&self, files: &Files<B>) -> Result<Option<B>, String> {
        let Some(bytes) = files.get(&self.source_path) else {
            return Ok(None);
        };
        let plain = self.decode.apply(bytes)?;
        match &self.pointer {
            Some(pointer) => pointer.apply(&plain),
            None => Ok(Some(plain)),
        }
    }
}

fn trimmed(field: &str, pair: &Pair, advice: &mut Vec<Problem>) -> Pair {
    let out = Pair {
        source: pair.source.trim().to_owned(),
        key: pair.key.trim().to_owned(),
    };
    if out != *pair {
        advice.push(Problem::new(
            field,
            "blanks around a name are dropped",
            "remove them",
        ));
    }
    out
}

fn illegal(field: &str, key: &str) -> Problem {
    let what = format!("`{}` is no key of a Secret", shown(key));
    Problem::new(
        field,
        what,
        "use letters, digits, `-`, `_` and `.`, not starting with `..`, at most 253",
    )
}

fn missing<B: Value>(entry: &Entry, files: &Files<B>) -> Problem {
    let names: Vec<&str> = files.iter().map(|(path, _)| path).collect();
    let part = if files.get(&entry.source_path).is_some() {
        "nothing at its pointer"
    } else {
        "no such file"
    };
    let what = format!("{part} for key `{}`", shown(&entry.target_key));
    let listed: Vec<String> = names.iter().take(LISTED).map(|name| shown(name)).collect();
    let rest = names.len().saturating_sub(LISTED);
    let more = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    let returned = format!("the provider returned {}{more}", listed.join(", "));
    let remedy = match nearest(&entry.source_path, names.iter().copied()) {
        Some(meant) if meant != entry.source_path => {
            format!("did you mean {}? {returned}", shown(meant))
        }
        _ => returned,
    };
    Problem::new(shown(&entry.source_path), what, remedy)
}

#[cfg(test)]
mod tests;
