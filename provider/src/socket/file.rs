//! The file of the socket: made in private, put in place by rename, unlinked only while it is ours.
//!
//! Files and names only; who may connect belongs to `accept`.

use std::fmt;
use std::fs::{self, DirBuilder, File, FileType, Metadata, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tracing::warn;

use super::SocketError;

/// `sun_path` has 108 bytes, the last of them zero (unix(7)).
const MAX_PATH_LENGTH: usize = 107;

/// The driver runs as root; nobody else needs the file.
const SOCKET_MODE: u32 = 0o600;

/// What stands at a path in place of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    Directory,
    Symlink,
    Regular,
    Other,
}

impl FileKind {
    /// `None` for a socket.
    fn of(kind: FileType) -> Option<Self> {
        if kind.is_socket() {
            None
        } else if kind.is_dir() {
            Some(Self::Directory)
        } else if kind.is_symlink() {
            Some(Self::Symlink)
        } else if kind.is_file() {
            Some(Self::Regular)
        } else {
            Some(Self::Other)
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Symlink => "a symlink",
            Self::Regular => "a plain file",
            Self::Other => "a device or pipe",
        })
    }
}

/// The name of our socket in its directory. Dropping it unlinks the name if it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Open, so that the number of the inode cannot come back with another socket.
    inode: File,
}

impl SocketFile {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to our inode: false once it is deleted or taken over.
    pub fn still_ours(&self) -> bool {
        let found = fs::symlink_metadata(&self.path);
        let ours = self.inode.metadata();
        matches!((found, ours), (Ok(found), Ok(ours)) if same_inode(&found, &ours))
    }

    /// Unlinks the path if it is still ours, and says whether it did.
    pub fn unlink_if_ours(&self) -> io::Result<bool> {
        let ours = self.still_ours();
        if ours {
            fs::remove_file(&self.path)?;
        }
        Ok(ours)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = self.unlink_if_ours() {
            warn!(path = ?self.path, %error, "socket file left behind");
        }
    }
}

fn same_inode(one: &Metadata, other: &Metadata) -> bool {
    one.dev() == other.dev() && one.ino() == other.ino()
}

/// Binds in a private directory beside `path` and renames the socket, listening already, to `path`.
pub(super) fn create(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    let directory = directory_of(path)?;
    let owner = replaceable(path)?;
    let private = PrivateDirectory::create(directory)?;
    let socket = private.socket();
    fits(path, path)?;
    fits(path, &socket)?;

    let (listener, inode) = listen(&socket).map_err(|source| SocketError::Listen {
        path: directory.to_path_buf(),
        source,
    })?;
    fs::rename(&socket, path).map_err(|source| SocketError::Replace {
        path: path.to_path_buf(),
        owner,
        source,
    })?;
    let path = path.to_path_buf();
    Ok((listener, SocketFile { path, inode }))
}

fn directory_of(path: &Path) -> Result<&Path, SocketError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(_)) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        (Some(parent), Some(_)) => Ok(parent),
        _ => Err(SocketError::NoFileName {
            path: path.to_path_buf(),
        }),
    }
}

/// The uid of the socket at `path`, or our own where there is nothing.
fn replaceable(path: &Path) -> Result<u32, SocketError> {
    match fs::symlink_metadata(path) {
        Ok(found) => match FileKind::of(found.file_type()) {
            None => Ok(found.uid()),
            Some(kind) => Err(SocketError::Occupied {
                path: path.to_path_buf(),
                kind,
            }),
        },
        // What else is wrong with the path shows in its directory.
        Err(_) => Ok(own_uid()),
    }
}

fn fits(path: &Path, tried: &Path) -> Result<(), SocketError> {
    match tried.as_os_str().len().saturating_sub(MAX_PATH_LENGTH) {
        0 => Ok(()),
        excess => Err(SocketError::TooLong {
            path: path.to_path_buf(),
            excess,
        }),
    }
}

/// Binding obeys the umask of the process; the private directory makes that irrelevant.
fn listen(socket: &Path) -> io::Result<(UnixListener, File)> {
    let listener = UnixListener::bind(socket)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(socket, Permissions::from_mode(SOCKET_MODE))?;
    let inode = rustix::fs::open(
        socket,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok((listener, inode.into()))
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A directory that only we can enter, gone with whatever is left in it when dropped.
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// A name is taken only where a predecessor was killed between two file operations, or by luck.
    const ATTEMPTS: usize = 8;

    fn create(parent: &Path) -> Result<Self, SocketError> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        let mut result = Err(io::ErrorKind::AlreadyExists.into());
        for _ in 0..Self::ATTEMPTS {
            let path = parent.join(short_name());
            result = builder.create(&path).map(|()| Self(path));
            if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        result.map_err(|source| SocketError::Directory {
            path: parent.to_path_buf(),
            uid: own_uid(),
            source,
        })
    }

    /// Short, so that it fits wherever a usual `NAME.sock` does.
    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // Empty after success; after a failure, nothing more can be done than to try.
        let _ = fs::remove_file(self.socket());
        if let Err(error) = fs::remove_dir(&self.0) {
            warn!(path = ?self.0, %error, "temporary directory left behind");
        }
    }
}

/// A hidden name that no other start is likely to meet; process ids are all 1 in containers.
fn short_name() -> String {
    let random = RandomState::new().build_hasher().finish();
    format!(".{:04x}", random & 0xffff)
}
