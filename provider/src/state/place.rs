//! The directory and the file of the state: on a memory file system, private, replaced whole.
//!
//! What the file holds is not known here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Unreadable;

/// The file's name behind that of the provider, of which a node may have several; a layout that this
/// version cannot read will have another.
const NAME: &str = "issued.v1";

/// A file half written is nobody's any more after this.
const STALE: Duration = Duration::from_secs(60);

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` of Linux's `statfs`.
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// Why there can be no state.
#[derive(Debug, thiserror::Error)]
pub enum NoPlace {
    /// It cannot be made or looked at.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// What is written there reaches a disk.
    #[error("{0} is on no memory file system: give it a tmpfs, or set --state-dir=off")]
    Disk(PathBuf),
}

/// Where the state is.
pub(super) struct Place {
    file: PathBuf,
    /// Where a new file is written first. In containers all processes have the same pid.
    new: PathBuf,
    /// The file that this process read or wrote last.
    ours: Mutex<Option<u64>>,
}

impl Place {
    /// Finds the directory, or makes it. `owner` is the provider's name, `tag` what no other process has.
    pub(super) fn find(directory: &Path, owner: &str, tag: u64) -> Result<Self, NoPlace> {
        let failed = |error| NoPlace::Io(directory.to_path_buf(), error);
        if !directory.exists() {
            let mut builder = DirBuilder::new();
            // Where it would be made on a disk it is not made at all.
            let parent = directory.parent().unwrap_or(Path::new("/"));
            if !is_in_memory(parent).map_err(failed)? {
                return Err(NoPlace::Disk(directory.to_path_buf()));
            }
            builder.mode(0o700).create(directory).map_err(failed)?;
        }
        if !is_in_memory(directory).map_err(failed)? {
            return Err(NoPlace::Disk(directory.to_path_buf()));
        }
        let name = format!("{owner}.{NAME}");
        remove_stale(directory, &format!(".{name}."));
        Ok(Self {
            file: directory.join(&name),
            new: directory.join(format!(".{name}.{tag:016x}")),
            ours: Mutex::default(),
        })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The bytes of the file, up to so many.
    pub(super) fn read(&self, most: usize) -> Result<Vec<u8>, Unreadable> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&self.file);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Unreadable::Absent);
            }
            file => file?,
        };
        let found = file.metadata()?;
        *self.ours() = Some(found.ino());
        let size = found.len();
        if size > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(Unreadable::TooLarge);
        }
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Replaces the file as a whole: a reader sees the old one or the new one.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let written = self.write_new(bytes);
        if written.is_err() {
            // What is left of it is of no use; the first error is the one to tell.
            let _ = fs::remove_file(&self.new);
        }
        written
    }

    fn write_new(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            // The group is that of the directory: root's, where a provider with root may follow one without.
            .mode(0o640)
            .open(&self.new)?;
        file.write_all(bytes)?;
        let inode = file.metadata()?.ino();
        fs::rename(&self.new, &self.file)?;
        *self.ours() = Some(inode);
        Ok(())
    }

    /// Whether no other process has written since this one read or wrote, as a successor does.
    pub(super) fn is_ours(&self) -> bool {
        let there = fs::symlink_metadata(&self.file).map(|file| file.ino()).ok();
        there.is_none() || there == *self.ours()
    }

    fn ours(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what processes left that were killed in the middle of a write, at best effort.
fn remove_stale(directory: &Path, prefix: &str) {
    for file in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_new = file.file_name().to_string_lossy().starts_with(prefix);
        let age = file
            .metadata()
            .and_then(|file| file.modified())
            .map(|at| at.elapsed());
        if is_new && age.is_ok_and(|age| age.is_ok_and(|age| age > STALE)) {
            let _ = fs::remove_file(file.path());
        }
    }
}

fn is_in_memory(directory: &Path) -> io::Result<bool> {
    let file_system = rustix::fs::fstatfs(File::open(directory)?)?;
    let magic = u32::try_from(file_system.f_type);
    Ok(magic.is_ok_and(|magic| IN_MEMORY.contains(&magic)))
}
