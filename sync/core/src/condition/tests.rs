//! The tables of conditions and reasons, row by row, and when a status is written.

mod texts;

use super::*;
use crate::decide::{Failure, FailureKind, Fight, Refusal};
use crate::fingerprint::Key;

use Truth::{False, True, Unknown};

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn facts(last_success: Option<i64>) -> Facts {
    Facts {
        generation: 3,
        interval: Some(Duration::from_secs(600)),
        heartbeat: Duration::from_secs(3600),
        last_success: last_success.map(at),
        restart_pending: None,
    }
}

fn synced() -> Outcome {
    let fingerprint = Key::new(&[1; 32]).content("ns", "db", "Opaque", []);
    Outcome::Synced {
        fingerprint,
        message: "a (1 bytes)".to_owned(),
    }
}

pub(super) fn failure(kind: FailureKind) -> Fault {
    Fault::from(&Failure {
        kind,
        message: "it broke".to_owned(),
        retry_after: None,
    })
}

fn failed(fault: Fault) -> Outcome {
    Outcome::Failed {
        fault,
        exists: None,
    }
}

fn held() -> Outcome {
    Outcome::Held(BTreeSet::from([Check::TlsPair]))
}

/// Rounds of one object: each outcome and its second.
fn after_rounds(rounds: &[(Outcome, i64)]) -> Status {
    let mut success = None;
    let mut status = Status::default();
    for (outcome, second) in rounds {
        if matches!(outcome, Outcome::Synced { .. } | Outcome::Held(_)) {
            success = Some(*second);
        }
        status = update(&status, outcome, &facts(success), at(*second)).status;
    }
    status
}

type Row<'r> = [(Truth, &'r str); 3];

/// SecretCreated, SecretUpdated and Ready after these rounds.
#[track_caller]
fn check(what: &str, rounds: &[(Outcome, i64)], expected: Row<'_>) {
    let status = after_rounds(rounds);
    let of = |name: &str| {
        let condition = &status.conditions[name];
        (condition.status, condition.reason.as_str())
    };
    assert_eq!(
        [of(SECRET_CREATED), of(SECRET_UPDATED), of(READY)],
        expected,
        "{what}"
    );
    assert!(
        status
            .conditions
            .values()
            .all(|condition| condition.observed_generation == 3),
        "{what}"
    );
}

/// Sync §2, row 1.
#[test]
fn an_accepted_object_is_starting() {
    let row = [
        (Unknown, "SyncStarting"),
        (Unknown, "NoUpdatesAttemptedYet"),
        (Unknown, "SyncStarting"),
    ];
    check("accepted", &[(Outcome::Accepted, 0)], row);
    let known = [
        (True, "CreateSuccessful"),
        (True, "SecretUpToDate"),
        (True, "Synced"),
    ];
    check(
        "accepted again after a start",
        &[(synced(), 0), (Outcome::Accepted, 9)],
        known,
    );
}

/// Sync §2, row 2: the first success and every later one, changed or not, with upstream's sentences.
#[test]
fn a_success_makes_all_conditions_true() {
    let row = [
        (True, "CreateSuccessful"),
        (True, "SecretUpToDate"),
        (True, "Synced"),
    ];
    check("first", &[(Outcome::Accepted, 0), (synced(), 1)], row);
    check("later", &[(synced(), 1), (synced(), 2)], row);
    let status = after_rounds(&[(synced(), 1)]);
    assert_eq!(
        status.conditions[SECRET_CREATED].message,
        "Secret created successfully."
    );
    assert_eq!(
        status.conditions[SECRET_UPDATED].message,
        "Secret contains last observed values."
    );
}

