//! The rotation matrix: what may take the place of what.

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{Policy, Ruling, Verdict};
use crate::validate::check::{Check, Class};

const NOW: &str = "2030-01-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn verdict(text: &str) -> Verdict {
    text.parse().unwrap()
}

fn set(checks: &[Check]) -> BTreeSet<Check> {
    checks.iter().copied().collect()
}

#[track_caller]
fn rules(policy: Policy, new: &str, old: Option<&str>, expected: &Ruling) {
    let old = old.map(verdict);
    let ruling = policy.rule(Some(&verdict(new)), old.as_ref(), now());
    assert_eq!(&ruling, expected, "{policy:?}: {new:?} over {old:?}");
}

/// Section 1, every cell of the table.
#[test]
fn every_policy_rules_as_its_row_says() {
    let (good, bad) = ("", "tls.pair");
    let failing = set(&[Check::TlsPair]);
    let fine = Ruling::Write(BTreeSet::new());
    let warned = Ruling::Write(failing.clone());
    let held = Ruling::Hold(failing.clone());
    let refused = Ruling::Refuse(failing);
    for (policy, first, regressed, same) in [
        (Policy::Off, &fine, &fine, &fine),
        (Policy::Warn, &warned, &warned, &warned),
        (Policy::Hold, &warned, &held, &warned),
        (Policy::Strict, &refused, &held, &held),
    ] {
        rules(policy, bad, None, first);
        rules(policy, bad, Some(good), regressed);
        rules(policy, bad, Some(bad), same);
        for old in [None, Some(good), Some(bad)] {
            rules(policy, good, old, &fine);
        }
    }
}

/// Section 1: the comparison is per check.
#[test]
fn an_expired_pair_gives_way_to_an_expired_one_and_not_to_a_mismatched_one() {
    let expired = "notBefore=2020-01-01T00:00:00Z notAfter=2025-01-01T00:00:00Z";
    let also_expired = "notBefore=2021-01-01T00:00:00Z notAfter=2026-01-01T00:00:00Z";
    let mismatched = "tls.pair notBefore=2020-01-01T00:00:00Z notAfter=2035-01-01T00:00:00Z";
    let warned = Ruling::Write(set(&[Check::TlsExpired]));
    rules(Policy::Hold, also_expired, Some(expired), &warned);
    let held = Ruling::Hold(set(&[Check::TlsPair]));
    rules(Policy::Hold, mismatched, Some(expired), &held);
}

/// Section 7: held while the old value expires, then written if no other check regresses.
#[test]
fn a_hold_ends_when_the_old_value_expires_too() {
    let old = verdict("notBefore=2029-01-01T00:00:00Z notAfter=2030-06-01T00:00:00Z");
    let new = verdict("notBefore=2020-01-01T00:00:00Z notAfter=2025-01-01T00:00:00Z");
    let expired = set(&[Check::TlsExpired]);
    let ruling = |now: &str| Policy::Hold.rule(Some(&new), Some(&old), now.parse().unwrap());
    assert_eq!(ruling(NOW), Ruling::Hold(expired.clone()));
    assert_eq!(
        ruling("2030-06-01T00:00:30Z"),
        Ruling::Hold(expired.clone())
    );
    assert_eq!(ruling("2030-06-02T00:00:00Z"), Ruling::Write(expired));
}

/// Section 1: no key means no pair, so a less broken value always wins.
#[test]
fn a_less_broken_value_always_wins() {
    let nothing =
        "tls.pem tls.cert-parse tls.pair tls.expired tls.not-yet-valid tls.chain tls.key-format";
    let no_key =
        "tls.key-format tls.pair notBefore=2029-01-01T00:00:00Z notAfter=2031-01-01T00:00:00Z";
    let mismatched = "tls.pair notBefore=2029-01-01T00:00:00Z notAfter=2031-01-01T00:00:00Z";
    for (new, old, failing) in [
        (no_key, nothing, &[Check::TlsKeyFormat, Check::TlsPair][..]),
        (mismatched, no_key, &[Check::TlsPair]),
        (mismatched, nothing, &[Check::TlsPair]),
    ] {
        rules(Policy::Hold, new, Some(old), &Ruling::Write(set(failing)));
    }
    let held = Ruling::Hold(set(&[Check::TlsKeyFormat]));
    rules(Policy::Hold, no_key, Some(mismatched), &held);
}

#[test]
fn a_value_that_was_not_judged_is_written_and_leaves_no_memory() {
    assert_eq!(
        Policy::Off.rule(None, Some(&verdict("tls.pair")), now()),
        Ruling::Write(BTreeSet::new())
    );
}

#[test]
fn policies_are_read_by_their_exact_words() {
    for (word, policy) in [
        ("Off", Policy::Off),
        ("Warn", Policy::Warn),
        ("Hold", Policy::Hold),
        ("Strict", Policy::Strict),
    ] {
        assert_eq!(word.parse(), Ok(policy));
    }
    for word in ["", "hold", "Hold ", "On"] {
        assert!(word.parse::<Policy>().is_err(), "{word:?}");
    }
    assert_eq!(Policy::default(), Policy::Hold);
}

#[test]
fn ids_that_are_not_known_are_left_out_and_bad_dates_refused() {
    assert_eq!(
        verdict("tls.pair tls.unheard-of tls.weak data.key"),
        verdict("tls.pair")
    );
    assert!("notAfter=soon".parse::<Verdict>().is_err());
    assert_eq!(
        verdict("expiration=2030-01-01T00:00:00Z").expires(),
        Some(now())
    );
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    let holdable: Vec<Check> = Check::ALL
        .iter()
        .copied()
        .filter(|check| check.class() == Class::Holdable)
        .collect();
    let checks = proptest::collection::btree_set(proptest::sample::select(holdable), 0..6);
    let date = || {
        prop_oneof![
            Just(None),
            any::<i32>().prop_map(|second| Timestamp::from_second(i64::from(second)).ok()),
        ]
    };
    (checks, date(), date(), date()).prop_map(|(failing, not_before, not_after, expiration)| {
        Verdict {
            failing,
            not_before,
            not_after,
            expiration,
        }
    })
}

proptest! {
    #[test]
    fn a_verdict_is_read_back_from_its_text(verdict in any_verdict()) {
        prop_assert_eq!(verdict.to_string().parse::<Verdict>().unwrap(), verdict);
    }

    #[test]
    fn under_hold_no_check_ever_regresses(new in any_verdict(), old in any_verdict(), second in 0_i32..) {
        let now = Timestamp::from_second(i64::from(second)).unwrap();
        let regresses = !new.failing(now).is_subset(&old.failing(now));
        match Policy::Hold.rule(Some(&new), Some(&old), now) {
            Ruling::Write(failing) => {
                prop_assert!(!regresses);
                prop_assert_eq!(failing, new.failing(now));
            }
            Ruling::Hold(checks) => prop_assert!(regresses && !checks.is_empty()),
            Ruling::Refuse(_) => prop_assert!(false, "there is a value to keep"),
        }
    }
}
