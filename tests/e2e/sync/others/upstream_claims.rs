//! Upstream's sync controller, the other three lines: whose objects and Secrets are whose, types, tokens, managers.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use coffer_tests::fixture::eventually;
use serde_json::{Value, json};

use crate::stage::SOON;
use crate::sync::adoption::strangers;
use crate::sync::drift::{
    ask_anew, collected, good, managers, noted, rotate, rounds, synced, there,
};
use crate::sync::{Scene, keys};
use crate::sync_objects::{stored, with};
use crate::world::run;

const CONTROLLER: &str = "/spec/secretSyncControllerName";
const MINTED: &str = "kubernetes.io/service-account-token";

/// Sync §16, upstream, line 5: who names another controller, or none, is left alone until that changes
#[test]
fn upstream_line_5_an_object_of_another_controller_is_left_alone() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.class("theirs").await?;
        let mut theirs = Vec::new();
        for (name, controller) in [("other", "example.com/sync"), ("unnamed", "")] {
            let sync = scene.sync_of(name, "Opaque", &[("f", "k")]);
            let sync = with(sync, CONTROLLER, json!(controller));
            let sync = with(sync, "/spec/secretProviderClassName", json!("theirs"));
            theirs.push(scene.create(sync).await?);
        }
        // Ours comes after them, and by the same way.
        synced(&scene).await?;
        for sync in &theirs {
            let now = stored(&scene.ground.admin, sync).await?;
            ensure!(now["status"].is_null(), "{now}");
            let name = sync["metadata"]["name"].as_str().unwrap_or_default();
            ensure!(scene.secret(name).await?.is_none(), "{name} was made");
            ensure!(
                scene.events(name).await?.is_empty(),
                "an Event about {name}"
            );
        }
        for call in scene.vendor.arrived() {
            let class = call.attributes.get("secretProviderClass");
            ensure!(class.is_some_and(|class| class == "c"), "{call:?}");
        }
        let ours = json!({"spec": {"secretSyncControllerName": "coffer.rs/sync"}});
        scene.merge(&theirs[0], &ours).await?;
        scene.holds("other", "k", b"value").await?;
        good(&scene, &theirs[0]).await
    })
}

/// Sync §16, upstream, line 5: a change of type is carried out or told of, and in neither case is it the end
#[test]
fn upstream_line_5_a_change_of_type_is_no_error_for_ever() -> Result<()> {
    run(async {
        for granted in [true, false] {
            let scene = if granted {
                Scene::full(&[]).await?
            } else {
                Scene::plain(&[]).await?
            };
            let sync = synced(&scene).await?;
            let custom = json!({"spec": {"secretObject": {"type": "example.com/other"}}});
            scene.merge(&sync, &custom).await?;
            if granted {
                good(&scene, &sync).await?;
                let secret = scene.holds("a", "k", b"value").await?;
                ensure!(secret["type"] == "example.com/other", "{}", secret["type"]);
            } else {
                noted(&scene, "a", "SyncRefused", "TypeChange").await?;
                scene
                    .says(&sync, "SecretUpdated", "False", "ControllerPatchError")
                    .await?;
                scene.holds("a", "k", b"value").await?;
            }
            let opaque = json!({"spec": {"secretObject": {"type": "Opaque"}}});
            scene.merge(&sync, &opaque).await?;
            good(&scene, &sync).await?;
            let secret = there(&scene, "a").await?;
            ensure!(secret["type"] == "Opaque", "{}", secret["type"]);
        }
        Ok(())
    })
}

