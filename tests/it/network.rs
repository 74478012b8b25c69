//! Nobody there, silence, and connections that end too early.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::driver::{Driver, DriverOptions};
use coffer_tests::fixture::free_port;
use coffer_tests::scripted::{Reply, ScriptedStore};
use serde_json::json;
use tonic::Code;

use crate::stage::{Failures, ONE, Stage, check_failure, class};

const READ: &str = "/v1/secret/data/a";

fn first_read(store: &ScriptedStore, reply: Reply) {
    let fresh = AtomicBool::new(true);
    store.rule(move |asked| {
        let hit = asked.path == READ && fresh.swap(false, Ordering::SeqCst);
        hit.then(|| reply.clone())
    });
}

fn broken() -> Vec<(&'static str, Reply)> {
    let document = json!({"data": {"data": {"k": "v"}, "metadata": {}}}).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        document.len()
    );
    let chunks = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{}",
        document.len(),
        &document[..20]
    );
    vec![
        ("FIN before the answer", Reply::hang_up()),
        ("RST before the answer", Reply::reset()),
        (
            "FIN in the head",
            Reply::verbatim("HTTP/1.1 200 OK\r\ncontent-le"),
        ),
        (
            "FIN in the body",
            Reply::text(200, document.clone()).cut_after(20),
        ),
        ("FIN in a chunk", Reply::verbatim(chunks)),
        (
            "content-length too large",
            Reply::verbatim(format!("{}{}", head, &document[..document.len() - 1])),
        ),
        ("no HTTP", Reply::verbatim("220 mail.example ESMTP\r\n")),
    ]
}

/// S7: a connection that ends too early is replaced once, and the file is whole.
#[tokio::test]
async fn one_cut_connection_is_survived() -> Result<()> {
    let stage = Stage::set().await?;
    let mut failures = Failures::default();
    for (row, reply) in broken() {
        stage.store.forget_requests();
        first_read(&stage.store, reply);
        let outcome = stage.content(&stage.volume(ONE)?).await;
        failures.note(
            row,
            outcome.and_then(|content| {
                ensure!(content == "v");
                ensure!(
                    stage.asked("secret/data/a") == 2,
                    "{} reads",
                    stage.asked("secret/data/a")
                );
                Ok(())
            }),
        );
        stage.store.heal();
    }
    failures.none()
}

/// S7: connections that always end too early make no part of a file.
#[tokio::test]
async fn lasting_cuts_are_an_unreachable_store() -> Result<()> {
    let stage = Stage::set().await?;
    let mut failures = Failures::default();
    for (row, reply) in broken() {
        stage.store.forget_requests();
        stage.store.on(READ, reply);
        let outcome = stage.mount(&stage.volume(ONE)?).await?;
        let text = check_failure(&outcome, Code::Unknown, "store_unreachable");
        failures.note(
            row,
            text.and_then(|text| {
                ensure!(
                    text.contains("broke off") && text.contains("phase answer"),
                    "{text}"
                );
                ensure!(
                    stage.asked("secret/data/a") == 3,
                    "{} reads",
                    stage.asked("secret/data/a")
                );
                Ok(())
            }),
        );
        stage.store.heal();
        // Failures of two rows in a row would open the breaker.
        stage.content(&stage.volume(ONE)?).await?;
    }
    failures.none()
}

/// S7: a connection that the store closed while it was idle is replaced silently.
#[tokio::test]
async fn a_closed_idle_connection_costs_nothing() -> Result<()> {
    let stage = Stage::set().await?;
    let body = json!({"data": {"data": {"k": "v"}, "metadata": {}}}).to_string();
    let whole = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stage.store.on(READ, Reply::verbatim(whole));
    for _ in 0..5 {
        assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    }
    assert_eq!((stage.asked("secret/data/a"), stage.store.logins()), (5, 1));
    Ok(())
}

