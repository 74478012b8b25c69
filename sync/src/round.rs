//! One round of one object: what is wanted, what is decided, what is done, what is told.
//!
//! Thin: every judgement is the core's. A round that was overtaken, or whose process leads no more, writes nothing.

mod act;
mod conclude;
mod gather;
mod orphan;
mod prune;
mod tell;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coffer_sync_core::decide::Rights;
use coffer_sync_core::fingerprint::Key;
use coffer_sync_core::schedule::{Call, Last, Object};
use coffer_sync_core::secret_type::gate::AllowedTypes;
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

pub use self::orphan::settle as settle_orphan;
use crate::cluster::Cluster;
use crate::fetch::Fetcher;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::restarts::Restarts;
use crate::watch::Live;
use crate::world::Job;

/// A first fetch that takes longer is told of.
const PATIENCE: Duration = Duration::from_secs(1);

/// What all rounds share.
pub struct Context {
    /// The API server.
    pub cluster: Arc<Cluster>,
    /// The providers.
    pub fetcher: Fetcher,
    /// The key of fingerprints.
    pub key: Key,
    /// Which types may be written.
    pub allowed: AllowedTypes,
    /// What the operator granted.
    pub granted: Rights,
    /// Whether the watch of Secrets is at work: without it only a look proves anything.
    pub watching: Arc<Live>,
    /// Audience of each provider's token.
    pub audiences: BTreeMap<String, String>,
    /// Class parameter that names the audience.
    pub audience_parameter: Option<String>,
    /// After which time an unchanged status is written for its time alone.
    pub heartbeat: Duration,
    /// Name of our Pod.
    pub instance: String,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Workloads that wait for their restart.
    pub restarts: Arc<Restarts>,
}

impl Context {
    /// What may be relied on now.
    #[must_use]
    pub fn rights(&self) -> Rights {
        Rights {
            watch: self.granted.watch && self.watching.is_whole(),
            ..self.granted
        }
    }
}

/// Whether a round may still write.
#[derive(Clone)]
pub struct Alive {
    /// Set when its object changed.
    pub overtaken: Arc<AtomicBool>,
    /// Cancelled when this process leads no more.
    pub ended: CancellationToken,
    /// Whether its provider does not answer: then it is not asked, and the object learns so.
    pub paused: bool,
    /// Hears of rounds that are done but for telling: others need not wait for that.
    pub acted: UnboundedSender<Acted>,
}

impl Alive {
    fn may_write(&self) -> bool {
        !self.overtaken.load(Ordering::Acquire) && !self.ended.is_cancelled()
    }
}

/// How a round ended.
pub struct Ended {
    /// For the schedule; none where the object is due as before.
    pub last: Option<Last>,
}

/// A round that is done but for telling of it.
pub struct Acted {
    /// Its object.
    pub object: Object,
    /// Its provider.
    pub provider: String,
    /// Whether it might ask its provider.
    pub might_ask: bool,
    /// How the call of the provider ended, if there was one.
    pub call: Option<Call>,
}

/// Carries out one round.
pub async fn round(context: &Context, job: &Job, memory: &mut Memory, alive: &Alive) -> Ended {
    let began = Timestamp::now();
    // In boxes: what they need is given back before the round waits for its turn to tell.
    let mut gathered = Box::pin(gathered(context, job, memory, alive.paused, began)).await;
    let now = Timestamp::now();
    let act = act::Act {
        context,
        job,
        alive,
        gathered: &gathered,
        now,
    };
    let done = Box::pin(act.run(memory)).await;
    // The receiver is gone only with everything else.
    let _ = alive.acted.send(Acted {
        object: job.object.clone(),
        provider: job.provider().to_owned(),
        might_ask: !alive.paused,
        call: gathered.call,
    });
    let Some(done) = done else {
        // Its object is due again at once, or belongs to another leader.
        return Ended {
            last: Some(Last::Never),
        };
    };
    let concluded = conclude::conclude(job, memory, &gathered, &done, now);
    // Telling may take its time, and needs no values.
    gathered.forget_values();
    let told = tell::outcome(context, job, memory, &gathered, &concluded, now).await;
    tell::unknown(context, job, memory, now).await;
    let took = Timestamp::now().duration_since(began);
    context
        .metrics
        .reconciled(concluded.result, took.try_into().unwrap_or_default());
    Ended {
        last: Some(if told {
            concluded.last
        } else {
            again(concluded.last)
        }),
    }
}

/// What could not be told is told soon, and not at the next poll.
const fn again(last: Last) -> Last {
    match last {
        Last::Done | Last::Permanent => Last::Failed {
            before: 0,
            retry_after: None,
        },
        last => last,
    }
}

/// Gathers, and says that the object is known if that takes longer than a person waits.
async fn gathered(
    context: &Context,
    job: &Job,
    memory: &mut Memory,
    paused: bool,
    began: Timestamp,
) -> gather::Gathered {
    let mut gathering = std::pin::pin!(gather::gather(context, job, paused, began));
    let telling = async {
        tokio::time::sleep(PATIENCE).await;
        tell::accepted(context, job, memory, began).await;
    };
    tokio::select! {
        biased;
        gathered = &mut gathering => return gathered,
        () = telling => {}
    }
    gathering.await
}

/// Brings the status of an object up to date whose Secret restarts other workloads than before. Nothing is fetched.
pub async fn restarts_changed(context: &Context, job: &Job, memory: &mut Memory) -> Ended {
    tell::restarts_changed(context, job, memory, Timestamp::now()).await;
    Ended { last: None }
}
