//! Conditions from the first write to failure and recovery, as sections 2 and 15 of the reference have them.
//!
//! What is held is in `checks`, what is suspended in `turns`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::vendor::Script;
use jiff::Timestamp;
use serde_json::{Value, json};
use tonic::Status;

use super::{fetch_anew, measured, message, noted, shown, tells, time};
use crate::sync::{Scene, VENDOR};
use crate::sync_objects::stored;
use crate::world::run;

/// Whether it has the form `c1:<key id>:<hex>`.
fn is_hash(text: &str) -> bool {
    let hex = |text: &str, digits| {
        let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == digits && text.bytes().all(plain)
    };
    let parts: Vec<&str> = text.split(':').collect();
    matches!(parts[..], ["c1", id, tag] if hex(id, 8) && hex(tag, 64))
}

/// Sync §2, first write: three conditions with upstream's sentences, the hash that is on the Secret too, and the time;
/// keys and sizes, and no value.
#[test]
fn after_the_first_write_the_status_is_whole() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "canary");
        scene.vendor.put("g", "second canary");
        scene.class("c").await?;
        let sync = scene.sync_of("a", "Opaque", &[("f", "k"), ("g", "long.key")]);
        let sync = scene.create(sync).await?;
        scene.says(&sync, "Ready", "True", "Synced").await?;
        let now = stored(&scene.ground.admin, &sync).await?;
        let status = &now["status"];
        let conditions = status["conditions"].as_array().context("no conditions")?;
        let told: BTreeSet<[&str; 4]> = conditions
            .iter()
            .map(|condition| {
                ["type", "status", "reason", "message"]
                    .map(|field| condition[field].as_str().unwrap_or_default())
            })
            .collect();
        let expected = [
            [
                "Ready",
                "True",
                "Synced",
                "k (6 bytes), long.key (13 bytes); from vendor 1.0; polled every 10m",
            ],
            [
                "SecretCreated",
                "True",
                "CreateSuccessful",
                "Secret created successfully.",
            ],
            [
                "SecretUpdated",
                "True",
                "SecretUpToDate",
                "Secret contains last observed values.",
            ],
        ];
        ensure!(told == BTreeSet::from(expected), "{told:?}");
        ensure!(conditions.len() == expected.len());
        for condition in conditions {
            ensure!(condition["observedGeneration"] == 1, "{condition}");
            time(&condition["lastTransitionTime"])?;
        }
        let hash = status["syncHash"].as_str().unwrap_or_default();
        ensure!(is_hash(hash), "{hash}");
        let age = Timestamp::now().duration_since(time(&status["lastSuccessfulSyncTime"])?);
        ensure!(age.unsigned_abs() < Duration::from_secs(60), "{age}");
        ensure!(!status.to_string().contains("canary"), "{status}");

        let secret = scene.secret("a").await?.context("there is no Secret")?;
        let record = secret["metadata"]["annotations"]["coffer.rs/record"].as_str();
        let record: Value = serde_json::from_str(record.context("no record")?)?;
        ensure!(record["hash"] == hash, "{record}");
        Ok(())
    })
}

/// Sync §2: equal content of two Secrets has different hashes.
#[test]
fn equal_content_of_two_secrets_has_two_hashes() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let mut hashes = BTreeSet::new();
        for name in ["a", "b"] {
            let sync = scene.sync(name).await?;
            scene.says(&sync, "Ready", "True", "Synced").await?;
            let now = stored(&scene.ground.admin, &sync).await?;
            let hash = now["status"]["syncHash"].as_str().unwrap_or_default();
            ensure!(is_hash(hash), "{hash}");
            hashes.insert(hash.to_owned());
        }
        ensure!(hashes.len() == 2, "{hashes:?}");
        Ok(())
    })
}

