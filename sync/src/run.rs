//! Starts everything, leads while the Lease is ours, and ends it in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use coffer_sync_core::decide::Rights;
use coffer_sync_core::schedule::Limits;
use kube::Client;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, Liveness, Readiness};
use crate::cluster::{self, Access, Cluster};
use crate::config::Config;
use crate::controller::{Controller, ControllerRules, Shown, Views};
use crate::election::Candidate;
use crate::fetch::Fetcher;
use crate::luck::luck;
use crate::metrics::Metrics;
use crate::provider::{Pod, ProviderRules};
use crate::restarts::Restarts;
use crate::round::Context;
use crate::watch::Live;
use crate::world::WorldRules;

/// How often a process that does not lead shows that it lives.
const BEAT: Duration = Duration::from_secs(10);
/// Between two tries to get the key of fingerprints.
const KEY_RETRY: Duration = Duration::from_secs(2);
/// How long giving back the Lease may take.
const RELEASE: Duration = Duration::from_secs(5);

/// Serves until told to stop.
///
/// # Errors
/// There is no way to the API server, or the admin port cannot be had.
pub async fn serve(config: Config, metrics: Arc<Metrics>) -> anyhow::Result<()> {
    let access = Access {
        kubeconfig: config.kubeconfig.clone(),
        context: config.kube_context.clone(),
    };
    let kube = cluster::access(&access)
        .await
        .context("there is no access to a cluster: run in a pod, or name a --kubeconfig")?;
    let namespace = config
        .namespace
        .clone()
        .unwrap_or_else(|| kube.default_namespace.clone());
    let client = Client::try_from(kube).context("no client for the API server")?;
    let (per_second, burst) = (config.kube_api_qps, config.kube_api_burst);
    let cluster = Arc::new(Cluster::new(
        client,
        per_second,
        burst,
        Arc::clone(&metrics),
    ));
    let listener = TcpListener::bind(config.health_addr)
        .await
        .with_context(|| format!("cannot listen on {} (--health-addr)", config.health_addr))?;
    let shown = Shown {
        liveness: Arc::new(Liveness::default()),
        readiness: Arc::new(Readiness::default()),
        views: Arc::default(),
    };
    let served = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(
        listener,
        pages(&metrics, &shown),
        served.clone(),
    ));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        namespace,
        pod = config.pod_name,
        controller = config.controller_name,
        health = %config.health_addr,
        "started"
    );
    let stop = stop()?;
    let parts = Parts {
        config,
        cluster,
        namespace,
        metrics,
        shown,
    };
    let led = lead(&parts, &stop).await;
    served.cancel();
    admin.await.ok();
    led
}

fn pages(metrics: &Arc<Metrics>, shown: &Shown) -> Arc<Admin> {
    let views: Arc<Views> = Arc::clone(&shown.views);
    Arc::new(Admin {
        metrics: Arc::clone(metrics),
        liveness: Arc::clone(&shown.liveness),
        readiness: Arc::clone(&shown.readiness),
        objects: Arc::new(move || views.list()),
    })
}

/// Cancelled by SIGTERM or SIGINT.
fn stop() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(token)
}

/// Leads whenever the Lease is ours, until told to stop.
async fn lead(parts: &Parts, stop: &CancellationToken) -> anyhow::Result<()> {
    let (leading, mut state) = watch::channel(!parts.config.leader_elect);
    let resign = CancellationToken::new();
    let candidate = parts.config.leader_elect.then(|| {
        parts.shown.readiness.standing_by();
        tokio::spawn(parts.candidate().run(leading, resign.clone()))
    });
    let mut term: Term = None;
    while !stop.is_cancelled() {
        let is_leader = *state.borrow_and_update();
        parts.metrics.leader(is_leader);
        parts.turn(&mut term, is_leader, stop).await;
        tokio::select! {
            // At our word everything ends, and none of it is a surprise.
            biased;
            () = stop.cancelled() => {}
            // Without an election nobody sends.
            changed = state.changed(), if candidate.is_some() => {
                changed.context("the election ended by itself")?;
            }
            // Its loop ends by our word only. No half-dead process may answer probes.
            () = ended_by_itself(&mut term) => anyhow::bail!("the controller ended by itself"),
            () = tokio::time::sleep(BEAT) => {
                if term.is_none() {
                    parts.shown.liveness.moved();
                }
            }
        }
    }
    parts.shown.readiness.draining();
    if let Some((controller, _)) = term {
        controller.await.ok();
    }
    resign.cancel();
    if let Some(candidate) = candidate {
        tokio::time::timeout(RELEASE, candidate).await.ok();
    }
    parts.metrics.leader(false);
    Ok(())
}

