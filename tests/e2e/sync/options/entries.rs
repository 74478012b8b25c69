//! What single entries of a class do wrong: told on the class, and no trouble for the other entries.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::class::{entry, open};
use super::{noted, shown};
use crate::sync::Scene;
use crate::world::run;

fn with_annotation(secret: &str, name: &str, text: &str) -> Value {
    let mut entry = entry(secret, "f");
    entry["annotations"] = json!({name: text});
    entry
}

/// Sync §1 and §3: each entry is refused for its own fault, in words that say what to write.
#[test]
fn an_entry_that_cannot_be_synced_stops_none_of_the_others() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let mut keyed = entry("keyed", "f");
        keyed["data"][0]["key"] = json!("a/b");
        let minted = "kubernetes.io/service-account-token";
        let entries = json!([
            entry("good", "f"),
            entry("good", "g"),
            entry("Not_Legal", "f"),
            {},
            {"secretName": "tls", "type": "kubernetes.io/tls", "data": []},
            with_annotation("typo", "coffer.rs/refresh-interval", "soon"),
            with_annotation("forged", "coffer.rs/sync-as", "admin"),
            with_annotation("bad-key", "a b!", "x"),
            {"secretName": "minted", "type": minted},
            keyed,
            entry("last", "f"),
        ]);
        scene.create(open(entries)).await?;
        for name in ["good", "last"] {
            scene.holds(name, "k", b"one").await?;
        }
        for told in [
            "DuplicateTarget: SecretProviderClass c claims Secret good already, and is older",
            "InvalidData: secretName: `Not_Legal` is no name of a Secret; write for example not-legal",
            "InvalidData: secretName: it is empty; name the Secret",
            "InvalidData: data: the type requires keys and none is mapped; map its keys",
            "InvalidOption: coffer.rs/refresh-interval: `soon` is no duration; write a duration from 30s to 168h, or 0 for no polling",
            "InvalidOption: coffer.rs/sync-as: it stands on one of the secretObjects; write it on the class",
            "InvalidData: metadata.annotations: Invalid value: \"a b!\": name part must consist of",
            "TypeNotAllowed: Secrets of type kubernetes.io/service-account-token are not allowed here",
            "InvalidData: data[0]: `a/b` is no key of a Secret; use letters, digits,",
        ] {
            let event = noted(&scene, "c", "SyncRefused", told).await?;
            ensure!(event["type"] == "Warning", "{event}");
        }
        for name in ["tls", "typo", "forged", "bad-key", "minted", "keyed"] {
            ensure!(scene.secret(name).await?.is_none(), "{name}");
        }
        Ok(())
    })
}

/// Sync §1: a name of an account that can be none closes nothing and opens nothing: it is told.
#[test]
fn a_class_for_an_account_that_cannot_exist_is_told_so() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let class = super::with_options(open(json!([entry("x", "f")])), &[("sync-as", "No_Name")]);
        let class = scene.create(class).await?;
        let told = "InvalidOption: coffer.rs/sync-as: `No_Name` is no name of a ServiceAccount";
        noted(&scene, "c", "SyncRefused", told).await?;
        ensure!(scene.secret("x").await?.is_none() && scene.vendor.calls() == 0);
        super::set(&scene, &class, "sync-as", Some("app")).await?;
        scene.holds("x", "k", b"one").await?;
        shown(&scene, "x", "ready", "Synced").await.map(|_| ())
    })
}

/// Sync §11: a class is told of failures of the provider, of its recovery, and of rotations.
#[test]
fn a_class_is_told_of_failure_recovery_and_rotation() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let class = scene.create(open(json!([entry("x", "f")]))).await?;
        let made = scene.holds("x", "k", b"one").await?;
        shown(&scene, "x", "ready", "Synced").await?;

        scene
            .vendor
            .change(|script| script.code = Some("Boom".to_owned()));
        super::fetch_anew(&scene, &class).await?;
        let told = "ProviderError: provider vendor answered error code Boom";
        noted(&scene, "c", "SyncFailed", told).await?;
        shown(&scene, "x", "failing", "ServingLastGood").await?;
        ensure!(scene.secret("x").await? == Some(made.clone()));

        scene.vendor.change(|script| script.code = None);
        scene.force(&class).await?;
        scene.told("c", "SyncRecovered").await?;
        shown(&scene, "x", "ready", "Synced").await?;
        ensure!(scene.secret("x").await? == Some(made));

        scene.vendor.put("f", "two");
        super::fetch_anew(&scene, &class).await?;
        scene.holds("x", "k", b"two").await?;
        noted(&scene, "c", "Synced", "Secret x holds new content.")
            .await
            .map(|_| ())
    })
}
