//! What a store, or whatever stands in its place, may answer to a read.

use anyhow::{Context, Result, ensure};
use coffer_tests::scripted::Reply;
use futures_util::future::join_all;
use serde_json::json;
use tonic::Code;

use crate::stage::{Failures, ONE, Stage, check_failure, class};

/// Stands in every bad body; no text may repeat it.
const MARKER: &str = "marker-of-the-body";

fn odd_answers() -> Vec<(&'static str, Reply)> {
    let deep = format!("{}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let page = format!("<html><title>{MARKER}</title></html>");
    vec![
        ("empty body", Reply::text(200, "")),
        ("204", Reply::text(204, "")),
        ("null", Reply::text(200, "null")),
        ("a list", Reply::json(200, &json!([MARKER]))),
        ("a string", Reply::json(200, &json!(MARKER))),
        ("no field", Reply::json(200, &json!({}))),
        (
            "only errors",
            Reply::json(200, &json!({"errors": [MARKER]})),
        ),
        (
            "HTML",
            Reply::text(200, page).header("content-type", "text/html; charset=utf-8"),
        ),
        (
            "half a document",
            Reply::text(200, format!("{{\"data\": {{\"k\": \"{MARKER}")),
        ),
        (
            "two documents",
            Reply::text(200, format!("{{\"data\": {{\"k\": \"{MARKER}\"}}}} {{}}")),
        ),
        ("10,000 levels", Reply::text(200, deep)),
        ("no text at all", Reply::text(200, vec![0; 64])),
    ]
}

/// D2, S8: a read without a usable body fails its mount with status, kind and size, never with the body.
#[tokio::test]
async fn an_odd_answer_to_a_read_fails_that_mount_and_no_other() -> Result<()> {
    let mut stage = Stage::set().await?;
    let mut failures = Failures::default();
    for (row, reply) in odd_answers() {
        stage.store.forget_requests();
        stage.store.on("/v1/secret/data/a", reply);
        let outcome = stage.mount(&stage.volume(ONE)?).await?;
        failures.note(
            row,
            async {
                let text = check_failure(&outcome, Code::Unknown, "bad_answer")?;
                ensure!(
                    text.contains("object \"a\": the store answered with"),
                    "{text}"
                );
                ensure!(
                    text.contains("(status 20") && text.contains(" bytes)"),
                    "{text}"
                );
                ensure!(!text.contains(MARKER), "{text}");
                ensure!(
                    stage.asked("secret/data/a") == 2,
                    "{} reads",
                    stage.asked("secret/data/a")
                );
                stage.store.heal();
                ensure!(stage.content(&stage.volume(ONE)?).await? == "v");
                Ok(())
            }
            .await,
        );
        stage.store.heal();
    }
    ensure!(!stage.provider.whole_log().await?.contains(MARKER));
    failures.none()
}

/// S8: an answer that is odd once is read again, and the second one counts.
#[tokio::test]
async fn one_odd_answer_is_forgiven() -> Result<()> {
    let stage = Stage::set().await?;
    let once = std::sync::atomic::AtomicBool::new(true);
    stage.store.rule(move |asked| {
        let first = asked.path == "/v1/secret/data/a"
            && once.swap(false, std::sync::atomic::Ordering::SeqCst);
        first.then(|| Reply::text(200, "<html>"))
    });
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    assert_eq!((stage.asked("secret/data/a"), stage.store.logins()), (2, 1));
    Ok(())
}

/// S8: a reply without data names the path and keeps the store's warnings.
#[tokio::test]
async fn a_reply_without_data_is_no_empty_file() -> Result<()> {
    let stage = Stage::set().await?;
    let reply = json!({"request_id": "r", "data": null, "warnings": ["nothing\nhere"]});
    stage
        .store
        .on("/v1/secret/data/a", Reply::json(200, &reply));
    let text = stage
        .refused(&stage.volume(ONE)?, Code::NotFound, "not_found")
        .await?;
    assert!(
        text.contains("empty response from \"secret/data/a\", warnings: [nothing here]"),
        "{text}"
    );
    Ok(())
}

/// S9: a body above the cap is not read, whether its size is announced or not, and the connection is dropped.
#[tokio::test]
async fn a_body_above_the_cap_is_given_up() -> Result<()> {
    let stage = Stage::set().await?;
    for reply in [Reply::text(200, vec![b' '; 40 << 20]), Reply::endless()] {
        stage.store.on("/v1/secret/data/a", reply);
        let text = stage
            .refused(&stage.volume(ONE)?, Code::Unknown, "bad_answer")
            .await?;
        assert!(
            text.contains("the store answered with more than 8 MiB (status 200"),
            "{text}"
        );
        let wait = std::time::Duration::from_secs(10);
        coffer_tests::fixture::eventually(wait, "the end of the body's connection", async || {
            ensure!(
                stage.store.in_flight() == 0,
                "{} in flight",
                stage.store.in_flight()
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// S9: 64 endless bodies at once stay within the cap on all buffers together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_bodies_at_once_do_not_fill_the_memory() -> Result<()> {
    // Half of the defaults: each body is read twice up to its cap, which is work for a busy machine.
    let caps = ["--store-body-bytes", "4Mi", "--buffered-bytes", "16Mi"];
    let stage = Stage::with(&caps).await?;
    stage.content(&stage.volume(ONE)?).await?;
    let before = peak_memory(stage.provider.pid())?;
    stage
        .store
        .rule(|asked| asked.path.starts_with("/v1/large/").then(Reply::endless));
    let volumes = (0..64).map(|at| {
        let objects = format!("- {{objectName: a, secretPath: large/{at}, secretKey: k}}");
        stage.volume_of("web", class(&objects))
    });
    let volumes: Vec<_> = volumes.collect::<Result<_>>()?;
    for outcome in join_all(volumes.iter().map(|volume| stage.mount(volume))).await {
        check_failure(&outcome?, Code::Unknown, "bad_answer")?;
    }
    let grown = peak_memory(stage.provider.pid())?.saturating_sub(before);
    // 16 MiB of bodies, the client's own windows and what the allocator keeps.
    ensure!(grown < 128 << 10, "the peak grew by {grown} KiB");
    stage.store.heal();
    ensure!(stage.content(&stage.volume(ONE)?).await? == "v");
    Ok(())
}

/// The most memory that a process had resident, in KiB.
fn peak_memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmHWM")?.parse()?)
}

/// S9: a body that grows when it is unpacked is never asked for.
#[tokio::test]
async fn compression_is_not_asked_for() -> Result<()> {
    let stage = Stage::set().await?;
    stage.content(&stage.volume(ONE)?).await?;
    for asked in stage.store.requests() {
        assert_eq!(asked.header("accept-encoding"), None, "{}", asked.path);
        assert_eq!(
            asked.header("x-vault-request"),
            Some("true"),
            "{}",
            asked.path
        );
    }
    Ok(())
}