/// Sync §2, row 3; Sync §16: a failed create never shows SecretUpdated=True.
#[test]
fn a_failure_before_the_first_write_is_no_update() {
    let row = [
        (False, "ProviderError"),
        (Unknown, "NoUpdatesAttemptedYet"),
        (False, "ProviderError"),
    ];
    check(
        "after accepted",
        &[
            (Outcome::Accepted, 0),
            (failed(failure(FailureKind::Provider)), 1),
        ],
        row,
    );
    check(
        "at once",
        &[(failed(failure(FailureKind::Provider)), 1)],
        row,
    );
    let mut upstreams = Status::default();
    let condition = |status| Condition {
        status,
        reason: "x".to_owned(),
        message: String::new(),
        observed_generation: 1,
        since: at(0),
    };
    upstreams
        .conditions
        .insert(SECRET_CREATED.to_owned(), condition(False));
    upstreams
        .conditions
        .insert(SECRET_UPDATED.to_owned(), condition(True));
    let status = update(
        &upstreams,
        &failed(failure(FailureKind::Provider)),
        &facts(None),
        at(1),
    )
    .status;
    assert_eq!(
        status.conditions[SECRET_UPDATED].status, Unknown,
        "as upstream left it behind"
    );
}

/// Sync §2, row 4: ready until 3 x interval, then stale; Sync §15: SecretUpdated is False at once.
#[test]
fn a_later_failure_serves_the_last_good_until_it_is_stale() {
    let row = |ready| [(True, "CreateSuccessful"), (False, "ProviderError"), ready];
    let provider = || failed(failure(FailureKind::Provider));
    check(
        "at once",
        &[(synced(), 0), (provider(), 1)],
        row((True, "ServingLastGood")),
    );
    check(
        "just before",
        &[(synced(), 0), (provider(), 1799)],
        row((True, "ServingLastGood")),
    );
    check(
        "stale",
        &[(synced(), 0), (provider(), 1800)],
        row((False, "Stale")),
    );
    let message = &after_rounds(&[(synced(), 0), (provider(), 1)]).conditions[READY].message;
    assert_eq!(
        message,
        "ProviderError: it broke; the Secret holds the value of 1970-01-01T00:00:00Z"
    );
}

/// Sync §2: stale-after is 3 x interval, at least 10 min.
#[test]
fn stale_after_follows_the_interval() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    for (interval, expected) in [(Some(1), 10), (Some(10), 30), (Some(60), 180), (None, 10)] {
        assert_eq!(
            stale_after(interval.map(minutes)),
            minutes(expected),
            "{interval:?}"
        );
    }
}

/// Sync §2, row 5: held is ready, with a condition of its own that goes when the hold ends.
#[test]
fn a_held_value_is_shown_and_ends_by_itself() {
    let row = [
        (True, "CreateSuccessful"),
        (False, "ControllerSyncError"),
        (True, "Held"),
    ];
    check("held", &[(synced(), 0), (held(), 1)], row);
    let status = after_rounds(&[(synced(), 0), (held(), 1)]);
    let condition = &status.conditions["coffer.rs/Held"];
    assert_eq!(
        (condition.status, condition.reason.as_str()),
        (True, "SemanticRegression")
    );
    assert!(condition.message.contains("tls.pair"));
    let ended = after_rounds(&[(synced(), 0), (held(), 1), (synced(), 2)]);
    assert!(!ended.conditions.contains_key("coffer.rs/Held"));
}

/// Sync §15 and 16: recovery with an unchanged value makes all conditions True in the same round.
#[test]
fn recovery_with_an_unchanged_value_recovers_everything() {
    let row = [
        (True, "CreateSuccessful"),
        (True, "SecretUpToDate"),
        (True, "Synced"),
    ];
    let rounds = [
        (synced(), 0),
        (failed(failure(FailureKind::Provider)), 5000),
        (synced(), 5001),
    ];
    check("recovered", &rounds, row);
}

