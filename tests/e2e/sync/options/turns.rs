//! When an object is synced: at the word of its user, at its interval, and not while it is suspended.

use anyhow::{Result, ensure};
use coffer_tests::fixture::eventually;
use serde_json::{Value, json};

use super::{encoded, fetch_anew, measured, message, set, shown, tells, time, with_options};
use crate::stage::SOON;
use crate::sync::{Scene, value};
use crate::world::run;

/// How many seconds after its last success an object is due again.
fn wait(row: &Value) -> Result<i64> {
    let (last, next) = (time(&row["lastSuccess"])?, time(&row["nextRefresh"])?);
    Ok(next.as_second() - last.as_second())
}

/// Sync §3, refresh-interval: the operator's word counts until the object has its own, which acts at once.
#[test]
fn an_interval_is_told_and_gives_the_next_round_its_time() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--refresh-interval", "1h"]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        for (option, told, seconds) in [
            (None, "polled every 1h", 3600),
            (Some("90m"), "polled every 90m", 5400),
            (Some("30s"), "polled every 30s", 30),
            (Some("168h"), "polled every 168h", 604_800),
        ] {
            set(&scene, &sync, "refresh-interval", option).await?;
            tells(&scene, &sync, "Ready", &[told]).await?;
            let (least, most) = (seconds * 9 / 10 - 2, seconds * 11 / 10 + 2);
            eventually(SOON, told, async || {
                let row = shown(&scene, "a", "ready", "Synced").await?;
                let wait = wait(&row)?;
                ensure!((least..=most).contains(&wait), "{wait}: {row}");
                Ok(())
            })
            .await?;
        }
        set(&scene, &sync, "refresh-interval", Some("0")).await?;
        tells(&scene, &sync, "Ready", &["not polled"]).await?;
        eventually(SOON, "no next round", async || {
            let row = shown(&scene, "a", "ready", "Synced").await?;
            ensure!(row["nextRefresh"].is_null(), "{row}");
            Ok(())
        })
        .await
    })
}

/// Sync §3 and §5: another text of the annotation, and of the field, makes an object due that nothing else would.
#[test]
fn a_changed_force_text_means_now() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"value").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        let by_option =
            |text: &str| json!({"metadata": {"annotations": {"coffer.rs/force-sync": text}}});
        for patch in [
            by_option("2026-01-01T00:00:00Z"),
            by_option("any text"),
            json!({"spec": {"forceSynchronization": "now"}}),
        ] {
            // Without a watch of Secrets only a round finds it.
            let edit = json!({"data": {"k": encoded("edited")}});
            let edited = scene.merge(&scene.secret_named("a"), &edit).await?;
            ensure!(value(&edited, "k") == Some(b"edited".to_vec()));
            scene.merge(&sync, &patch).await?;
            scene.holds("a", "k", b"value").await?;
        }
        Ok(())
    })
}

/// Sync §3, suspend: from the start nothing is asked and nothing made.
#[test]
fn an_object_that_begins_suspended_is_not_fetched() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
        let sync = scene
            .create(with_options(sync, &[("suspend", "true")]))
            .await?;
        let ready = scene.says(&sync, "Ready", "Unknown", "Suspended").await?;
        let told = "Suspended by coffer.rs/suspend; the Secret is left as it is.";
        ensure!(message(&ready) == told, "{ready}");
        scene
            .says(&sync, "SecretUpdated", "Unknown", "NoUpdatesAttemptedYet")
            .await?;
        let row = shown(&scene, "a", "suspended", "Suspended").await?;
        ensure!(row["nextRefresh"].is_null(), "{row}");
        ensure!(scene.secret("a").await?.is_none() && scene.vendor.calls() == 0);

        set(&scene, &sync, "suspend", Some("false")).await?;
        scene.holds("a", "k", b"value").await?;
        scene
            .says(&sync, "Ready", "True", "Synced")
            .await
            .map(|_| ())
    })
}

/// Sync §3, suspend: the Secret stays as others leave it, whatever the store holds and whoever asks for a sync; all of
/// it is made up for at the end.
#[test]
fn a_suspended_object_is_left_alone_until_it_goes_on() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"one").await?;
        shown(&scene, "a", "ready", "Synced").await?;

        set(&scene, &sync, "suspend", Some("true")).await?;
        scene.says(&sync, "Ready", "True", "Suspended").await?;
        scene
            .says(&sync, "SecretCreated", "True", "CreateSuccessful")
            .await?;
        shown(&scene, "a", "suspended", "Suspended").await?;
        measured(&scene, "coffer_sync_objects{state=\"suspended\"}", 1.0).await?;
        let calls = scene.vendor.calls();
        scene.vendor.put("f", "two");
        fetch_anew(&scene, &class).await?;
        let edit = json!({"data": {"k": encoded("edited")}});
        let edited = scene.merge(&scene.secret_named("a"), &edit).await?;
        scene.round(&sync).await?;
        ensure!(scene.vendor.calls() == calls && scene.secret("a").await? == Some(edited));
        scene.says(&sync, "Ready", "True", "Suspended").await?;

        set(&scene, &sync, "suspend", None).await?;
        scene.holds("a", "k", b"two").await?;
        scene.says(&sync, "Ready", "True", "Synced").await?;
        shown(&scene, "a", "ready", "Synced").await.map(|_| ())
    })
}
