//! Answers that speak of the store as a whole, and what is asked again how often.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::scripted::{Reply, ScriptedStore};
use serde_json::json;
use tonic::Code;

use crate::stage::{Failures, ONE, Stage, check_failure, class, many};

const READ: &str = "/v1/secret/data/a";

/// Answers the first `count` requests to a path with a reply.
fn first(store: &ScriptedStore, path: &'static str, count: usize, reply: Reply) {
    let seen = AtomicUsize::new(0);
    store.rule(move |asked| {
        let hit = asked.path == path && seen.fetch_add(1, Ordering::SeqCst) < count;
        hit.then(|| reply.clone())
    });
}

/// S1: a sealed store gets one request of a mount, however many objects it has; a republish after the
/// unsealing is good again.
#[tokio::test]
async fn a_sealed_store_is_asked_once_per_mount() -> Result<()> {
    let stage = Stage::set().await?;
    for at in 0..20 {
        stage
            .store
            .put(&format!("secret/data/{at}"), json!({"k": "v"}));
    }
    stage
        .store
        .rule(|_| Some(Reply::errors(503, &["Vault is sealed"])));
    let volume = stage.volume(&many(20))?;
    let text = stage
        .refused(&volume, Code::FailedPrecondition, "store_state")
        .await?;
    assert!(text.contains("store is sealed"), "{text}");
    assert!(
        text.contains(&stage.store.address().replace("http://", "store ")),
        "{text}"
    );
    assert_eq!(stage.store.requests().len(), 1);
    stage.store.heal();
    assert_eq!(stage.mount(&volume).await?.files()?.len(), 20);
    Ok(())
}

/// S1: when the store is sealed under a warm login, no more is asked than was on its way already.
#[tokio::test]
async fn a_store_that_is_sealed_between_two_mounts_is_left_alone() -> Result<()> {
    let stage = Stage::set().await?;
    stage.content(&stage.volume(ONE)?).await?;
    stage.store.forget_requests();
    stage
        .store
        .rule(|_| Some(Reply::errors(503, &["Vault is sealed"])));
    let volume = stage.volume(&many(20))?;
    stage
        .refused(&volume, Code::FailedPrecondition, "store_state")
        .await?;
    let asked = stage.store.requests().len();
    assert!(asked <= 8, "{asked} requests for one mount");
    // From then on it is known to be away: one request, or none if those were failures enough.
    let volume = stage.volume(&many(20))?;
    stage
        .refused(&volume, Code::FailedPrecondition, "store_state")
        .await?;
    let more = stage.store.requests().len() - asked;
    assert!(more <= 1, "{more} requests for the next");
    Ok(())
}

/// S1, S2: each state that a person must end has its own words and is not tried again.
#[tokio::test]
async fn states_of_a_store_are_told_apart() -> Result<()> {
    let stage = Stage::set().await?;
    let mut failures = Failures::default();
    for (status, words) in [
        (503, "store is sealed"),
        (501, "store is not initialised"),
        (472, "standby without a leader"),
        (473, "standby without a leader"),
        (474, "standby without a leader"),
    ] {
        stage.store.on(READ, Reply::errors(status, &[]));
        let before = stage.asked("secret/data/a");
        let outcome = stage.mount(&stage.volume(ONE)?).await?;
        let text = check_failure(&outcome, Code::FailedPrecondition, "store_state");
        failures.note(
            &status.to_string(),
            text.and_then(|text| {
                ensure!(text.contains(words), "{text}");
                ensure!(stage.asked("secret/data/a") == before + 1);
                Ok(())
            }),
        );
    }
    failures.none()
}

/// S3: a passing error is survived with one repeat and without another login.
#[tokio::test]
async fn one_server_error_is_survived() -> Result<()> {
    let stage = Stage::set().await?;
    let mut failures = Failures::default();
    for status in [500, 502, 504, 412] {
        stage.store.forget_requests();
        first(
            &stage.store,
            READ,
            1,
            Reply::errors(status, &["internal error"]),
        );
        let outcome = stage.content(&stage.volume(ONE)?).await;
        failures.note(
            &status.to_string(),
            outcome.and_then(|content| {
                ensure!(content == "v");
                ensure!(stage.asked("secret/data/a") == 2);
                ensure!(stage.store.logins() <= 1);
                Ok(())
            }),
        );
        stage.store.heal();
    }
    let retried = stage
        .provider
        .metric("coffer_store_retries_total{reason=\"store_error\"}")
        .await?;
    assert_eq!(retried, Some(4.0));
    assert_eq!(
        stage
            .provider
            .metric("coffer_logins_total{method=\"kubernetes\",result=\"ok\"}")
            .await?,
        Some(1.0)
    );
    failures.none()
}

