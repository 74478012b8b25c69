//! Writes the files of a Mount into a directory of the caller: private, whole, and never outside of it.
//!
//! Modes of the class are not applied: this is no pod, and nobody but the caller is to read them.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path};

use coffer_provider_core::mount::MountFile;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// `f_type` of tmpfs and ramfs (linux/magic.h).
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

const PRIVATE_FILE: Mode = Mode::from_raw_mode(0o600);
const PRIVATE_DIRECTORY: Mode = Mode::from_raw_mode(0o700);

/// What the caller should know about the directory before secrets are put into it.
pub(super) fn remarks(directory: &Path) -> Vec<String> {
    let shown = directory.display();
    let mut remarks = Vec::new();
    let existing = directory
        .ancestors()
        .map(|path| {
            if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            }
        })
        .find(|path| path.exists())
        .unwrap_or(directory);
    if !rustix::fs::statfs(existing).is_ok_and(|fs| IN_MEMORY.contains(&fs.f_type)) {
        remarks.push(format!(
            "{shown} is not on a tmpfs: the secrets are written to a disk (a directory below /dev/shm or /run is in memory)"
        ));
    }
    let mode = std::fs::metadata(directory).map_or(0, |found| found.mode());
    if mode & 0o077 != 0 {
        remarks.push(format!(
            "{shown} has mode {:04o}: others can see the names of the files; chmod 0700 it",
            mode & 0o7777
        ));
    }
    remarks
}

/// Writes all files, or none: each is complete beside its place before the first is moved there.
///
/// # Errors
/// What the system says, with the path.
pub(super) fn write(directory: &Path, files: &[MountFile]) -> Result<(), String> {
    let told = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| told(directory, error))?;
    let root = rustix::fs::open(
        directory,
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| told(directory, error.into()))?;
    let mut staged = Vec::new();
    for file in files {
        let path = Path::new(&file.path);
        let stage = Staged::new(&root, path, file.contents.expose());
        staged.push(stage.map_err(|error| told(&directory.join(path), error))?);
    }
    for (stage, file) in staged.into_iter().zip(files) {
        stage
            .put()
            .map_err(|error| told(&directory.join(&file.path), error))?;
    }
    Ok(())
}

/// A complete file under a temporary name, removed on drop unless it was put in its place.
struct Staged {
    parent: OwnedFd,
    temporary: OsString,
    name: OsString,
}

impl Staged {
    fn new(root: &OwnedFd, path: &Path, contents: &[u8]) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let staged = Self {
            parent: parent_of(root, path)?,
            temporary: temporary_name()?,
            name: name.to_owned(),
        };
        refuse_directory(&staged.parent, name)?;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&staged.parent, &staged.temporary, flags, PRIVATE_FILE)?;
        File::from(file).write_all(contents)?;
        Ok(staged)
    }

    /// Replaces what stands there, be it a link: a link itself, never what it points at.
    fn put(self) -> io::Result<()> {
        Ok(rustix::fs::renameat(
            &self.parent,
            &self.temporary,
            &self.parent,
            &self.name,
        )?)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After the rename there is nothing left under this name.
        let _ = rustix::fs::unlinkat(&self.parent, &self.temporary, AtFlags::empty());
    }
}

/// The directory of a file, made where it is missing; a link on the way is refused.
fn parent_of(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut place = root.try_clone()?;
    for part in path.parent().unwrap_or(Path::new("")).components() {
        let Component::Normal(name) = part else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        match rustix::fs::mkdirat(&place, name, PRIVATE_DIRECTORY) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        place = rustix::fs::openat(&place, name, flags, Mode::empty()).map_err(
            |error| match error {
                Errno::NOTDIR | Errno::LOOP => io::Error::other(format!(
                    "{} is a link or a file where a directory is needed",
                    name.display()
                )),
                error => error.into(),
            },
        )?;
    }
    Ok(place)
}

fn refuse_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let is_directory =
        found.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir());
    if is_directory {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(())
}

fn temporary_name() -> io::Result<OsString> {
    let mut random = [0; 8];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| io::Error::other("the system gives no randomness"))?;
    Ok(format!(".coffer-{:016x}", u64::from_ne_bytes(random)).into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use coffer_provider_core::secret::SecretBytes;

    use super::{MountFile, remarks, write};

    fn file(path: &str, text: &str) -> MountFile {
        MountFile {
            path: path.to_owned(),
            mode: 0o644,
            contents: SecretBytes::new(text.as_bytes().to_vec()),
            version: String::new(),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// The names in a directory.
    fn names(path: &Path) -> Vec<String> {
        let names = fs::read_dir(path).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_and_directories_are_private_and_replaced_whole() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("new/out");
        write(&out, &[file("a", "1"), file("d/e/b", "2")]).unwrap();
        fs::set_permissions(out.join("a"), fs::Permissions::from_mode(0o644)).unwrap();
        write(&out, &[file("a", "3"), file("d/e/b", "4")]).unwrap();
        assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "3");
        assert_eq!(fs::read_to_string(out.join("d/e/b")).unwrap(), "4");
        for (path, expected) in [
            ("", 0o700),
            ("a", 0o600),
            ("d", 0o700),
            ("d/e", 0o700),
            ("d/e/b", 0o600),
        ] {
            assert_eq!(mode(&out.join(path)), expected, "{path}");
        }
        assert_eq!(names(&out), ["a", "d"]);
        assert_eq!(names(&out.join("d/e")), ["b"]);
    }

    #[test]
    fn a_link_is_replaced_or_refused_and_never_followed() {
        let place = tempfile::tempdir().unwrap();
        let (out, other) = (place.path().join("out"), place.path().join("other"));
        fs::create_dir(&out).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "theirs").unwrap();
        symlink(other.join("file"), out.join("a")).unwrap();
        symlink(&other, out.join("d")).unwrap();
        write(&out, &[file("a", "ours")]).unwrap();
        assert!(!out.join("a").is_symlink());
        let refused = write(&out, &[file("x", "ours"), file("d/file", "ours")]).unwrap_err();
        assert!(refused.contains("is a link or a file"), "{refused}");
        assert_eq!(fs::read_to_string(other.join("file")).unwrap(), "theirs");
        assert_eq!(names(&out), ["a", "d"], "a failed write leaves nothing");
        assert!(write(&out, &[file("../b", "ours")]).is_err());
    }

    #[test]
    fn nothing_is_moved_when_a_directory_stands_in_the_way() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("b")).unwrap();
        assert!(write(place.path(), &[file("a", "1"), file("b", "2")]).is_err());
        assert_eq!(names(place.path()), ["b"]);
    }

    #[test]
    fn an_open_directory_is_remarked_on() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let (private, open) = (place.path().join("p"), place.path().join("o"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(remarks(&private), [""; 0]);
        assert!(remarks(&open)[0].contains("mode 0755"));
        assert!(remarks(Path::new("/proc/x"))[0].contains("not on a tmpfs"));
    }
}