/// An answer that makes no Secret, with the reasons of SecretCreated and Ready, and what is told.
type Trouble = (fn(&mut Script), &'static str, &'static str, &'static str);

const ANSWERS: [Trouble; 8] = [
    (
        |script| script.code = Some("Boom".to_owned()),
        "ProviderError",
        "ProviderError",
        "provider vendor answered error code Boom",
    ),
    (
        |script| script.failure = Some(Status::permission_denied("role r may not")),
        "ProviderError",
        "ProviderError",
        "provider vendor answered PermissionDenied: role r may not",
    ),
    (
        |script| script.failure = Some(Status::unavailable("no route")),
        "ProviderError",
        "ProviderError",
        "provider vendor answered Unavailable: no route",
    ),
    (
        // Texts of others are cut, and stay on their line.
        |script| script.failure = Some(Status::unknown(format!("a\nb {}", "x".repeat(2000)))),
        "ProviderError",
        "ProviderError",
        "provider vendor answered Unknown: a\\nb xxx",
    ),
    (
        |script| script.no_versions = true,
        "ProviderError",
        "ProviderError",
        "provider vendor answered without object versions",
    ),
    (
        |script| script.files.clear(),
        "RemoteSecretStoreFetchFailed",
        "NoFiles",
        "the provider returned no files",
    ),
    (
        |script| {
            script.files.clear();
            script.files.insert("other".to_owned(), "x".into());
        },
        "RemoteSecretStoreFetchFailed",
        "RemoteSecretStoreFetchFailed",
        "f: no such file for key `k`; the provider returned other",
    ),
    (
        |script| {
            script.files.insert("../f".to_owned(), "x".into());
        },
        "RemoteSecretStoreFetchFailed",
        "RemoteSecretStoreFetchFailed",
        "../f: the provider returned a path that leads out of the volume",
    ),
];

/// Sync §2, failure before the first write: SecretUpdated is never True, whatever the provider answers; then it works.
#[test]
fn a_failure_before_the_first_write_never_says_up_to_date() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene
            .vendor
            .change(|script| script.code = Some("First".to_owned()));
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene
            .says(&sync, "SecretCreated", "False", "ProviderError")
            .await?;
        let told = "ProviderError: provider vendor answered error code First";
        let event = noted(&scene, "a", "SyncFailed", told).await?;
        ensure!(event["type"] == "Warning", "{event}");
        for (trouble, reason, fine, told) in ANSWERS {
            scene.vendor.change(|script| {
                *script = Script::default();
                script.files.insert("f".to_owned(), "value".into());
                trouble(script);
            });
            fetch_anew(&scene, &class).await?;
            let text = tells(&scene, &sync, "SecretCreated", &[told]).await?;
            ensure!(text.len() < 600, "{} bytes: {text}", text.len());
            fails(&scene, &sync, reason, fine).await?;
        }
        scene.vendor.change(|script| *script = Script::default());
        scene.vendor.put("f", "value");
        fetch_anew(&scene, &class).await?;
        scene.holds("a", "k", b"value").await?;
        scene
            .says(&sync, "SecretUpdated", "True", "SecretUpToDate")
            .await?;
        scene
            .says(&sync, "Ready", "True", "Synced")
            .await
            .map(|_| ())
    })
}

/// Waits until no Secret was made, for these reasons.
async fn fails(scene: &Scene, sync: &Value, reason: &str, fine: &str) -> Result<()> {
    scene.says(sync, "SecretCreated", "False", reason).await?;
    scene.says(sync, "Ready", "False", fine).await?;
    scene
        .says(sync, "SecretUpdated", "Unknown", "NoUpdatesAttemptedYet")
        .await?;
    ensure!(scene.secret("a").await?.is_none());
    Ok(())
}

/// Sync §2 and §4: a class without a provider, with none that could be, or with one that is not there.
#[test]
fn a_class_whose_provider_is_not_there_is_misconfigured() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        let class = scene.class("c").await?;
        scene.merge(&class, &of_provider("absent")).await?;
        let sync = scene.sync("a").await?;
        let unnamed = "spec.provider names no provider: 1 to 30 letters, digits, `_` or `-`";
        for (provider, told) in [
            (
                "absent",
                "there is no socket absent.sock in the provider directories (--provider-dirs)",
            ),
            ("../vendor", unnamed),
            (
                "vendor2",
                "there is no socket vendor2.sock in the provider directories (--provider-dirs)",
            ),
            ("", unnamed),
        ] {
            scene.merge(&class, &of_provider(provider)).await?;
            tells(&scene, &sync, "SecretCreated", &[told]).await?;
            let reason = "SecretProviderClassMisconfigured";
            fails(&scene, &sync, reason, reason).await?;
        }
        scene.merge(&class, &of_provider(VENDOR)).await?;
        scene.holds("a", "k", b"value").await?;
        scene
            .says(&sync, "Ready", "True", "Synced")
            .await
            .map(|_| ())
    })
}

