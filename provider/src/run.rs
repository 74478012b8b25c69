//! Starts everything, serves, and ends it in order. Below this nothing reads the environment.
//!
//! At the end: stop accepting, finish what is in flight, give back the tokens on which nothing hangs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use coffer_proto::v1alpha1::csi_driver_provider_server::CsiDriverProviderServer;
use coffer_provider_core::problem::Problem;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, Readiness};
use crate::config::{Config, HmacSource};
use crate::kube::{self, Cluster, KeyFile};
use crate::metrics::Metrics;
use crate::mounter::Mounter;
use crate::pods::PodWatch;
use crate::ports::{Chance, Machine, NoTokenRequests, TokenRequests};
use crate::proof::{KeySource, Prover};
use crate::server::Provider;
use crate::socket;
use crate::state::State;
use crate::vault::http::Stores;
use crate::vault::kept::Kept;
use crate::vault::reads::Reads;
use crate::vault::session::Sessions;
use crate::version_key::{KeyOrigin, VersionKeys};

/// How often tokens with leases are looked at and old entries are dropped: often enough for tokens of some
/// seconds.
const MAINTENANCE: Duration = Duration::from_secs(2);

/// How often leases are looked at: short against the shortest that are of use.
const TICK: Duration = Duration::from_secs(1);

/// Largest request of the driver: a class is at most 1.5 MiB, escaped twice.
const MAX_REQUEST: usize = 16 << 20;

/// How long the last revocations may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// The parts that a Mount needs, shared by the server and the commands that play one.
pub struct Parts {
    /// Carries Mounts out.
    pub mounter: Arc<Mounter>,
    /// Logins.
    pub sessions: Arc<Sessions>,
    /// Reads.
    pub reads: Arc<Reads>,
    /// What was issued for pods.
    pub kept: Arc<Kept>,
    /// Keys of tokens.
    pub prover: Arc<Prover>,
    /// Key of versions.
    pub keys: Arc<VersionKeys>,
}

/// Builds the parts; nothing is sent yet.
///
/// # Errors
/// All problems of the operator's connection settings.
pub fn build(
    config: &Config,
    cluster: Option<Cluster>,
    metrics: &Arc<Metrics>,
) -> Result<Parts, Vec<Problem>> {
    let chance: Arc<dyn Chance> = Arc::new(Machine);
    let cluster = cluster.map(Arc::new);
    let requests: Arc<dyn TokenRequests> = match &cluster {
        Some(cluster) if config.token_request => Arc::clone(cluster) as Arc<dyn TokenRequests>,
        Some(_) => Arc::new(NoTokenRequests {
            remedy: "add the audience to tokenRequests of the CSIDriver, or set --token-request=auto",
        }),
        None => Arc::new(NoTokenRequests {
            remedy: "add the audience to tokenRequests of the CSIDriver",
        }),
    };
    let key_source: Option<Arc<dyn KeySource>> = match (&config.jwks_file, &cluster) {
        (Some(file), _) => Some(Arc::new(KeyFile(file.clone()))),
        (None, Some(cluster)) => Some(Arc::clone(cluster) as Arc<dyn KeySource>),
        (None, None) => None,
    };
    let origin = match (&config.hmac_source, cluster) {
        (HmacSource::File(path), _) => KeyOrigin::File(path.clone()),
        (HmacSource::Api, Some(cluster)) => KeyOrigin::Secret(cluster),
        (HmacSource::Api, None) | (HmacSource::Generate, _) => KeyOrigin::Generated,
    };
    let stores = Arc::new(Stores::new(
        config.http,
        config.http_rules.clone(),
        Arc::clone(metrics),
    ));
    let sessions = Arc::new(Sessions::new(
        config.cache_size,
        Arc::clone(&stores),
        requests,
        Arc::clone(&chance),
        Arc::clone(metrics),
    ));
    let kept = Arc::new(Kept::new(Arc::clone(&chance), Arc::clone(metrics)));
    let reads = Arc::new(Reads::new(
        stores,
        Arc::clone(&sessions),
        Arc::clone(&kept),
        config.inflight_per_mount,
        Arc::clone(&chance),
        Arc::clone(metrics),
    ));
    let prover = Arc::new(Prover::new(key_source));
    let keys = Arc::new(VersionKeys::new(origin));
    let mounter = Mounter::new(
        config.rules.clone(),
        Arc::clone(&reads),
        Arc::clone(&prover),
        Arc::clone(&keys),
        chance,
        Arc::clone(metrics),
    )?;
    Ok(Parts {
        mounter: Arc::new(mounter),
        sessions,
        reads,
        kept,
        prover,
        keys,
    })
}

/// Connects to the API server as configured; without one everything works that needs none.
pub async fn cluster(config: &Config, metrics: &Arc<Metrics>) -> Option<Cluster> {
    let connected = kube::connect(
        &config.kube,
        config.namespace.as_deref(),
        &config.hmac_secret_name,
        Arc::clone(metrics),
    );
    connected.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "no access to the API server");
        None
    })
}

/// Says when to stop, by SIGTERM or SIGINT: once to finish what is in flight, a second time to leave at
/// once.
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Takes the signals over from their default, which ends the process.
    ///
    /// # Errors
    /// When they cannot be watched.
    pub fn watch() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! { _ = self.term.recv() => {}, _ = self.int.recv() => {} }
    }
}

