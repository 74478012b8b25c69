//! Intervals, stale answers, denials, and what was issued: tables and properties.

use std::time::Duration;

use proptest::prelude::*;

use super::{FIRST_MOUNT, Freshness, RefreshRules, denial_life, freshness, joinable, promised};
use crate::fault::{Phase, Reason};
use crate::request::{Method, Request};
use crate::response::{Head, Response};

fn decide(method: Method, body: &str) -> Freshness {
    let request = Request {
        method,
        path: "p".to_owned(),
        query: Vec::new(),
        body: None,
    };
    let head = Head {
        status: 200,
        content_type: "application/json",
    };
    let response = Response::read(head, body.as_bytes()).unwrap_or_else(|f| panic!("{f}"));
    freshness(&request, &response, NOW)
}

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;

#[test]
fn a_plain_read_is_read_again_even_if_it_states_a_duration() {
    for body in [
        r#"{"data":{"k":"v"}}"#,
        r#"{"lease_id":"","lease_duration":2764800,"data":{"k":"v"}}"#,
    ] {
        assert_eq!(decide(Method::Get, body), Freshness::ReadAgain, "{body}");
        assert_eq!(decide(Method::List, body), Freshness::ReadAgain, "{body}");
    }
}

#[test]
fn what_was_issued_is_kept_for_two_thirds_of_its_life() {
    let lease = r#"{"lease_id":"db/creds/r/1","lease_duration":3600,"data":{"username":"u"}}"#;
    let kept = |seconds| Freshness::KeepForPod(Some(Duration::from_secs(seconds)));
    assert_eq!(decide(Method::Get, lease), kept(2400));
    assert_eq!(
        decide(
            Method::Post,
            r#"{"auth":{"client_token":"t","lease_duration":300}}"#
        ),
        kept(200)
    );
}

#[test]
fn what_was_issued_without_an_end_lasts_as_long_as_the_pod() {
    assert_eq!(
        decide(Method::Put, r#"{"data":{"ciphertext":"c"}}"#),
        Freshness::KeepForPod(None)
    );
    assert_eq!(
        decide(
            Method::Get,
            r#"{"lease_id":"x","lease_duration":0,"data":{}}"#
        ),
        Freshness::KeepForPod(None)
    );
}

#[test]
fn a_certificate_counts_only_with_its_key() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2026, 1, 2);
    let pem = parameters.self_signed(&key).unwrap().pem();
    let body = |key: &str| {
        serde_json::json!({"data": {"certificate": pem, key: "k", "serial_number": "1"}})
            .to_string()
    };
    let stored = serde_json::json!({"data": {"certificate": pem, "private_key": "k"}}).to_string();
    assert_eq!(
        decide(Method::Get, &stored),
        Freshness::ReadAgain,
        "somebody put it into a key-value store"
    );
    let day = Duration::from_secs(86_400 * 2 / 3);
    assert_eq!(
        decide(Method::Put, &body("private_key")),
        Freshness::KeepForPod(Some(day))
    );
    assert_eq!(decide(Method::Get, &body("issuer")), Freshness::ReadAgain);
    assert_eq!(
        decide(Method::Put, &body("serial")),
        Freshness::KeepForPod(None)
    );
}

#[test]
fn an_interval_stays_between_the_operators_bounds() {
    let seconds = Duration::from_secs;
    let rules = RefreshRules {
        floor: seconds(10),
        ceiling: seconds(600),
        ..RefreshRules::default()
    };
    for (asked, expected) in [(None, 45), (Some(0), 10), (Some(60), 60), (Some(3600), 600)] {
        assert_eq!(
            rules.interval_of(asked.map(seconds)),
            seconds(expected),
            "{asked:?}"
        );
    }
    let crossed = RefreshRules {
        ceiling: seconds(1),
        ..rules
    };
    assert_eq!(crossed.interval_of(None), seconds(10), "the floor wins");
}

#[test]
fn old_bytes_answer_a_republish_only_while_the_store_cannot() {
    let rules = RefreshRules {
        max_stale: Some(Duration::from_secs(60)),
        ..RefreshRules::default()
    };
    let age = Duration::from_secs(59);
    for reason in Reason::ALL {
        let expected = reason.is_no_answer();
        assert_eq!(
            rules.may_answer_stale(Phase::Refresh, reason, age),
            expected,
            "{reason:?}"
        );
        assert!(
            !rules.may_answer_stale(Phase::First, reason, age),
            "{reason:?}"
        );
        assert!(
            !rules.may_answer_stale(Phase::Refresh, reason, age * 2),
            "{reason:?}"
        );
    }
    let answers = [
        Reason::Denied,
        Reason::NotFound,
        Reason::LoginRefused,
        Reason::NoToken,
    ];
    assert!(answers.iter().all(|reason| !reason.is_no_answer()));
    let off = RefreshRules {
        max_stale: Some(Duration::ZERO),
        ..rules
    };
    assert!(!off.may_answer_stale(Phase::Refresh, Reason::StoreState, Duration::ZERO));
    let unlimited = RefreshRules {
        max_stale: None,
        ..rules
    };
    assert!(unlimited.may_answer_stale(Phase::Refresh, Reason::StoreState, Duration::MAX));
}

#[test]
fn a_denial_is_remembered_for_ten_to_thirty_seconds_and_never_beyond_the_interval() {
    let long = Duration::from_secs(45);
    assert_eq!(denial_life(long, 0.0), Duration::from_secs(10));
    assert_eq!(denial_life(long, 1.0), Duration::from_secs(30));
    assert_eq!(
        denial_life(Duration::from_secs(5), 1.0),
        Duration::from_secs(5)
    );
    assert_eq!(denial_life(Duration::ZERO, 0.5), Duration::ZERO);
}

proptest! {
    #[test]
    fn no_answer_is_older_than_was_promised(seconds in 0_u64..1_000_000, jitter in -1.0_f64..2.0) {
        let interval = Duration::from_secs(seconds);
        let republish = promised(Phase::Refresh, interval, jitter);
        prop_assert!(republish <= interval);
        prop_assert!(republish >= interval.mul_f64(0.899), "jitter takes a tenth at most");
        let first = promised(Phase::First, interval, jitter);
        prop_assert!(first <= FIRST_MOUNT && first <= interval);
        prop_assert_eq!(joinable(Phase::First, interval), FIRST_MOUNT);
        let joined = joinable(Phase::Refresh, interval);
        prop_assert!(joined >= FIRST_MOUNT && joined <= interval.max(FIRST_MOUNT));
    }

    #[test]
    fn what_was_issued_is_never_due_before_two_thirds_of_its_life(life in 1_u64..100_000_000) {
        let body = format!(r#"{{"lease_id":"l","lease_duration":{life},"data":{{}}}}"#);
        let Freshness::KeepForPod(Some(kept)) = decide(Method::Get, &body) else {
            panic!("a lease is kept");
        };
        prop_assert!(kept.as_secs() >= life * 2 / 3 && kept.as_secs() <= life);
    }
}
