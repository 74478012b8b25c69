//! Watches this node's pods, so that leases of pods that are gone are given back before they end.
//!
//! Optional: without it leases are renewed to their own end, whether their pods live or not. A pod counts as gone only when that is
//! certain: it was seen and then deleted or ended, or a complete list has no trace of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coffer_provider_core::issued::pause;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::ports::Chance;
use crate::vault::kept::{Kept, LeaseKeeper};

#[cfg(test)]
mod tests;

/// How old an entry must be before the absence of its pod counts: a list may be older than the pod.
const TRUSTED_AFTER: Duration = Duration::from_secs(30);

/// How often entries without a known pod are looked for.
const DOUBTS: Duration = Duration::from_secs(5);

/// The longest pause after a failure: what is gone while nobody watches is found soon after.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long a deleted pod is remembered: a read that was under way may still bring a lease for it.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A watch that ends sooner than this was no watch.
const SHORT: Duration = Duration::from_secs(1);

/// What is known of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPod {
    /// Its UID.
    pub uid: String,
    /// Its containers have ended and will not start again.
    pub ended: bool,
}

/// All pods of the node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodList {
    /// Where a watch goes on from.
    pub version: String,
    /// The pods.
    pub pods: Vec<SeenPod>,
    /// Whether each of them could be read: else the absence of one says nothing.
    pub is_complete: bool,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodEvent {
    /// A pod is there.
    Seen(SeenPod),
    /// A pod of this UID is there no more.
    Deleted(String),
    /// Where a watch goes on from.
    Version(String),
    /// Something that cannot be read.
    Malformed,
}

/// Why pods cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodFault {
    /// The version is too old to go on from: a new list is needed.
    #[error("the watch is too old")]
    Expired,
    /// Anything else, as a fragment with the remedy.
    #[error("{0}")]
    Failed(String),
}

/// Changes as they come.
pub type PodEvents = BoxStream<'static, Result<PodEvent, PodFault>>;

/// Tells of this node's pods.
#[async_trait]
pub trait PodSource: Send + Sync {
    /// All of them, fresh.
    ///
    /// # Errors
    /// When there is no complete answer.
    async fn list(&self) -> Result<PodList, PodFault>;

    /// What changes after a version. The stream ends now and then.
    ///
    /// # Errors
    /// When no watch can be had.
    async fn watch(&self, version: &str) -> Result<PodEvents, PodFault>;
}

/// Gives the leases of pods back that are gone.
pub struct PodWatch {
    source: Arc<dyn PodSource>,
    kept: Arc<Kept>,
    keeper: Arc<dyn LeaseKeeper>,
    chance: Arc<dyn Chance>,
    /// Pods that are there, by UID.
    known: HashSet<String>,
    /// Pods that went lately, by UID, and when. A UID never comes back.
    gone: HashMap<String, Instant>,
}

/// Why a watch ended without a fault.
enum Ended {
    /// A new list is needed.
    List,
    /// The API server ends watches by their time.
    Time,
}

impl PodWatch {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(
        source: Arc<dyn PodSource>,
        kept: Arc<Kept>,
        keeper: Arc<dyn LeaseKeeper>,
        chance: Arc<dyn Chance>,
    ) -> Self {
        Self {
            source,
            kept,
            keeper,
            chance,
            known: HashSet::new(),
            gone: HashMap::new(),
        }
    }

    /// Watches for ever; a fault is told once and then waited out.
    pub async fn run(mut self) {
        let (mut failures, mut told) = (0, None);
        loop {
            let began = self.chance.instant();
            let Err(fault) = self.follow().await else {
                continue;
            };
            // What went well for a while did not fail at once.
            if self.chance.instant().duration_since(began) > TRUSTED_AFTER {
                (failures, told) = (0, None);
            }
            let PodFault::Failed(error) = fault else {
                continue;
            };
            if told.as_ref() != Some(&error) {
                tracing::warn!(%error, "this node's pods cannot be watched: leases of pods that are gone live until they end");
                told = Some(error);
            }
            let luck = self.chance.random();
            let longest = LONGEST_PAUSE.mul_f64(1.0 - luck / 4.0);
            tokio::time::sleep(pause(failures, luck).min(longest)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Lists, then watches until a new list is needed.
    async fn follow(&mut self) -> Result<(), PodFault> {
        // Looked at before the list, so that the list is newer than what it is held against.
        let kept = self.kept.pods();
        let list = self.source.list().await?;
        let there: HashSet<String> = (list.pods.iter())
            .filter(|pod| !pod.ended)
            .map(|pod| pod.uid.clone())
            .collect();
        let ended = list.pods.iter().filter(|pod| pod.ended);
        let mut gone: HashSet<String> = ended.map(|pod| pod.uid.clone()).collect();
        if list.is_complete {
            let absent = kept.into_iter().filter(|(pod, age)| {
                !there.contains(pod) && (self.known.contains(pod) || *age >= TRUSTED_AFTER)
            });
            gone.extend(absent.map(|(pod, _)| pod));
            self.known = there;
        } else {
            self.known.extend(there);
        }
        self.give_back(&gone);
        let mut version = list.version;
        loop {
            let began = self.chance.instant();
            match self.watch(&mut version).await? {
                Ended::List => return Ok(()),
                Ended::Time if self.chance.instant().duration_since(began) < SHORT => {
                    tokio::time::sleep(SHORT).await;
                }
                Ended::Time => {}
            }
        }
    }

    async fn watch(&mut self, version: &mut String) -> Result<Ended, PodFault> {
        let mut events = self.source.watch(version).await?;
        let mut doubts = interval_at(Instant::now() + DOUBTS, DOUBTS);
        doubts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = doubts.tick() => {
                    self.give_back_late();
                    if self.has_doubts() {
                        return Ok(Ended::List);
                    }
                    continue;
                }
            };
            match event {
                None => return Ok(Ended::Time),
                Some(event) => self.take_in(event?, version),
            }
        }
    }

    fn take_in(&mut self, event: PodEvent, version: &mut String) {
        match event {
            PodEvent::Seen(pod) if !pod.ended => {
                self.known.insert(pod.uid);
            }
            PodEvent::Seen(SeenPod { uid, .. }) | PodEvent::Deleted(uid) => {
                self.known.remove(&uid);
                self.give_back(&HashSet::from([uid]));
            }
            PodEvent::Version(newer) => *version = newer,
            PodEvent::Malformed => tracing::debug!("a pod cannot be read and is passed over"),
        }
    }

    /// Something is kept for a pod that is not known to be there, for so long that a list can be trusted.
    fn has_doubts(&self) -> bool {
        let mut kept = self.kept.pods().into_iter();
        kept.any(|(pod, age)| age >= TRUSTED_AFTER && !self.known.contains(&pod))
    }

    /// What was issued for a pod after it was found gone.
    fn give_back_late(&mut self) {
        let now = self.chance.instant();
        self.gone
            .retain(|_, at| now.duration_since(*at) < REMEMBERED);
        self.drop_pods(&self.gone.keys().cloned().collect());
    }

    fn give_back(&mut self, gone: &HashSet<String>) {
        let now = self.chance.instant();
        self.gone.extend(gone.iter().map(|uid| (uid.clone(), now)));
        self.drop_pods(gone);
    }

    fn drop_pods(&self, gone: &HashSet<String>) {
        if gone.is_empty() {
            return;
        }
        let leases = self.kept.drop_pods(gone, &*self.keeper);
        if leases > 0 {
            tracing::info!(leases, "giving back the leases of pods that are gone");
        }
    }
}
