//! Metrics: one method per event, label values from closed sets.
//!
//! Every series of a closed set is there from the first scrape on. No value, token or text of a provider can become a
//! label. Scraping over HTTP is done in `admin`.

mod catalog;
mod labels;
mod providers;

use std::collections::BTreeMap;
use std::time::Duration;

use coffer_frame::figures::Process;
use jiff::Timestamp;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::catalog::{Calls, Objects, Rounds, kube_requests, one};
use self::labels::{Build, Call, Failed, Kube, Object, Outcome, Provider, Reason, State, Type};
pub use self::labels::{CODES, OUTCOMES, REASONS, RESULTS, TYPES, VERBS};
use self::providers::Providers;

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

/// How many objects are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectCounts {
    /// The Secret holds what was fetched.
    pub ready: i64,
    /// The last round failed or was refused.
    pub failing: i64,
    /// A worse value is held back.
    pub held: i64,
    /// Left alone by the user's word.
    pub suspended: i64,
    /// Somebody else keeps changing the Secret.
    pub contested: i64,
    /// The last success is too long ago.
    pub stale: i64,
    /// Age of the oldest last success; none where no object ever had one.
    pub oldest_success_age: Option<Duration>,
}

/// What is told of one object, where the operator asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerObject {
    /// When the Secret was last known to hold what was fetched.
    pub last_success: Option<Timestamp>,
    /// When its content stops being usable.
    pub expiry: Option<Timestamp>,
    /// Whether a worse value is held back.
    pub held: bool,
}

/// All metrics of the controller. One per process, shared in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rounds: Rounds,
    calls: Calls,
    kube: Family<Kube, Counter>,
    panics: Counter,
    log_dropped: Counter,
    objects: Option<Objects>,
    providers: Providers,
}

