//! A provider's process as far as its socket goes: what answers behind it stays, but its connections end with it.
//!
//! A vendor's provider lives in the process of the test, where connections outlive their listener.

use std::path::Path;

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

/// A listener that hands every connection on.
pub(in crate::sync) struct Line {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Line {
    /// Listens on one socket for another.
    pub(in crate::sync) fn open(socket: &Path, to: &Path) -> Result<Self> {
        let listener =
            UnixListener::bind(socket).with_context(|| format!("binding {}", socket.display()))?;
        let (end, ended) = oneshot::channel();
        let to = to.to_owned();
        let task = tokio::spawn(async move {
            let mut pipes = JoinSet::new();
            tokio::select! {
                _ = ended => {}
                () = accept(&listener, &to, &mut pipes) => {}
            }
            drop(listener);
            pipes.shutdown().await;
        });
        Ok(Self { end, task })
    }

    /// Ends it as a process that is killed: all connections are closed, and the socket stays behind.
    pub(in crate::sync) async fn down(self) -> Result<()> {
        drop(self.end);
        self.task.await.context("a line that did not end")
    }
}

async fn accept(listener: &UnixListener, to: &Path, pipes: &mut JoinSet<()>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let to = to.to_owned();
        pipes.spawn(async move {
            if let Ok(mut far) = UnixStream::connect(&to).await {
                // It ends with either side.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
