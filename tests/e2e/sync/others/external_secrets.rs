//! External Secrets: what is published of values, how much happens at once, what is refused early, and retries.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use ring::digest::{self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use serde_json::{Value, json};
use tonic::Status;

use crate::stage::SOON;
use crate::sync::Scene;
use crate::sync::adoption::strangers;
use crate::sync::drift::{ask_anew, encoded, good, noted, rotate, rounds, synced_with, there};
use crate::sync_objects::{judge, stored, tried, with};
use crate::world::run;

/// The digests that anybody can make of a value, as texts.
fn digests(value: &[u8]) -> Vec<String> {
    let algorithms: [&Algorithm; 4] = [&SHA1_FOR_LEGACY_USE_ONLY, &SHA256, &SHA384, &SHA512];
    let all = algorithms.map(|algorithm| digest::digest(algorithm, value));
    all.iter()
        .flat_map(|digest| {
            let hex: String = digest
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            [hex, encoded(digest.as_ref())]
        })
        .collect()
}

/// The fingerprint on a Secret.
fn fingerprint(secret: &Value) -> Result<String> {
    let record = secret["metadata"]["annotations"]["coffer.rs/record"].as_str();
    let record: Value = serde_json::from_str(record.context("no record")?)?;
    Ok(record["hash"].as_str().context("no hash")?.to_owned())
}

/// When an object was synced last and when it is due again, in seconds.
async fn times(scene: &Scene) -> Result<Vec<(i64, i64)>> {
    let objects = scene.controller.objects().await?;
    let second = |object: &Value, field: &str| -> Result<i64> {
        let text = object[field]
            .as_str()
            .with_context(|| format!("no {field}: {object}"))?;
        Ok(text.parse::<Timestamp>()?.as_second())
    };
    let objects = objects.as_array().into_iter().flatten();
    objects
        .map(|object| {
            Ok((
                second(object, "lastSuccess")?,
                second(object, "nextRefresh")?,
            ))
        })
        .collect()
}

/// Sync §16, External Secrets, line 1: no digest without our key is anywhere, and equal values cannot be told
#[test]
fn external_secrets_line_1_no_plain_digest_of_a_value_is_published() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let value = "correct horse battery staple";
        scene.vendor.put("f", value);
        scene.class("c").await?;
        let mut published = String::new();
        let mut fingerprints = BTreeSet::new();
        for name in ["a", "b"] {
            let sync = scene.sync(name).await?;
            good(&scene, &sync).await?;
            scene.told(name, "Synced").await?;
            let mut secret = scene.holds(name, "k", value.as_bytes()).await?;
            let sync = stored(&scene.ground.admin, &sync).await?;
            let fingerprint = fingerprint(&secret)?;
            let parts: Vec<&str> = fingerprint.split(':').collect();
            let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
            ensure!(
                parts.len() == 3 && parts[0] == "c1" && hex(parts[1]),
                "{fingerprint}"
            );
            ensure!(parts[2].len() == 64 && hex(parts[2]), "{fingerprint}");
            ensure!(
                sync["status"]["syncHash"] == fingerprint,
                "{}",
                sync["status"]
            );
            fingerprints.insert(fingerprint);
            secret["data"] = json!(null);
            let events = scene.events(name).await?;
            published.push_str(&format!("{secret}\n{sync}\n{events:?}\n"));
        }
        ensure!(
            fingerprints.len() == 2,
            "equal values have equal fingerprints"
        );
        for path in ["/metrics", "/objects"] {
            published.push_str(&scene.controller.ask(path).await?.1);
        }
        published.push_str(&scene.controller.log());
        for told in digests(value.as_bytes()).iter().chain([&value.to_owned()]) {
            ensure!(!published.contains(told), "{told} is told: {published}");
        }
        Ok(())
    })
}

/// Sync §16, External Secrets, line 1: several objects are worked on at once
#[test]
fn external_secrets_line_1_several_objects_are_in_flight_at_once() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.change(|script| script.hangs = true);
        for name in ["one", "two", "three", "four"] {
            scene.class(name).await?;
            let sync = scene.sync_of(name, "Opaque", &[("f", "k")]);
            scene
                .create(with(sync, "/spec/secretProviderClassName", json!(name)))
                .await?;
        }
        eventually(SOON, "four calls at once", async || {
            let most = scene.vendor.most_in_flight();
            ensure!(most >= 4, "{most}");
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())
    })
}

/// Sync §16, External Secrets, line 1: polls are spread by a tenth of the interval to both sides
#[test]
fn external_secrets_line_1_polls_are_spread() -> Result<()> {
    const OBJECTS: usize = 8;
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let names: Vec<String> = (0..OBJECTS).map(|number| format!("s{number}")).collect();
        try_join_all(names.iter().map(|name| scene.sync(name))).await?;
        rounds(&scene, "created", OBJECTS).await?;
        let waits = eventually(SOON, "when objects are due again", async || {
            let times = times(&scene).await?;
            ensure!(times.len() == OBJECTS, "{times:?}");
            Ok(times
                .into_iter()
                .map(|(last, next)| next - last)
                .collect::<BTreeSet<_>>())
        })
        .await?;
        // Of ten minutes, and a second or two of a busy machine.
        ensure!(
            waits.iter().all(|wait| (538..=665).contains(wait)),
            "{waits:?}"
        );
        ensure!(waits.len() > 1, "all after {waits:?} seconds");
        Ok(())
    })
}

