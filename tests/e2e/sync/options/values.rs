//! Values that an option does not have, names that are no options, and names that are not the user's.

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

use super::{fetch_anew, message, noted, set, shown, tells, with_options};
use crate::stage::has;
use crate::sync::Scene;
use crate::sync_objects::with;
use crate::world::run;

/// Every option but one that takes any text, with a value that it does not have, and what is told of it.
const WRONG: [(&str, &str, &str); 14] = [
    (
        "refresh-interval",
        "29s",
        "`29s` is out of range; write a duration from 30s to 168h, or 0 for no polling",
    ),
    (
        "validation",
        "hold",
        "`hold` is no value of it; write one of Off, Warn, Hold, Strict",
    ),
    (
        "immutable",
        "true",
        "`true` is no value of it; write one of Never, Recreate, Versioned",
    ),
    (
        "keep-versions",
        "21",
        "`21` is no such number; write a number from 1 to 20",
    ),
    (
        "restart",
        "everything",
        "`everything` names no workload; write Never, Auto, selector:<label selector> or a comma list of Deployment/x, StatefulSet/y, DaemonSet/z",
    ),
    (
        "restart-window",
        "2h",
        "`2h` is out of range; write a duration from 0s to 1h",
    ),
    (
        "adopt",
        "Always",
        "`Always` is no value of it; write one of Never, IfMatching, Merge",
    ),
    (
        "deletion-policy",
        "Keep",
        "`Keep` is no value of it; write one of Delete, Retain",
    ),
    (
        "on-type-change",
        "Replace",
        "`Replace` is no value of it; write one of Recreate, Fail",
    ),
    (
        "drift",
        "Ignore",
        "`Ignore` is no value of it; write one of Repair, Report",
    ),
    (
        "extra-data",
        "{}",
        "it is JSON, but no list; write [{\"sourcePath\": \"a/b\", \"targetKey\": \"b\"}]",
    ),
    (
        "all-keys",
        "yes",
        "`yes` is no value of it; write one of true, false",
    ),
    (
        "required-keys",
        "a,,b",
        "the list has an empty item; write items with one comma between them",
    ),
    (
        "suspend",
        "1",
        "`1` is no value of it; write one of true, false",
    ),
];

/// Sync §3: all wrong values are told at once, each with its key and what it may be; nothing is asked or written.
#[test]
fn all_wrong_values_are_told_at_once_with_what_they_may_be() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let wrong = WRONG.map(|(name, text, _)| (name, text));
        let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
        let sync = scene.create(with_options(sync, &wrong)).await?;
        let ready = scene.says(&sync, "Ready", "False", "InvalidOption").await?;
        for (name, _, told) in WRONG {
            has(message(&ready), &[&format!("coffer.rs/{name}: {told}")])?;
        }
        scene
            .says(&sync, "SecretCreated", "False", "ControllerSyncError")
            .await?;
        noted(&scene, "a", "SyncRefused", "InvalidOption: coffer.rs/").await?;
        ensure!(scene.secret("a").await?.is_none() && scene.vendor.calls() == 0);
        let none = WRONG.map(|(name, ..)| (format!("coffer.rs/{name}"), Value::Null));
        let none: Map<String, Value> = none.into_iter().collect();
        scene
            .merge(&sync, &json!({"metadata": {"annotations": none}}))
            .await?;
        scene.holds("a", "k", b"value").await?;
        scene
            .says(&sync, "Ready", "True", "Synced")
            .await
            .map(|_| ())
    })
}

/// Sync §3: with a wrong value in an update the last good Secret stays, and the right one counts at once.
#[test]
fn a_wrong_interval_leaves_the_last_good_secret() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"value").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        let calls = scene.vendor.calls();

        set(&scene, &sync, "refresh-interval", Some("soon")).await?;
        let ready = scene.says(&sync, "Ready", "False", "InvalidOption").await?;
        let told = "coffer.rs/refresh-interval: `soon` is no duration; write a duration from 30s to 168h, or 0 for no polling";
        ensure!(message(&ready) == told, "{ready}");
        scene
            .says(&sync, "SecretUpdated", "False", "ControllerSyncError")
            .await?;
        scene
            .says(&sync, "SecretCreated", "True", "CreateSuccessful")
            .await?;
        scene.vendor.put("f", "another");
        fetch_anew(&scene, &class).await?;
        scene.round(&sync).await?;
        ensure!(scene.vendor.calls() == calls && scene.secret("a").await? == Some(before));

        set(&scene, &sync, "refresh-interval", Some("168h")).await?;
        scene.holds("a", "k", b"another").await?;
        tells(&scene, &sync, "Ready", &["polled every 168h"])
            .await
            .map(|_| ())
    })
}

/// Sync §3: a name that is no option is told, with the one that was meant, and has no effect.
#[test]
fn an_unknown_option_is_told_and_ignored() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        let class = scene.class("c").await?;
        let unknown = [
            ("refresh-intervals", "soon"),
            ("no-such-thing", "x"),
            ("adoptable-by", "SecretSync/a"),
            ("sync-as", "app"),
        ];
        let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
        let sync = scene.create(with_options(sync, &unknown)).await?;
        scene.holds("a", "k", b"value").await?;
        scene.says(&sync, "Ready", "True", "Synced").await?;
        let told = scene.told("a", "UnknownOption").await?;
        ensure!(told["type"] == "Warning", "{told}");
        let note = told["note"].as_str().unwrap_or_default();
        has(
            note,
            &[
                "coffer.rs/refresh-intervals: there is no such option; did you mean coffer.rs/refresh-interval?",
                "coffer.rs/no-such-thing: there is no such option; remove it, or see the list of options",
                "coffer.rs/adoptable-by: it has no effect here; it belongs on the Secret that is to be adopted",
                "coffer.rs/sync-as: it has no effect here; spec.serviceAccountName says it",
            ],
        )?;

        // Once for what stands there, not in every round.
        shown(&scene, "a", "ready", "Synced").await?;
        scene.round(&class).await?;
        let events = scene.events("a").await?;
        let again = events
            .iter()
            .filter(|event| event["reason"] == "UnknownOption");
        ensure!(again.count() == 1, "{events:?}");
        Ok(())
    })
}

/// Sync §2 and §3: a SecretSync gives its Secret no name that is Coffer's, upstream's or the driver's.
#[test]
fn reserved_names_are_refused_with_the_reason_of_their_kind() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let of_label = "InvalidClusterSecretLabelError";
        let of_annotation = "InvalidClusterSecretAnnotationError";
        for (name, field, key, reason) in [
            ("s1", "annotations", "coffer.rs/validation", of_annotation),
            ("s2", "annotations", "coffer.rs/record", of_annotation),
            ("s3", "labels", "coffer.rs/sync", of_label),
            ("s4", "labels", "secrets-store.csi.k8s.io/managed", of_label),
        ] {
            let place = format!("/spec/secretObject/{field}");
            let sync = scene.sync_of(name, "Opaque", &[("f", "k")]);
            let sync = scene
                .create(with(sync, &place, json!({key: "Off"})))
                .await?;
            let told = scene.says(&sync, "SecretCreated", "False", reason).await?;
            let text = format!("{field}[{key}]: the name is reserved; remove it");
            ensure!(message(&told) == text, "{told}");
            scene.says(&sync, "Ready", "False", reason).await?;
            ensure!(scene.secret(name).await?.is_none());
        }
        Ok(())
    })
}
