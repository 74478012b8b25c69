//! What runs beside the Mounts for as long as there are any: leases, tokens, keys, sealed state, pods and
//! Events. Each part decides for itself what to do; here is only when it is asked.

use std::sync::Arc;
use std::time::Duration;

use super::Parts;
use crate::admin::Readiness;
use crate::config::Config;
use crate::events::{Events, Worker};
use crate::kube::{self, Cluster, EventWriter};
use crate::metrics::Metrics;
use crate::mounter::Mounter;
use crate::pods::PodWatch;
use crate::ports::{Chance, Machine};
use crate::state::State;
use crate::vault::kept::Kept;
use crate::vault::memory::Memory;
use crate::vault::session::Sessions;
use crate::version_key::VersionKeys;

/// How often tokens with leases are looked at: often enough for tokens of some seconds.
const MAINTENANCE: Duration = Duration::from_secs(2);

/// How often what nobody asks for is looked for; it is forgotten after minutes or a day.
const FORGETTING: Duration = Duration::from_secs(60);

/// How often leases are looked at: short against the shortest that are of use.
const TICK: Duration = Duration::from_secs(1);

/// Everything that needs a turn now and then.
pub(super) struct Upkeep {
    mounter: Arc<Mounter>,
    sessions: Arc<Sessions>,
    kept: Arc<Kept>,
    memory: Arc<Memory>,
    keys: Arc<VersionKeys>,
    state: Option<Arc<State>>,
    pods: Option<PodWatch>,
    writer: Option<Worker>,
    readiness: Arc<Readiness>,
    key_pause: Duration,
    metrics: Arc<Metrics>,
}

impl Upkeep {
    /// Starts the first fetch of the token keys; the rest begins with [`Self::run`].
    pub(super) async fn new(
        config: &Config,
        parts: &Parts,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
        writer: Option<Worker>,
    ) -> Self {
        observe_volumes(metrics, &parts.mounter);
        parts.prover.fetch_soon();
        Self {
            mounter: Arc::clone(&parts.mounter),
            sessions: Arc::clone(&parts.sessions),
            kept: Arc::clone(&parts.kept),
            memory: Arc::clone(&parts.memory),
            keys: Arc::clone(&parts.keys),
            state: state(config, parts),
            pods: pod_watch(config, parts, metrics).await,
            writer,
            readiness: Arc::clone(readiness),
            key_pause: config.hmac_refresh,
            metrics: Arc::clone(metrics),
        }
    }

    /// Where what was issued is written, for the last time at the end.
    pub(super) fn state(&self) -> Option<Arc<State>> {
        self.state.clone()
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let (pods, writer) = (self.pods.take(), self.writer.take());
        let pods = async {
            if let Some(pods) = pods {
                pods.run().await;
            }
        };
        let writer = async {
            if let Some(writer) = writer {
                writer.run().await;
            }
        };
        let ((), (), (), (), (), ()) = tokio::join!(
            self.renew_leases(),
            self.maintain(),
            self.forget(),
            self.look_after_keys(),
            pods,
            writer
        );
    }

    async fn renew_leases(&self) {
        loop {
            tokio::select! { () = tokio::time::sleep(TICK) => {}, () = self.kept.wanted() => {} }
            self.kept.tick(&self.sessions).await;
        }
    }

    async fn maintain(&self) {
        loop {
            tokio::time::sleep(MAINTENANCE).await;
            self.kept.sweep();
            self.metrics.leases_tracked(self.kept.leases());
            self.sessions.maintain().await;
        }
    }

    async fn forget(&self) {
        loop {
            tokio::time::sleep(FORGETTING).await;
            self.mounter.sweep();
            self.memory.sweep();
        }
    }

    /// Looks after the version key and after what is sealed with it.
    async fn look_after_keys(&self) {
        self.keys.settle().await;
        let key = self.keys.current();
        if let (Some(state), Some(key)) = (&self.state, &key) {
            state.load(Arc::clone(key)).await;
        }
        self.kept.open();
        self.readiness.version_key_settled();
        let seal = async {
            if let Some(state) = &self.state {
                if key.is_none() {
                    state.load(self.keys.had().await).await;
                }
                Arc::clone(state).run().await;
            }
        };
        let ((), ()) = tokio::join!(self.keys.keep(self.key_pause), seal);
    }
}

/// Where Events go, and who writes them if they are asked for and can be.
pub(super) fn events(config: &Config, cluster: Option<&Cluster>) -> (Events, Option<Worker>) {
    let cluster = match cluster {
        Some(cluster) if config.events => cluster.clone(),
        None if config.events => {
            tracing::warn!("--events: there is no API server to write events to");
            return (Events::off(), None);
        }
        _ => return (Events::off(), None),
    };
    // The name of our pod, or of our node where the pod has the host's network.
    let instance = rustix::system::uname().nodename().to_string_lossy().into();
    let chance: Arc<dyn Chance> = Arc::new(Machine);
    let (events, waiting) = Events::queue(Arc::clone(&chance));
    let cluster = Arc::new(EventWriter::new(cluster, instance));
    (events, Some(Worker::new(waiting, cluster, chance)))
}

/// Ages grow between Mounts, so they are looked at when somebody asks.
fn observe_volumes(metrics: &Metrics, mounter: &Arc<Mounter>) {
    let mounter = Arc::downgrade(mounter);
    metrics.before_scrape(move |metrics| {
        if let Some(mounter) = mounter.upgrade() {
            let standing = mounter.standing();
            metrics.refresh_observed(standing.oldest, standing.failing);
        }
    });
}

/// Where what was issued is kept over a restart; none where that cannot be, which is said once.
fn state(config: &Config, parts: &Parts) -> Option<Arc<State>> {
    let directory = config.state_dir.as_ref()?;
    if !parts.keys.is_lasting() {
        tracing::info!("what is issued is not kept over a restart: the version key is not either");
        return None;
    }
    let state = State::new(
        directory,
        &config.provider_name,
        Arc::clone(&parts.kept),
        Arc::clone(&parts.sessions),
        Arc::clone(&parts.keys),
        Arc::new(Machine),
    );
    match state {
        Ok(state) => {
            parts.kept.await_stored();
            Some(Arc::new(state))
        }
        Err(error) => {
            tracing::warn!(%error, "what is issued is not kept over a restart");
            None
        }
    }
}

/// The watch of this node's pods; none where nobody asked for it or there is no API server.
async fn pod_watch(config: &Config, parts: &Parts, metrics: &Arc<Metrics>) -> Option<PodWatch> {
    let node = config.watched_node.as_ref()?;
    let source = kube::node_pods(&config.kube, node, Arc::clone(metrics)).await;
    let none = || Err("there is no API server to ask".to_owned());
    match source.and_then(|source| source.map_or_else(none, Ok)) {
        Ok(source) => Some(PodWatch::new(
            Arc::new(source),
            Arc::clone(&parts.kept),
            Arc::new(Arc::clone(&parts.sessions)),
            Arc::new(Machine),
        )),
        Err(error) => {
            tracing::warn!(%error, "this node's pods cannot be watched");
            None
        }
    }
}
