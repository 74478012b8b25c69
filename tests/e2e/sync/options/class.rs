//! A SecretProviderClass as a source: opened by an annotation, one call for all of its Secrets, owner of them all.
//!
//! What single entries do wrong is in `entries`.

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use serde_json::{Value, json};

use super::{fetch_anew, noted, set, shown, tells_nothing_of};
use crate::stage::SOON;
use crate::sync::{Scene, VENDOR, keys, value};
use crate::sync_objects::stored;
use crate::world::run;

/// A class `c` that makes these Secrets; closed.
pub(super) fn closed(entries: Value) -> Value {
    json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": "c", "annotations": {}},
        "spec": {"provider": VENDOR, "secretObjects": entries},
    })
}

/// The same, opened for the account `app`.
pub(super) fn open(entries: Value) -> Value {
    super::with_options(closed(entries), &[("sync-as", "app")])
}

/// An entry of `secretObjects` whose key `k` is this file.
pub(super) fn entry(secret: &str, file: &str) -> Value {
    json!({
        "secretName": secret,
        "type": "Opaque",
        "data": [{"objectName": file, "key": "k"}],
    })
}

/// Sync §1: one call serves all entries; the class owns its Secrets, and nothing of upstream's or the driver's marks
/// them.
#[test]
fn an_open_class_makes_all_its_secrets_with_one_call_and_takes_them_along() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        scene.vendor.put("g", "two");
        let entries = json!([entry("x", "f"), entry("y", "g"), entry("z", "f")]);
        let class = scene.create(open(entries)).await?;
        for (name, bytes) in [("x", b"one"), ("y", b"two"), ("z", b"one")] {
            let secret = scene.holds(name, "k", bytes).await?;
            let metadata = &secret["metadata"];
            ensure!(
                metadata["ownerReferences"]
                    == json!([{
                        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
                        "kind": "SecretProviderClass",
                        "name": "c",
                        "uid": class["metadata"]["uid"],
                    }]),
                "{metadata}"
            );
            ensure!(
                metadata["labels"] == json!({"coffer.rs/sync": "true"}),
                "{metadata}"
            );
            ensure!(secret["type"] == "Opaque" && keys(&secret) == ["k"]);
            noted(
                &scene,
                "c",
                "Synced",
                &format!("Secret {name} was created."),
            )
            .await?;
            shown(&scene, name, "ready", "Synced").await?;
        }
        ensure!(scene.vendor.calls() == 1, "{}", scene.vendor.calls());
        let event = noted(&scene, "c", "Synced", "Secret x").await?;
        let about = &event["regarding"];
        ensure!(
            about["kind"] == "SecretProviderClass" && about["uid"] == class["metadata"]["uid"],
            "{event}"
        );
        let found = stored(&scene.ground.admin, &class).await?;
        ensure!(
            found["metadata"]["annotations"] == class["metadata"]["annotations"],
            "without --spc-status nothing is written to a class: {found}"
        );
        scene.delete(&class).await?;
        for name in ["x", "y", "z"] {
            scene.gone(name).await?;
        }
        Ok(())
    })
}

/// Sync §1: a class without the annotation is left alone, opens when it gets it, and is left alone again without it.
#[test]
fn a_class_is_synced_as_long_as_its_annotation_says_so() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let class = scene.create(closed(json!([entry("x", "f")]))).await?;
        // Its changes come by the same watch, after those of the first one.
        let mut other = open(json!([entry("y", "f")]));
        other["metadata"]["name"] = json!("d");
        let other = scene.create(other).await?;
        scene.holds("y", "k", b"one").await?;
        shown(&scene, "y", "ready", "Synced").await?;
        ensure!(scene.secret("x").await?.is_none(), "a closed class");

        set(&scene, &class, "sync-as", Some("app")).await?;
        let made = scene.holds("x", "k", b"one").await?;
        shown(&scene, "x", "ready", "Synced").await?;

        set(&scene, &class, "sync-as", None).await?;
        eventually(SOON, "one object", async || {
            let all = scene.controller.objects().await?;
            ensure!(all.as_array().map(Vec::len) == Some(1), "{all}");
            Ok(())
        })
        .await?;
        scene.vendor.put("f", "two");
        fetch_anew(&scene, &class).await?;
        fetch_anew(&scene, &other).await?;
        scene.holds("y", "k", b"two").await?;
        ensure!(
            scene.secret("x").await? == Some(made),
            "it was closed again"
        );
        Ok(())
    })
}

