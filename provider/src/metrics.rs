//! Metrics: one method per event, one line per method, all label values from closed sets.
//!
//! Every series is there from the first scrape on. No method takes text, so nothing of a pod, a class, a
//! path or a message can become a label. Scraping over HTTP is done in `admin.rs`.

mod catalog;
mod families;
mod labels;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coffer_provider_core::fault::{Phase, Reason};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tonic::Code;

use self::catalog::Catalog;
use self::families::{MountFamilies, OwnFamilies, StoreFamilies};
pub use self::labels::{
    CacheName, KubeCode, KubeVerb, LoginMethod, LoginResult, PolicyRule, RenewKind, StoreOp,
    StoreStatus, Target, code_name,
};
use coffer_frame::figures::Process;

/// What this binary was built from: the labels of `coffer_build_info`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildInfo {
    /// Semantic version.
    pub version: &'static str,
    /// Commit, or `unknown`.
    pub revision: &'static str,
    /// Version of the compiler, or `unknown`.
    pub rustc: &'static str,
}

/// All metrics of the provider. One per process, shared in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    mount: MountFamilies,
    store: StoreFamilies,
    own: OwnFamilies,
    /// Std: held only to push a hook or to copy the list.
    hooks: Mutex<Vec<Hook>>,
}

/// Sets gauges just before a scrape.
#[derive(Clone)]
struct Hook(Arc<dyn Fn(&Metrics) + Send + Sync>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// Counts one thing as under way until it is dropped.
#[derive(Debug)]
#[must_use = "what is under way ends when this is dropped"]
pub struct InFlight(Gauge);

impl InFlight {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All series at zero. `addresses` is the length of the operator's list of store addresses. To be
    /// made first thing in a process: its start time is taken from here.
    #[must_use]
    pub fn new(build: BuildInfo, addresses: usize) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process::starting_now()));
        let mut catalog = Catalog(registry.sub_registry_with_prefix("coffer"));
        let (version, revision, rustc) = (build.version, build.revision, build.rustc);
        let labels = [
            ("version", version),
            ("revision", revision),
            ("rustc", rustc),
        ];
        catalog.0.register(
            "build",
            "What this binary was built from",
            Info::new(labels),
        );
        Self {
            mount: MountFamilies::register(&mut catalog),
            store: StoreFamilies::register(&mut catalog, addresses),
            own: OwnFamilies::register(&mut catalog),
            hooks: Mutex::default(),
            registry,
        }
    }

    /// Runs `hook` before each scrape, for gauges that are cheaper to ask for than to keep current.
    /// It must not block and must not call `before_scrape` or `encode`.
    pub fn before_scrape(&self, hook: impl Fn(&Metrics) + Send + Sync + 'static) {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.push(Hook(Arc::new(hook)));
    }

    /// All metrics as text: OpenMetrics 1.0, or the classic Prometheus format 0.0.4.
    #[must_use]
    pub fn encode(&self, openmetrics: bool) -> String {
        let hooks = self
            .hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for Hook(hook) in hooks {
            hook(self);
        }
        let mut out = String::new();
        let written = if openmetrics {
            text::encode(&mut out, &self.registry)
        } else {
            prometheus_text::encode(&mut out, &self.registry)
        };
        // Writing into a String cannot fail; a scraper would see a text cut short and say so.
        debug_assert!(written.is_ok());
        out
    }

    /// The content type of what [`Metrics::encode`] returns.
    #[must_use]
    pub const fn content_type(openmetrics: bool) -> &'static str {
        if openmetrics {
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        } else {
            prometheus_text::CONTENT_TYPE
        }
    }
}

/// Mounts.
impl Metrics {
    /// A request of a Mount waits for its turn until the guard is dropped.
    pub fn mount_queued(&self) -> InFlight {
        InFlight::new(&self.mount.queued)
    }

    /// A Mount is worked on until the guard is dropped.
    pub fn mount_started(&self) -> InFlight {
        InFlight::new(&self.mount.in_flight)
    }

    /// A Mount was answered: no reason is a success, which may have a size.
    pub fn mount_finished(
        &self,
        phase: Phase,
        code: Code,
        reason: Option<Reason>,
        duration: Duration,
        response_bytes: Option<u64>,
    ) {
        let phase = phase.as_str();
        self.mount.requests.of([phase, code_name(code)]).inc();
        self.mount
            .duration
            .of([phase])
            .observe(duration.as_secs_f64());
        match reason {
            Some(reason) => {
                self.mount.failures.of([phase, reason.as_str()]).inc();
            }
            None => {
                self.mount.last_success.of([phase]).set(unix_now());
            }
        }
        if let Some(bytes) = response_bytes {
            self.mount.response_bytes.observe(bytes as f64);
        }
    }

