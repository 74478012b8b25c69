//! What an operator sees: probes, metrics and the log.

use anyhow::{Context, Result, ensure};
use coffer_tests::scripted::Reply;
use serde_json::Value;
use tonic::Code;

use crate::stage::{ONE, Stage};

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
    stage
        .store
        .put("secret/data/a", serde_json::json!({"k": "w"}));
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
