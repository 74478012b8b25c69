//! File paths and modes that the driver can write, judged before any I/O.
//!
//! The driver checks less than it can write: NUL, clashes and the path `.` pass its checks and then
//! destroy or fail the volume (driver v1.6.0, pkg/util/fileutil). What this module accepts, the driver
//! writes. Nothing here touches a file system.

use std::collections::BTreeSet;

/// The longest path the driver takes, in bytes.
const MAX_PATH: usize = 4096;

/// The longest component the driver takes, in bytes.
const MAX_COMPONENT: usize = 255;

/// What the driver applies when a class sets no mode: 0644.
pub const DEFAULT_MODE: Mode = Mode(0o644);

/// A relative path below the volume that the driver accepts and can write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

/// Why a path cannot be used. Display is what is wrong, without the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// No characters at all.
    #[error("is empty")]
    Empty,
    /// Starts with `/`.
    #[error("is absolute")]
    Absolute,
    /// Longer than the driver takes.
    #[error("is longer than 4096 bytes, or one part of it is longer than 255")]
    TooLong,
    /// Leaves the volume or hides in the driver's own entries.
    #[error("contains `..` or starts with it")]
    Parent,
    /// `.`, `a//b`, `./a` or `a/`: Go's `filepath.Clean` would change it.
    #[error("is not in its shortest form (`.`, `./`, `//` or a `/` at the end)")]
    NotClean,
    /// A control character, NUL or a backslash.
    #[error("contains a control character or a backslash")]
    BadCharacter,
}

impl FilePath {
    /// Takes a path that the driver can write.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(path: &str) -> Result<Self, BadPath> {
        if path.is_empty() {
            return Err(BadPath::Empty);
        }
        if path.starts_with('/') {
            return Err(BadPath::Absolute);
        }
        if path.chars().any(|c| c.is_control() || c == '\\') {
            return Err(BadPath::BadCharacter);
        }
        if path.len() > MAX_PATH || path.split('/').any(|part| part.len() > MAX_COMPONENT) {
            return Err(BadPath::TooLong);
        }
        if path.starts_with("..") || path.split('/').any(|part| part == "..") {
            return Err(BadPath::Parent);
        }
        if path.split('/').any(|part| part.is_empty() || part == ".") {
            return Err(BadPath::NotClean);
        }
        Ok(Self(path.to_owned()))
    }

    /// The path as the driver gets it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Permission bits from 0 to 0777, taken literally by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// Takes the bits of a class; 0 means unset and becomes the default of the driver, because a mode
    /// of 0 would make a file that nobody can read. None above 0777.
    #[must_use]
    pub fn of_class(bits: u32) -> Option<Self> {
        match bits {
            0 => Some(DEFAULT_MODE),
            1..=0o777 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// A file that another path needs as a directory: the driver would fail halfway through its write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The path that is a file.
    pub file: String,
    /// The path below it.
    pub below: String,
}

/// All clashes among paths, each file once.
#[must_use]
pub fn clashes<'a>(paths: impl Iterator<Item = &'a FilePath>) -> Vec<Clash> {
    let sorted: BTreeSet<String> = paths.map(|path| path.0.clone()).collect();
    let mut found = Vec::new();
    for file in &sorted {
        let directory = format!("{file}/");
        let below = sorted.range(directory.clone()..).next();
        if let Some(below) = below.filter(|path| path.starts_with(&directory)) {
            found.push(Clash {
                file: file.clone(),
                below: below.clone(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{BadPath, FilePath, Mode, clashes};

    #[test]
    fn paths_that_the_driver_can_write_are_taken() {
        for path in [
            "a",
            "nested/bar",
            "a/..b",
            ".hidden",
            "a b",
            "é",
            "a<b>&é",
            "...",
        ] {
            let expected = if path.starts_with("..") {
                Err(BadPath::Parent)
            } else {
                Ok(path.to_owned())
            };
            assert_eq!(FilePath::parse(path).map(|p| p.0), expected, "{path}");
        }
        assert!(FilePath::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn paths_that_would_break_a_volume_are_refused() {
        for (path, expected) in [
            ("", BadPath::Empty),
            ("/x", BadPath::Absolute),
            (".", BadPath::NotClean),
            ("..", BadPath::Parent),
            ("../x", BadPath::Parent),
            ("a/../b", BadPath::Parent),
            ("..data", BadPath::Parent),
            ("a//b", BadPath::NotClean),
            ("./a", BadPath::NotClean),
            ("a/", BadPath::NotClean),
            ("a\0b", BadPath::BadCharacter),
            ("a\nb", BadPath::BadCharacter),
            ("a\\b", BadPath::BadCharacter),
            (&"x".repeat(256), BadPath::TooLong),
            (&"é".repeat(128), BadPath::TooLong),
            (&"abc/".repeat(1025), BadPath::TooLong),
        ] {
            assert_eq!(FilePath::parse(path), Err(expected), "{path:?}");
        }
    }

    #[test]
    fn an_unset_mode_becomes_0644_and_more_than_0777_is_none() {
        for (bits, expected) in [
            (0, Some(0o644)),
            (0o600, Some(0o600)),
            (0o777, Some(0o777)),
            (0o1777, None),
        ] {
            assert_eq!(Mode::of_class(bits).map(Mode::bits), expected, "{bits:o}");
        }
    }

    #[test]
    fn a_file_that_must_also_be_a_directory_is_a_clash() {
        let paths: Vec<_> = ["a", "a-b", "a/b/c", "b", "c/d"]
            .iter()
            .map(|p| FilePath::parse(p).unwrap())
            .collect();
        let found: Vec<_> = clashes(paths.iter())
            .into_iter()
            .map(|c| (c.file, c.below))
            .collect();
        assert_eq!(found, [("a".to_owned(), "a/b/c".to_owned())]);
    }
}
