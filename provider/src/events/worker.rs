//! Writes the Events that wait, one after the other, and says when they cannot be written.
//!
//! An Event that fails is not tried again: the log has told the same already.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::PodEvent;
use crate::ports::{Chance, NotWritten, PodEvents};
use coffer_frame::telemetry::RepeatGate;

/// How long the API server may take for one: behind it wait the others.
const LIMIT: Duration = Duration::from_secs(5);

/// Writes Events until nobody can offer one any more.
pub struct Worker {
    waiting: mpsc::Receiver<PodEvent>,
    cluster: Arc<dyn PodEvents>,
    chance: Arc<dyn Chance>,
    gate: RepeatGate,
}

impl Worker {
    /// Of a queue's other end.
    #[must_use]
    pub fn new(
        waiting: mpsc::Receiver<PodEvent>,
        cluster: Arc<dyn PodEvents>,
        chance: Arc<dyn Chance>,
    ) -> Self {
        Self {
            waiting,
            cluster,
            chance,
            gate: RepeatGate::default(),
        }
    }

    /// Runs until the queue is closed and empty.
    pub async fn run(mut self) {
        while let Some(event) = self.waiting.recv().await {
            let written = tokio::time::timeout(LIMIT, self.cluster.write(&event)).await;
            let late = format!("no answer within {} s", LIMIT.as_secs());
            if let Err(error) = written.unwrap_or(Err(NotWritten::Failed(late))) {
                self.complain(&event, &error);
            }
        }
    }

    /// Each kind of failure is said once in ten minutes.
    fn complain(&self, event: &PodEvent, error: &NotWritten) {
        let remedy = match error {
            NotWritten::Forbidden(_) => "grant events create",
            NotWritten::Failed(_) => "it is not tried again",
        };
        let now = self.chance.instant().into_std();
        if let Some(repeated) = self.gate.admit(remedy, now) {
            tracing::warn!(
                namespace = %event.pod.namespace, pod = %event.pod.name, event = event.notice.as_str(), repeated, %error,
                "an event cannot be written: {remedy}"
            );
        }
    }
}
