//! Many objects, large replies, many mounts at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::scripted::Reply;
use futures_util::future::join_all;
use serde_json::json;
use tonic::Code;

use crate::stage::{ONE, Stage, class, many};

/// Answers `secret/data/<n>` with `k` = `v<n>`, and 404 for one of them.
fn numbered(stage: &Stage, missing: usize, delay: Duration) {
    stage.store.rule(move |asked| {
        let number: usize = asked.path.strip_prefix("/v1/secret/data/")?.parse().ok()?;
        let reply = match number == missing {
            true => Reply::errors(404, &[]),
            false => Reply::data(&json!({"data": {"k": format!("v{number}")}, "metadata": {}})),
        };
        Some(reply.after(delay))
    });
}

/// H7, D25: of 1,000 objects the bad one is named, none is delivered, and eight are asked for at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_object_among_a_thousand_is_named() -> Result<()> {
    let stage = Stage::set().await?;
    numbered(&stage, 617, Duration::ZERO);
    let text = stage
        .refused(&stage.volume(&many(1000))?, Code::NotFound, "not_found")
        .await?;
    assert!(text.starts_with("object \"o617\": "), "{text}");
    assert!(
        stage.store.most_in_flight() <= 8,
        "{}",
        stage.store.most_in_flight()
    );
    numbered(&stage, usize::MAX, Duration::ZERO);
    assert_eq!(
        stage
            .mount(&stage.volume(&many(1000))?)
            .await?
            .files()?
            .len(),
        1000
    );
    assert_eq!(stage.store.logins(), 1);
    Ok(())
}

/// D25: when a thousand objects fail the line still fits, and says how many there are.
#[tokio::test]
async fn a_thousand_failing_objects_fit_into_one_line() -> Result<()> {
    let stage = Stage::set().await?;
    let text = stage
        .refused(&stage.volume(&many(1000))?, Code::NotFound, "not_found")
        .await?;
    assert!(
        text.starts_with(
            "1000 of 1000 objects failed: \"o0\" (path secret/data/0), \"o1\" (path secret/data/1)"
        ),
        "{text}"
    );
    assert!(text.contains("and 990 more"), "{text}");
    Ok(())
}

fn large(stage: &Stage, files: usize, bytes: usize) -> Result<coffer_tests::driver::Volume> {
    let value = "x".repeat(bytes);
    for at in 0..files {
        stage
            .store
            .put(&format!("secret/data/{at}"), json!({"k": value}));
    }
    stage.volume(&many(files))
}

/// H8: a reply that the driver could not take is refused with its size and what to raise on both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_above_the_drivers_limit_is_refused() -> Result<()> {
    let stage = Stage::set().await?;
    let volume = large(&stage, 10, 512 << 10)?;
    let text = stage
        .refused(&volume, Code::FailedPrecondition, "too_large")
        .await?;
    assert!(text.contains("10 files, 5.0 MiB, limit 4.0 MiB"), "{text}");
    assert!(
        text.contains("max-call-recv-msg-size of the driver"),
        "{text}"
    );
    Ok(())
}

/// H8: what a Secret could not hold is delivered with a warning; what fits exactly is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_above_the_limit_of_a_secret_is_warned_about() -> Result<()> {
    let mut stage = Stage::set().await?;
    let volume = large(&stage, 2, 600 << 10)?;
    assert_eq!(stage.mount(&volume).await?.files()?.len(), 2);
    let volume = large(&stage, 7, 598_000)?;
    assert_eq!(
        stage.mount(&volume).await?.files()?.len(),
        7,
        "4.0 MiB less a little"
    );
    let log = stage.provider.whole_log().await?;
    ensure!(
        log.contains("larger than a Kubernetes Secret can be"),
        "{log}"
    );
    Ok(())
}

/// B1: 250 first mounts at once of one account cost one login and never more than 64 requests in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_full_of_pods_starts_with_one_login() -> Result<()> {
    let stage = Stage::set().await?;
    numbered(&stage, usize::MAX, Duration::from_millis(20));
    let volumes = (0..250).map(|at| {
        let objects = many(4).replace("secret/data/", &format!("secret/data/{at}"));
        stage.volume(&objects)
    });
    let volumes: Vec<_> = volumes.collect::<Result<_>>()?;
    for outcome in join_all(volumes.iter().map(|volume| stage.mount(volume))).await {
        assert_eq!(outcome?.files()?.len(), 4);
    }
    assert_eq!(stage.store.logins(), 1);
    assert!(
        stage.store.most_in_flight() <= 64,
        "{}",
        stage.store.most_in_flight()
    );
    Ok(())
}

/// B1: 100 pods that read the same cost far fewer reads than pods.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_reads_of_many_pods_are_shared() -> Result<()> {
    let stage = Stage::set().await?;
    stage.content(&stage.volume(ONE)?).await?;
    stage.store.forget_requests();
    let reply = Reply::data(&json!({"data": {"k": "shared"}, "metadata": {}}));
    let reply = reply.after(Duration::from_millis(300));
    stage.store.on("/v1/secret/data/a", reply);
    let volumes: Vec<_> = (0..100).map(|_| stage.volume(ONE)).collect::<Result<_>>()?;
    for outcome in join_all(volumes.iter().map(|volume| stage.mount(volume))).await {
        assert_eq!(outcome?.files()?["a"], "shared");
    }
    assert!(
        stage.asked("secret/data/a") < 20,
        "{} reads for 100 pods",
        stage.asked("secret/data/a")
    );
    Ok(())
}

/// B3, X1: an account whose store hangs does not hold the others up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_hanging_account_does_not_hold_up_the_others() -> Result<()> {
    let stage = Stage::with(&["--vault-client-timeout", "2s"]).await?;
    stage.store.on("/v1/secret/data/hang", Reply::silence());
    let hanging: Vec<_> = (0..20)
        .map(|_| stage.volume_of("hang", class(&ONE.replace("data/a", "data/hang"))))
        .collect::<Result<_>>()?;
    let hung = join_all(hanging.iter().map(|volume| stage.mount(volume)));
    let others = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let outcome = stage.mount(&stage.volume(ONE)?).await?;
            outcome.response()?;
            slowest = slowest.max(outcome.elapsed);
        }
        Ok::<_, anyhow::Error>(slowest)
    };
    let (hung, slowest) = tokio::join!(hung, others);
    assert!(slowest? < Duration::from_secs(2));
    for outcome in hung {
        crate::stage::check_failure(&outcome?, Code::Unknown, "store_timeout")?;
    }
    Ok(())
}
