//! Vault Secrets Operator: Secrets of others, deletion, restarts, certificates that end, many objects.

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::{add_owner, has_owner, open_class, other_owner, reference};
use crate::stage::SOON;
use crate::sync::adoption::{consent, made_by, restarted_for};
use crate::sync::drift::{
    ask_anew, collected, encoded, good, noted, rotate, rounds, synced, synced_with, there,
};
use crate::sync::immutable::deployment;
use crate::sync::{LATER, Scene, condition_of, keys, value};
use crate::sync_objects::{stored, with};
use crate::world::run;

/// What restarts these workloads at once.
fn restarting(targets: &str) -> Value {
    json!({"coffer.rs/restart": targets, "coffer.rs/restart-window": "0s"})
}

/// Sync §16, Vault Secrets Operator, line 1: in a Secret that stood before us only our keys are ours
#[test]
fn vault_operator_line_1_what_is_not_owned_is_not_replaced() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let owner = other_owner(&scene).await?;
        let mut secret = scene.secret_named("a");
        let metadata = &mut secret["metadata"];
        metadata["labels"] = json!({"theirs": "x"});
        metadata["annotations"] = consent("SecretSync/a");
        metadata["annotations"]["theirs"] = json!("x");
        metadata["ownerReferences"] = json!([reference(&owner)]);
        secret["data"] = json!({"k": encoded("theirs"), "theirs": encoded("x")});
        made_by(&scene, "somebody", &secret).await?;
        let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
        let options = json!({"coffer.rs/adopt": "Merge"});
        let sync = scene
            .create(with(sync, "/metadata/annotations", options))
            .await?;
        has_owner(&scene.holds("a", "k", b"value").await?, &owner)?;
        rotate(&scene, "new").await?;
        has_owner(&scene.holds("a", "k", b"new").await?, &owner)?;
        good(&scene, &sync).await
    })
}

/// Sync §16, Vault Secrets Operator, line 1: in a Secret of ours, too, labels, annotations and owners of others stay
#[test]
fn vault_operator_line_1_metadata_of_others_is_kept_one_by_one() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let owner = other_owner(&scene).await?;
        add_owner(&scene, &owner).await?;
        for labels in [json!({"tier": "x"}), json!({"tier": null, "team": "y"})] {
            let patch = json!({"spec": {"secretObject": {"labels": labels}}});
            scene.merge(&sync, &patch).await?;
            good(&scene, &sync).await?;
            let secret = there(&scene, "a").await?;
            has_owner(&secret, &owner)?;
            for (name, label) in labels.as_object().into_iter().flatten() {
                let now = &secret["metadata"]["labels"][name];
                ensure!(now == label, "{name}: {}", secret["metadata"]);
            }
        }
        rotate(&scene, "new").await?;
        has_owner(&scene.holds("a", "k", b"new").await?, &owner)
    })
}

/// Sync §16, Vault Secrets Operator, line 1: a write that the API server refuses changes the conditions
#[test]
fn vault_operator_line_1_a_failed_write_changes_the_conditions() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        // The API server takes no other type for a Secret that is there.
        let custom = json!({"spec": {"secretObject": {"type": "example.com/other"}}});
        scene.merge(&sync, &custom).await?;
        let updated = scene
            .says(&sync, "SecretUpdated", "False", "ControllerPatchError")
            .await?;
        ensure!(
            updated["message"] != "Secret contains last observed values.",
            "{updated}"
        );
        let ready = scene
            .says(&sync, "Ready", "True", "ServingLastGood")
            .await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.contains("TypeChange"), "{message}");
        Ok(())
    })
}

/// Sync §16, Vault Secrets Operator, line 2: deletion does what the policy of the object says
#[test]
fn vault_operator_line_2_a_deletion_takes_the_secret_along_or_leaves_it() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let kept = scene.sync_of("kept", "Opaque", &[("f", "k")]);
        let retain = json!({"coffer.rs/deletion-policy": "Retain"});
        let kept = scene
            .create(with(kept, "/metadata/annotations", retain))
            .await?;
        good(&scene, &kept).await?;
        let before = there(&scene, "kept").await?;
        let metadata = &before["metadata"];
        ensure!(metadata["ownerReferences"].is_null(), "{metadata}");
        let source = &metadata["annotations"]["coffer.rs/source-uid"];
        ensure!(*source == kept["metadata"]["uid"], "{metadata}");
        scene.delete(&kept).await?;
        scene.delete(&sync).await?;
        collected(&scene, "a").await?;
        let after = there(&scene, "kept").await?;
        ensure!(before == after, "{before} became {after}");
        Ok(())
    })
}