/// Sync §2: upstream's reason and ours for every failure.
#[test]
fn failures_have_upstreams_reason_and_ours() {
    for (kind, upstream, fine) in [
        (FailureKind::Provider, "ProviderError", "ProviderError"),
        (
            FailureKind::NoFiles,
            "RemoteSecretStoreFetchFailed",
            "NoFiles",
        ),
        (
            FailureKind::Files,
            "RemoteSecretStoreFetchFailed",
            "RemoteSecretStoreFetchFailed",
        ),
        (
            FailureKind::Class,
            "SecretProviderClassMisconfigured",
            "SecretProviderClassMisconfigured",
        ),
        (FailureKind::Token, "ControllerSyncError", "TokenError"),
        (
            FailureKind::Api,
            "ControllerPatchError",
            "ControllerPatchError",
        ),
        (FailureKind::Quota, "ControllerPatchError", "QuotaExceeded"),
        (
            FailureKind::Internal,
            "ControllerSyncError",
            "ControllerSyncError",
        ),
    ] {
        let row = [
            (False, upstream),
            (Unknown, "NoUpdatesAttemptedYet"),
            (False, fine),
        ];
        check(fine, &[(failed(failure(kind)), 0)], row);
    }
}

fn refusals() -> Vec<(Refusal, &'static str, &'static str, bool)> {
    let text = || "what".to_owned();
    let ids = || BTreeSet::from([Check::TlsPair]);
    let keys = vec![("a".to_owned(), true), ("b".to_owned(), false)];
    vec![
        (
            Refusal::InvalidOption(text()),
            "ControllerSyncError",
            "InvalidOption",
            false,
        ),
        (
            Refusal::TypeNotAllowed(text()),
            "ControllerPatchError",
            "TypeNotAllowed",
            true,
        ),
        (
            Refusal::DuplicateTarget(text()),
            "ControllerPatchError",
            "DuplicateTarget",
            false,
        ),
        (
            Refusal::Label(text()),
            "InvalidClusterSecretLabelError",
            "InvalidClusterSecretLabelError",
            true,
        ),
        (
            Refusal::Annotation(text()),
            "InvalidClusterSecretAnnotationError",
            "InvalidClusterSecretAnnotationError",
            true,
        ),
        (
            Refusal::InvalidData(text()),
            "ControllerPatchError",
            "InvalidData",
            true,
        ),
        (
            Refusal::TooLarge(text()),
            "ControllerPatchError",
            "TooLarge",
            true,
        ),
        (
            Refusal::Unusable(ids()),
            "ControllerPatchError",
            "InvalidData",
            true,
        ),
        (
            Refusal::WouldEmpty,
            "RemoteSecretStoreFetchFailed",
            "NoFiles",
            true,
        ),
        (
            Refusal::AdoptionRefused { why: "why", keys },
            "ControllerPatchError",
            "AdoptionRefused",
            false,
        ),
        (
            Refusal::Contested(Fight::Manager("hand".to_owned())),
            "ControllerPatchError",
            "Contested",
            false,
        ),
        (
            Refusal::ImmutableConflict,
            "ControllerPatchError",
            "ImmutableConflict",
            true,
        ),
        (
            Refusal::TypeChange,
            "ControllerPatchError",
            "TypeChange",
            true,
        ),
    ]
}

/// Sync §2 and 3: upstream's reason and ours for every refusal; last good values are trusted unless others
/// write to the Secret or the options cannot be read.
#[test]
fn refusals_have_upstreams_reason_and_ours() {
    for (refusal, upstream, fine, last_good) in refusals() {
        let fault = Fault::from(&refusal);
        assert!(fault.permanent && !fault.message.is_empty(), "{fine}");
        let first = [
            (False, upstream),
            (Unknown, "NoUpdatesAttemptedYet"),
            (False, fine),
        ];
        check(fine, &[(failed(fault.clone()), 0)], first);
        let ready = if last_good {
            (True, "ServingLastGood")
        } else {
            (False, fine)
        };
        let later = [(True, "CreateSuccessful"), (False, upstream), ready];
        check(fine, &[(synced(), 0), (failed(fault), 1)], later);
    }
}

