//! Starts everything, serves, and ends it in order. Below this nothing reads the environment.
//!
//! At the end: stop accepting, finish what is in flight, give back the tokens on which nothing hangs.

mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use coffer_proto::v1alpha1::csi_driver_provider_server::CsiDriverProviderServer;
use coffer_provider_core::problem::Problem;
use coffer_provider_core::target::Address;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, Readiness};
use crate::config::{Config, HmacSource};
use crate::events::Events;
use crate::kube::{self, Cluster, KeyFile};
use crate::metrics::Metrics;
use crate::mounter::Mounter;
use crate::ports::{Chance, Machine, NoTokenRequests, TokenRequests};
use crate::proof::{KeySource, Prover};
use crate::server::{Mounts, Provider};
use crate::socket;
use crate::state::State;
use crate::vault::http::Stores;
use crate::vault::kept::Kept;
use crate::vault::memory::Memory;
use crate::vault::reads::{ReadParts, Reads};
use crate::vault::session::Sessions;
use crate::version_key::{KeyOrigin, VersionKeys};
use upkeep::Upkeep;

/// Largest request of the driver: a class is at most 1.5 MiB, escaped twice.
const MAX_REQUEST: usize = 16 << 20;

/// How long the last revocations may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// The parts that a Mount needs, shared by the server and the commands that play one.
pub struct Parts {
    /// Carries Mounts out.
    pub mounter: Arc<Mounter>,
    /// Connections to stores.
    pub stores: Arc<Stores>,
    /// Logins.
    pub sessions: Arc<Sessions>,
    /// Reads.
    pub reads: Arc<Reads>,
    /// What was issued for pods.
    pub kept: Arc<Kept>,
    /// What plain reads brought.
    pub memory: Arc<Memory>,
    /// Keys of tokens.
    pub prover: Arc<Prover>,
    /// Key of versions.
    pub keys: Arc<VersionKeys>,
}

/// Builds the parts; nothing is sent yet. All that they know of time and luck is `chance`.
///
/// # Errors
/// All problems of the operator's connection settings.
pub fn build(
    config: &Config,
    cluster: Option<Cluster>,
    chance: Arc<dyn Chance>,
    metrics: &Arc<Metrics>,
) -> Result<Parts, Vec<Problem>> {
    let cluster = cluster.map(Arc::new);
    let requests: Arc<dyn TokenRequests> = match &cluster {
        Some(cluster) if config.token_request => Arc::clone(cluster) as Arc<dyn TokenRequests>,
        Some(_) => Arc::new(NoTokenRequests {
            remedy: "add the audience to tokenRequests of the CSIDriver, or set --token-request=auto (in the chart: csi.tokenRequest.enabled)",
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
        Arc::clone(&chance),
        Arc::clone(metrics),
    ));
    let memory = Arc::new(Memory::new(
        config.cache_bytes,
        Arc::clone(&chance),
        Arc::clone(metrics),
    ));
    let sessions = Arc::new(Sessions::new(
        config.cache_size,
        Arc::clone(&memory),
        Arc::clone(&stores),
        requests,
        Arc::clone(&chance),
        Arc::clone(metrics),
    ));
    let kept = Arc::new(Kept::new(Arc::clone(&chance), Arc::clone(metrics)));
    let reads = ReadParts {
        stores: Arc::clone(&stores),
        sessions: Arc::clone(&sessions),
        kept: Arc::clone(&kept),
        memory: Arc::clone(&memory),
        rules: config.rules.refresh,
        per_mount: config.inflight_per_mount,
    };
    let reads = Arc::new(Reads::new(reads, Arc::clone(&chance), Arc::clone(metrics)));
    let prover = Arc::new(Prover::new(key_source));
    let keys = Arc::new(VersionKeys::new(origin));
    let mounter = Mounter::new(
        config.rules.clone(),
        Arc::clone(&sessions),
        Arc::clone(&reads),
        Arc::clone(&prover),
        Arc::clone(&keys),
        chance,
        Arc::clone(metrics),
    )?;
    Ok(Parts {
        mounter: Arc::new(mounter),
        stores,
        sessions,
        reads,
        kept,
        memory,
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
        &config.rules.audience,
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
    let listener = listen(&config.health_addr).await?;
    let cluster = cluster(&config, &metrics).await;
    let (events, writer) = upkeep::events(&config, cluster.as_ref());
    let parts = build(&config, cluster, Arc::new(Machine), &metrics)
        .map_err(|problems| anyhow!(join(&problems)))?;
    // The socket comes last: it replaces that of a provider that may be serving, which no failure undoes.
    let bound = socket::bind(&config.endpoint)?;
    let rejected = Arc::clone(&metrics);
    let (file, incoming) = bound.into_incoming(move || rejected.peer_rejected())?;
    readiness.socket_bound();

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
    let upkeep = Upkeep::new(&config, &parts, &metrics, &readiness, writer).await;
    let state = upkeep.state();
    let mut upkeep = tokio::spawn(upkeep.run());
    let service = service(&config, &parts, metrics, events, give_up.clone());
    announce(&config);
    tokio::spawn(watch_shutdown(
        stops,
        stop.clone(),
        give_up,
        readiness,
        config.drain,
    ));
    let served = tonic::transport::Server::builder()
        .max_concurrent_streams(None)
        .serve_with_incoming_shutdown(service, incoming, stop.clone().cancelled_owned());
    let served = tokio::select! {
        served = served => served.context("serving the driver ended"),
        // Without it leases would end under their pods, and nobody would see why.
        _ = &mut upkeep => Err(anyhow!("the upkeep of leases and keys ended: this is a bug, report it")),
    };
    let asked = stop.is_cancelled();
    upkeep.abort();
    farewell(&parts, state).await;
    admin_stop.cancel();
    let _ = admin.await;
    drop(file);
    served?;
    if asked {
        Ok(())
    } else {
        Err(anyhow!("the socket's listener ended by itself"))
    }
}

/// What the driver calls.
fn service(
    config: &Config,
    parts: &Parts,
    metrics: Arc<Metrics>,
    events: Events,
    give_up: CancellationToken,
) -> CsiDriverProviderServer<Provider> {
    let provider = Provider::new(
        &config.provider_name,
        Arc::clone(&parts.mounter) as Arc<dyn Mounts>,
        config.mount_deadline,
        metrics,
        events,
        give_up,
    );
    CsiDriverProviderServer::new(provider)
        .max_decoding_message_size(MAX_REQUEST)
        .max_encoding_message_size(usize::MAX)
}

fn announce(config: &Config) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), provider = %config.provider_name, socket = %config.endpoint.display(),
        store = %listed(&config.http_rules.own),
        profile = ?config.rules.policy.profile, token_request = config.token_request, "serving"
    );
}

/// Gives back the tokens on which nothing hangs, and writes down what leases hang on.
async fn farewell(parts: &Parts, state: Option<Arc<State>>) {
    let farewell = async {
        parts.reads.shut_down().await;
        parts.sessions.shut_down().await;
        parts.stores.shut_down().await;
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!("not every token could be given back in time");
    }
    if let Some(state) = state {
        state.save().await;
    }
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

fn listed(addresses: &[Address]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn join(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
