//! A store that fails in a row is not asked for a while: by nobody but probes, and not for long.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use coffer_tests::scripted::Reply;
use serde_json::json;
use tonic::Code;

use crate::stage::{ONE, Stage, class, many};

/// A probe comes within six seconds; a busy machine takes its time.
const PROBED: Duration = Duration::from_secs(30);

const OPEN: &str = "coffer_store_breaker_open{target=\"0\"}";

fn sealed(stage: &Stage) {
    stage
        .store
        .rule(|_| Some(Reply::errors(503, &["Vault is sealed"])));
}

fn probes(stage: &Stage) -> usize {
    stage.asked("sys/health")
}

/// S1: five mounts make five requests, the sixth none; after the unsealing all is well by itself.
#[tokio::test]
async fn a_sealed_store_is_left_alone_after_five_mounts() -> Result<()> {
    let mut stage = Stage::set().await?;
    for at in 0..20 {
        let path = format!("secret/data/{at}");
        stage.store.put(&path, json!({"k": "v"}));
    }
    assert_eq!(stage.provider.metric(OPEN).await?, Some(0.0));
    sealed(&stage);
    let volume = stage.volume(&many(20))?;
    for mounts in 1..=5 {
        stage
            .refused(&volume, Code::FailedPrecondition, "store_state")
            .await?;
        assert_eq!(stage.store.requests().len(), mounts);
    }
    assert_eq!(stage.provider.metric(OPEN).await?, Some(1.0));
    let text = stage
        .refused(&volume, Code::FailedPrecondition, "store_state")
        .await?;
    assert!(text.contains("store is sealed"), "{text}");
    assert!(
        text.contains("not asked again before the next probe"),
        "{text}"
    );
    assert_eq!(stage.store.requests().len() - probes(&stage), 5);
    stage.store.heal();
    eventually(PROBED, "a good mount", async || {
        let files = stage.mount(&volume).await?.files()?;
        ensure!(files.len() == 20);
        Ok(())
    })
    .await?;
    assert_eq!(stage.provider.metric(OPEN).await?, Some(0.0));
    let log = stage.provider.whole_log().await?;
    for line in ["breaker open", "breaker closed"] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    Ok(())
}

/// S1, L1: a store that is sealed under warm logins is left alone as well, and another address is not
/// touched by it.
#[tokio::test]
async fn an_open_breaker_is_of_one_address() -> Result<()> {
    let stage = Stage::set().await?;
    let other = coffer_tests::scripted::ScriptedStore::start().await?;
    other.put("secret/data/a", json!({"k": "other"}));
    let volume = stage.volume(ONE)?;
    assert_eq!(stage.content(&volume).await?, "v");
    stage.store.rule(|_| Some(Reply::hang_up()));
    for _ in 0..3 {
        stage
            .refused(&volume, Code::Unknown, "store_unreachable")
            .await?;
    }
    assert_eq!(stage.asked("secret/data/a"), 1 + 5, "no sixth failure");
    let class = class(ONE).with("vaultAddress", &other.address());
    let elsewhere = stage.volume_of("web", class)?;
    assert_eq!(stage.content(&elsewhere).await?, "other");
    Ok(())
}

/// O1: classes that reach one address with settings of their own share its probes, and its recovery.
#[tokio::test]
async fn settings_of_one_address_share_its_probes() -> Result<()> {
    const SETTINGS: usize = 4;
    let stage = Stage::set().await?;
    stage.store.rule(|_| Some(Reply::hang_up()));
    let mut volumes = Vec::new();
    for at in 0..SETTINGS {
        let class = class(ONE).with("vaultTLSServerName", &format!("name-{at}"));
        volumes.push(stage.volume_of("web", class)?);
    }
    let all_open = "coffer_store_breaker_open{target=\"other\"}";
    for volume in &volumes {
        for _ in 0..2 {
            stage
                .refused(volume, Code::Unknown, "store_unreachable")
                .await?;
        }
    }
    let open = stage.provider.metric(OPEN).await?.unwrap_or_default()
        + stage.provider.metric(all_open).await?.unwrap_or_default();
    assert_eq!(open, 4.0);
    eventually(PROBED, "three probes", async || {
        ensure!(probes(&stage) >= 3);
        Ok(())
    })
    .await?;
    let requests = stage.store.requests();
    let at: Vec<Instant> = requests
        .iter()
        .filter(|asked| asked.path == "/v1/sys/health")
        .map(|asked| asked.at)
        .collect();
    for pair in at.windows(2) {
        let pause = pair[1] - pair[0];
        ensure!(pause > Duration::from_secs(4), "{pause:?} between probes");
    }
    stage.store.heal();
    eventually(PROBED, "a good mount of each", async || {
        for volume in &volumes {
            stage.mount(volume).await?.files()?;
        }
        Ok(())
    })
    .await
}

/// I2: what a working store refuses never opens it.
#[tokio::test]
async fn refusals_open_no_breaker() -> Result<()> {
    let stage = Stage::set().await?;
    for (status, code, reason) in [
        (403, Code::PermissionDenied, "denied"),
        (404, Code::NotFound, "not_found"),
        (429, Code::Unknown, "store_busy"),
    ] {
        let reply = Reply::errors(status, &["no"]);
        stage.store.on("/v1/secret/data/a", reply);
        for _ in 0..3 {
            stage.refused(&stage.volume(ONE)?, code, reason).await?;
        }
        for _ in 0..3 {
            let other = ONE.replace("data/a", "data/none");
            let volume = stage.volume(&other)?;
            stage.refused(&volume, Code::NotFound, "not_found").await?;
        }
    }
    assert_eq!(stage.provider.metric(OPEN).await?, Some(0.0));
    assert_eq!(probes(&stage), 0);
    Ok(())
}