/// Sync §1 and §3: options of an entry win over those of its class and are not copied to the Secret; others are.
#[test]
fn options_of_an_entry_win_and_are_not_copied() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let mut first = entry("x", "f");
        first["annotations"] = json!({"coffer.rs/refresh-interval": "2h", "team": "shop"});
        first["labels"] = json!({"app": "web"});
        let class = open(json!([first, entry("y", "f")]));
        let class = super::with_options(class, &[("refresh-interval", "1h")]);
        scene.create(class).await?;
        for (name, seconds) in [("x", 7200), ("y", 3600)] {
            scene.holds(name, "k", b"one").await?;
            let row = shown(&scene, name, "ready", "Synced").await?;
            let (last, next) = (
                super::time(&row["lastSuccess"])?,
                super::time(&row["nextRefresh"])?,
            );
            let wait = next.as_second() - last.as_second();
            let (least, most) = (seconds * 9 / 10 - 2, seconds * 11 / 10 + 2);
            ensure!((least..=most).contains(&wait), "{wait}: {row}");
        }
        let made = scene.secret("x").await?.context("there is no Secret")?;
        let metadata = &made["metadata"];
        let annotations = metadata["annotations"].as_object().context("none")?;
        let names: Vec<&str> = annotations.keys().map(String::as_str).collect();
        ensure!(names == ["coffer.rs/record", "team"], "{metadata}");
        ensure!(
            metadata["labels"] == json!({"app": "web", "coffer.rs/sync": "true"}),
            "{metadata}"
        );
        Ok(())
    })
}

/// Sync §1: names, keys and types are trimmed as the driver does, an empty type is Opaque, and no data make an empty
/// Secret.
#[test]
fn names_are_trimmed_and_data_may_be_empty() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let mut blanks = entry(" trimmed ", " f ");
        blanks["type"] = json!(" Opaque ");
        blanks["data"][0]["key"] = json!(" k ");
        let mut untyped = entry("untyped", "f");
        untyped["type"] = json!("");
        let empty = json!({"secretName": "empty", "data": []});
        let custom = json!({"secretName": "custom", "type": "example.com/x", "data": []});
        let entries = json!([blanks, untyped, empty, custom]);
        scene.create(open(entries)).await?;
        for name in ["trimmed", "untyped"] {
            let secret = scene.holds(name, "k", b"one").await?;
            ensure!(
                secret["type"] == "Opaque" && keys(&secret) == ["k"],
                "{name}"
            );
        }
        for (name, type_) in [("empty", "Opaque"), ("custom", "example.com/x")] {
            let secret = scene
                .until(name, "an empty Secret", |secret| secret["type"] == type_)
                .await?;
            ensure!(keys(&secret).is_empty(), "{name}");
            shown(&scene, name, "ready", "Synced").await?;
        }
        Ok(())
    })
}

/// Sync §9: without the right to delete, a Secret that its class names no more stays and is told.
#[test]
fn an_orphan_stays_and_is_told_without_the_right_to_delete() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let entries = json!([entry("x", "f"), entry("y", "f")]);
        let class = scene.create(open(entries)).await?;
        scene.holds("x", "k", b"one").await?;
        let orphan = scene.holds("y", "k", b"one").await?;
        shown(&scene, "y", "ready", "Synced").await?;

        scene.vendor.put("f", "two");
        let fewer = json!({"spec": {"secretObjects": [entry("x", "f")]}});
        scene.merge(&class, &fewer).await?;
        let note = "Secret y is no longer named by this class and will not change any more";
        let told = noted(&scene, "c", "OrphanedSecret", note).await?;
        ensure!(told["type"] == "Warning", "{told}");
        scene.holds("x", "k", b"two").await?;
        ensure!(scene.secret("y").await? == Some(orphan));
        Ok(())
    })
}

/// Sync §9: with the right, a Secret goes with its entry, and under another name it is made anew.
#[test]
fn an_orphan_goes_with_its_entry_where_that_is_granted() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "one");
        let entries = json!([entry("x", "f"), entry("y", "f")]);
        let class = scene.create(open(entries)).await?;
        for name in ["x", "y"] {
            scene.holds(name, "k", b"one").await?;
            shown(&scene, name, "ready", "Synced").await?;
        }
        let renamed = json!({"spec": {"secretObjects": [entry("x", "f"), entry("z", "f")]}});
        scene.merge(&class, &renamed).await?;
        scene.gone("y").await?;
        scene.holds("z", "k", b"one").await?;
        let note = "Secret y is no longer named by this class and was deleted.";
        noted(&scene, "c", "Synced", note).await?;
        ensure!(scene.secret("x").await?.is_some());
        tells_nothing_of(&scene, "c", "OrphanedSecret").await
    })
}

