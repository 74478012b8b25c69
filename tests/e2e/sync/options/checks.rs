//! What the checks of content decide under each policy, and what people see of it.
//!
//! The check is always the same: a custom type whose user requires a key `b`, made of all files of the provider.

use anyhow::{Result, ensure};
use coffer_tests::fixture::eventually;
use serde_json::{Value, json};

use super::{
    a_second_after, fetch_anew, measured, message, noted, set, shown, tells, tells_nothing_of,
    with_options,
};
use crate::stage::SOON;
use crate::sync::{Scene, condition_of, keys};
use crate::sync_objects::stored;
use crate::world::run;

/// Files `f` and `b`, a class, and the object under this policy.
async fn demanding(files: &[&str], validation: &str) -> Result<(Scene, Value, Value)> {
    let scene = Scene::plain(&[]).await?;
    for file in files {
        scene.vendor.put(file, format!("of-{file}"));
    }
    let class = scene.class("c").await?;
    let sync = scene.sync_of("a", "example.com/login", &[("f", "k")]);
    let options = [
        ("all-keys", "true"),
        ("required-keys", "b"),
        ("validation", validation),
    ];
    let sync = scene.create(with_options(sync, &options)).await?;
    Ok((scene, class, sync))
}

/// Waits until the advice of the check is in the message of Ready, or is not.
async fn advises(scene: &Scene, sync: &Value, expected: bool) -> Result<()> {
    eventually(SOON, "the message of Ready", async || {
        let now = stored(&scene.ground.admin, sync).await?;
        let ready = condition_of(&now, "Ready").cloned().unwrap_or_default();
        ensure!(
            ready["status"] == "True" && ready["reason"] == "Synced",
            "{ready}"
        );
        let found = message(&ready).contains("; advice: custom.required (data[b])");
        ensure!(found == expected, "{ready}");
        Ok(())
    })
    .await
}

/// Sync §2, held: a worse value is held back and all three conditions say so; a good one is written, and the fourth
/// condition is gone.
#[test]
fn a_worse_value_is_held_back_until_a_good_one_comes() -> Result<()> {
    run(async {
        let (scene, class, sync) = demanding(&["f", "b"], "Hold").await?;
        let before = scene.holds("a", "b", b"of-b").await?;
        ensure!(keys(&before) == ["b", "f", "k"]);
        shown(&scene, "a", "ready", "Synced").await?;
        let good = stored(&scene.ground.admin, &sync).await?;

        scene.vendor.remove("b");
        scene.vendor.put("f", "new-f");
        fetch_anew(&scene, &class).await?;
        let held = scene
            .says(&sync, "coffer.rs/Held", "True", "SemanticRegression")
            .await?;
        let told = "A new value is held back, it fails custom.required; the last good one stays.";
        ensure!(message(&held) == told, "{held}");
        for (condition, status, reason) in [
            ("SecretCreated", "True", "CreateSuccessful"),
            ("SecretUpdated", "False", "ControllerSyncError"),
            ("Ready", "True", "Held"),
        ] {
            scene.says(&sync, condition, status, reason).await?;
        }
        let told = "A new value fails custom.required; the last good one stays.";
        noted(&scene, "a", "SyncHeld", told).await?;
        shown(&scene, "a", "held", "Held").await?;
        measured(&scene, "coffer_sync_objects{state=\"held\"}", 1.0).await?;
        let series = "coffer_sync_reconciles_total{result=\"held\"}";
        measured(&scene, series, 1.0).await?;
        let series = "coffer_sync_check_failures_total{check=\"custom.required\"}";
        measured(&scene, series, 1.0).await?;
        ensure!(scene.secret("a").await? == Some(before));
        let now = stored(&scene.ground.admin, &sync).await?;
        ensure!(now["status"]["syncHash"] == good["status"]["syncHash"]);

        scene.vendor.put("b", "new-b");
        fetch_anew(&scene, &class).await?;
        let after = scene.holds("a", "f", b"new-f").await?;
        ensure!(keys(&after) == ["b", "f", "k"]);
        scene
            .says(&sync, "SecretUpdated", "True", "SecretUpToDate")
            .await?;
        scene.says(&sync, "Ready", "True", "Synced").await?;
        let now = stored(&scene.ground.admin, &sync).await?;
        ensure!(condition_of(&now, "coffer.rs/Held").is_none(), "{now}");
        noted(&scene, "a", "Synced", "Secret a holds new content.")
            .await
            .map(|_| ())
    })
}

