//! When things run, as tables and, for the queue, at random.

mod queues;

use super::*;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const LEAST: Jitter = Jitter(0.0);
const MIDDLE: Jitter = Jitter(0.5);

fn most() -> Jitter {
    Jitter::new(0.999_999)
}

/// Seconds until the object is due again.
fn wait(last: Last, interval: Option<u64>, jitter: Jitter) -> Option<u64> {
    due(last, at(0), interval.map(seconds), jitter).map(|due| due.as_second().unsigned_abs())
}

/// Sync §5 and 16 (jitter): last success plus interval x (0.9 .. 1.1); 0 means no polling.
#[test]
fn polls_follow_the_interval_with_jitter() {
    for (interval, jitter, expected) in [
        (Some(600), LEAST, Some(540)),
        (Some(600), MIDDLE, Some(600)),
        (Some(600), most(), Some(659)),
        (None, MIDDLE, None),
    ] {
        assert_eq!(
            wait(Last::Done, interval, jitter),
            expected,
            "{interval:?} {jitter:?}"
        );
    }
}

/// Sync §5, and 16 (never faster than the interval allows): 5 s x 2^n, +-20 %, at most min(interval, 5 min), jitter included.
#[test]
fn failures_back_off_up_to_the_interval() {
    let failed = |before| Last::Failed {
        before,
        retry_after: None,
    };
    for (before, interval, jitter, expected) in [
        (0, Some(600), MIDDLE, 5),
        (0, Some(600), LEAST, 4),
        (0, Some(600), most(), 5),
        (1, Some(600), MIDDLE, 10),
        (4, Some(600), MIDDLE, 80),
        (5, Some(600), MIDDLE, 160),
        (6, Some(600), MIDDLE, 300),
        (6, Some(600), most(), 300),
        (6, Some(600), LEAST, 240),
        (4, Some(30), MIDDLE, 30),
        (u32::MAX, Some(30), most(), 30),
        (u32::MAX, None, MIDDLE, 300),
    ] {
        assert_eq!(
            wait(failed(before), interval, jitter),
            Some(expected),
            "{before} {interval:?} {jitter:?}"
        );
    }
}

/// Sync §15: Retry-After is honoured.
#[test]
fn a_server_that_says_when_is_obeyed() {
    let failed = |wait| Last::Failed {
        before: 0,
        retry_after: Some(seconds(wait)),
    };
    assert_eq!(wait(failed(90), Some(30), MIDDLE), Some(90));
    assert_eq!(wait(failed(1), Some(600), MIDDLE), Some(5));
}

/// Sync §5: permanent failures only at the interval or on a change. 16: no quota is burnt.
#[test]
fn permanent_failures_wait_for_the_interval() {
    assert_eq!(wait(Last::Permanent, Some(600), MIDDLE), Some(600));
    assert_eq!(wait(Last::Permanent, None, MIDDLE), None);
}

/// Sync §3: a suspended object is never due.
#[test]
fn a_suspended_object_is_never_due() {
    assert_eq!(wait(Last::Suspended, Some(30), MIDDLE), None);
}

/// Types §1: a half-read pair is fetched again after 5, 10 and 20 s, then at the interval.
#[test]
fn a_half_read_pair_is_fetched_again_soon() {
    let waits: Vec<Option<u64>> = (0..4)
        .map(|before| wait(Last::HalfRead { before }, Some(600), MIDDLE))
        .collect();
    assert_eq!(waits, [Some(5), Some(10), Some(20), Some(600)]);
}

/// Sync §5 and 8: objects never synced at once; contested ones at their hour; vanishing Secrets are looked at soon.
#[test]
fn other_states_have_their_own_times() {
    assert_eq!(wait(Last::Never, None, MIDDLE), Some(0));
    assert_eq!(
        wait(Last::Contested { until: at(3600) }, Some(30), MIDDLE),
        Some(3600)
    );
    assert_eq!(
        wait(Last::Contested { until: at(-5) }, Some(30), MIDDLE),
        Some(0)
    );
    assert_eq!(wait(Last::BeingDeleted, Some(600), MIDDLE), Some(1));
    assert_eq!(after_drift(at(5)), at(6));
}

