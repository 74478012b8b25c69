//! The list of metrics: what each is called, what it means, and which label values it can have.
//!
//! Names and labels are a promise to dashboards and alerts; a snapshot test holds them still.

use coffer_provider_core::fault::{Phase, Reason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::catalog::{Catalog, Labelled, Seconds};
use super::labels::{
    CODES, CacheName, KubeCode, KubeVerb, LoginMethod, LoginResult, PolicyRule, RenewKind, StoreOp,
    StoreStatus, Target, code_name,
};

/// The reasons that say the store gave no usable answer: what may be repeated or bridged by memory.
const STORE_REASONS: [Reason; 7] = [
    Reason::StoreState,
    Reason::StoreTls,
    Reason::StoreUnreachable,
    Reason::StoreTimeout,
    Reason::StoreError,
    Reason::StoreBusy,
    Reason::BadAnswer,
];

/// What a renewal or revocation can end in.
const OK_OR_ERROR: [&str; 2] = ["ok", "error"];

/// Mounts, as the driver asks for them.
#[derive(Debug)]
pub(super) struct MountFamilies {
    pub(super) requests: Labelled<Counter, 2>,
    pub(super) failures: Labelled<Counter, 2>,
    pub(super) duration: Labelled<Histogram, 1>,
    pub(super) response_bytes: Histogram,
    pub(super) in_flight: Gauge,
    pub(super) queued: Gauge,
    pub(super) last_success: Labelled<Seconds, 1>,
    pub(super) oldest_age: Seconds,
    pub(super) failing_volumes: Gauge,
    pub(super) served_memory: Counter,
    pub(super) served_stale: Labelled<Counter, 1>,
}

impl MountFamilies {
    pub(super) fn register(c: &mut Catalog<'_>) -> Self {
        let phases = Phase::ALL.map(Phase::as_str);
        let codes = CODES.map(code_name);
        let reasons = Reason::ALL.map(Reason::as_str);
        let store_reasons = STORE_REASONS.map(Reason::as_str);
        Self {
            requests: c.counters(
                "mount_requests",
                "Mount calls answered, by gRPC code",
                [("phase", &phases), ("code", &codes)],
            ),
            failures: c.counters(
                "mount_failures",
                "Mount calls that failed, by reason",
                [("phase", &phases), ("reason", &reasons)],
            ),
            duration: c.durations(
                "mount_duration_seconds",
                "Time from a Mount call to its answer",
                [("phase", &phases)],
            ),
            response_bytes: c.sizes("mount_response_bytes", "Size of answers with files"),
            in_flight: c.gauge("mount_in_flight", "Mount calls being worked on"),
            queued: c.gauge("mount_queued", "Requests of Mount calls waiting for their turn at the store"),
            last_success: c.timestamps(
                "mount_last_success_timestamp_seconds",
                "When a Mount last succeeded, in Unix time; 0 is never",
                [("phase", &phases)],
            ),
            oldest_age: c.gauge(
                "refresh_oldest_age_seconds",
                "Greatest age of the last answers of volumes that were mounted in the last 10 minutes",
            ),
            failing_volumes: c.gauge(
                "refresh_failing_volumes",
                "Volumes mounted in the last 10 minutes whose last refresh failed or was answered with old bytes",
            ),
            served_memory: c.counter(
                "served_memory",
                "Mounts answered wholly from memory that was fresh enough",
            ),
            served_stale: c.counters(
                "served_stale",
                "Mounts answered with the last good bytes because the store gave no usable answer",
                [("reason", &store_reasons)],
            ),
        }
    }
}

/// Traffic to the store.
#[derive(Debug)]
pub(super) struct StoreFamilies {
    pub(super) requests: Labelled<Counter, 3>,
    pub(super) duration: Labelled<Histogram, 1>,
    pub(super) in_flight: Gauge,
    pub(super) breaker_open: Labelled<Gauge, 1>,
    pub(super) retries: Labelled<Counter, 1>,
    pub(super) coalesced: Counter,
    pub(super) logins: Labelled<Counter, 2>,
    pub(super) tokens_cached: Gauge,
    pub(super) leases_tracked: Gauge,
    pub(super) renewals: Labelled<Counter, 2>,
    pub(super) revocations: Labelled<Counter, 2>,
    pub(super) ca_expiry: Seconds,
    pub(super) tls_reload_failures: Counter,
}

impl StoreFamilies {
    /// `addresses` is the length of the operator's list.
    pub(super) fn register(c: &mut Catalog<'_>, addresses: usize) -> Self {
        let ops = texts(StoreOp::ALL, StoreOp::as_str);
        let statuses = texts(StoreStatus::ALL, StoreStatus::as_str);
        let targets = targets(addresses);
        let kinds = texts(RenewKind::ALL, RenewKind::as_str);
        let methods = texts(LoginMethod::ALL, LoginMethod::as_str);
        let results = texts(LoginResult::ALL, LoginResult::as_str);
        let families = Self {
            requests: c.counters(
                "store_requests",
                "Requests to the store",
                [("op", &ops), ("status", &statuses), ("target", &targets)],
            ),
            duration: c.durations(
                "store_request_duration_seconds",
                "Time from a request to the store to the end of its answer",
                [("op", &ops)],
            ),
            in_flight: c.gauge("store_in_flight", "Requests to the store under way"),
            breaker_open: c.gauges(
                "store_breaker_open",
                "Breakers that keep requests from a failing address",
                [("target", &targets)],
            ),
            retries: c.counters(
                "store_retries",
                "Requests to the store that were repeated",
                [("reason", &STORE_REASONS.map(Reason::as_str))],
            ),
            coalesced: c.counter(
                "store_coalesced",
                "Reads that were answered by an equal one already under way",
            ),
            logins: c.counters(
                "logins",
                "Logins to the store",
                [("method", &methods), ("result", &results)],
            ),
            tokens_cached: c.gauge("tokens_cached", "Store tokens held"),
            leases_tracked: c.gauge("leases_tracked", "Leases held for pods"),
            renewals: c.counters(
                "renewals",
                "Renewals of store tokens and leases",
                [("kind", &kinds), ("result", &OK_OR_ERROR)],
            ),
            revocations: c.counters(
                "revocations",
                "Revocations of store tokens and leases",
                [("kind", &kinds), ("result", &OK_OR_ERROR)],
            ),
            ca_expiry: c.gauge(
                "tls_ca_expiry_timestamp_seconds",
                "Earliest end of a configured CA certificate, in Unix time; +Inf if none is configured",
            ),
            tls_reload_failures: c.counter(
                "tls_reload_failures",
                "TLS files that changed and could not be used",
            ),
        };
        // An alert on "ends soon" must not fire where there is no CA file, so never 0.
        families.ca_expiry.set(f64::INFINITY);
        families
    }
}

/// The process itself, its caches and its callers.
#[derive(Debug)]
pub(super) struct OwnFamilies {
    pub(super) cache_lookups: Labelled<Counter, 2>,
    pub(super) cache_evictions: Labelled<Counter, 1>,
    pub(super) peer_rejected: Counter,
    pub(super) panics: Counter,
    pub(super) log_dropped: Counter,
    pub(super) unknown_parameters: Counter,
    pub(super) policy_warnings: Labelled<Counter, 1>,
    pub(super) kube_requests: Labelled<Counter, 2>,
}

impl OwnFamilies {
    pub(super) fn register(c: &mut Catalog<'_>) -> Self {
        let caches = texts(CacheName::ALL, CacheName::as_str);
        let rules = texts(PolicyRule::ALL, PolicyRule::as_str);
        let verbs = texts(KubeVerb::ALL, KubeVerb::as_str);
        let codes = texts(KubeCode::ALL, KubeCode::as_str);
        Self {
            cache_lookups: c.counters(
                "cache_lookups",
                "Look-ups in a cache",
                [("cache", &caches), ("result", &["hit", "miss"])],
            ),
            cache_evictions: c.counters(
                "cache_evictions",
                "Entries that left a cache because it was full",
                [("cache", &caches)],
            ),
            peer_rejected: c.counter(
                "peer_rejected",
                "Connections closed because the caller is neither root nor us",
            ),
            panics: c.counter("panics", "Panics caught; each is a bug"),
            log_dropped: c.counter(
                "log_dropped",
                "Log lines dropped because stdout did not take them",
            ),
            unknown_parameters: c.counter(
                "unknown_parameters",
                "Class parameters that were ignored because nobody knows them",
            ),
            policy_warnings: c.counters(
                "policy_warnings",
                "Uses of what the strict policy profile would refuse",
                [("rule", &rules)],
            ),
            kube_requests: c.counters(
                "kube_requests",
                "Requests to the Kubernetes API",
                [("verb", &verbs), ("code", &codes)],
            ),
        }
    }
}

fn texts<T: Copy>(all: &[T], text: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|value| text(*value)).collect()
}

/// The labels of a list of this many addresses, without doubles where it is longer than the labels.
fn targets(addresses: usize) -> Vec<&'static str> {
    let listed = (0..addresses)
        .map(Target::listed)
        .take_while(|target| *target != Target::OTHER);
    listed.chain([Target::OTHER]).map(Target::as_str).collect()
}