fn of_provider(name: &str) -> Value {
    json!({"spec": {"provider": name}})
}

/// Sync §2 and §15: a later failure leaves Secret and SecretCreated; recovery with an equal value makes all of it
/// True in one round, is told, and writes nothing to the Secret.
#[test]
fn a_later_failure_serves_the_last_good_value_and_recovery_is_whole() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"value").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        let good = stored(&scene.ground.admin, &sync).await?;

        scene
            .vendor
            .change(|script| script.code = Some("Boom".to_owned()));
        fetch_anew(&scene, &class).await?;
        let told = "provider vendor answered error code Boom";
        let updated = scene
            .says(&sync, "SecretUpdated", "False", "ProviderError")
            .await?;
        ensure!(message(&updated) == told, "{updated}");
        scene
            .says(&sync, "SecretCreated", "True", "CreateSuccessful")
            .await?;
        let ready = scene
            .says(&sync, "Ready", "True", "ServingLastGood")
            .await?;
        let now = stored(&scene.ground.admin, &sync).await?;
        let since = now["status"]["lastSuccessfulSyncTime"].as_str();
        let since = since.context("no success")?;
        let text = format!("ProviderError: {told}; the Secret holds the value of {since}");
        ensure!(message(&ready) == text, "{ready}");
        ensure!(now["status"]["syncHash"] == good["status"]["syncHash"]);
        noted(&scene, "a", "SyncFailed", told).await?;
        shown(&scene, "a", "failing", "ServingLastGood").await?;
        ensure!(scene.secret("a").await? == Some(before.clone()));

        scene.vendor.change(|script| script.code = None);
        scene.force(&sync).await?;
        scene.says(&sync, "Ready", "True", "Synced").await?;
        let whole = stored(&scene.ground.admin, &sync).await?;
        let conditions = whole["status"]["conditions"].as_array();
        for condition in conditions.context("no conditions")? {
            ensure!(condition["status"] == "True", "{condition}");
        }
        ensure!(whole["status"]["syncHash"] == good["status"]["syncHash"]);
        let recovered = scene.told("a", "SyncRecovered").await?;
        ensure!(recovered["type"] == "Normal", "{recovered}");
        ensure!(scene.secret("a").await? == Some(before));
        Ok(())
    })
}

/// Sync §2: a round without news writes neither Secret nor status, whether its answer is a new one or served before.
#[test]
fn a_round_without_news_writes_no_status() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let secret = scene.holds("a", "k", b"value").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        let before = stored(&scene.ground.admin, &sync).await?;
        let events = scene.events("a").await?.len();

        // The class makes it due, so that nothing of the SecretSync itself changes.
        scene.round(&class).await?;
        let series = "coffer_sync_reconciles_total{result=\"unchanged\"}";
        let unchanged = scene.controller.metric(series).await?;
        ensure!(unchanged >= 1.0, "{unchanged}");
        let calls = scene.vendor.calls();
        fetch_anew(&scene, &class).await?;
        measured(&scene, series, unchanged + 1.0).await?;
        ensure!(scene.vendor.calls() == calls + 1);
        let after = stored(&scene.ground.admin, &sync).await?;
        ensure!(before == after, "{before}\n{after}");
        ensure!(scene.secret("a").await? == Some(secret));
        ensure!(scene.events("a").await?.len() == events);
        Ok(())
    })
}

/// Sync §2: every condition is of the generation that the round saw, even where it says the same.
#[test]
fn conditions_follow_the_generation() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene.says(&sync, "Ready", "True", "Synced").await?;
        let first = stored(&scene.ground.admin, &sync).await?;
        scene.force(&sync).await?;
        for (condition, reason) in [
            ("SecretCreated", "CreateSuccessful"),
            ("SecretUpdated", "SecretUpToDate"),
            ("Ready", "Synced"),
        ] {
            let now = scene.says(&sync, condition, "True", reason).await?;
            ensure!(now["observedGeneration"] == 2, "{now}");
        }
        let second = stored(&scene.ground.admin, &sync).await?;
        let since = |object: &Value| -> Vec<Value> {
            let conditions = object["status"]["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .map(|condition| condition["lastTransitionTime"].clone())
                .collect()
        };
        ensure!(since(&first) == since(&second), "{first}\n{second}");
        Ok(())
    })
}