/// Sync §16, upstream, line 5: there are Events and metrics for what goes well and for what does not
#[test]
fn upstream_line_5_events_and_metrics_tell_what_happens() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        noted(&scene, "a", "Synced", "Secret a was created").await?;
        rotate(&scene, "new").await?;
        noted(&scene, "a", "Synced", "Secret a holds new content").await?;
        rounds(&scene, "updated", 1).await?;
        scene.vendor.remove("f");
        scene.vendor.put("other", "x");
        ask_anew(&scene, "c").await?;
        scene
            .says(
                &sync,
                "SecretUpdated",
                "False",
                "RemoteSecretStoreFetchFailed",
            )
            .await?;
        let failed = noted(&scene, "a", "SyncFailed", "RemoteSecretStoreFetchFailed").await?;
        ensure!(failed["type"] == "Warning", "{failed}");
        rounds(&scene, "failed", 1).await?;
        for series in [
            "coffer_sync_failures_total{reason=\"RemoteSecretStoreFetchFailed\"}",
            "coffer_sync_provider_requests_total{provider=\"vendor\",code=\"Ok\"}",
            "coffer_sync_duration_seconds_count",
            "coffer_sync_leader",
        ] {
            let value = scene.controller.metric(series).await?;
            ensure!(value > 0.0, "{series} is {value}");
        }
        Ok(())
    })
}

/// Sync §16, upstream, line 5: for an object that is gone nothing is fetched, nothing fails, and nothing is told
#[test]
fn upstream_line_5_a_deleted_object_is_not_reconciled_any_more() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        scene.class("other").await?;
        let other = scene.sync_of("other", "Opaque", &[("f", "k")]);
        let other = with(other, "/spec/secretProviderClassName", json!("other"));
        let other = scene.create(other).await?;
        good(&scene, &other).await?;
        scene.delete(&sync).await?;
        eventually(SOON, "one object less", async || {
            let objects = scene.controller.objects().await?;
            let objects = objects.as_array().cloned().unwrap_or_default();
            ensure!(
                objects.len() == 1 && objects[0]["name"] == "other",
                "{objects:?}"
            );
            Ok(())
        })
        .await?;
        let (calls, events) = (scene.vendor.calls(), scene.events("a").await?.len());
        let told = scene.controller.log().len();
        // Its class changes, and then one that is in use: changes are taken in as they come.
        let class = json!({
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": {"name": "c", "namespace": scene.namespace},
        });
        let turn = json!({"spec": {"parameters": {"turn": "unused"}}});
        scene.merge(&class, &turn).await?;
        ask_anew(&scene, "other").await?;
        rounds(&scene, "unchanged", 1).await?;
        let since = scene.vendor.arrived().split_off(calls);
        let stray = since.iter().filter(|call| {
            call.attributes
                .get("secretProviderClass")
                .is_none_or(|class| class != "other")
        });
        ensure!(stray.count() == 0, "{since:?}");
        ensure!(
            scene.events("a").await?.len() == events,
            "an Event about what is gone"
        );
        let log = scene.controller.log();
        let since = log.get(told..).unwrap_or_default();
        ensure!(
            !since.contains("\"WARN\"") && !since.contains("\"ERROR\""),
            "{since}"
        );
        collected(&scene, "a").await
    })
}

/// Sync §16, upstream, line 6: not the policy alone keeps us from a foreign Secret; and it goes with no SecretSync
#[test]
fn upstream_line_6_a_foreign_secret_with_other_keys_is_not_adopted_and_stays() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        // Of the two the policy lets us write the second one.
        let mut syncs = Vec::new();
        for (name, adoptable_by) in [("closed", ""), ("open", "SecretSync/somebody")] {
            strangers(&scene, name, adoptable_by).await?;
            let sync = scene.sync_of(name, "Opaque", &[("f", "new")]);
            syncs.push(scene.create(sync).await?);
        }
        let owned = scene.sync("owned").await?;
        good(&scene, &owned).await?;
        for sync in &syncs {
            scene
                .says(sync, "Ready", "False", "AdoptionRefused")
                .await?;
        }
        let before = (there(&scene, "closed").await?, there(&scene, "open").await?);
        for secret in [&before.0, &before.1] {
            ensure!(keys(secret) == ["k", "other"], "{}", secret["metadata"]);
            ensure!(
                secret["metadata"]["ownerReferences"].is_null(),
                "{}",
                secret["metadata"]
            );
        }
        for sync in syncs.iter().chain([&owned]) {
            scene.delete(sync).await?;
        }
        collected(&scene, "owned").await?;
        let after = (there(&scene, "closed").await?, there(&scene, "open").await?);
        ensure!(before == after, "{before:?} became {after:?}");
        Ok(())
    })
}

