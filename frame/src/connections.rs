//! The connections that are open, of which there are never too many.
//!
//! At the limit the oldest is closed, not the newest refused: a probe ends within milliseconds, so those
//! who hold connections open cannot keep the kubelet out.

use std::collections::VecDeque;
use std::future::Future;

use tokio::task::{AbortHandle, JoinSet};

/// Most connections at once: two probes and some scrapers need a tenth of it.
pub const MAX_CONNECTIONS: usize = 64;

/// Open connections, in the order in which they came. All are cut off when this is dropped.
#[derive(Debug, Default)]
pub struct Connections {
    tasks: JoinSet<()>,
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    /// Serves one more, and closes the oldest if it is one too many.
    pub fn spawn(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.by_age.retain(|connection| !connection.is_finished());
        if self.by_age.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.by_age.pop_front()
        {
            oldest.abort();
        }
        self.by_age.push_back(self.tasks.spawn(connection));
    }

    /// Waits until all have ended.
    pub async fn finished(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
