//! What is told of a failure, and what is not.

use anyhow::{Result, ensure};
use coffer_proto::v1alpha1::MountRequest;
use coffer_tests::scripted::Reply;
use serde_json::json;
use tonic::Code;

use crate::stage::{Failures, ONE, Stage, check_failure, class};

/// H1: attributes that are no map of strings are told by place, never by content.
#[tokio::test]
async fn attributes_that_are_no_json_are_not_echoed() -> Result<()> {
    let mut stage = Stage::set().await?;
    let big = format!("{{\"roleName\":\"{}", "marker-x".repeat(1 << 20));
    let mut failures = Failures::default();
    for (row, attributes) in [
        ("empty", ""),
        ("null", "null"),
        ("list", "[\"marker-x\"]"),
        ("text", "\"marker-x\""),
        ("cut", "{\"roleName\":\"marker-x"),
        ("number", "{\"roleName\":7}"),
        (
            "duplicate",
            "{\"roleName\":\"marker-x\",\"roleName\":\"b\"}",
        ),
        ("8 MiB", big.as_str()),
        ("trailing", "{} marker-x"),
    ] {
        let request = MountRequest {
            attributes: attributes.to_owned(),
            secrets: "null".to_owned(),
            target_path: "/t".to_owned(),
            permission: "420".to_owned(),
            current_object_version: Vec::new(),
        };
        let outcome = stage.driver.mount(&request).await?;
        let text = check_failure(&outcome, Code::InvalidArgument, "bad_request");
        failures.note(
            row,
            text.and_then(|text| {
                ensure!(!text.contains("marker-x"), "{text}");
                Ok(())
            }),
        );
    }
    ensure!(!stage.provider.whole_log().await?.contains("marker-x"));
    failures.none()
}

/// D25, D26: every failing object is named, grouped by cause, in one line that fits into an Event.
#[tokio::test]
async fn every_failing_object_is_named() -> Result<()> {
    let stage = Stage::set().await?;
    let mut objects = ONE.to_owned();
    for at in 0..4 {
        objects += &format!(
            "\n- {{objectName: none{at}, secretPath: secret/data/none{at}, secretKey: k}}"
        );
        objects +=
            &format!("\n- {{objectName: key{at}, secretPath: secret/data/a, secretKey: other}}");
    }
    let text = stage
        .refused(&stage.volume(&objects)?, Code::NotFound, "not_found")
        .await?;
    assert!(text.starts_with("8 of 9 objects failed: "), "{text}");
    for at in 0..4 {
        assert!(
            text.contains(&format!("\"none{at}\"")) && text.contains(&format!("\"key{at}\"")),
            "{text}"
        );
    }
    assert!(!text.contains("\"a\""), "{text}");
    Ok(())
}

