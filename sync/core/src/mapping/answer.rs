//! The files of one answer of a provider, under the driver's rules for paths.
//!
//! Error codes and versions of an answer are judged by who makes the call.

use std::collections::BTreeMap;

use super::Value;
use crate::problem::{Problem, shown};

/// Files by their cleaned paths.
pub struct Files<B>(BTreeMap<String, B>);

/// The provider returned no file at all: typically it writes files itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFiles;

/// An answer's files and what is odd about them.
pub struct Answer<B> {
    /// The files.
    pub files: Files<B>,
    /// Paths that came twice.
    pub advice: Vec<Problem>,
}

impl<B: Value> Answer<B> {
    /// Collects the files; of equal paths the last one counts, as for the driver.
    ///
    /// # Errors
    ///
    /// Every path that the driver would refuse; none when there was no file at all.
    pub fn collect(
        list: impl IntoIterator<Item = (String, B)>,
    ) -> Result<Result<Self, NoFiles>, Vec<Problem>> {
        let mut files = BTreeMap::new();
        let mut advice = Vec::new();
        let mut problems = Vec::new();
        for (path, bytes) in list {
            let Some(cleaned) = clean(&path) else {
                let what = "the provider returned a path that leads out of the volume";
                problems.push(Problem::new(
                    shown(&path),
                    what,
                    "correct the object's file name",
                ));
                continue;
            };
            if files.insert(cleaned, bytes).is_some() {
                let what = "the provider returned it twice, the last one counts";
                advice.push(Problem::new(shown(&path), what, "name the files apart"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if files.is_empty() {
            return Ok(Err(NoFiles));
        }
        Ok(Ok(Self {
            files: Files(files),
            advice,
        }))
    }
}

impl<B> Files<B> {
    /// The file of this path, cleaned or not.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&B> {
        self.0.get(&clean(path)?)
    }

    /// All files in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &B)> {
        self.0.iter().map(|(path, bytes)| (path.as_str(), bytes))
    }
}

/// A relative path without `.` and empty components; none when it is absolute, has a `..` or names nothing.
#[must_use]
pub fn clean(path: &str) -> Option<String> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return None;
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}
