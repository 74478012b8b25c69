//! What an operator sees: probes, metrics and the log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::{directory, eventually};
use coffer_tests::scripted::Reply;
use coffer_tests::tls::{Authority, Manner, TlsPeer};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tonic::Code;

use crate::stage::{ONE, Stage, class};

/// Far longer than anything here takes.
const WAIT: Duration = Duration::from_secs(30);

/// D21: ready means that the socket answers, under our path and the peers'; the store is not asked.
#[tokio::test]
async fn probes_speak_of_the_socket_only() -> Result<()> {
    let stage = Stage::set().await?;
    stage
        .store
        .rule(|_| Some(Reply::errors(503, &["Vault is sealed"])));
    for path in ["/readyz", "/health/ready", "/livez"] {
        assert_eq!(
            stage.provider.ask(path).await?,
            (200, "ok\n".to_owned()),
            "{path}"
        );
    }
    assert_eq!(stage.provider.ask("/debug/pprof").await?.0, 404);
    assert_eq!(stage.store.connections(), 0);
    Ok(())
}

/// D28: mounts, failures, requests and logins are counted by closed sets of labels.
#[tokio::test]
async fn metrics_count_what_happened() -> Result<()> {
    let stage = Stage::set().await?;
    let volume = stage.volume(ONE)?;
    stage.content(&volume).await?;
    stage.content(&volume).await?;
    stage.store.on("/v1/secret/data/a", Reply::errors(404, &[]));
    stage.refused(&volume, Code::NotFound, "not_found").await?;
    for (series, expected) in [
        (
            "coffer_mount_requests_total{phase=\"first\",code=\"Ok\"}",
            1.0,
        ),
        (
            "coffer_mount_requests_total{phase=\"refresh\",code=\"Ok\"}",
            1.0,
        ),
        (
            "coffer_mount_requests_total{phase=\"refresh\",code=\"NotFound\"}",
            1.0,
        ),
        (
            "coffer_mount_failures_total{phase=\"refresh\",reason=\"not_found\"}",
            1.0,
        ),
        (
            "coffer_logins_total{method=\"kubernetes\",result=\"ok\"}",
            1.0,
        ),
        (
            "coffer_cache_lookups_total{cache=\"login\",result=\"hit\"}",
            2.0,
        ),
        ("coffer_mount_in_flight", 0.0),
        ("coffer_panics_total", 0.0),
    ] {
        assert_eq!(
            stage.provider.metric(series).await?,
            Some(expected),
            "{series}"
        );
    }
    let (_, text) = stage.provider.ask("/metrics").await?;
    for (name, words) in [
        ("store", "coffer_store_requests_total{op=\"read\""),
        ("build", "coffer_build_info{version="),
    ] {
        ensure!(text.contains(words), "{name}: {text}");
    }
    ensure!(
        !text.contains("secret/data") && !text.contains("shop"),
        "labels name no path and no pod"
    );
    Ok(())
}

/// D28, D26: the log is one JSON object a line on standard output, with pod and class on each mount's line.
#[tokio::test]
async fn the_log_is_json_on_standard_output() -> Result<()> {
    let mut stage = Stage::set().await?;
    let volume = stage.volume(ONE)?;
    stage.content(&volume).await?;
    stage.store.on(
        "/v1/secret/data/a",
        Reply::errors(500, &["first line\nsecond line"]),
    );
    stage.refused(&volume, Code::Unknown, "store_error").await?;
    stage.provider.whole_log().await?;
    let read = |stream: &str| {
        std::fs::read_to_string(
            stage
                .provider
                .directory()
                .join(format!("coffer-provider.{stream}")),
        )
    };
    assert_eq!(read("stderr")?, "");
    let lines: Vec<Value> = read("stdout")?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let line = |message: &str| {
        lines
            .iter()
            .find(|line| line["msg"] == message)
            .cloned()
            .unwrap_or_default()
    };
    for (message, level) in [("mounted", "info"), ("mount failed", "warn")] {
        let line = line(message);
        assert_eq!(line["level"], level, "{line}");
        for (field, expected) in [
            ("namespace", "shop"),
            ("pod", "pod"),
            ("class", "class"),
            ("pod_uid", volume.pod.uid.as_str()),
        ] {
            assert_eq!(line[field], expected, "{field} of {line}");
        }
    }
    assert_eq!(
        (
            &line("mount failed")["reason"],
            &line("mount failed")["code"]
        ),
        (&"store_error".into(), &"Unknown".into())
    );
    Ok(())
}