/// Sync §8 and 9: a Secret that is gone is not shown as created.
#[test]
fn a_secret_that_is_gone_is_not_created() {
    let row = |reason| {
        [
            (False, "ControllerPatchError"),
            (False, "ControllerPatchError"),
            (False, reason),
        ]
    };
    let vanished = Fault::from(&Refusal::Vanished);
    check(
        "vanished",
        &[(synced(), 0), (failed(vanished), 1)],
        row("Vanished"),
    );
    let half = Outcome::Failed {
        fault: failure(FailureKind::Api),
        exists: Some(false),
    };
    check(
        "recreated by half",
        &[(synced(), 0), (half, 1)],
        row("ControllerPatchError"),
    );
    let status_lost = Outcome::Failed {
        fault: failure(FailureKind::Api),
        exists: Some(true),
    };
    let row = [
        (True, "CreateSuccessful"),
        (False, "ControllerPatchError"),
        (False, "Stale"),
    ];
    check("there, but since when is unknown", &[(status_lost, 1)], row);
}

/// Sync §3: a suspended object keeps what it was, and says so.
#[test]
fn a_suspended_object_keeps_its_state() {
    let row = [
        (True, "CreateSuccessful"),
        (True, "SecretUpToDate"),
        (True, "Suspended"),
    ];
    check(
        "was good",
        &[(synced(), 0), (Outcome::Suspended, 9000)],
        row,
    );
    let row = [
        (Unknown, "SyncStarting"),
        (Unknown, "NoUpdatesAttemptedYet"),
        (Unknown, "Suspended"),
    ];
    check("never ran", &[(Outcome::Suspended, 0)], row);
    let status = after_rounds(&[(synced(), 0), (held(), 1), (Outcome::Suspended, 2)]);
    assert!(status.conditions.contains_key(HELD));
}

/// Sync §2: no dots and no blanks in reasons: the schema refuses them.
#[test]
fn all_reasons_fit_the_schema() {
    let legal = |reason: &str| {
        let mut bytes = reason.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric())
    };
    let mut outcomes: Vec<Outcome> = refusals()
        .iter()
        .map(|(refusal, ..)| failed(Fault::from(refusal)))
        .collect();
    outcomes.extend([Outcome::Accepted, synced(), held(), Outcome::Suspended]);
    for outcome in outcomes {
        let mut facts = facts(Some(0));
        facts.restart_pending = Some("Deployment/web".to_owned());
        let update = update(&Status::default(), &outcome, &facts, at(1));
        for condition in update.status.conditions.values() {
            assert!(legal(&condition.reason), "{}", condition.reason);
        }
    }
}

/// Sync §2: a poll without changes writes no status, however the time goes on.
#[test]
fn an_unchanged_round_writes_nothing() {
    let first = update(&Status::default(), &synced(), &facts(Some(0)), at(0));
    assert!(first.write);
    let second = update(&first.status, &synced(), &facts(Some(600)), at(600));
    assert!(!second.write);
    assert_eq!(second.status, first.status);
    let trouble = failed(failure(FailureKind::Provider));
    let third = update(&first.status, &trouble, &facts(Some(600)), at(700));
    assert!(third.write);
    assert_eq!(
        third.status.last_success,
        Some(at(600)),
        "rewritten with any other change"
    );
    let fourth = update(&third.status, &trouble, &facts(Some(600)), at(760));
    assert!(!fourth.write, "a continuing failure is no news");
    let stale = update(&third.status, &trouble, &facts(Some(600)), at(2400));
    assert!(stale.write);
    assert!(!update(&stale.status, &trouble, &facts(Some(600)), at(999_999)).write);
}

/// Sync §2: lastSuccessfulSyncTime alone is written at most once per heartbeat.
#[test]
fn the_time_alone_is_written_once_per_heartbeat() {
    let first = update(&Status::default(), &synced(), &facts(Some(0)), at(0)).status;
    assert!(!update(&first, &synced(), &facts(Some(3599)), at(3599)).write);
    let beat = update(&first, &synced(), &facts(Some(3600)), at(3600));
    assert!(beat.write);
    assert_eq!(beat.status.last_success, Some(at(3600)));
    assert_eq!(
        beat.status.conditions, first.conditions,
        "no condition's time moves"
    );
    assert!(!update(&beat.status, &synced(), &facts(Some(3700)), at(3700)).write);
}

