//! The promise that dashboards rely on: names, labels, help, and no series but those of closed sets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coffer_sync_core::condition::Fault;
use coffer_sync_core::decide::{Failure, FailureKind, Fight, Refusal};
use coffer_sync_core::secret_type::SecretType;
use coffer_sync_core::validate::{Check, Class};
use jiff::Timestamp;
use tonic::Code;

use super::{
    BuildInfo, CODES, Metrics, OUTCOMES, ObjectCounts, PerObject, REASONS, RESULTS, TYPES, VERBS,
};

fn metrics(per_object: bool) -> Metrics {
    let build = BuildInfo {
        version: "1.2.3",
        revision: "abc",
        rustc: "1.95.0",
    };
    Metrics::new(build, per_object)
}

/// A sample line taken apart: name, labels, value.
type Sample<'a> = (&'a str, BTreeMap<&'a str, &'a str>, f64);

fn samples(text: &str) -> Vec<Sample<'_>> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(sample)
        .collect()
}

fn sample(line: &str) -> Sample<'_> {
    let (series, value) = line.rsplit_once(' ').expect("series and value");
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels
        .trim_end_matches('}')
        .split(',')
        .filter(|label| !label.is_empty());
    let labels = labels.map(|label| {
        let (key, value) = label.split_once('=').expect("key and value");
        (key, value.trim_matches('"'))
    });
    (name, labels.collect(), value.parse().expect("a number"))
}

/// The value of the series with these labels.
#[track_caller]
fn value(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    let text = metrics.encode(false);
    let wanted: BTreeMap<&str, &str> = labels.iter().copied().collect();
    let found = samples(&text)
        .into_iter()
        .find(|(series, labels, _)| *series == name && *labels == wanted);
    found.unwrap_or_else(|| panic!("no {name} {labels:?}")).2
}

fn series(metrics: &Metrics) -> BTreeSet<String> {
    let text = metrics.encode(false);
    samples(&text)
        .into_iter()
        .map(|(name, labels, _)| format!("{name} {labels:?}"))
        .collect()
}

/// `name{labels} type` of each metric.
fn catalogue(text: &str) -> String {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let samples = samples(text);
    for (name, keys, _) in &samples {
        labels.entry(name).or_default().extend(keys.keys());
    }
    let mut lines = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("name and type");
        let series = if kind == "histogram" {
            format!("{name}_sum")
        } else {
            name.to_owned()
        };
        let keys: Vec<_> = labels[series.as_str()].iter().copied().collect();
        let keys = if keys.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", keys.join(","))
        };
        lines.push(format!("{name}{keys} {kind}"));
    }
    lines.sort();
    lines.join("\n")
}

/// Calls every method with every value of the closed sets.
fn everything_happens(metrics: &Metrics) {
    for result in RESULTS {
        metrics.reconciled(result, Duration::ZERO);
    }
    for reason in REASONS {
        metrics.failed(reason);
    }
    for check in Check::ALL {
        if check.class() != Class::Structure {
            metrics.check_failed(check.as_str());
        }
    }
    for outcome in OUTCOMES {
        metrics.token_request(outcome);
        metrics.restart(outcome);
    }
    for verb in VERBS {
        for status in 0..700 {
            metrics.kube_request(verb, status);
        }
    }
    for code in CODES {
        metrics.provider_request("vault", code, Duration::ZERO);
    }
    metrics.provider_in_flight("vault", 1);
    metrics.provider_paused("vault", true);
    metrics.queue_lag(Duration::ZERO);
    metrics.queue_depth(1);
    metrics.leader(true);
    metrics.objects(&ObjectCounts::default());
    metrics.earliest_expiry(&BTreeMap::new());
}