/// Sync §5: known objects are spread evenly over min(interval, 5 min) after a start.
#[test]
fn a_start_is_spread_evenly() {
    let spread = |count: usize, interval| -> Vec<i64> {
        (0..count)
            .map(|position| at_start(position, count, interval, at(0)).as_second())
            .collect()
    };
    assert_eq!(spread(4, Some(seconds(600))), [0, 75, 150, 225]);
    assert_eq!(spread(3, Some(seconds(30))), [0, 10, 20]);
    assert_eq!(spread(1, None), [0]);
    assert_eq!(at_start(0, 0, None, at(0)), at(0));
    let all = spread(10_000, Some(seconds(3600)));
    let most = (0..300)
        .map(|second| all.iter().filter(|due| **due == second).count())
        .max();
    assert!(
        most <= Some(34),
        "Sync §14: no burst above a provider's 40/s"
    );
}

/// Numbers from elsewhere cannot break a factor.
#[test]
fn jitter_is_a_fraction() {
    for (drawn, expected) in [
        (0.25, 0.25),
        (1.0, 0.0),
        (-0.25, 0.75),
        (7.5, 0.5),
        (f64::NAN, 0.5),
        (f64::INFINITY, 0.5),
    ] {
        assert!((Jitter::new(drawn).0 - expected).abs() < 1e-9, "{drawn}");
    }
}

fn seen() -> Seen {
    Seen {
        uid: "u".to_owned(),
        revision: Revision {
            generation: 1,
            options: [0; 32],
        },
        force: String::new(),
        class: Some(("c".to_owned(), Revision::default())),
    }
}

/// Sync §5, and 16 (edits of the class are seen at once): created, generation, options, force, the class's spec or options, and its appearance: at once.
#[test]
fn what_counts_makes_an_object_due_at_once() {
    let before = seen();
    assert!(changed(None, &before));
    assert!(
        !changed(Some(&before), &before.clone()),
        "Sync §18: a status write does not"
    );
    let revision = Revision {
        generation: 2,
        ..before.revision
    };
    let options = Revision {
        options: [1; 32],
        ..before.revision
    };
    for (what, now) in [
        ("generation", Seen { revision, ..seen() }),
        (
            "options",
            Seen {
                revision: options,
                ..seen()
            },
        ),
        (
            "force",
            Seen {
                force: "now".to_owned(),
                ..seen()
            },
        ),
        (
            "class",
            Seen {
                class: Some(("c".to_owned(), revision)),
                ..seen()
            },
        ),
        (
            "another class of the name",
            Seen {
                class: Some(("d".to_owned(), Revision::default())),
                ..seen()
            },
        ),
        (
            "class gone",
            Seen {
                class: None,
                ..seen()
            },
        ),
        (
            "another object of the name",
            Seen {
                uid: "v".to_owned(),
                ..seen()
            },
        ),
    ] {
        assert!(changed(Some(&before), &now), "{what}");
        assert!(overtaken(&before, Some(&now)), "{what}");
    }
}

/// Sync §5: a run that overtook a newer generation is discarded before it writes; a deleted object too.
#[test]
fn an_overtaken_round_does_not_write() {
    assert!(!overtaken(&seen(), Some(&seen())));
    assert!(overtaken(&seen(), None));
}

/// Sync §5: 40/s with a burst of 80 per provider.
#[test]
fn a_bucket_gives_a_burst_and_then_a_rate() {
    let mut bucket = Bucket::new(40.0, 80, at(0));
    assert!((0..80).all(|_| bucket.take(at(0)).is_ok()));
    let next = bucket.take(at(0)).unwrap_err();
    assert!(next > at(0) && next < at(1), "{next}");
    assert!(bucket.take(next).is_ok(), "it says when there is one");
    let taken = (0..100).filter(|_| bucket.take(at(1)).is_ok()).count();
    assert_eq!(taken, 39);
    let full = (0..200).filter(|_| bucket.take(at(1000)).is_ok()).count();
    assert_eq!(full, 80, "it never holds more than its burst");
}