/// S3: the login, too, survives a passing error.
#[tokio::test]
async fn one_server_error_at_login_is_survived() -> Result<()> {
    let stage = Stage::set().await?;
    first(
        &stage.store,
        "/v1/auth/kubernetes/login",
        2,
        Reply::errors(502, &[]),
    );
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    assert_eq!(stage.store.logins(), 3);
    Ok(())
}

/// S3: a lasting error is asked three times, and another path of the same store is not touched by it.
#[tokio::test]
async fn a_lasting_server_error_is_asked_three_times() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.put("secret/data/b", json!({"k": "b"}));
    stage
        .store
        .on(READ, Reply::errors(500, &["internal error"]));
    let text = stage
        .refused(&stage.volume(ONE)?, Code::Unknown, "store_error")
        .await?;
    assert!(text.contains("internal error, Code: 500"), "{text}");
    assert_eq!((stage.asked("secret/data/a"), stage.store.logins()), (3, 1));
    let other = ONE.replace("data/a", "data/b");
    assert_eq!(stage.content(&stage.volume(&other)?).await?, "b");
    Ok(())
}

/// S4: a busy store is asked again when it says, if that is soon; the end of a long wait is not awaited.
#[tokio::test]
async fn a_busy_store_is_waited_for_as_it_asks() -> Result<()> {
    let stage = Stage::set().await?;
    let busy = || {
        Reply::errors(
            429,
            &["request path \"secret/data/a\": rate limit quota exceeded"],
        )
    };
    first(&stage.store, READ, 1, busy().header("retry-after", "1"));
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    let reads: Vec<_> = stage
        .store
        .requests()
        .into_iter()
        .filter(|asked| asked.path == READ)
        .collect();
    assert_eq!(reads.len(), 2);
    let waited = reads[1].at - reads[0].at;
    assert!(waited >= Duration::from_millis(950), "{waited:?}");

    stage.store.forget_requests();
    stage.store.on(READ, busy().header("retry-after", "120"));
    let text = stage
        .refused(&stage.volume(ONE)?, Code::Unknown, "store_busy")
        .await?;
    assert!(
        text.contains("rate limit quota exceeded, Code: 429"),
        "{text}"
    );
    assert_eq!(
        stage.asked("secret/data/a"),
        1,
        "a wait beyond the budget is not begun"
    );
    Ok(())
}

/// S4: without a wait that can be read the usual pauses apply.
#[tokio::test]
async fn a_busy_store_that_names_no_time_is_asked_three_times() -> Result<()> {
    let stage = Stage::set().await?;
    let mut failures = Failures::default();
    for (row, status, wait) in [
        ("none", 429, None),
        ("garbage", 429, Some("soon")),
        ("negative", 429, Some("-5")),
        ("a date gone by", 429, Some("Wed, 21 Oct 2015 07:28:00 GMT")),
        ("overload", 503, None),
    ] {
        stage.store.forget_requests();
        let reply = Reply::errors(status, &["overloaded, try again later"]);
        let reply = wait.map_or(reply.clone(), |wait| reply.header("retry-after", wait));
        stage.store.on(READ, reply);
        let outcome = stage.mount(&stage.volume(ONE)?).await?;
        let text = check_failure(&outcome, Code::Unknown, "store_busy");
        failures.note(
            row,
            text.and_then(|text| {
                ensure!(!text.contains("received message larger than max"), "{text}");
                ensure!(
                    stage.asked("secret/data/a") == 3,
                    "{} reads",
                    stage.asked("secret/data/a")
                );
                Ok(())
            }),
        );
    }
    failures.none()
}

/// S3, D27: what no repeat can mend is asked once.
#[tokio::test]
async fn a_refusal_is_final() -> Result<()> {
    let stage = Stage::set().await?;
    let mut failures = Failures::default();
    for (status, code, reason) in [
        (400, Code::InvalidArgument, "bad_request"),
        (404, Code::NotFound, "not_found"),
        (405, Code::InvalidArgument, "bad_request"),
        (422, Code::InvalidArgument, "bad_request"),
    ] {
        stage.store.forget_requests();
        stage
            .store
            .on(READ, Reply::errors(status, &["no such thing"]));
        let role = format!("role-{status}");
        let volume = stage.volume_of("web", class(ONE).with("roleName", &role))?;
        let outcome = stage.mount(&volume).await?;
        let text = check_failure(&outcome, code, reason);
        failures.note(
            &status.to_string(),
            text.and_then(|text| {
                ensure!(
                    text.contains(&format!("no such thing, Code: {status}")),
                    "{text}"
                );
                ensure!(stage.asked("secret/data/a") == 1);
                Ok(())
            }),
        );
    }
    failures.none()
}