/// D26: a failure that repeats is written once, not at each of kubelet's attempts.
#[tokio::test]
async fn a_failure_that_repeats_is_written_once() -> Result<()> {
    let mut stage = Stage::set().await?;
    stage.store.on("/v1/secret/data/a", Reply::errors(404, &[]));
    let volume = stage.volume(ONE)?;
    for _ in 0..5 {
        stage.refused(&volume, Code::NotFound, "not_found").await?;
    }
    let log = stage.provider.whole_log().await?;
    assert_eq!(log.matches("mount failed").count(), 1, "{log}");
    Ok(())
}

/// D28: an unchanged republish is not worth a line at info.
#[tokio::test]
async fn an_unchanged_republish_is_silent() -> Result<()> {
    let mut stage = Stage::set().await?;
    let volume = stage.volume(ONE)?;
    for _ in 0..5 {
        stage.content(&volume).await?;
    }
    stage.store.put("secret/data/a", json!({"k": "w"}));
    stage.content(&volume).await?;
    let log = stage.provider.whole_log().await?;
    assert_eq!(log.matches("\"msg\":\"mounted\"").count(), 2, "{log}");
    Ok(())
}

/// D28: a volume whose republish is denied counts as failing until it works again; a first mount never does.
#[tokio::test]
async fn failing_volumes_are_counted_until_they_recover() -> Result<()> {
    let stage = Stage::set().await?;
    let failing = async || {
        stage
            .provider
            .metric("coffer_refresh_failing_volumes")
            .await
    };
    let denied = || {
        let reply = Reply::errors(403, &["permission denied"]);
        stage.store.on("/v1/secret/data/a", reply);
    };
    let volume = stage.volume(ONE)?;
    denied();
    stage
        .refused(&volume, Code::PermissionDenied, "denied")
        .await?;
    assert_eq!(failing().await?, Some(0.0), "a first mount");
    stage.store.heal();
    stage.content(&volume).await?;
    assert_eq!(failing().await?, Some(0.0));
    denied();
    for _ in 0..2 {
        stage
            .refused(&volume, Code::PermissionDenied, "denied")
            .await?;
        assert_eq!(failing().await?, Some(1.0));
    }
    stage.store.heal();
    stage.content(&volume).await?;
    assert_eq!(failing().await?, Some(0.0));
    Ok(())
}

/// O1: the age of what volumes hold rises between two scrapes and falls when they are refreshed.
#[tokio::test]
async fn the_age_of_answers_is_told_at_each_scrape() -> Result<()> {
    let stage = Stage::set().await?;
    let age = async || {
        let age = stage
            .provider
            .metric("coffer_refresh_oldest_age_seconds")
            .await?;
        age.context("no such metric")
    };
    assert_eq!(age().await?, 0.0, "there is no volume yet");
    stage.content(&stage.volume(ONE)?).await?;
    let before = age().await?;
    ensure!(before > 0.0, "{before}");
    let after = age().await?;
    ensure!(after > before, "{before} and then {after}");
    Ok(())
}

/// Events that nobody can take are said at the start, and mounts go on.
#[tokio::test]
async fn events_without_an_api_server_are_said_at_the_start() -> Result<()> {
    let mut stage = Stage::with(&["--events"]).await?;
    let volume = stage.volume(ONE)?;
    stage.content(&volume).await?;
    stage.store.on("/v1/secret/data/a", Reply::errors(404, &[]));
    stage.refused(&volume, Code::NotFound, "not_found").await?;
    let log = stage.provider.whole_log().await?;
    assert_eq!(log.matches("--events").count(), 1, "{log}");
    Ok(())
}