/// Sync §16, External Secrets, line 1: an immutable Secret follows the store
#[test]
fn external_secrets_line_1_immutable_does_not_stop_rotation() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let options = json!({"coffer.rs/immutable": "Recreate"});
        let sync = synced_with(&scene, options).await?;
        for content in ["new", "newer"] {
            rotate(&scene, content).await?;
            let secret = scene.holds("a", "k", content.as_bytes()).await?;
            ensure!(secret["immutable"] == true, "{}", secret["metadata"]);
        }
        good(&scene, &sync).await
    })
}

/// Sync §16, External Secrets, line 1: a key that no Secret can have is refused before anything is fetched
#[test]
fn external_secrets_line_1_impossible_keys_are_refused_early() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let sync = scene.sync_of("a", "Opaque", &[("f", "é")]);
        let said = tried(&scene.ground.admin, &sync).await?;
        judge("a key of the spec", &said, "422 targetKey")?;
        let extra = json!([{"sourcePath": "f", "targetKey": "é"}]).to_string();
        let options = json!({"coffer.rs/extra-data": extra});
        let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
        let sync = scene
            .create(with(sync, "/metadata/annotations", options))
            .await?;
        let ready = scene.says(&sync, "Ready", "False", "InvalidOption").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.contains("`é` is no key of a Secret"), "{message}");
        ensure!(scene.vendor.calls() == 0, "the vendor was asked");
        ensure!(scene.secret("a").await?.is_none(), "it was made");
        Ok(())
    })
}

/// Sync §16, External Secrets, line 2: an unowned Secret is neither taken over nor cleared
#[test]
fn external_secrets_line_2_an_unowned_secret_is_not_taken_over_or_cleared() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let before = strangers(&scene, "a", "SecretSync/somebody").await?;
        let sync = scene.sync("a").await?;
        scene
            .says(&sync, "Ready", "False", "AdoptionRefused")
            .await?;
        // Nor when there is nothing to write any more, nor when nobody wants it.
        scene.vendor.remove("f");
        ask_anew(&scene, "c").await?;
        scene.says(&sync, "Ready", "False", "NoFiles").await?;
        scene.delete(&sync).await?;
        eventually(SOON, "no object", async || {
            let objects = scene.controller.objects().await?;
            ensure!(objects == json!([]), "{objects}");
            Ok(())
        })
        .await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        Ok(())
    })
}

/// Sync §16, External Secrets, line 2: failures are not tried again faster than their pauses say
#[test]
fn external_secrets_line_2_retries_keep_their_pauses() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let down = Status::internal("down");
        scene.vendor.change(|script| script.failure = Some(down));
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene
            .says(&sync, "SecretCreated", "False", "ProviderError")
            .await?;
        let failed = Instant::now();
        let calls = scene.vendor.calls();
        eventually(SOON, "another try", async || {
            ensure!(scene.vendor.calls() > calls);
            Ok(())
        })
        .await?;
        let pause = failed.elapsed();
        // Five seconds, give or take a fifth, and what it took to hear of the failure.
        ensure!(pause >= Duration::from_secs(3), "{pause:?}");
        rounds(&scene, "failed", 2).await?;
        // The next pause is twice as long.
        eventually(SOON, "a later try", async || {
            let objects = scene.controller.objects().await?;
            let next = objects[0]["nextRefresh"].as_str().context("not due")?;
            let left = next.parse::<Timestamp>()?.duration_since(Timestamp::now());
            ensure!(left.as_secs() >= 6, "{objects}");
            Ok(())
        })
        .await
    })
}

/// Sync §16, External Secrets, line 2: a change of type gets through, and one that cannot is taken back
#[test]
fn external_secrets_line_2_a_change_of_type_is_not_stuck() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced_with(&scene, json!({"coffer.rs/on-type-change": "Fail"})).await?;
        let custom = json!({"spec": {"secretObject": {"type": "example.com/other"}}});
        scene.merge(&sync, &custom).await?;
        noted(&scene, "a", "SyncRefused", "TypeChange").await?;
        let recreate = json!({"coffer.rs/on-type-change": "Recreate"});
        let recreate = json!({"metadata": {"annotations": recreate}});
        scene.merge(&sync, &recreate).await?;
        good(&scene, &sync).await?;
        let secret = there(&scene, "a").await?;
        ensure!(secret["type"] == "example.com/other", "{}", secret["type"]);
        Ok(())
    })
}

/// Sync §16, External Secrets, line 2: a hundred objects of one class are there within a minute and share their calls
#[test]
fn external_secrets_line_2_many_objects_take_no_minutes() -> Result<()> {
    const OBJECTS: usize = 100;
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let names: Vec<String> = (0..OBJECTS).map(|number| format!("s{number}")).collect();
        try_join_all(names.iter().map(|name| scene.sync(name))).await?;
        rounds(&scene, "created", OBJECTS).await?;
        let calls = scene.vendor.calls();
        ensure!(calls <= OBJECTS / 5, "{calls} calls");
        Ok(())
    })
}