/// Sync §3, validation Hold: a first value is written whatever the checks say, and the message of Ready advises.
#[test]
fn a_first_value_is_written_with_advice() -> Result<()> {
    run(async {
        let (scene, class, sync) = demanding(&["f"], "Hold").await?;
        scene.holds("a", "k", b"of-f").await?;
        advises(&scene, &sync, true).await?;
        // It is as bad as the one before, so it is no worse.
        scene.vendor.put("f", "new-f");
        fetch_anew(&scene, &class).await?;
        scene.holds("a", "k", b"new-f").await?;
        scene.vendor.put("b", "of-b");
        fetch_anew(&scene, &class).await?;
        scene.holds("a", "b", b"of-b").await?;
        advises(&scene, &sync, false).await
    })
}

/// Sync §3, validation Strict: a bad first value is refused, and later ones are held.
#[test]
fn under_strict_a_bad_first_value_is_refused() -> Result<()> {
    run(async {
        let (scene, class, sync) = demanding(&["f"], "Strict").await?;
        let told = scene
            .says(&sync, "SecretCreated", "False", "ControllerPatchError")
            .await?;
        let text = "The first value fails custom.required, and coffer.rs/validation is Strict.";
        ensure!(message(&told) == text, "{told}");
        scene.says(&sync, "Ready", "False", "InvalidData").await?;
        noted(&scene, "a", "SyncRefused", text).await?;
        ensure!(scene.secret("a").await?.is_none());

        scene.vendor.put("b", "of-b");
        fetch_anew(&scene, &class).await?;
        let before = scene.holds("a", "b", b"of-b").await?;
        scene.says(&sync, "Ready", "True", "Synced").await?;
        scene.vendor.remove("b");
        fetch_anew(&scene, &class).await?;
        scene.says(&sync, "Ready", "True", "Held").await?;
        ensure!(scene.secret("a").await? == Some(before));
        Ok(())
    })
}

/// Sync §3, validation Warn and Off: a held value is written as soon as the option says so, with advice under Warn
/// alone.
#[test]
fn under_warn_and_off_a_worse_value_is_written() -> Result<()> {
    run(async {
        let (scene, class, sync) = demanding(&["f", "b"], "Hold").await?;
        scene.holds("a", "b", b"of-b").await?;
        scene.says(&sync, "Ready", "True", "Synced").await?;
        scene.vendor.remove("b");
        fetch_anew(&scene, &class).await?;
        scene.says(&sync, "Ready", "True", "Held").await?;

        set(&scene, &sync, "validation", Some("Warn")).await?;
        scene
            .until("a", "a Secret without b", |secret| {
                keys(secret) == ["f", "k"]
            })
            .await?;
        advises(&scene, &sync, true).await?;
        set(&scene, &sync, "validation", Some("Off")).await?;
        advises(&scene, &sync, false).await?;
        scene.vendor.remove("f");
        scene.vendor.put("b", "of-b");
        fetch_anew(&scene, &class).await?;
        // A file that is mapped by name has to be there, whatever the policy.
        let reason = "RemoteSecretStoreFetchFailed";
        scene
            .says(&sync, "SecretUpdated", "False", reason)
            .await
            .map(|_| ())
    })
}

/// Sync §6 and §8: another policy changes what is remembered of a value, which is nobody's edit and no fight.
#[test]
fn a_change_of_the_policy_is_no_repair() -> Result<()> {
    run(async {
        let (scene, _, sync) = demanding(&["f"], "Warn").await?;
        let secret = scene.holds("a", "k", b"of-f").await?;
        advises(&scene, &sync, true).await?;
        // Times of managedFields have whole seconds, and an edit is known by another time.
        a_second_after(&secret).await?;
        for policy in ["Off", "Warn", "Off"] {
            set(&scene, &sync, "validation", Some(policy)).await?;
            advises(&scene, &sync, policy == "Warn").await?;
        }
        shown(&scene, "a", "ready", "Synced").await?;
        tells_nothing_of(&scene, "a", "Repaired").await?;
        let repaired = scene
            .controller
            .metric("coffer_sync_reconciles_total{result=\"repaired\"}")
            .await?;
        ensure!(repaired == 0.0, "{repaired} repairs");
        Ok(())
    })
}

/// Sync §3, required-keys: a key that has to be there cannot be optional.
#[test]
fn a_required_key_is_not_optional() -> Result<()> {
    run(async {
        let (scene, _, sync) = demanding(&["f", "b"], "Hold").await?;
        let before = scene.holds("a", "b", b"of-b").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        let extra = json!([{"sourcePath": "b", "targetKey": "b", "optional": true}]);
        set(&scene, &sync, "extra-data", Some(&extra.to_string())).await?;
        let told = "coffer.rs/extra-data: the type requires `b`; do not mark it optional";
        tells(&scene, &sync, "Ready", &[told]).await?;
        scene.says(&sync, "Ready", "False", "InvalidOption").await?;
        ensure!(scene.secret("a").await? == Some(before));
        Ok(())
    })
}
