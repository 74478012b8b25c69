//! Accepts connections for ever, and hands on only those of root and of our own uid.
//!
//! No HTTP here, and no file names.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tracing::warn;

/// The pause after a first failing accept: long enough to spare the CPU, too short to be noticed.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause. Descriptors can be scarce for long; a driver waits two minutes for us.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whether a process of this uid may call: root, as the driver is, or ourselves.
pub fn allowed(peer_uid: u32, own_uid: u32) -> bool {
    peer_uid == 0 || peer_uid == own_uid
}

/// Where connections come from, each with the uid of the caller as the kernel knows it.
pub(super) trait Listen {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, Option<u32>)>>;
}

impl Listen for UnixListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, Option<u32>)>> {
        let (stream, _) = ready!(Self::poll_accept(self, cx))?;
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        Poll::Ready(Ok((stream, uid)))
    }
}

pub(super) struct Acceptor<L, F> {
    listener: L,
    own_uid: u32,
    on_rejected: F,
    pause: Duration,
}

impl<L: Listen, F: Fn()> Acceptor<L, F> {
    pub(super) fn new(listener: L, own_uid: u32, on_rejected: F) -> Self {
        Self {
            listener,
            own_uid,
            on_rejected,
            pause: FIRST_PAUSE,
        }
    }

    /// The next connection of an allowed caller.
    pub(super) async fn next(&mut self) -> UnixStream {
        loop {
            match poll_fn(|cx| self.listener.poll_accept(cx)).await {
                Ok((stream, uid)) => {
                    self.pause = FIRST_PAUSE;
                    if uid.is_some_and(|uid| allowed(uid, self.own_uid)) {
                        return stream;
                    }
                    warn!(uid, "caller refused: neither root nor our own uid");
                    (self.on_rejected)();
                }
                Err(error) => {
                    warn!(%error, pause = ?self.pause, "accepting a connection failed; trying again");
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}