/// Sync §16, Vault Secrets Operator, line 2: each restart keeps its own error and is tried again
#[test]
fn vault_operator_line_2_restart_errors_are_kept_per_target_and_retried() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced_with(&scene, restarting("Deployment/x,Deployment/y")).await?;
        rotate(&scene, "new").await?;
        scene.holds("a", "k", b"new").await?;
        let pending = "coffer.rs/RestartPending";
        eventually(SOON, "the errors of both", async || {
            let now = stored(&scene.ground.admin, &sync).await?;
            let told = condition_of(&now, pending).context("nothing is pending")?;
            let told = told["message"].as_str().unwrap_or_default();
            for error in ["Deployment/x failed: ", "Deployment/y failed: "] {
                ensure!(told.contains(error), "{told}");
            }
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        noted(&scene, "a", "RestartFailed", "Deployment/x").await?;
        noted(&scene, "a", "RestartFailed", "Deployment/y").await?;
        good(&scene, &sync).await?;
        let x = scene.create(deployment("x", json!({}))).await?;
        let y = scene.create(deployment("y", json!({}))).await?;
        restarted_for(&scene, &x, &sync, 2).await?;
        restarted_for(&scene, &y, &sync, 2).await?;
        eventually(LATER, "nothing pending", async || {
            let now = stored(&scene.ground.admin, &sync).await?;
            ensure!(condition_of(&now, pending).is_none(), "{}", now["status"]);
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())
    })
}

/// Sync §16, Vault Secrets Operator, line 2: a certificate is polled like everything else, and its end is told before
#[test]
fn vault_operator_line_2_a_certificate_is_told_of_before_it_ends() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let end = Timestamp::now() + SignedDuration::from_hours(72);
        let part = |form: &str| end.strftime(form).to_string();
        let (year, month, day) = (
            part("%Y").parse()?,
            part("%m").parse()?,
            part("%d").parse()?,
        );
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["a.example".to_owned()])?;
        params.not_after = date_time_ymd(year, month, day);
        let crt = params.self_signed(&key)?.pem();
        scene.vendor.put("crt", crt);
        scene.vendor.put("key", key.serialize_pem());
        scene.class("c").await?;
        let pairs = [("crt", "tls.crt"), ("key", "tls.key")];
        let sync = scene.sync_of("a", "kubernetes.io/tls", &pairs);
        let sync = scene.create(sync).await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        let date = end
            .strftime("expires %Y-%m-%dT00:00:00Z; polled every 10m")
            .to_string();
        ensure!(message.contains(&date), "{message}");
        noted(&scene, "a", "ExpiresSoon", "the certificate expires at").await?;
        let series = "coffer_sync_earliest_expiry_timestamp_seconds{type=\"kubernetes.io/tls\"}";
        eventually(SOON, "the end as a metric", async || {
            let ends = scene.controller.metric(series).await?;
            ensure!(ends > 0.0 && ends <= end.as_second() as f64, "{ends}");
            Ok(())
        })
        .await
    })
}

/// Sync §16, Vault Secrets Operator, line 2: the gate for types that mint tokens stands at the other door too
#[test]
fn vault_operator_line_2_a_token_type_is_checked_in_a_class_too() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        let data = json!([{"objectName": "f", "key": "k"}]);
        let secrets = json!([
            {
                "secretName": "minted",
                "type": "kubernetes.io/service-account-token",
                "annotations": {"kubernetes.io/service-account.name": "app"},
                "data": data,
            },
            {"secretName": "plain", "type": "Opaque", "data": data},
        ]);
        open_class(&scene, "c", secrets).await?;
        scene.holds("plain", "k", b"value").await?;
        noted(&scene, "c", "SyncRefused", "TypeNotAllowed").await?;
        ensure!(scene.secret("minted").await?.is_none(), "it was made");
        Ok(())
    })
}