/// D28: a request that waits for its turn is counted until it has one.
#[tokio::test]
async fn requests_that_wait_for_their_turn_are_counted() -> Result<()> {
    let stage = Stage::with(&["--inflight", "1"]).await?;
    let queued = async |expected| {
        eventually(WAIT, "a queue of this length", async || {
            let length = stage.provider.metric("coffer_mount_queued").await?;
            ensure!(length == Some(expected), "{length:?}");
            Ok(())
        })
        .await
    };
    stage.content(&stage.volume(ONE)?).await?;
    let gate = Arc::new(Notify::new());
    let reply = Reply::data(&json!({"data": {"k": "v"}, "metadata": {}}));
    stage.store.on("/v1/secret/data/slow", reply.behind(&gate));
    let slow = stage.volume(&ONE.replace("data/a", "data/slow"))?;
    let waits = stage.volume(ONE)?;
    let watch = async {
        queued(1.0).await?;
        gate.notify_one();
        queued(0.0).await
    };
    let (slow, waits, watched) = tokio::join!(
        stage.content(&slow),
        async {
            eventually(WAIT, "a request that is held", async || {
                ensure!(stage.asked("secret/data/slow") == 1);
                Ok(())
            })
            .await?;
            stage.content(&waits).await
        },
        watch
    );
    watched?;
    assert_eq!((slow?, waits?), ("v".to_owned(), "v".to_owned()));
    Ok(())
}

/// D28: sessions whose login was refused hold no token.
#[tokio::test]
async fn tokens_that_are_held_are_counted() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.rule(|asked| {
        let is_refused = asked.is_login() && asked.json()["role"] == "nobody";
        is_refused.then(|| Reply::errors(403, &["permission denied"]))
    });
    let nobody = stage.volume_of("web", class(ONE).with("roleName", "nobody"))?;
    stage
        .refused(&nobody, Code::Unauthenticated, "login_refused")
        .await?;
    for account in ["web", "shop"] {
        stage
            .content(&stage.volume_of(account, class(ONE))?)
            .await?;
    }
    eventually(WAIT, "two tokens", async || {
        let held = stage.provider.metric("coffer_tokens_cached").await?;
        ensure!(held == Some(2.0), "{held:?}");
        Ok(())
    })
    .await
}

/// D28: when the first CA certificate in use ends is told, and nothing where there is none.
#[tokio::test]
async fn the_end_of_the_first_ca_in_use_is_told() -> Result<()> {
    let stage = Stage::set().await?;
    let ends = async || {
        let series = "coffer_tls_ca_expiry_timestamp_seconds";
        stage.provider.metric(series).await
    };
    stage.content(&stage.volume(ONE)?).await?;
    assert_eq!(ends().await?, Some(f64::INFINITY));
    let place = directory("tls")?;
    let authority = Authority::new("store")?;
    let older = authority.server_between(&["older"], [2020, 2040])?;
    let ca = place.path().join("ca.crt");
    std::fs::write(&ca, format!("{}{}", authority.pem(), older.certificate))?;
    let peer = TlsPeer::start(Manner::Tls(authority.server(&["another"])?))?;
    let class = class(ONE)
        .with("vaultAddress", &format!("https://{}", peer.place()))
        .with("vaultCACertPath", &ca.display().to_string());
    let volume = stage.volume_of("web", class)?;
    stage
        .refused(&volume, Code::FailedPrecondition, "store_tls")
        .await?;
    let new_year_2040: jiff::Timestamp = "2040-01-01T00:00:00Z".parse()?;
    assert_eq!(ends().await?, Some(new_year_2040.as_second() as f64));
    Ok(())
}
