//! The promise that dashboards rely on: names, labels, help, and no series but those of closed sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::fault::{Phase, Reason};
use tonic::Code;

use super::{
    BuildInfo, CacheName, KubeCode, KubeVerb, LoginMethod, LoginResult, Metrics, PolicyRule,
    RenewKind, StoreOp, StoreStatus, Target,
};

fn metrics() -> Metrics {
    let build = BuildInfo {
        version: "1.2.3",
        revision: "abc",
        rustc: "1.95.0",
    };
    Metrics::new(build, 2)
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

/// The value of one series, written as it stands on a scrape.
#[track_caller]
fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.encode(false);
    let line = text.lines().find(|line| {
        line.strip_prefix(series)
            .is_some_and(|r| r.starts_with(' '))
    });
    sample(line.unwrap_or_else(|| panic!("no series {series}"))).2
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

#[test]
fn names_labels_and_types_stay_as_they_are() {
    insta::assert_snapshot!(catalogue(&metrics().encode(false)), @r"
    coffer_build_info{revision,rustc,version} gauge
    coffer_cache_evictions_total{cache} counter
    coffer_cache_lookups_total{cache,result} counter
    coffer_kube_requests_total{code,verb} counter
    coffer_leases_tracked gauge
    coffer_log_dropped_total counter
    coffer_logins_total{method,result} counter
    coffer_mount_duration_seconds{phase} histogram
    coffer_mount_failures_total{phase,reason} counter
    coffer_mount_in_flight gauge
    coffer_mount_last_success_timestamp_seconds{phase} gauge
    coffer_mount_queued gauge
    coffer_mount_requests_total{code,phase} counter
    coffer_mount_response_bytes histogram
    coffer_panics_total counter
    coffer_peer_rejected_total counter
    coffer_policy_warnings_total{rule} counter
    coffer_refresh_failing_volumes gauge
    coffer_refresh_oldest_age_seconds gauge
    coffer_renewals_total{kind,result} counter
    coffer_revocations_total{kind,result} counter
    coffer_served_memory_total counter
    coffer_served_stale_total{reason} counter
    coffer_store_breaker_open{target} gauge
    coffer_store_coalesced_total counter
    coffer_store_in_flight gauge
    coffer_store_request_duration_seconds{op} histogram
    coffer_store_requests_total{op,status,target} counter
    coffer_store_retries_total{reason} counter
    coffer_tasks gauge
    coffer_tls_ca_expiry_timestamp_seconds gauge
    coffer_tls_reload_failures_total counter
    coffer_tokens_cached gauge
    coffer_unknown_parameters_total counter
    process_cpu_seconds_total counter
    process_max_fds gauge
    process_open_fds gauge
    process_resident_memory_bytes gauge
    process_start_time_seconds gauge
    ");
}

#[test]
fn every_metric_has_help() {
    let text = metrics().encode(false);
    let named = |prefix: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        lines
            .map(|line| line.split_once(' ').expect("name and text").0.to_owned())
            .collect()
    };
    assert_eq!(named("# HELP "), named("# TYPE "));
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
    let metrics = metrics();
    let (open, classic) = (metrics.encode(true), metrics.encode(false));
    assert!(open.ends_with("# EOF\n"));
    assert!(!classic.contains("# EOF"));
    assert!(open.contains("# TYPE coffer_mount_requests counter\n"));
    assert!(classic.contains("# TYPE coffer_mount_requests_total counter\n"));
    // Series are the same in both, so a dashboard need not know which was asked for.
    let names = |text: &str| -> BTreeSet<String> {
        samples(&text.to_lowercase())
            .into_iter()
            .map(|(name, ..)| name.to_owned())
            .collect()
    };
    assert_eq!(names(&open), names(&classic));
    assert_eq!(
        Metrics::content_type(false),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert!(Metrics::content_type(true).starts_with("application/openmetrics-text; version=1.0.0"));
}

/// Calls every method with every value of the closed sets.
fn everything_happens(metrics: &Metrics) {
    for phase in Phase::ALL {
        metrics.mount_finished(phase, Code::Ok, None, Duration::ZERO, Some(1));
        for reason in Reason::ALL {
            metrics.mount_finished(phase, Code::Unknown, Some(reason), Duration::ZERO, None);
        }
    }
    for reason in [Reason::StoreState, Reason::StoreBusy, Reason::BadAnswer] {
        metrics.served_stale(reason);
        metrics.store_retried(reason);
    }
    for op in StoreOp::ALL {
        for status in StoreStatus::ALL {
            for target in [Target::listed(0), Target::listed(1), Target::OTHER] {
                metrics.store_request(*op, *status, target, Duration::ZERO);
            }
        }
    }
    for method in LoginMethod::ALL {
        for result in LoginResult::ALL {
            metrics.login(*method, *result);
        }
    }
    for kind in RenewKind::ALL {
        metrics.renewal(*kind, true);
        metrics.revocation(*kind, false);
    }
    for cache in CacheName::ALL {
        metrics.cache_lookup(*cache, true);
        metrics.cache_evicted(*cache);
    }
    for rule in PolicyRule::ALL {
        metrics.policy_warned(*rule);
    }
    for verb in KubeVerb::ALL {
        for code in KubeCode::ALL {
            metrics.kube_request(*verb, *code);
        }
    }
    metrics.breaker_opened(Target::listed(1));
}

#[test]
fn no_event_makes_a_series_that_the_first_scrape_did_not_have() {
    let series = |metrics: &Metrics| -> BTreeSet<String> {
        let text = metrics.encode(false);
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines
            .map(|(series, _)| series.to_owned())
            .filter(|s| !s.starts_with('#'))
            .collect()
    };
    let metrics = metrics();
    let first = series(&metrics);
    everything_happens(&metrics);
    assert_eq!(first, series(&metrics));
}

#[test]
fn labels_are_those_of_the_closed_list() {
    let allowed: BTreeSet<_> = [
        "cache", "code", "kind", "le", "method", "op", "phase", "reason", "result", "revision",
        "rule", "rustc", "status", "target", "verb", "version",
    ]
    .into();
    let metrics = metrics();
    everything_happens(&metrics);
    let text = metrics.encode(false);
    for (name, labels, _) in samples(&text) {
        for (key, value) in labels {
            assert!(allowed.contains(key), "{name} has label {key}");
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+');
            assert!(value.chars().all(plain), "{name} has {key}={value}");
        }
    }
}

#[test]
fn the_number_of_series_is_bounded_however_many_addresses_there_are() {
    let build = BuildInfo {
        version: "1",
        revision: "r",
        rustc: "c",
    };
    let few = samples(&Metrics::new(build, 8).encode(false)).len();
    assert_eq!(samples(&Metrics::new(build, 1000).encode(false)).len(), few);
    assert!(few < 1000, "{few} series");
}

#[test]
fn a_mount_is_counted_once_under_its_phase_code_and_reason() {
    let metrics = metrics();
    let second = Duration::from_secs(1);
    metrics.mount_finished(Phase::First, Code::Ok, None, second, Some(2048));
    metrics.mount_finished(
        Phase::Refresh,
        Code::NotFound,
        Some(Reason::NotFound),
        second,
        None,
    );
    for (series, expected) in [
        (
            "coffer_mount_requests_total{phase=\"first\",code=\"Ok\"}",
            1.0,
        ),
        (
            "coffer_mount_requests_total{phase=\"refresh\",code=\"NotFound\"}",
            1.0,
        ),
        (
            "coffer_mount_failures_total{phase=\"refresh\",reason=\"not_found\"}",
            1.0,
        ),
        (
            "coffer_mount_failures_total{phase=\"first\",reason=\"not_found\"}",
            0.0,
        ),
        (
            "coffer_mount_duration_seconds_bucket{phase=\"first\",le=\"0.5\"}",
            0.0,
        ),
        (
            "coffer_mount_duration_seconds_bucket{phase=\"first\",le=\"1\"}",
            1.0,
        ),
        ("coffer_mount_response_bytes_bucket{le=\"1024\"}", 0.0),
        ("coffer_mount_response_bytes_bucket{le=\"4096\"}", 1.0),
        ("coffer_mount_response_bytes_count", 1.0),
        (
            "coffer_mount_last_success_timestamp_seconds{phase=\"refresh\"}",
            0.0,
        ),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
    assert!(
        value(
            &metrics,
            "coffer_mount_last_success_timestamp_seconds{phase=\"first\"}"
        ) > 1e9
    );
}

#[test]
fn what_is_under_way_is_counted_until_its_guard_falls() {
    let metrics = metrics();
    let guards = (
        metrics.mount_started(),
        metrics.mount_queued(),
        metrics.store_request_started(),
    );
    let series = [
        "coffer_mount_in_flight",
        "coffer_mount_queued",
        "coffer_store_in_flight",
    ];
    for name in series {
        assert_eq!(value(&metrics, name), 1.0, "{name}");
    }
    drop(guards);
    for name in series {
        assert_eq!(value(&metrics, name), 0.0, "{name}");
    }
}

#[test]
fn hooks_set_gauges_at_each_scrape() {
    let metrics = Arc::new(metrics());
    metrics.before_scrape(|m| m.tokens_cached(3));
    metrics.before_scrape(|m| m.refresh_observed(Duration::from_millis(1500), 2));
    metrics.leases_tracked(4);
    for (series, expected) in [
        ("coffer_tokens_cached", 3.0),
        ("coffer_leases_tracked", 4.0),
        ("coffer_refresh_oldest_age_seconds", 1.5),
        ("coffer_refresh_failing_volumes", 2.0),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
}

#[test]
fn without_a_ca_file_nothing_ends_soon() {
    let metrics = metrics();
    let series = "coffer_tls_ca_expiry_timestamp_seconds";
    assert_eq!(value(&metrics, series), f64::INFINITY);
    metrics.ca_expiry(Some(1_900_000_000));
    assert_eq!(value(&metrics, series), 1_900_000_000.0);
}