/// D25, D26: many distinct causes leave room for names with their paths, the place, the hint and the reason.
#[tokio::test]
async fn many_distinct_causes_leave_room_for_place_and_hint() -> Result<()> {
    let stage = Stage::set().await?;
    let mut keys = String::new();
    let mut denied = String::new();
    for at in 0..14 {
        let path = format!("secret/data/app/{at}");
        stage.store.put(&path, json!({"k": "v"}));
        keys += &object(&format!("key-{at}"), &path, &format!("none-{at}"));
    }
    for at in 0..4 {
        let path = format!("secret/data/denied/{at}");
        let error = Reply::errors(403, &["permission denied"]);
        stage.store.on(&format!("/v1/{path}"), error);
        denied += &object(&format!("denied-{at}"), &path, "k");
    }
    let missing = object("missing", "secret/data/missing", "k");
    let mut failures = Failures::default();
    for (row, objects, code, reason, count, words) in [
        (
            "missing keys",
            keys.clone(),
            Code::NotFound,
            "not_found",
            "14 of 14",
            &[
                "\"key-9\" (path secret/data/app/9), and 4 more: ",
                "does not exist at the secret path",
                "check secretKey",
            ][..],
        ),
        (
            "denied paths",
            denied.clone(),
            Code::PermissionDenied,
            "denied",
            "4 of 4",
            &[
                "\"denied-0\" (path secret/data/denied/0)",
                "\"denied-3\" (path secret/data/denied/3)",
                "permission denied, Code: 403",
                "policy needs read",
            ],
        ),
        (
            "mixed",
            denied + &keys + &missing,
            Code::PermissionDenied,
            "denied",
            "19 of 19",
            &[
                "\"denied-3\"",
                "permission denied, Code: 403",
                "policy needs read",
                "\"key-0\"",
                "does not exist at the secret path",
                "check secretKey",
                "\"missing\" (path secret/data/missing)",
                "Code: 404",
                "check path and version",
            ],
        ),
    ] {
        let text = stage.refused(&stage.volume(&objects)?, code, reason).await;
        let told = text.and_then(|text| {
            ensure!(
                text.starts_with(&format!("{count} objects failed: ")),
                "{text}"
            );
            let place = format!(
                "(role app, store {}, service account shop/web) [",
                stage.store.address().trim_start_matches("http://")
            );
            for words in words.iter().copied().chain([place.as_str()]) {
                ensure!(text.contains(words), "{words} in {text}");
            }
            ensure!(text.len() <= 700, "{} bytes: {text}", text.len());
            Ok(())
        });
        failures.note(row, told);
    }
    failures.none()
}

fn object(name: &str, path: &str, key: &str) -> String {
    format!("- {{objectName: {name}, secretPath: {path}, secretKey: {key}}}\n")
}

/// H10: control and colour characters in names, roles and the store's texts reach neither status nor log.
#[tokio::test]
async fn control_characters_are_escaped_everywhere() -> Result<()> {
    let mut stage = Stage::set().await?;
    let evil = "\u{1b}[31mred\u{202e}\u{7}\r\nlevel=info msg=forged";
    let error = Reply::errors(403, &[evil]);
    stage.store.on("/v1/secret/data/a", error);
    let mut volume = stage.volume_of("web", class(ONE).with("roleName", evil))?;
    volume.class.name = evil.to_owned();
    volume.pod.name = evil.to_owned();
    let text = stage
        .refused(&volume, Code::PermissionDenied, "denied")
        .await?;
    assert!(text.contains("red"), "{text}");
    let odd = class(&format!(
        "- {{objectName: {}, secretPath: x}}",
        serde_json::to_string(evil)?
    ));
    let other = stage
        .refused(
            &stage.volume_of("web", odd)?,
            Code::InvalidArgument,
            "bad_request",
        )
        .await?;
    let log = stage.provider.whole_log().await?;
    for text in [&text, &other, &log] {
        assert!(
            !text.contains('\u{1b}')
                && !text.contains('\u{202e}')
                && !text.contains('\u{7}')
                && !text.contains('\r'),
            "{text:?}"
        );
    }
    assert!(
        !log.lines().any(|line| line.starts_with("level=info")),
        "{log}"
    );
    Ok(())
}

/// D22, H2: unknown keys are accepted with one warning that names the nearest known one.
#[tokio::test]
async fn unknown_keys_are_accepted_with_a_warning() -> Result<()> {
    let mut stage = Stage::set().await?;
    let objects =
        "- {objectName: a, secretPath: secret/data/a, secretKey: k, filePermissions: 0600}";
    let class = class(objects)
        .with("vaultAdress", "https://x")
        .with("kubernetesServiceAccountPath", "/x");
    for _ in 0..3 {
        assert_eq!(
            stage
                .content(&stage.volume_of("web", class.clone())?)
                .await?,
            "v"
        );
    }
    assert_eq!(
        stage
            .provider
            .metric("coffer_unknown_parameters_total")
            .await?,
        Some(3.0)
    );
    let log = stage.provider.whole_log().await?;
    for words in [
        "vaultAdress: is not known and ignored; did you mean vaultAddress?",
        "kubernetesServiceAccountPath: is not known",
        "did you mean filePermission?",
    ] {
        assert_eq!(log.matches(words).count(), 1, "{words} in {log}");
    }
    Ok(())
}
