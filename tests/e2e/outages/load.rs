//! Pods that publish for the whole case, each at a pace of its own, and what came of every publish.
//!
//! What should have come of it is the case's to say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use coffer_tests::driver::{Kubelet, Published};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::scene::{Generation, files};

/// Between two republishes of a pod: as long in refresh intervals as kubelet's 60 to 90 s are in 45 s, jittered.
const PERIOD: Duration = Duration::from_secs(9);
/// What is added to the period of the last of a hundred pods; the others lie between.
const JITTER: Duration = Duration::from_secs(3);
/// Before kubelet tries a first mount again, whose pauses begin with half a second and double.
const RETRY: Duration = Duration::from_secs(2);

/// One publish of one pod.
pub(super) struct Event {
    pub pod: usize,
    pub account: &'static str,
    /// Whether the pod had no files before it.
    pub first: bool,
    pub began: Instant,
    pub ended: Instant,
    pub published: Result<Published>,
    /// What the pod sees after it; none when nothing is mounted.
    pub files: Option<BTreeMap<String, Bytes>>,
}

impl Event {
    /// Whether the pod sees exactly this.
    pub(super) fn shows(&self, generation: Generation) -> bool {
        self.files.as_ref() == Some(&files(self.account, generation))
    }

    /// Whether it lies between two moments.
    pub(super) fn is_within(&self, from: Instant, to: Instant) -> bool {
        from <= self.began && self.ended <= to
    }
}

/// All pods of a case; they end with it.
#[derive(Default)]
pub(super) struct Load {
    events: Arc<Mutex<Vec<Event>>>,
    pods: Mutex<JoinSet<()>>,
}

impl Load {
    /// A pod that is started now and republished until the end, every second where it is restless.
    pub(super) fn add(&self, account: &'static str, node: Kubelet, restless: bool) {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let pod = pods.len();
        let period = if restless {
            Duration::from_secs(1)
        } else {
            // Neighbours lie far apart.
            PERIOD + JITTER * u32::try_from(pod * 37 % 100).unwrap_or_default() / 100
        };
        let events = Arc::clone(&self.events);
        pods.spawn(publish_for_ever(pod, account, node, period, events));
    }

    /// How many pods there are.
    pub(super) fn pods(&self) -> usize {
        self.pods
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// What came of all publishes so far, in the order in which they ended.
    pub(super) fn look<T>(&self, at: impl FnOnce(&[Event]) -> T) -> T {
        at(&self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn publish_for_ever(
    pod: usize,
    account: &'static str,
    mut node: Kubelet,
    period: Duration,
    events: Arc<Mutex<Vec<Event>>>,
) {
    // The first of its republishes comes early, so that those of all pods are spread over the period.
    let mut pause = period * u32::try_from(pod * 37 % 100).unwrap_or_default() / 100;
    loop {
        let (first, began) = (!node.is_mounted(), Instant::now());
        let published = node.publish().await;
        let files = node.is_mounted().then(|| node.files()).transpose();
        let (published, files) = match files {
            Ok(files) => (published, files),
            Err(error) => (Err(error), None),
        };
        let event = Event {
            pod,
            account,
            first,
            began,
            ended: Instant::now(),
            published,
            files,
        };
        events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
        if node.is_mounted() {
            sleep(std::mem::replace(&mut pause, period)).await;
        } else {
            sleep(RETRY).await;
        }
    }
}