/// S6: silence ends after the time for a first byte; the text says which phase and how long.
#[tokio::test]
async fn silence_is_a_timeout_with_its_phase() -> Result<()> {
    let stage = Stage::with(&["--vault-client-timeout", "1s"]).await?;
    stage.store.on(READ, Reply::silence());
    let text = stage
        .refused(&stage.volume(ONE)?, Code::Unknown, "store_timeout")
        .await?;
    assert!(text.contains("within 1 s (phase first byte)"), "{text}");
    assert_eq!(stage.asked("secret/data/a"), 3);
    Ok(())
}

/// S6: a head at one byte a second is silence too.
#[tokio::test]
async fn a_trickle_of_a_head_is_a_timeout() -> Result<()> {
    let stage = Stage::with(&["--vault-client-timeout", "1s"]).await?;
    let second = Duration::from_secs(1);
    stage.store.on(
        READ,
        Reply::verbatim("HTTP/1.1 200 OK\r\n\r\n{}").slowly(1, second),
    );
    let text = stage
        .refused(&stage.volume(ONE)?, Code::Unknown, "store_timeout")
        .await?;
    assert!(text.contains("phase first byte"), "{text}");
    Ok(())
}

/// D15, S6: the caller's deadline is never reached: a hung store ends in our own final code before it.
#[tokio::test]
async fn a_hung_store_ends_before_the_callers_deadline() -> Result<()> {
    let stage = Stage::set().await?;
    let second = Duration::from_secs(1);
    let options = DriverOptions {
        deadline: 5 * second,
        ..DriverOptions::quick()
    };
    let driver = Driver::connect_with(stage.provider.socket(), options)?;
    let mut failures = Failures::default();
    let body = Reply::data(&json!({"k": "v"})).slowly(1, second);
    for (row, reply) in [("silence", Reply::silence()), ("a slow body", body)] {
        stage.store.on(READ, reply);
        let outcome = driver.mount(&stage.volume(ONE)?.first_mount()).await?;
        let text = check_failure(&outcome, Code::Unknown, "store_timeout");
        failures.note(
            row,
            text.and_then(|text| {
                ensure!(text.contains("(phase mount)"), "{text}");
                ensure!(outcome.elapsed < 5 * second, "{:?}", outcome.elapsed);
                Ok(())
            }),
        );
    }
    stage.store.on_login(Reply::silence());
    let volume = stage.volume_of("hung", class(ONE))?;
    let outcome = driver.mount(&volume.first_mount()).await?;
    failures.note(
        "a login",
        check_failure(&outcome, Code::Unknown, "store_timeout"),
    );
    failures.none()
}

/// N3, N4: nobody there is told with the phase and the place that was tried.
#[tokio::test]
async fn an_address_where_nobody_is_names_phase_and_place() -> Result<()> {
    let stage = Stage::set().await?;
    let port = free_port()?;
    let closed = format!("127.0.0.1:{port}");
    for (address, phase, place) in [
        (format!("http://{closed}"), "phase connect", closed.as_str()),
        (
            "http://no-such-host.invalid:8200".to_owned(),
            "phase dns",
            "no-such-host.invalid:8200",
        ),
    ] {
        let volume = stage.volume_of("web", class(ONE).with("vaultAddress", &address))?;
        let text = stage
            .refused(&volume, Code::Unknown, "store_unreachable")
            .await?;
        assert!(text.contains(phase) && text.contains(place), "{text}");
    }
    Ok(())
}

/// N1: plain text on the port that should speak TLS is told as such, once, without a login.
#[tokio::test]
async fn plain_text_where_tls_was_expected_is_told_as_such() -> Result<()> {
    let stage = Stage::set().await?;
    let address = stage.store.address().replace("http://", "https://");
    let volume = stage.volume_of("web", class(ONE).with("vaultAddress", &address))?;
    let text = stage
        .refused(&volume, Code::FailedPrecondition, "store_tls")
        .await?;
    assert!(text.contains("TLS with store 127.0.0.1:"), "{text}");
    assert_eq!((stage.store.logins(), stage.store.connections()), (0, 1));
    Ok(())
}