/// Waits for the end of a time of leading; for ever where there is none.
async fn ended_by_itself(term: &mut Term) {
    match term {
        Some((controller, _)) => {
            controller.await.ok();
        }
        None => std::future::pending().await,
    }
}

/// One time of leading, and the word that ends it.
type Term = Option<(JoinHandle<()>, CancellationToken)>;

/// What every time of leading is made of.
#[derive(Clone)]
struct Parts {
    config: Config,
    cluster: Arc<Cluster>,
    namespace: String,
    metrics: Arc<Metrics>,
    shown: Shown,
}

impl Parts {
    fn candidate(&self) -> Candidate {
        Candidate {
            cluster: Arc::clone(&self.cluster),
            namespace: self.namespace.clone(),
            name: self.config.lease_name.clone(),
            me: format!("{}_{:016x}", self.config.pod_name, luck().to_bits()),
        }
    }

    /// Begins a time of leading, or ends it.
    async fn turn(&self, term: &mut Term, is_leader: bool, stop: &CancellationToken) {
        match (&term, is_leader) {
            (None, true) => {
                let ended = stop.child_token();
                let controller = tokio::spawn(self.clone().control(ended.clone()));
                *term = Some((controller, ended));
            }
            (Some((_, ended)), false) => {
                ended.cancel();
                if let Some((controller, _)) = term.take() {
                    controller.await.ok();
                }
                self.shown.readiness.standing_by();
            }
            _ => {}
        }
    }

    async fn control(self, ended: CancellationToken) {
        self.shown
            .readiness
            .starting("the lists of classes and SecretSyncs");
        let Some(key) = self.key(&ended).await else {
            return;
        };
        let context = Arc::new(self.context(key));
        let controller = Controller::new(context, rules(&self.config), self.shown.clone(), ended);
        controller.run().await;
    }

    async fn key(&self, ended: &CancellationToken) -> Option<coffer_sync_core::fingerprint::Key> {
        let random = SystemRandom::new();
        let fill = |bytes: &mut [u8; 32]| random.fill(bytes).ok();
        loop {
            let name = &self.config.hmac_secret_name;
            match self
                .cluster
                .fingerprint_key(&self.namespace, name, fill)
                .await
            {
                Ok(key) => return Some(key),
                Err(error) => {
                    tracing::warn!(%error, "nothing is synced without the key of fingerprints")
                }
            }
            self.shown.liveness.moved();
            tokio::select! {
                () = ended.cancelled() => return None,
                () = tokio::time::sleep(KEY_RETRY) => {}
            }
        }
    }

    fn context(&self, key: coffer_sync_core::fingerprint::Key) -> Context {
        let config = &self.config;
        let rules = ProviderRules {
            directories: config.provider_dirs.clone(),
            timeout: config.provider_timeout,
            answer_bytes: config.max_response_bytes,
            bytes_in_flight: config.answer_bytes_in_flight,
            per_second: config.provider_qps,
            burst: config.provider_burst,
            at_once: config.workers,
        };
        let pod = Pod {
            name: config.pod_name.clone(),
            uid: config.pod_uid.clone(),
        };
        let metrics = Arc::clone(&self.metrics);
        let fetcher = Fetcher::new(Arc::clone(&self.cluster), rules, pod, metrics);
        Context {
            cluster: Arc::clone(&self.cluster),
            fetcher,
            key,
            allowed: config.allowed_types.clone(),
            granted: Rights {
                delete: config.recreate,
                watch: config.drift_watch,
            },
            watching: Arc::new(Live::new(config.watch_namespaces.len().max(1))),
            audiences: config.audiences.clone(),
            audience_parameter: config.audience_parameter.clone(),
            heartbeat: config.status_heartbeat,
            instance: config.pod_name.clone(),
            metrics: Arc::clone(&self.metrics),
            restarts: Arc::new(Restarts::new(
                config.restarts,
                config.pod_name.clone(),
                Arc::clone(&self.metrics),
            )),
        }
    }
}

fn rules(config: &Config) -> ControllerRules {
    ControllerRules {
        world: WorldRules {
            controller_name: config.controller_name.clone(),
            claim_unnamed: config.claim_unnamed,
            refresh_interval: config.refresh_interval,
        },
        limits: Limits {
            workers: config.workers,
            per_provider: config.provider_concurrency,
        },
        namespaces: config.watch_namespaces.clone(),
        recheck: config.crd_check_interval,
        class_status: config.class_status,
        per_object: config.per_object_metrics,
    }
}