#[test]
fn names_labels_and_types_stay_as_they_are() {
    let metrics = metrics(true);
    metrics.provider_in_flight("vault", 0);
    let state = PerObject {
        last_success: Some(Timestamp::UNIX_EPOCH),
        expiry: Some(Timestamp::UNIX_EPOCH),
        held: false,
    };
    metrics.object("shop", "db", &state);
    insta::assert_snapshot!(catalogue(&metrics.encode(false)), @r"
    coffer_build_info{revision,rustc,version} gauge
    coffer_kube_requests_total{code,verb} counter
    coffer_log_dropped_total counter
    coffer_panics_total counter
    coffer_sync_check_failures_total{check} counter
    coffer_sync_contested_objects gauge
    coffer_sync_duration_seconds histogram
    coffer_sync_earliest_expiry_timestamp_seconds{type} gauge
    coffer_sync_failures_total{reason} counter
    coffer_sync_leader gauge
    coffer_sync_object_expiry_timestamp_seconds{name,namespace} gauge
    coffer_sync_object_held{name,namespace} gauge
    coffer_sync_object_last_success_timestamp_seconds{name,namespace} gauge
    coffer_sync_objects{state} gauge
    coffer_sync_oldest_success_age_seconds gauge
    coffer_sync_provider_in_flight{provider} gauge
    coffer_sync_provider_paused{provider} gauge
    coffer_sync_provider_request_seconds{provider} histogram
    coffer_sync_provider_requests_total{code,provider} counter
    coffer_sync_queue_depth gauge
    coffer_sync_queue_lag_seconds histogram
    coffer_sync_reconciles_total{result} counter
    coffer_sync_restarts_total{result} counter
    coffer_sync_stale_objects gauge
    coffer_sync_token_requests_total{result} counter
    coffer_tasks gauge
    process_cpu_seconds_total counter
    process_max_fds gauge
    process_open_fds gauge
    process_resident_memory_bytes gauge
    process_start_time_seconds gauge
    ");
}

#[test]
fn every_series_of_a_closed_set_is_there_from_the_first_scrape() {
    let metrics = metrics(false);
    let before = series(&metrics);
    everything_happens(&metrics);
    let after = series(&metrics);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(
        new.iter().all(|series| series.contains("vault")),
        "{new:#?}"
    );
    metrics.provider_request("aws", "Ok", Duration::ZERO);
    let one = series(&metrics).len();
    assert_eq!(one - after.len(), new.len(), "all of a provider at once");
}

#[test]
fn every_metric_has_help() {
    let text = metrics(true).encode(false);
    for line in text.lines().filter(|line| line.starts_with("# HELP ")) {
        let help = line.splitn(4, ' ').nth(3).unwrap_or_default();
        assert!(
            help.len() > 5 && help.ends_with('.') && !help.ends_with(".."),
            "{line}"
        );
    }
}

#[test]
fn openmetrics_ends_with_its_marker_and_the_classic_format_has_none() {
    let metrics = metrics(false);
    let (open, classic) = (metrics.encode(true), metrics.encode(false));
    assert!(open.ends_with("# EOF\n"));
    assert!(!classic.contains("# EOF"));
    assert!(open.contains("# TYPE coffer_sync_reconciles counter\n"));
    assert!(classic.contains("# TYPE coffer_sync_reconciles_total counter\n"));
    assert!(Metrics::content_type(true).starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(Metrics::content_type(false).starts_with("text/plain; version=0.0.4"));
}

#[test]
fn events_are_counted() {
    let metrics = metrics(false);
    metrics.reconciled("updated", Duration::from_millis(20));
    metrics.failed("NoFiles");
    metrics.kube_request("patch", 422);
    metrics.kube_request("patch", 0);
    metrics.leader(true);
    metrics.objects(&ObjectCounts {
        ready: 3,
        held: 1,
        stale: 2,
        oldest_success_age: Some(Duration::from_secs(90)),
        ..ObjectCounts::default()
    });
    let value = |name: &str, labels: &[(&str, &str)]| value(&metrics, name, labels);
    for (name, labels, expected) in [
        (
            "coffer_sync_reconciles_total",
            &[("result", "updated")][..],
            1.0,
        ),
        ("coffer_sync_duration_seconds_sum", &[], 0.02),
        ("coffer_sync_failures_total", &[("reason", "NoFiles")], 1.0),
        (
            "coffer_kube_requests_total",
            &[("verb", "patch"), ("code", "422")],
            1.0,
        ),
        (
            "coffer_kube_requests_total",
            &[("verb", "patch"), ("code", "error")],
            1.0,
        ),
        ("coffer_sync_leader", &[], 1.0),
        ("coffer_sync_objects", &[("state", "ready")], 3.0),
        ("coffer_sync_objects", &[("state", "failing")], 0.0),
        ("coffer_sync_stale_objects", &[], 2.0),
        ("coffer_sync_oldest_success_age_seconds", &[], 90.0),
    ] {
        let found = value(name, labels);
        assert!(
            (found - expected).abs() < 1e-9,
            "{name} {labels:?} is {found}"
        );
    }
}

#[test]
fn a_type_without_an_end_never_looks_expired() {
    let metrics = metrics(false);
    let expiry = |metrics: &Metrics| {
        let labels = [("type", "kubernetes.io/tls")];
        value(
            metrics,
            "coffer_sync_earliest_expiry_timestamp_seconds",
            &labels,
        )
    };
    assert!(expiry(&metrics).is_infinite());
    let end = Timestamp::from_second(1_900_000_000).unwrap();
    metrics.earliest_expiry(&BTreeMap::from([("kubernetes.io/tls", Some(end))]));
    assert!((expiry(&metrics) - 1_900_000_000.0).abs() < 1.0);
    metrics.earliest_expiry(&BTreeMap::from([("kubernetes.io/tls", None)]));
    assert!(expiry(&metrics).is_infinite());
}

#[test]
fn single_objects_have_series_only_where_they_are_asked_for_and_while_they_are_there() {
    let end = Timestamp::from_second(1_900_000_000).unwrap();
    let state = PerObject {
        last_success: None,
        expiry: Some(end),
        held: true,
    };
    let of_object = |metrics: &Metrics| {
        let all = series(metrics);
        all.iter().filter(|line| line.contains("shop")).count()
    };
    let off = metrics(false);
    off.object("shop", "db", &state);
    assert_eq!(of_object(&off), 0);

    let on = metrics(true);
    on.object("shop", "db", &state);
    assert_eq!(of_object(&on), 2);
    let labels = [("namespace", "shop"), ("name", "db")];
    assert!((value(&on, "coffer_sync_object_held", &labels) - 1.0).abs() < 1e-9);
    on.forget_object("shop", "db");
    assert_eq!(of_object(&on), 0);
}

#[test]
fn codes_are_those_of_grpc() {
    for (number, name) in (0..).zip(CODES) {
        let plain = name.replace('_', "").to_lowercase();
        let code = format!("{:?}", Code::from_i32(number)).to_lowercase();
        assert_eq!(plain, code);
    }
}

#[test]
fn types_are_the_built_in_ones() {
    let built_in = SecretType::BUILT_IN.map(|known| known.as_str().to_owned());
    assert_eq!(built_in.as_slice(), TYPES.as_slice());
}

#[test]
fn reasons_are_those_that_conditions_have() {
    let text = String::new;
    let refusals = [
        Refusal::InvalidOption(text()),
        Refusal::TypeNotAllowed(text()),
        Refusal::DuplicateTarget(text()),
        Refusal::Label(text()),
        Refusal::Annotation(text()),
        Refusal::InvalidData(text()),
        Refusal::TooLarge(text()),
        Refusal::Unusable(BTreeSet::new()),
        Refusal::WouldEmpty,
        Refusal::AdoptionRefused {
            why: "",
            keys: Vec::new(),
        },
        Refusal::Contested(Fight::Deletion),
        Refusal::Vanished,
        Refusal::ImmutableConflict,
        Refusal::TypeChange,
    ];
    let kinds = [
        FailureKind::Provider,
        FailureKind::NoFiles,
        FailureKind::Files,
        FailureKind::Class,
        FailureKind::Token,
        FailureKind::Api,
        FailureKind::Quota,
        FailureKind::Internal,
    ];
    let failures = kinds.map(|kind| Failure {
        kind,
        message: text(),
        retry_after: None,
    });
    let mut given: BTreeSet<&str> = refusals
        .iter()
        .map(|refusal| Fault::from(refusal).reason())
        .collect();
    given.extend(failures.iter().map(|failure| Fault::from(failure).reason()));
    assert_eq!(given, BTreeSet::from(REASONS));
}
