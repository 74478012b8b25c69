//! Events through the whole subscriber, into memory.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tracing::subscriber::with_default;

use super::writer::Queue;
use super::writer::tests::Shared;
use super::{Level, LevelControl, LogFormat, subscriber};

/// What is logged meanwhile, line by line.
fn logged(format: LogFormat, level: Level, act: impl FnOnce(&LevelControl)) -> Vec<String> {
    let out = Shared::default();
    let queue = Queue::start(out.clone(), Arc::new(|| ())).unwrap();
    let (subscriber, control) = subscriber(format, level, Arc::clone(&queue));
    with_default(subscriber, || act(&control));
    queue.close(Duration::from_secs(10));
    out.text().lines().map(str::to_owned).collect()
}

fn json(level: Level, act: impl FnOnce(&LevelControl)) -> Vec<Value> {
    let lines = logged(LogFormat::Json, level, act);
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_event_carries_the_fields_of_its_spans_and_the_innermost_wins() {
    let lines = json(Level::Info, |_| {
        let outer = tracing::info_span!("mount", pod = "web-0", phase = "first", n = 1);
        let _outer = outer.enter();
        let inner = tracing::info_span!("read", n = 2, code = tracing::field::Empty);
        inner.record("code", "NotFound");
        let _inner = inner.enter();
        tracing::warn!(
            phase = "refresh",
            objects = 3_u64,
            ok = false,
            ms = 1.5,
            "mount failed"
        );
    });
    let line = &lines[0];
    for (key, expected) in [
        ("level", Value::from("warn")),
        ("msg", "mount failed".into()),
        ("target", "coffer_frame::telemetry::tests".into()),
        ("pod", "web-0".into()),
        ("phase", "refresh".into()),
        ("n", 2.into()),
        ("code", "NotFound".into()),
        ("objects", 3.into()),
        ("ok", false.into()),
        ("ms", 1.5.into()),
    ] {
        assert_eq!(line[key], expected, "{key}");
    }
    let ts: jiff::Timestamp = line["ts"].as_str().unwrap().parse().unwrap();
    assert!(ts <= jiff::Timestamp::now());
    assert_eq!(lines.len(), 1);
}

#[test]
fn text_holds_the_same_fields() {
    let lines = logged(LogFormat::Text, Level::Info, |_| {
        let span = tracing::info_span!("mount", pod = "web-0");
        span.in_scope(|| tracing::info!(detail = "two words", "mounted"));
    });
    let (_, rest) = lines[0].split_once(' ').unwrap();
    assert_eq!(
        rest,
        "INFO  coffer_frame::telemetry::tests: mounted detail=\"two words\" pod=web-0"
    );
}

#[test]
fn control_characters_are_escaped_wherever_they_stand() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let lines = logged(format, Level::Info, |_| {
            let pod = "a\n{\"level\":\"error\"}\u{1b}[31m\u{2028}";
            tracing::info!(pod, detail = ?pod, shown = %pod, "said {pod}");
        });
        assert_eq!(lines.len(), 1, "{format:?}: {lines:?}");
        assert!(!lines[0].contains(|c: char| c.is_control() || c == '\u{2028}'));
    }
}

#[test]
fn a_warning_names_its_pod_at_level_warn_too() {
    let lines = json(Level::Warn, |_| {
        let span = tracing::info_span!("mount", pod = "web-0");
        span.in_scope(|| {
            tracing::info!("mounted");
            tracing::warn!("mount failed");
        });
    });
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["pod"], "web-0");
}

#[test]
fn silent_libraries_stay_silent_and_chatty_ones_speak_from_warn_on() {
    let lines = json(Level::Trace, |_| {
        tracing::error!(target: "vaultrs::client", "token");
        tracing::error!(target: "rustify::http", "body");
        tracing::trace!(target: "h2::codec", "frame");
        tracing::info!(target: "hyper::proto", "headers");
        let span = tracing::error_span!(target: "rustify", "request", body = "secret");
        span.in_scope(|| tracing::warn!(target: "tower", "told"));
        tracing::trace!("ours");
    });
    let told: Vec<_> = lines
        .iter()
        .map(|line| line["msg"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["told", "ours"]);
    assert_eq!(lines[0].get("body"), None);
}

#[test]
fn the_level_changes_at_run_time() {
    let lines = json(Level::Warn, |control| {
        for round in 0..3 {
            tracing::debug!(round, "detail");
            match round {
                0 => control.set_level(Level::Debug),
                _ => control.reset(),
            }
        }
        control.set_level(Level::Off);
        tracing::error!("nobody hears this");
        assert_eq!(control.level(), Level::Off);
    });
    let rounds: Vec<_> = lines.iter().map(|line| &line["round"]).collect();
    assert_eq!(rounds, [1]);
}