/// O1: while it is open there is at most one probe per five seconds, however many ask, and none carries a
/// token.
#[tokio::test]
async fn an_open_breaker_probes_now_and_then() -> Result<()> {
    let stage = Stage::set().await?;
    sealed(&stage);
    let volume = stage.volume(ONE)?;
    let began = Instant::now();
    eventually(2 * PROBED, "two probes", async || {
        stage
            .refused(&volume, Code::FailedPrecondition, "store_state")
            .await?;
        ensure!(probes(&stage) >= 2, "{} probes", probes(&stage));
        Ok(())
    })
    .await?;
    let asked = stage.store.requests();
    let (probes, others): (Vec<_>, Vec<_>) = asked
        .iter()
        .partition(|asked| asked.path == "/v1/sys/health");
    assert_eq!(others.len(), 5);
    let most = began.elapsed().as_secs() / 5;
    assert!(probes.len() as u64 <= most, "{} of {most}", probes.len());
    for probe in probes {
        assert_eq!(probe.method, "GET");
        assert_eq!(probe.header("x-vault-token"), None);
        assert_eq!(probe.header("x-vault-namespace"), None);
    }
    Ok(())
}

/// O2: a good probe lets one request through; when that fails nobody else was sent after it.
#[tokio::test]
async fn half_open_lets_one_request_through() -> Result<()> {
    let stage = Stage::set().await?;
    sealed(&stage);
    stage.store.on(
        "/v1/sys/health",
        Reply::json(200, &json!({"sealed": false})),
    );
    let mounts = |count: usize| {
        let volumes = (0..count).map(|at| stage.volume_of(&format!("web-{at}"), class(ONE)));
        futures_util::future::join_all(volumes.map(async |volume| stage.mount(&volume?).await))
    };
    for _ in 0..5 {
        mounts(1).await;
    }
    eventually(PROBED, "a probe", async || {
        ensure!(probes(&stage) >= 1);
        Ok(())
    })
    .await?;
    // The answer to the probe may still be under way; the trial is the first that comes after it.
    eventually(PROBED, "a trial", async || {
        mounts(10).await;
        ensure!(stage.store.logins() > 5, "no trial yet");
        Ok(())
    })
    .await?;
    assert_eq!(stage.store.logins(), 6, "ten asked, one was let through");
    Ok(())
}

/// S4: a store that asks to be left alone until a date is left alone by all, and then asked again.
#[tokio::test]
async fn a_date_to_come_back_is_kept_by_everybody() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.put("secret/data/b", json!({"k": "b"}));
    stage.content(&stage.volume(ONE)?).await?;
    let first = std::sync::atomic::AtomicBool::new(true);
    stage.store.rule(move |asked| {
        let hit = asked.path == "/v1/secret/data/a"
            && first.swap(false, std::sync::atomic::Ordering::SeqCst);
        // The store's clock is years off, so only its own Date can tell how long.
        hit.then(|| {
            Reply::errors(429, &["quota"])
                .header("date", "Wed, 21 Oct 2015 07:28:00 GMT")
                .header("retry-after", "Wed, 21 Oct 2015 07:28:02 GMT")
        })
    });
    stage.store.forget_requests();
    let volumes = (stage.volume(ONE)?, stage.volume(ONE)?);
    assert_eq!(stage.content(&volumes.0).await?, "v");
    let reads = stage.store.requests();
    let waited = reads.get(1).context("a second read")?.at - reads[0].at;
    assert!(waited >= Duration::from_millis(1950), "{waited:?}");

    // Longer than a mount may take: at once, and for another path too.
    stage.store.on(
        "/v1/secret/data/a",
        Reply::errors(503, &["overloaded"]).header("retry-after", "45"),
    );
    stage
        .refused(&volumes.1, Code::Unknown, "store_busy")
        .await?;
    stage.store.forget_requests();
    let other = stage.volume(&ONE.replace("data/a", "data/b"))?;
    let text = stage.refused(&other, Code::Unknown, "store_busy").await?;
    assert!(text.contains("asked to be left alone"), "{text}");
    assert_eq!(stage.store.requests().len(), 0);
    Ok(())
}

/// B3: a mount whose turn does not come in its time says that our own queue is to blame.
#[tokio::test]
async fn a_full_queue_is_told_as_our_own() -> Result<()> {
    let arguments = ["--inflight-per-address", "1", "--mount-deadline", "2s"];
    let stage = Stage::with(&arguments).await?;
    stage.store.put("secret/data/b", json!({"k": "b"}));
    stage.content(&stage.volume(ONE)?).await?;
    stage.store.on("/v1/secret/data/a", Reply::silence());
    let (hung, waiting) = (
        stage.volume(ONE)?,
        stage.volume(&ONE.replace("data/a", "data/b"))?,
    );
    let waits = async {
        eventually(PROBED, "a hung read", async || {
            ensure!(stage.store.in_flight() == 1);
            Ok(())
        })
        .await?;
        stage.refused(&waiting, Code::Unknown, "busy").await
    };
    let (_, text) = tokio::join!(stage.mount(&hung), waits);
    let text = text?;
    assert!(text.contains("our own queue for store"), "{text}");
    assert_eq!(stage.asked("secret/data/b"), 0);
    Ok(())
}