/// Sync §2: generation, content and reason are news; the time of a transition follows the status only.
#[test]
fn what_is_news_is_written() {
    let first = update(&Status::default(), &synced(), &facts(Some(0)), at(0)).status;
    let mut generation = facts(Some(0));
    generation.generation = 4;
    assert!(update(&first, &synced(), &generation, at(1)).write);
    let other = Outcome::Synced {
        fingerprint: Key::new(&[1; 32]).content("ns", "db", "Opaque", [("b", &b"1"[..])]),
        message: "a (1 bytes)".to_owned(),
    };
    let rotated = update(&first, &other, &facts(Some(1)), at(1));
    assert!(rotated.write);
    assert_ne!(rotated.status.sync_hash, first.sync_hash);
    assert_eq!(rotated.status.conditions[READY].since, at(0));
    let broken = update(
        &first,
        &failed(failure(FailureKind::Provider)),
        &facts(Some(0)),
        at(7),
    )
    .status;
    assert_eq!(broken.conditions[SECRET_UPDATED].since, at(7));
    assert_eq!(broken.conditions[READY].since, at(0), "it was and is True");
    assert_eq!(
        broken.sync_hash, first.sync_hash,
        "the Secret holds what it held"
    );
}

/// Sync §10: pending restarts stand in a condition, so that a crash loses none.
#[test]
fn pending_restarts_are_kept_in_a_condition() {
    let mut pending = facts(Some(0));
    pending.restart_pending = Some("Deployment/web".to_owned());
    let with = update(&Status::default(), &synced(), &pending, at(0)).status;
    assert_eq!(with.conditions[RESTART_PENDING].message, "Deployment/web");
    let without = update(&with, &synced(), &facts(Some(0)), at(1));
    assert!(without.write && !without.status.conditions.contains_key(RESTART_PENDING));
}

/// Sync §10: of a class they stand in its annotation; what failed does not, so that a failure is no new state.
#[test]
fn pending_restarts_of_a_class_are_kept_in_its_annotation() {
    let told = |message: &str| {
        let mut pending = facts(Some(0));
        pending.restart_pending = Some(message.to_owned());
        let status = update(&Status::default(), &synced(), &pending, at(0)).status;
        class_annotation(&BTreeMap::from([("db".to_owned(), status)]))
    };
    let waiting = told("Waiting for a restart: Deployment/web");
    assert_eq!(
        told("Waiting for a restart: Deployment/web; Deployment/web failed: x"),
        waiting
    );
    let pending = written_secrets(&waiting)["db"].restart_pending.clone();
    assert_eq!(
        pending.as_deref(),
        Some("Waiting for a restart: Deployment/web")
    );
}

/// Sync §1: a class's annotation changes only when a state does, and tells the next process what was written.
#[test]
fn the_state_of_a_class_stands_in_an_annotation() {
    let states =
        |rounds: &[(Outcome, i64)]| BTreeMap::from([("db".to_owned(), after_rounds(rounds))]);
    let good = class_annotation(&states(&[(synced(), 0)]));
    assert_eq!(
        class_annotation(&states(&[(synced(), 0), (synced(), 9999)])),
        good
    );
    assert!(
        good.starts_with(
            r#"{"db":{"created":true,"ready":"True","reason":"Synced","syncHash":"c1:"#
        ),
        "{good}"
    );
    assert_eq!(written_secrets(&good).len(), 1);
    let broken = class_annotation(&states(&[(failed(failure(FailureKind::Provider)), 0)]));
    assert_eq!(
        broken,
        r#"{"db":{"created":false,"ready":"False","reason":"ProviderError"}}"#
    );
    for text in [broken.as_str(), "", "{}", "x"] {
        assert_eq!(written_secrets(text), BTreeMap::new(), "{text}");
    }
}