/// Sync §16, Vault Secrets Operator, line 2: nothing is deleted for a new type that cannot be fetched
#[test]
fn vault_operator_line_2_a_change_of_type_deletes_nothing_before_its_content_is_there() -> Result<()>
{
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced(&scene).await?;
        let before = there(&scene, "a").await?;
        let login = json!({"spec": {"secretObject": {
            "type": "kubernetes.io/basic-auth",
            "data": [{"sourcePath": "login", "targetKey": "password"}],
        }}});
        scene.merge(&sync, &login).await?;
        scene
            .says(
                &sync,
                "SecretUpdated",
                "False",
                "RemoteSecretStoreFetchFailed",
            )
            .await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        scene.vendor.put("login", "x");
        ask_anew(&scene, "c").await?;
        let secret = scene.holds("a", "password", b"x").await?;
        ensure!(secret["type"] == "kubernetes.io/basic-auth" && keys(&secret) == ["password"]);
        good(&scene, &sync).await
    })
}

/// Sync §16, Vault Secrets Operator, line 3: one object has as many paths as it wants
#[test]
fn vault_operator_line_3_one_object_takes_several_paths() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("db/user", "u");
        scene.vendor.put("db/password", "p");
        scene.vendor.put("token", "t");
        scene.class("c").await?;
        let pairs = [
            ("db/user", "user"),
            ("db/password", "password"),
            ("token", "token"),
        ];
        let sync = scene.create(scene.sync_of("a", "Opaque", &pairs)).await?;
        good(&scene, &sync).await?;
        let secret = there(&scene, "a").await?;
        for (key, expected) in [("user", "u"), ("password", "p"), ("token", "t")] {
            let found = value(&secret, key);
            ensure!(
                found.as_deref() == Some(expected.as_bytes()),
                "{key}: {found:?}"
            );
        }
        Ok(())
    })
}

/// Sync §16, Vault Secrets Operator, line 3: equal content restarts nobody, and no workload restarts twice in a row
#[test]
fn vault_operator_line_3_workloads_do_not_restart_again_and_again() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let app = scene.create(deployment("app", json!({}))).await?;
        let sync = synced_with(&scene, restarting("Deployment/app")).await?;
        ask_anew(&scene, "c").await?;
        rounds(&scene, "unchanged", 1).await?;
        rotate(&scene, "new").await?;
        scene.holds("a", "k", b"new").await?;
        // The third generation would be that of a restart without a change.
        restarted_for(&scene, &app, &sync, 2).await?;
        for content in ["newer", "newest"] {
            rotate(&scene, content).await?;
            scene.holds("a", "k", content.as_bytes()).await?;
            let pending = "coffer.rs/RestartPending";
            scene.says(&sync, pending, "True", "RestartPending").await?;
        }
        let now = stored(&scene.ground.admin, &app).await?;
        ensure!(now["metadata"]["generation"] == 2, "{}", now["metadata"]);
        Ok(())
    })
}

/// Sync §16, Vault Secrets Operator, line 3: sixty-one Secrets are no burden, by default limits
#[test]
fn vault_operator_line_3_sixty_one_secrets_take_little_memory() -> Result<()> {
    const SECRETS: usize = 61;
    const MOST_KIB: u64 = 128 << 10;
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "x".repeat(2048));
        scene.class("c").await?;
        let names: Vec<String> = (0..SECRETS).map(|number| format!("s{number}")).collect();
        try_join_all(names.iter().map(|name| scene.sync(name))).await?;
        rounds(&scene, "created", SECRETS).await?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", scene.controller.pid()))?;
        let resident = status.lines().find_map(|line| {
            let rest = line.strip_prefix("VmRSS:")?.trim();
            rest.strip_suffix(" kB")?.parse::<u64>().ok()
        });
        let resident = resident.context("no VmRSS")?;
        ensure!(resident < MOST_KIB, "{resident} KiB for {SECRETS} Secrets");
        Ok(())
    })
}