impl Metrics {
    /// All series of closed sets at zero. `per_object`: whether there are series for single objects.
    #[must_use]
    pub fn new(build: BuildInfo, per_object: bool) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process::starting_now()));
        let all = registry.sub_registry_with_prefix("coffer");
        let labels: Build = [
            ("version", build.version),
            ("revision", build.revision),
            ("rustc", build.rustc),
        ];
        let help = "What this binary was built from";
        all.register("build", help, Info::new(labels));
        let kube = kube_requests(all);
        let panics = one(
            all,
            "panics",
            "Panics caught; each is a bug",
            Counter::default(),
        );
        let log_dropped = one(
            all,
            "log_dropped",
            "Log lines dropped because stdout did not take them",
            Counter::default(),
        );
        let own = all.sub_registry_with_prefix("sync");
        Self {
            rounds: Rounds::register(own),
            calls: Calls::register(own),
            objects: per_object.then(|| Objects::register(own)),
            kube,
            panics,
            log_dropped,
            providers: Providers::default(),
            registry,
        }
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// A line of the log was dropped.
    pub fn log_dropped(&self) {
        self.log_dropped.inc();
    }

    /// All metrics as text: OpenMetrics 1.0, or the classic Prometheus format 0.0.4.
    #[must_use]
    pub fn encode(&self, openmetrics: bool) -> String {
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

/// Objects and rounds.
impl Metrics {
    /// A round ended, with one of [`RESULTS`].
    pub fn reconciled(&self, result: &'static str, took: Duration) {
        debug_assert!(RESULTS.contains(&result), "{result}");
        let outcome = Outcome { result };
        self.rounds.reconciles.get_or_create(&outcome).inc();
        self.rounds.duration.observe(took.as_secs_f64());
    }

    /// A round wrote nothing, for one of [`REASONS`].
    pub fn failed(&self, reason: &'static str) {
        debug_assert!(REASONS.contains(&reason), "{reason}");
        let reason = Reason { reason };
        self.rounds.failures.get_or_create(&reason).inc();
    }

    /// A round began so long after its object was due.
    pub fn queue_lag(&self, lag: Duration) {
        self.rounds.queue_lag.observe(lag.as_secs_f64());
    }

    /// So many objects are due and wait.
    pub fn queue_depth(&self, depth: usize) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.rounds.queue_depth.set(depth);
    }

    /// This process holds the Lease, or does not.
    pub fn leader(&self, leads: bool) {
        self.rounds.leader.set(i64::from(leads));
    }

    /// So many objects are in these states.
    pub fn objects(&self, counts: &ObjectCounts) {
        for (state, count) in [
            ("ready", counts.ready),
            ("failing", counts.failing),
            ("held", counts.held),
            ("suspended", counts.suspended),
        ] {
            let state = State { state };
            self.rounds.objects.get_or_create(&state).set(count);
        }
        self.rounds.contested.set(counts.contested);
        self.rounds.stale.set(counts.stale);
        let age = counts.oldest_success_age.unwrap_or_default();
        self.rounds.oldest_success_age.set(age.as_secs_f64());
    }

    /// When the first content of each of [`TYPES`] stops being usable. Where none does, an alert on "ends soon"
    /// must not fire, so that it is never 0.
    pub fn earliest_expiry(&self, ends: &BTreeMap<&'static str, Option<Timestamp>>) {
        for r#type in TYPES {
            let end = ends.get(r#type).copied().flatten();
            let gauge = self.rounds.earliest_expiry.get_or_create(&Type { r#type });
            gauge.set(end.map_or(f64::INFINITY, unix));
        }
    }

    /// Content failed a check, told by its id.
    pub fn check_failed(&self, check: &'static str) {
        debug_assert!(labels::checks().any(|known| known == check), "{check}");
        let check = Failed { check };
        self.rounds.checks.get_or_create(&check).inc();
    }

    /// A restart of a workload ended, with one of [`OUTCOMES`].
    pub fn restart(&self, result: &'static str) {
        debug_assert!(OUTCOMES.contains(&result), "{result}");
        let outcome = Outcome { result };
        self.rounds.restarts.get_or_create(&outcome).inc();
    }

    /// The state of one object, by the name of its Secret. Nothing happens unless the operator asks for such series.
    pub fn object(&self, namespace: &str, name: &str, state: &PerObject) {
        let Some(objects) = &self.objects else { return };
        let object = Object {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        for (family, time) in [
            (&objects.last_success, state.last_success),
            (&objects.expiry, state.expiry),
        ] {
            match time {
                Some(time) => {
                    family.get_or_create(&object).set(unix(time));
                }
                None => {
                    family.remove(&object);
                }
            }
        }
        let held = objects.held.get_or_create(&object);
        held.set(i64::from(state.held));
    }

    /// An object is gone.
    pub fn forget_object(&self, namespace: &str, name: &str) {
        let Some(objects) = &self.objects else { return };
        let object = Object {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        objects.last_success.remove(&object);
        objects.expiry.remove(&object);
        objects.held.remove(&object);
    }
}

/// What is asked of others.
impl Metrics {
    /// A call of a provider ended, with one of [`CODES`].
    pub fn provider_request(&self, provider: &str, code: &'static str, took: Duration) {
        debug_assert!(CODES.contains(&code), "{code}");
        let provider = self.provider(provider);
        let durations = &self.calls.durations;
        durations
            .get_or_create(&provider)
            .observe(took.as_secs_f64());
        let Provider { provider } = provider;
        let call = Call { provider, code };
        self.calls.requests.get_or_create(&call).inc();
    }

    /// So many calls of a provider are under way now.
    pub fn provider_in_flight(&self, provider: &str, now: i64) {
        let provider = self.provider(provider);
        self.calls.in_flight.get_or_create(&provider).set(now);
    }

    /// A provider is left alone because it does not answer, or is called again.
    pub fn provider_paused(&self, provider: &str, paused: bool) {
        let provider = self.provider(provider);
        let gauge = self.calls.paused.get_or_create(&provider);
        gauge.set(i64::from(paused));
    }

    /// A token was asked for, with one of [`OUTCOMES`].
    pub fn token_request(&self, result: &'static str) {
        debug_assert!(OUTCOMES.contains(&result), "{result}");
        let outcome = Outcome { result };
        self.calls.tokens.get_or_create(&outcome).inc();
    }

    /// A request to the API server ended: one of [`VERBS`], and its status; 0 where there was none.
    pub fn kube_request(&self, verb: &'static str, code: u16) {
        debug_assert!(VERBS.contains(&verb), "{verb}");
        let code = labels::status(code);
        self.kube.get_or_create(&Kube { verb, code }).inc();
    }

    fn provider(&self, name: &str) -> Provider {
        let (provider, new) = self.providers.of(name);
        let provider = Provider { provider };
        if new {
            self.calls.introduce(&provider);
        }
        provider
    }
}

fn unix(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests;