/// Sync §16, upstream, line 6: no Secret in which the cluster would put a live token, by our gate and by the policy
#[test]
fn upstream_line_6_no_token_is_had_by_a_type() -> Result<()> {
    run(async {
        let gates: [(&[&str], &str); 2] = [
            (&[], "are not allowed here"),
            (&["--allowed-types", MINTED], "coffer-sync-write"),
        ];
        for (flags, expected) in gates {
            let scene = Scene::plain(flags).await?;
            scene.vendor.put("f", "value");
            scene.class("c").await?;
            let sync = scene.sync_of("a", MINTED, &[("f", "k")]);
            let names = json!({"kubernetes.io/service-account.name": "app"});
            let sync = with(sync, "/spec/secretObject/annotations", names);
            let sync = scene.create(sync).await?;
            let created = scene
                .says(&sync, "SecretCreated", "False", "ControllerPatchError")
                .await?;
            let message = created["message"].as_str().unwrap_or_default();
            ensure!(message.contains(expected), "{message}");
            ensure!(scene.secret("a").await?.is_none(), "it was made");
            ensure!(
                flags.is_empty() == (scene.vendor.calls() == 0),
                "calls of the vendor"
            );
        }
        Ok(())
    })
}

/// The payload of a token.
fn payload(jwt: &str) -> Result<Value> {
    let payload = jwt.split('.').nth(1).context("no payload")?;
    Ok(serde_json::from_slice(
        &BASE64_URL_SAFE_NO_PAD.decode(payload)?,
    )?)
}

/// Sync §16, upstream, line 7: blanks around an audience are nobody's, and the provider hears which versions we have
#[test]
fn upstream_line_7_audiences_are_trimmed_and_known_versions_are_sent() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--audience", "vendor= vault , other = openbao"]).await?;
        let sync = synced(&scene).await?;
        rotate(&scene, "new").await?;
        scene.holds("a", "k", b"new").await?;
        good(&scene, &sync).await?;
        let arrived = scene.vendor.arrived();
        for call in &arrived {
            let tokens = call.tokens()?;
            ensure!(
                tokens.as_object().is_some_and(|tokens| tokens.len() == 1),
                "not one token"
            );
            let token = tokens["vault"]["token"].as_str();
            let claims = payload(token.context("none for the audience vault")?)?;
            ensure!(claims["aud"] == json!(["vault"]), "{}", claims["aud"]);
            let subject = format!("system:serviceaccount:{}:app", scene.namespace);
            ensure!(claims["sub"] == subject, "{}", claims["sub"]);
        }
        let (first, last) = (arrived.first(), arrived.last());
        let (first, last) = first.zip(last).context("no call")?;
        ensure!(first.versions.is_empty(), "{:?}", first.versions);
        let known = [("f".to_owned(), "v1".to_owned())];
        ensure!(last.versions == known, "{:?}", last.versions);
        Ok(())
    })
}

/// Sync §16, upstream, line 7: one field manager for ever, so that no later process is in conflict with an earlier one
#[test]
fn upstream_line_7_a_rotation_after_a_restart_meets_no_conflict() -> Result<()> {
    run(async {
        let mut scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let before = there(&scene, "a").await?;
        ensure!(
            managers(&before) == ["coffer-sync"].into(),
            "{}",
            before["metadata"]
        );
        scene.restart().await?;
        rotate(&scene, "new").await?;
        let after = scene.holds("a", "k", b"new").await?;
        ensure!(
            managers(&after) == ["coffer-sync"].into(),
            "{}",
            after["metadata"]
        );
        ensure!(before["metadata"]["uid"] == after["metadata"]["uid"]);
        good(&scene, &sync).await
    })
}
