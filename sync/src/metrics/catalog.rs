//! The list of metrics: what each is called, what it means, and which label values it can have.
//!
//! Names and labels are a promise to dashboards and alerts; a snapshot test holds them still. Every series of a closed
//! set is created at once, so it is there, at zero, before its first event.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labels::{
    CODES, Call, Failed, Kube, OUTCOMES, Object, Outcome, Provider, REASONS, RESULTS, Reason,
    STATES, STATUSES, State, TYPES, Type, VERBS, checks,
};

/// Seconds, from an answer out of a provider's memory (5 ms) to its time limit (30 s).
const DURATIONS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0,
];

/// Seconds, from a round that starts when it is due to one that waits for a quarter of an hour.
const LAGS: [f64; 10] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];

/// A gauge of seconds with fractions.
pub(super) type Seconds = Gauge<f64, AtomicU64>;

/// Objects and rounds.
#[derive(Debug)]
pub(super) struct Rounds {
    pub(super) objects: Family<State, Gauge>,
    pub(super) contested: Gauge,
    pub(super) stale: Gauge,
    pub(super) oldest_success_age: Seconds,
    pub(super) reconciles: Family<Outcome, Counter>,
    pub(super) failures: Family<Reason, Counter>,
    pub(super) duration: Histogram,
    pub(super) queue_depth: Gauge,
    pub(super) queue_lag: Histogram,
    pub(super) leader: Gauge,
    pub(super) earliest_expiry: Family<Type, Seconds>,
    pub(super) checks: Family<Failed, Counter>,
    pub(super) restarts: Family<Outcome, Counter>,
}

impl Rounds {
    pub(super) fn register(r: &mut Registry) -> Self {
        let states = STATES.map(|state| State { state });
        let results = RESULTS.map(|result| Outcome { result });
        let reasons = REASONS.map(|reason| Reason { reason });
        let types = TYPES.map(|r#type| Type { r#type });
        let checks = checks().map(|check| Failed { check });
        let outcomes = OUTCOMES.map(|result| Outcome { result });
        Self {
            objects: family(r, "objects", "Objects by state", states, Gauge::default),
            contested: one(
                r,
                "contested_objects",
                "Objects whose Secret somebody else keeps changing",
                Gauge::default(),
            ),
            stale: one(
                r,
                "stale_objects",
                "Objects whose last success is too long ago",
                Gauge::default(),
            ),
            oldest_success_age: one(
                r,
                "oldest_success_age_seconds",
                "Age of the oldest last success of all objects that ever had one",
                Seconds::default(),
            ),
            reconciles: family(
                r,
                "reconciles",
                "Rounds of objects, by how they ended",
                results,
                Counter::default,
            ),
            failures: family(
                r,
                "failures",
                "Rounds that wrote nothing, by reason",
                reasons,
                Counter::default,
            ),
            duration: one(r, "duration_seconds", "Time that rounds take", durations()),
            queue_depth: one(
                r,
                "queue_depth",
                "Objects that are due and wait for a worker",
                Gauge::default(),
            ),
            queue_lag: one(
                r,
                "queue_lag_seconds",
                "Time between an object being due and its round",
                Histogram::new(LAGS),
            ),
            leader: one(
                r,
                "leader",
                "Whether this process holds the Lease",
                Gauge::default(),
            ),
            earliest_expiry: family(
                r,
                "earliest_expiry_timestamp_seconds",
                "When the first content of a type stops being usable, in Unix time; infinite where none does",
                types,
                || {
                    let gauge = Seconds::default();
                    gauge.set(f64::INFINITY);
                    gauge
                },
            ),
            checks: family(
                r,
                "check_failures",
                "Checks that content failed",
                checks,
                Counter::default,
            ),
            restarts: family(
                r,
                "restarts",
                "Restarts of workloads",
                outcomes,
                Counter::default,
            ),
        }
    }
}

/// Everything that is asked of others.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) requests: Family<Call, Counter>,
    pub(super) durations: Family<Provider, Histogram>,
    pub(super) in_flight: Family<Provider, Gauge>,
    pub(super) paused: Family<Provider, Gauge>,
    pub(super) tokens: Family<Outcome, Counter>,
}

impl Calls {
    pub(super) fn register(r: &mut Registry) -> Self {
        let outcomes = OUTCOMES.map(|result| Outcome { result });
        Self {
            requests: family(
                r,
                "provider_requests",
                "Calls of providers, by gRPC code",
                [],
                Counter::default,
            ),
            durations: family(
                r,
                "provider_request_seconds",
                "Time that calls of providers take",
                [],
                durations,
            ),
            in_flight: family(
                r,
                "provider_in_flight",
                "Calls of providers under way",
                [],
                Gauge::default,
            ),
            paused: family(
                r,
                "provider_paused",
                "Whether a provider is left alone because it does not answer",
                [],
                Gauge::default,
            ),
            tokens: family(
                r,
                "token_requests",
                "Tokens of ServiceAccounts asked for",
                outcomes,
                Counter::default,
            ),
        }
    }

    /// All series of a provider that was not known before.
    pub(super) fn introduce(&self, provider: &Provider) {
        for code in CODES {
            drop(self.requests.get_or_create(&Call {
                provider: provider.provider.clone(),
                code,
            }));
        }
        drop(self.durations.get_or_create(provider));
        drop(self.in_flight.get_or_create(provider));
        drop(self.paused.get_or_create(provider));
    }
}

/// Series for single objects.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) last_success: Family<Object, Seconds>,
    pub(super) expiry: Family<Object, Seconds>,
    pub(super) held: Family<Object, Gauge>,
}

impl Objects {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            last_success: family(
                r,
                "object_last_success_timestamp_seconds",
                "When the Secret was last known to hold what was fetched, in Unix time",
                [],
                Seconds::default,
            ),
            expiry: family(
                r,
                "object_expiry_timestamp_seconds",
                "When the content of the Secret stops being usable, in Unix time",
                [],
                Seconds::default,
            ),
            held: family(
                r,
                "object_held",
                "Whether a worse value is held back",
                [],
                Gauge::default,
            ),
        }
    }
}

/// Requests to the API server, under the prefix that the provider's have too.
pub(super) fn kube_requests(r: &mut Registry) -> Family<Kube, Counter> {
    let sets = VERBS
        .into_iter()
        .flat_map(|verb| STATUSES.map(|code| Kube { verb, code }));
    let help = "Requests to the Kubernetes API, by verb and status";
    family(r, "kube_requests", help, sets, Counter::default)
}

fn durations() -> Histogram {
    Histogram::new(DURATIONS)
}

pub(super) fn one<M>(r: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: EncodeMetric + Clone + Debug + Send + Sync + 'static,
{
    r.register(name, help, metric.clone());
    metric
}

fn family<S, M>(
    r: &mut Registry,
    name: &str,
    help: &str,
    sets: impl IntoIterator<Item = S>,
    new: fn() -> M,
) -> Family<S, M>
where
    S: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static,
    M: EncodeMetric + TypedMetric + Debug + Send + Sync + 'static,
{
    let family = Family::<S, M>::new_with_constructor(new);
    for set in sets {
        drop(family.get_or_create(&set));
    }
    r.register(name, help, family.clone());
    family
}