/// Serves until asked to stop.
///
/// # Errors
/// When socket or admin listener cannot be had, or serving ends by itself.
pub async fn serve(config: Config, metrics: Arc<Metrics>, stops: Signals) -> anyhow::Result<()> {
    let readiness = Arc::new(Readiness::default());
    readiness.config_parsed();
    let cluster = cluster(&config, &metrics).await;
    let parts = build(&config, cluster, &metrics).map_err(|problems| anyhow!(join(&problems)))?;
    let state = state(&config, &parts);
    let pods = pod_watch(&config, &parts, &metrics).await;
    let bound = socket::bind(&config.endpoint)?;
    let rejected = Arc::clone(&metrics);
    let (file, incoming) = bound.into_incoming(move || rejected.peer_rejected())?;
    readiness.socket_bound();
    let listener = listen(&config.health_addr).await?;

    let (stop, give_up, admin_stop) = (
        CancellationToken::new(),
        CancellationToken::new(),
        CancellationToken::new(),
    );
    let admin = Admin {
        metrics: Arc::clone(&metrics),
        readiness: Arc::clone(&readiness),
        socket: config.endpoint.clone(),
    };
    let admin = tokio::spawn(admin::serve(listener, Arc::new(admin), admin_stop.clone()));
    let background = tokio::spawn(background(
        Arc::clone(&parts.sessions),
        Arc::clone(&parts.kept),
        pods,
        Arc::clone(&metrics),
    ));
    parts.prover.fetch_soon();
    let keeper = tokio::spawn(keep_key(
        Arc::clone(&parts.keys),
        Arc::clone(&parts.kept),
        state.clone(),
        Arc::clone(&readiness),
        config.hmac_refresh,
    ));

    let service = Provider::new(
        &config.provider_name,
        Arc::clone(&parts.mounter),
        config.mount_deadline,
        metrics,
        give_up.clone(),
    );
    let service = CsiDriverProviderServer::new(service)
        .max_decoding_message_size(MAX_REQUEST)
        .max_encoding_message_size(usize::MAX);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), provider = %config.provider_name, socket = %config.endpoint.display(),
        store = %config.http_rules.own.first().map(ToString::to_string).unwrap_or_default(),
        profile = ?config.rules.policy.profile, token_request = config.token_request, "serving"
    );
    let draining = Arc::clone(&readiness);
    tokio::spawn(watch_shutdown(
        stops,
        stop.clone(),
        give_up,
        draining,
        config.drain,
    ));
    let served = tonic::transport::Server::builder()
        .max_concurrent_streams(None)
        .serve_with_incoming_shutdown(service, incoming, stop.clone().cancelled_owned())
        .await;
    let asked = stop.is_cancelled();
    background.abort();
    keeper.abort();
    let farewell = async {
        parts.reads.shut_down().await;
        parts.sessions.shut_down().await;
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!("not every token could be given back in time");
    }
    if let Some(state) = state {
        state.close().await;
    }
    admin_stop.cancel();
    let _ = admin.await;
    drop(file);
    served.context("serving the driver ended")?;
    if asked {
        Ok(())
    } else {
        Err(anyhow!("the socket's listener ended by itself"))
    }
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

/// What runs beside the Mounts for as long as there are any.
async fn background(
    sessions: Arc<Sessions>,
    kept: Arc<Kept>,
    pods: Option<PodWatch>,
    metrics: Arc<Metrics>,
) {
    let leases = async {
        loop {
            tokio::select! { () = tokio::time::sleep(TICK) => {}, () = kept.wanted() => {} }
            kept.tick(&sessions).await;
        }
    };
    let upkeep = async {
        loop {
            tokio::time::sleep(MAINTENANCE).await;
            kept.sweep();
            metrics.leases_tracked(kept.leases());
            sessions.maintain().await;
        }
    };
    let pods = async {
        if let Some(pods) = pods {
            pods.run().await;
        }
    };
    let ((), (), ()) = tokio::join!(leases, upkeep, pods);
}

/// Looks after the version key and after what is sealed with it.
async fn keep_key(
    keys: Arc<VersionKeys>,
    kept: Arc<Kept>,
    state: Option<Arc<State>>,
    readiness: Arc<Readiness>,
    pause: Duration,
) {
    keys.settle().await;
    let key = keys.current();
    if let (Some(state), Some(key)) = (&state, &key) {
        state.load(key).await;
    }
    kept.open();
    readiness.version_key_settled();
    let seal = async {
        if let Some(state) = state {
            if key.is_none() {
                state.load(&*keys.had().await).await;
            }
            state.run().await;
        }
    };
    let ((), ()) = tokio::join!(keys.keep(pause), seal);
}

/// First request: no new work, finish what is in flight. Second: out at once.
async fn watch_shutdown(
    mut stops: Signals,
    stop: CancellationToken,
    give_up: CancellationToken,
    readiness: Arc<Readiness>,
    drain: Duration,
) {
    stops.next().await;
    readiness.draining();
    tracing::info!("shutting down: finishing what is in flight");
    stop.cancel();
    tokio::select! {
        () = tokio::time::sleep(drain) => give_up.cancel(),
        () = stops.next() => std::process::exit(1),
    }
    stops.next().await;
    std::process::exit(1);
}

/// The first address that can be had: a host without IPv6 has only the second.
async fn listen(addresses: &[SocketAddr]) -> anyhow::Result<TcpListener> {
    let mut last = anyhow!("no address");
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = anyhow!("--health-addr {address}: {error}"),
        }
    }
    Err(last)
}

fn join(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
