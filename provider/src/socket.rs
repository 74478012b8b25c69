//! The unix socket: private from birth, taken over by rename, for root and our own uid only.
//!
//! There is never a moment without a socket file while one provider replaces another, and a file
//! that is not ours is never removed, whether it is a neighbour's socket or no socket at all. What
//! callers say on an accepted stream belongs to the server.

mod accept;
mod file;

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use futures_util::Stream;
use tokio::net::UnixStream;

use crate::authority::AuthorityFilter;
use accept::Acceptor;
pub use accept::allowed;
pub use file::{FileKind, SocketFile};

/// An accepted connection of an allowed caller, fit for drivers of all versions; tonic takes it as
/// it is.
pub type PeerStream = AuthorityFilter<UnixStream>;

/// Why there is no socket. Each needs a change of configuration or of the node.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error(
        "socket path {path:?} holds {kind}, which is left alone: move it away or choose another path"
    )]
    Occupied { path: PathBuf, kind: FileKind },
    #[error("socket path {path:?} has no file name: end it in one, such as vault.sock")]
    NoFileName { path: PathBuf },
    #[error(
        "socket path {path:?} is too long for a unix socket by {excess} bytes: choose a shorter \
         directory or name"
    )]
    TooLong { path: PathBuf, excess: usize },
    #[error(
        "socket directory {path:?} not usable: it must exist, be writable for uid {uid}, and be the \
         providers directory of the driver"
    )]
    Directory {
        path: PathBuf,
        uid: u32,
        #[source]
        source: io::Error,
    },
    #[error("socket {path:?} not replaceable: remove it by hand, or run as its owner, uid {owner}")]
    Replace {
        path: PathBuf,
        owner: u32,
        #[source]
        source: io::Error,
    },
    #[error("no unix socket in {path:?}: choose a directory on a local file system of the node")]
    Listen {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A socket that queues callers, under its final name, and accepts none yet.
#[derive(Debug)]
pub struct BoundSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// Listens on `path`, mode 0600, replacing a stale or live socket of that name in one step.
///
/// A directory, a symlink or any other file at `path` stays and is an error. Blocks for a few file
/// operations; needs no runtime.
pub fn bind(path: &Path) -> Result<BoundSocket, SocketError> {
    let (listener, file) = file::create(path)?;
    Ok(BoundSocket { listener, file })
}

impl BoundSocket {
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether the name still leads to this socket, see [`SocketFile::still_ours`].
    pub fn still_ours(&self) -> bool {
        self.file.still_ours()
    }

    /// The file, which unlinks itself when dropped if it is still ours, and the connections.
    ///
    /// The stream yields only callers that are [`allowed`]; others are closed at once, logged, and
    /// told to `on_rejected`. It never ends and never yields an error: a failing accept is logged and
    /// tried again after a growing pause. Dropping it closes the listener. Must be called in a runtime.
    pub fn into_incoming(
        self,
        on_rejected: impl Fn() + Send + 'static,
    ) -> io::Result<(
        SocketFile,
        impl Stream<Item = io::Result<PeerStream>> + Send + 'static,
    )> {
        let listener = tokio::net::UnixListener::from_std(self.listener)?;
        let own_uid = rustix::process::geteuid().as_raw();
        let acceptor = Acceptor::new(listener, own_uid, on_rejected);
        let streams = futures_util::stream::unfold(acceptor, async |mut acceptor| {
            let stream = acceptor.next().await;
            Some((Ok(AuthorityFilter::new(stream)), acceptor))
        });
        Ok((self.file, streams))
    }
}

#[cfg(test)]
mod tests;