/// Sync §9: what is to be retained stays when its entry goes, whether the class or the entry said so.
#[test]
fn an_orphan_that_is_to_be_retained_stays() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "one");
        let mut retained = entry("retained", "f");
        retained["annotations"] = json!({"coffer.rs/deletion-policy": "Retain"});
        let mut of_class = open(json!([entry("of-class", "f")]));
        of_class = super::with_options(of_class, &[("deletion-policy", "Retain")]);
        of_class["metadata"]["name"] = json!("d");
        let of_class = scene.create(of_class).await?;
        let of_entry = scene
            .create(open(json!([entry("deleted", "f"), retained])))
            .await?;
        for name in ["of-class", "retained", "deleted"] {
            scene.holds(name, "k", b"one").await?;
            shown(&scene, name, "ready", "Synced").await?;
        }
        let nothing = json!({"spec": {"secretObjects": []}});
        scene.merge(&of_class, &nothing).await?;
        scene.merge(&of_entry, &nothing).await?;
        scene.gone("deleted").await?;
        let note = "Secret deleted is no longer named by this class and was deleted.";
        noted(&scene, "c", "Synced", note).await?;
        for name in ["of-class", "retained"] {
            let left = scene.secret(name).await?.context(name)?;
            ensure!(value(&left, "k") == Some(b"one".to_vec()), "{name}");
        }
        for name in ["c", "d"] {
            tells_nothing_of(&scene, name, "OrphanedSecret").await?;
        }
        Ok(())
    })
}

/// The state that stands on a class.
async fn state(scene: &Scene, class: &Value) -> Result<Value> {
    let found = stored(&scene.ground.admin, class).await?;
    let text = found["metadata"]["annotations"]["coffer.rs/sync-status"].as_str();
    Ok(serde_json::from_str(text.context("no state")?)?)
}

/// Sync §1: with --spc-status the states of all entries stand on the class, written when one of them changes.
#[test]
fn the_state_of_a_class_stands_in_its_annotation() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "one");
        let entries = json!([entry("x", "f"), entry("y", "missing")]);
        let class = scene.create(open(entries)).await?;
        let becomes = async |what: &str, x: Value, y: Value| {
            let reached = eventually(SOON, what, async || {
                let mut state = state(&scene, &class).await?;
                let hash = state["x"]["syncHash"].take();
                let hash = hash.as_str().unwrap_or_default();
                ensure!(hash.starts_with("c1:"), "{hash}: {state}");
                state["x"]
                    .as_object_mut()
                    .context("no x")?
                    .remove("syncHash");
                ensure!(state == json!({"x": x, "y": y}), "{state}");
                Ok(())
            });
            reached.await.with_context(|| scene.controller.log())
        };
        let good = json!({"created": true, "ready": "True", "reason": "Synced"});
        let failed = "RemoteSecretStoreFetchFailed";
        let bad = json!({"created": false, "ready": "False", "reason": failed});
        becomes("a state", good.clone(), bad.clone()).await?;
        let first = state(&scene, &class).await?;
        scene.round(&class).await?;
        ensure!(state(&scene, &class).await? == first, "{first}");

        scene
            .vendor
            .change(|script| script.code = Some("Boom".to_owned()));
        fetch_anew(&scene, &class).await?;
        let serving = json!({"created": true, "ready": "True", "reason": "ServingLastGood"});
        let broken = json!({"created": false, "ready": "False", "reason": "ProviderError"});
        becomes("a state of failure", serving, broken).await?;

        scene.vendor.put("missing", "two");
        scene.vendor.change(|script| script.code = None);
        fetch_anew(&scene, &class).await?;
        scene.holds("y", "k", b"two").await?;
        let what = "a state of recovery";
        let recovered = eventually(SOON, what, async || {
            let state = state(&scene, &class).await?;
            for name in ["x", "y"] {
                ensure!(state[name]["reason"] == "Synced", "{state}");
            }
            Ok(())
        });
        recovered.await
    })
}
