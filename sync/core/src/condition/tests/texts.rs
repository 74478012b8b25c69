//! Messages, masks and Events: what people read, and what they must never read.

use super::*;
use crate::decide::{FailureKind, Refusal};

/// Sync §2: keys with byte counts, provider version and expiry, the interval; no values.
#[test]
fn the_ready_message_lists_keys_sizes_provider_expiry_and_interval() {
    let keys = [("tls.crt".to_owned(), 1203), ("tls.key".to_owned(), 227)];
    let summary = Summary {
        keys: &keys,
        provider: "vault 1.2.3",
        expires: Some(at(86_400)),
        interval: Some(Duration::from_secs(600)),
        advice: &["tls.no-san".to_owned()],
    };
    let expected = "tls.crt (1203 bytes), tls.key (227 bytes); from vault 1.2.3; expires 1970-01-02T00:00:00Z; polled every 10m; advice: tls.no-san";
    assert_eq!(ready_message(&summary), expected);
}

/// Sync §2: a message has at most 32768 characters, whatever a Secret holds.
#[test]
fn the_ready_message_stays_short() {
    let keys: Vec<(String, usize)> = (0..5000).map(|at| (format!("{at:0>250}"), at)).collect();
    let summary = Summary {
        keys: &keys,
        provider: "p",
        expires: None,
        interval: None,
        advice: &[],
    };
    let message = ready_message(&summary);
    assert!(
        message.len() < 4096 && message.ends_with("4970 more keys; from p; not polled"),
        "{message}"
    );
    let empty = Summary {
        keys: &[],
        interval: Some(Duration::from_secs(7200)),
        ..summary
    };
    assert_eq!(ready_message(&empty), "no keys; from p; polled every 2h");
}

/// Types §6: texts of others are cut to 512 bytes and hold no piece of a value.
#[test]
fn pieces_of_values_are_masked_in_texts_of_others() {
    let value: &[u8] = b"correct-horse-battery";
    for (text, expected) in [
        (
            "bad value correct-horse-battery!",
            "bad value *********************!",
        ),
        ("starts with correct-h", "starts with *********"),
        ("ends in -battery", "ends in ********"),
        ("correct", "correct"),
        ("nothing\nof it", "nothing\\nof it"),
    ] {
        assert_eq!(masked(text, [value]), expected, "{text}");
    }
    assert_eq!(
        masked("pin is 4711, says 4711", [&b"4711\n"[..]]),
        "pin is ****, says ****"
    );
    assert_eq!(
        masked("a", [&b"a"[..], b""]),
        "a",
        "nothing is hidden by a single letter"
    );
    let long = masked(&"é".repeat(1000), []);
    assert!(long.len() <= 512 + '…'.len_utf8() && long.ends_with('…'));
    assert_eq!(
        masked("grüße-und-küsse", ["grüße-und-küsse".as_bytes()]),
        "*".repeat(15)
    );
}

/// Sync §8: refused adoptions name the keys that would be added or replaced.
#[test]
fn a_refused_adoption_names_keys() {
    let keys = vec![("a".to_owned(), true), ("b".to_owned(), false)];
    let fault = Fault::from(&Refusal::AdoptionRefused {
        why: "it is not ours",
        keys,
    });
    assert_eq!(
        fault.message,
        "it is not ours; keys to add: b; keys to replace: a"
    );
}

fn tell(told: &mut Told, deed: &Deed, second: i64) -> Option<(bool, &'static str)> {
    let (news, next) = event(told, deed, at(second));
    *told = next;
    news.map(|news| (news.warning, news.reason))
}

/// Sync §11: the Event of each deed.
#[test]
fn deeds_are_told() {
    let fault = |refusal: Refusal| Fault::from(&refusal);
    let ids = BTreeSet::from([Check::TlsPair]);
    for (deed, expected) in [
        (Deed::Unchanged, None),
        (Deed::Synced("created".to_owned()), Some((false, "Synced"))),
        (Deed::Repaired("hand".to_owned()), Some((false, "Repaired"))),
        (
            Deed::Failed(failure(FailureKind::Provider)),
            Some((true, "SyncFailed")),
        ),
        (
            Deed::Refused(fault(Refusal::TypeChange)),
            Some((true, "SyncRefused")),
        ),
        (
            Deed::Refused(fault(Refusal::Vanished)),
            Some((true, "Vanished")),
        ),
        (
            Deed::Refused(fault(Refusal::Contested(Fight::Deletion))),
            Some((true, "Contested")),
        ),
        (Deed::Held("abc".to_owned(), ids), Some((true, "SyncHeld"))),
    ] {
        assert_eq!(tell(&mut Told::default(), &deed, 0), expected, "{deed:?}");
    }
}

/// Sync §11 and 15: a continuing failure is told at most hourly, its end once.
#[test]
fn a_failure_is_told_hourly_and_its_end_once() {
    let mut told = Told::default();
    let broken = Deed::Failed(failure(FailureKind::Provider));
    let other = Deed::Failed(failure(FailureKind::Token));
    for (second, deed, expected) in [
        (0, &broken, Some((true, "SyncFailed"))),
        (10, &broken, None),
        (3599, &broken, None),
        (3600, &broken, Some((true, "SyncFailed"))),
        (3700, &other, Some((true, "SyncFailed"))),
        (3800, &Deed::Unchanged, Some((false, "SyncRecovered"))),
        (3900, &Deed::Unchanged, None),
    ] {
        assert_eq!(tell(&mut told, deed, second), expected, "second {second}");
    }
}

/// Types §1: one Event per distinct value and set of checks that is held.
#[test]
fn a_hold_is_told_once_per_value_and_checks() {
    let mut told = Told::default();
    let held = |value: &str, id: &str| {
        Deed::Held(
            value.to_owned(),
            BTreeSet::from([Check::parse(id).unwrap()]),
        )
    };
    for (second, deed, expected) in [
        (0, held("v1", "tls.pair"), true),
        (99_999, held("v1", "tls.pair"), false),
        (100_000, held("v2", "tls.pair"), true),
        (100_001, held("v2", "tls.chain"), true),
    ] {
        assert_eq!(
            tell(&mut told, &deed, second).is_some(),
            expected,
            "second {second}"
        );
    }
}

/// Sync §11: the API server refuses notes of more than 1024 bytes.
#[test]
fn notes_are_cut() {
    let (news, _) = event(&Told::default(), &Deed::Synced("é".repeat(2000)), at(0));
    assert_eq!(news.unwrap().note.len(), 1024);
}