    /// The greatest age of the answers that volumes in use were given last, and how many of these volumes
    /// fail to refresh or were given old bytes.
    pub fn refresh_observed(&self, oldest_age: Duration, failing_volumes: usize) {
        self.mount.oldest_age.set(oldest_age.as_secs_f64());
        set(&self.mount.failing_volumes, failing_volumes);
    }

    /// A Mount was answered wholly from memory that was fresh enough.
    pub fn served_memory(&self) {
        self.mount.served_memory.inc();
    }

    /// A Mount was answered with old bytes because the store gave no usable answer.
    pub fn served_stale(&self, reason: Reason) {
        self.mount.served_stale.of([reason.as_str()]).inc();
    }
}

/// The store.
impl Metrics {
    /// A request to the store is under way until the guard is dropped.
    pub fn store_request_started(&self) -> InFlight {
        InFlight::new(&self.store.in_flight)
    }

    /// A request to the store ended.
    pub fn store_request(
        &self,
        op: StoreOp,
        status: StoreStatus,
        target: Target,
        duration: Duration,
    ) {
        let op = op.as_str();
        self.store
            .requests
            .of([op, status.as_str(), target.as_str()])
            .inc();
        self.store.duration.of([op]).observe(duration.as_secs_f64());
    }

    /// A request is repeated, for this reason.
    pub fn store_retried(&self, reason: Reason) {
        self.store.retries.of([reason.as_str()]).inc();
    }

    /// A read joined an equal one under way.
    pub fn store_coalesced(&self) {
        self.store.coalesced.inc();
    }

    /// A breaker opened; each is to be closed once.
    pub fn breaker_opened(&self, target: Target) {
        self.store.breaker_open.of([target.as_str()]).inc();
    }

    /// A breaker that was open closed, or was forgotten.
    pub fn breaker_closed(&self, target: Target) {
        self.store.breaker_open.of([target.as_str()]).dec();
    }

    /// A login ended.
    pub fn login(&self, method: LoginMethod, result: LoginResult) {
        self.store
            .logins
            .of([method.as_str(), result.as_str()])
            .inc();
    }

    /// How many store tokens are held now.
    pub fn tokens_cached(&self, count: usize) {
        set(&self.store.tokens_cached, count);
    }

    /// How many leases are held now.
    pub fn leases_tracked(&self, count: usize) {
        set(&self.store.leases_tracked, count);
    }

    /// A renewal ended.
    pub fn renewal(&self, kind: RenewKind, ok: bool) {
        self.store
            .renewals
            .of([kind.as_str(), ok_or_error(ok)])
            .inc();
    }

    /// A revocation ended.
    pub fn revocation(&self, kind: RenewKind, ok: bool) {
        self.store
            .revocations
            .of([kind.as_str(), ok_or_error(ok)])
            .inc();
    }

    /// When the first of the configured CA certificates in use ends, in Unix time. Where there is none an
    /// alert on "ends soon" must not fire, so that it is never 0.
    pub fn ca_expiry(&self, unix_seconds: Option<i64>) {
        let ends = unix_seconds.map_or(f64::INFINITY, |ends| ends as f64);
        self.store.ca_expiry.set(ends);
    }

    /// A TLS file changed and could not be used.
    pub fn tls_reload_failed(&self) {
        self.store.tls_reload_failures.inc();
    }
}

/// The process itself.
impl Metrics {
    /// A cache was asked.
    pub fn cache_lookup(&self, cache: CacheName, hit: bool) {
        let result = if hit { "hit" } else { "miss" };
        self.own.cache_lookups.of([cache.as_str(), result]).inc();
    }

    /// An entry left a cache because it was full.
    pub fn cache_evicted(&self, cache: CacheName) {
        self.own.cache_evictions.of([cache.as_str()]).inc();
    }

    /// A connection was closed because of who made it.
    pub fn peer_rejected(&self) {
        self.own.peer_rejected.inc();
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        self.own.panics.inc();
    }

    /// A log line was dropped.
    pub fn log_dropped(&self) {
        self.own.log_dropped.inc();
    }

    /// Class parameters were ignored because they are not known.
    pub fn unknown_parameters(&self, count: u64) {
        self.own.unknown_parameters.inc_by(count);
    }

    /// Something was used that the strict profile would refuse.
    pub fn policy_warned(&self, rule: PolicyRule) {
        self.own.policy_warnings.of([rule.as_str()]).inc();
    }

    /// A request to the Kubernetes API ended.
    pub fn kube_request(&self, verb: KubeVerb, code: KubeCode) {
        self.own
            .kube_requests
            .of([verb.as_str(), code.as_str()])
            .inc();
    }
}

fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

const fn ok_or_error(ok: bool) -> &'static str {
    if ok { "ok" } else { "error" }
}

fn unix_now() -> f64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs_f64()
}

#[cfg(test)]
mod tests;
