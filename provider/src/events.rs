//! Events on pods: what is told to those who watch a pod, since the driver hides a republish that fails.
//!
//! A Mount only puts an Event into a bounded queue. One worker (`events/worker.rs`) writes them behind
//! it, so that no Mount waits for the API server. When something is told is decided in the core.

mod worker;

use std::sync::Arc;

use coffer_provider_core::notice::Notice;
use coffer_provider_core::params::Pod;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::ports::Chance;
use coffer_frame::telemetry::RepeatGate;

pub use worker::Worker;

/// The most Events that wait: two for each of the 110 pods of a usual node.
const MAX_WAITING: usize = 256;

/// An Event to be written on a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// The pod.
    pub pod: Pod,
    /// What is told.
    pub notice: Notice,
    /// In words: one line below 1 KiB without payload.
    pub text: String,
    /// When it happened.
    pub at: Timestamp,
}

/// Takes Events without waiting.
#[derive(Clone)]
pub struct Events(Option<Arc<Queue>>);

struct Queue {
    waiting: mpsc::Sender<PodEvent>,
    chance: Arc<dyn Chance>,
    dropped: RepeatGate,
}

impl Events {
    /// Nothing is written.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// The two ends of a queue. Events of a full one are dropped.
    #[must_use]
    pub fn queue(chance: Arc<dyn Chance>) -> (Self, mpsc::Receiver<PodEvent>) {
        let (waiting, taken) = mpsc::channel(MAX_WAITING);
        let queue = Queue {
            waiting,
            chance,
            dropped: RepeatGate::default(),
        };
        (Self(Some(Arc::new(queue))), taken)
    }

    /// Takes an Event that happens now.
    pub fn offer(&self, pod: &Pod, notice: Notice, text: String) {
        if let Some(queue) = &self.0 {
            queue.offer(pod, notice, text);
        }
    }
}

impl Queue {
    fn offer(&self, pod: &Pod, notice: Notice, text: String) {
        // Pod and namespace are what the caller says, and the namespace becomes part of a path.
        if !is_label(&pod.namespace) || pod.name.is_empty() {
            return;
        }
        let event = PodEvent {
            pod: pod.clone(),
            notice,
            text,
            at: self.chance.now(),
        };
        if self.waiting.try_send(event).is_err() {
            self.say_dropped();
        }
    }

    fn say_dropped(&self) {
        let now = self.chance.instant().into_std();
        if let Some(repeated) = self.dropped.admit("dropped", now) {
            tracing::warn!(
                repeated,
                "an event was dropped: {MAX_WAITING} wait for the API server already"
            );
        }
    }
}

/// Whether it can be the name of a namespace.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests;
