//! The directory that stands for what a provider returns: each file at the path of its object.
//!
//! A volume of the driver, or a copy of one, will do.

use std::fs;
use std::path::{Path, PathBuf};

use coffer_sync_core::bytes::SecretBytes;

use super::super::Failed;

/// Directories one inside the other: a link to a parent must end somewhere.
const DEEPEST: usize = 16;

/// A directory that is still to be read.
struct Waiting {
    directory: PathBuf,
    /// Where it stands below the root, with a slash at its end.
    prefix: String,
    depth: usize,
}

/// All files below a directory by their paths in it, at most so many bytes.
pub(super) fn read(root: &Path, most: usize) -> Result<Vec<(String, SecretBytes)>, Failed> {
    let mut files = Vec::new();
    let mut room = most;
    let mut waiting = vec![Waiting {
        directory: root.to_owned(),
        prefix: String::new(),
        depth: 0,
    }];
    while let Some(here) = waiting.pop() {
        let unreadable = |error: std::io::Error| failed(&here.directory, error);
        for entry in fs::read_dir(&here.directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| failed(&path, "its name is not UTF-8"))?;
            // Where the driver keeps older generations of a volume.
            if name.starts_with("..") {
                continue;
            }
            let below = format!("{}{name}", here.prefix);
            let metadata = fs::metadata(&path).map_err(|error| failed(&path, error))?;
            if metadata.is_dir() && here.depth < DEEPEST {
                waiting.push(Waiting {
                    directory: path,
                    prefix: format!("{below}/"),
                    depth: here.depth + 1,
                });
            } else if metadata.is_file() {
                let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
                let left = room.checked_sub(size);
                room = left.ok_or_else(|| {
                    let what = format!("more than {most} bytes, see --max-response-bytes");
                    failed(root, what)
                })?;
                let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
                files.push((below, SecretBytes::new(bytes)));
            }
        }
    }
    Ok(files)
}

fn failed(path: &Path, what: impl std::fmt::Display) -> Failed {
    Failed::new(3, format!("{}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_paths_of_their_objects() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("db/creds")).unwrap();
        fs::create_dir_all(root.join("..old")).unwrap();
        for (path, text) in [("a", "1"), ("db/creds/user", "22"), ("..old/a", "old")] {
            fs::write(root.join(path), text).unwrap();
        }
        let files = read(root, 100).unwrap_or_else(|failed| panic!("{failed:?}"));
        let mut found: Vec<(&str, usize)> = files
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.len()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, [("a", 1), ("db/creds/user", 2)]);
    }

    #[test]
    fn what_cannot_be_read_or_is_too_much_is_said() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "12345").unwrap();
        assert!(read(directory.path(), 5).is_ok());
        let failed = read(directory.path(), 4).err().unwrap();
        assert!(failed.code == 3 && failed.text.contains("--max-response-bytes"));
        assert_eq!(
            read(&directory.path().join("none"), 4).err().unwrap().code,
            3
        );
    }
}
