//! Service account tokens and bootstrap tokens on a cluster whose operator allows them.
//!
//! Controllers of the cluster fill and delete such Secrets; we leave alone what they filled and do not write again what
//! they deleted. The write policy has a list of types of its own and is left out.

use std::mem::forget;

use anyhow::{Context, Result, ensure};
use coffer_sync_core::secret_type::SERVICE_ACCOUNT_NAME;
use coffer_tests::fixture::eventually;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{advice, data_of};
use crate::stage::SOON;
use crate::sync::outages::{asked_anew, ground_of, is_well, refetched, scene_in, untouched};
use crate::sync::{EXTRA, Ground, POLICIES, Scene, keys, value};
use crate::sync_objects::{CLASS, RBAC, SECRET_SYNC, with};
use crate::world::{end_with_us, run};

const FLAGS: [&str; 2] = [
    "--allowed-types",
    "kubernetes.io/service-account-token,bootstrap.kubernetes.io/token",
];
const TOKEN: &str = "secret-sa-sample";
const BOOTSTRAP: &str = "bootstrap-token-5emitj";

/// The cluster of these cases.
async fn lax() -> Result<&'static Ground> {
    static LAX: OnceCell<&Ground> = OnceCell::const_new();
    LAX.get_or_try_init(async || {
        let policies = POLICIES
            .into_iter()
            .filter(|file| !file.ends_with("/write.yaml"));
        let files = [SECRET_SYNC, CLASS, RBAC].into_iter().chain(EXTRA);
        let files: Vec<&str> = files.chain(policies).collect();
        let ground = ground_of(&files).await?;
        let controllers = ground.api.controllers()?;
        end_with_us(&controllers.farewell())?;
        // They end by the line above.
        forget(controllers);
        Ok(ground)
    })
    .await
    .copied()
}

/// The page's token Secret for an account.
fn token_of(scene: &Scene, account: &str) -> Value {
    let type_ = "kubernetes.io/service-account-token";
    let sync = scene.sync_of(TOKEN, type_, &[("extra", "extra")]);
    let annotations = json!({SERVICE_ACCOUNT_NAME: account});
    with(sync, "/spec/secretObject/annotations", annotations)
}

/// Has the object looked at again, without a change of its spec; waits until it is known that the Secret vanished.
async fn vanished(scene: &Scene, class: &Value, sync: &Value) -> Result<()> {
    let refused = "coffer_sync_reconciles_total{result=\"refused\"}";
    let name = sync["metadata"]["name"].as_str().unwrap_or_default();
    for _ in 0..2 {
        let before = scene.controller.metric(refused).await?;
        asked_anew(scene, class).await?;
        eventually(SOON, "a round that writes nothing", async || {
            ensure!(scene.controller.metric(refused).await? > before);
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        ensure!(scene.secret(name).await?.is_none(), "it was written again");
    }
    scene.says(sync, "Ready", "False", "Vanished").await?;
    scene
        .says(sync, "SecretCreated", "False", "ControllerPatchError")
        .await?;
    scene.told(name, "Vanished").await?;
    for (result, expected) in [("created", 1.0), ("repaired", 0.0), ("updated", 0.0)] {
        let series = format!("coffer_sync_reconciles_total{{result=\"{result}\"}}");
        let found = scene.controller.metric(&series).await?;
        ensure!(found == expected, "{found} rounds {result}");
    }
    Ok(())
}

/// Types §4.2, §7 row `secret-sa-sample`: the controller's keys stay through rounds and rotations.
#[test]
fn a_token_is_filled_in_by_its_controller_and_left_alone_by_us() -> Result<()> {
    run(async {
        let ground = lax().await?;
        let namespace = ground.namespace().await?;
        let scene = scene_in(ground, &namespace, &FLAGS).await?;
        let api = &ground.api;
        api.create_service_account(&namespace, "sa-name").await?;
        scene.vendor.put("extra", "bar\n");
        let class = scene.class("c").await?;
        let sync = scene.create(token_of(&scene, "sa-name")).await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(advice(message) == ["sa.legacy"], "{message}");
        let has_token = |secret: &Value| value(secret, "token").is_some_and(|it| !it.is_empty());
        let filled = scene.until(TOKEN, "a token", has_token).await?;
        ensure!(value(&filled, "extra").as_deref() == Some(&b"bar\n"[..]));
        let token = value(&filled, "token");

        refetched(&scene, &class, &sync).await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &filled).await?;

        scene.vendor.put("extra", "new");
        refetched(&scene, &class, &sync).await?;
        let after = scene.holds(TOKEN, "extra", b"new").await?;
        ensure!(value(&after, "token") == token, "another token");
        ensure!(keys(&after) == keys(&filled), "{:?}", keys(&after));
        is_well(&scene, &sync).await
    })
}

/// Types §4.2: without its account the Secret goes, and stays away until the spec changes.
#[test]
fn a_token_of_no_account_vanishes_without_a_fight() -> Result<()> {
    run(async {
        let ground = lax().await?;
        let namespace = ground.namespace().await?;
        let scene = scene_in(ground, &namespace, &FLAGS).await?;
        scene.vendor.put("extra", "bar\n");
        let class = scene.class("c").await?;
        let sync = scene.create(token_of(&scene, "nobody")).await?;
        scene.told(TOKEN, "Synced").await?;
        scene.gone(TOKEN).await?;
        vanished(&scene, &class, &sync).await?;

        let api = &ground.api;
        api.create_service_account(&namespace, "nobody").await?;
        scene.force(&sync).await?;
        let has_token = |secret: &Value| value(secret, "token").is_some_and(|it| !it.is_empty());
        scene.until(TOKEN, "a token", has_token).await?;
        is_well(&scene, &sync).await
    })
}

/// Types §4.8, §7 row `bootstrap-token-5emitj`: expired since 2020, it goes as soon as it is there, and stays away
/// until its content changes.
#[test]
fn a_bootstrap_token_that_has_expired_vanishes_without_a_fight() -> Result<()> {
    run(async {
        let ground = lax().await?;
        let scene = scene_in(ground, "kube-system", &FLAGS).await?;
        let data = data_of(&[
            (
                "auth-extra-groups",
                "system:bootstrappers:kubeadm:default-node-token",
            ),
            ("expiration", "2020-09-13T04:39:10Z"),
            ("token-id", "5emitj"),
            ("token-secret", "kq4gihvszzgn1p0r"),
            ("usage-bootstrap-authentication", "true"),
            ("usage-bootstrap-signing", "true"),
        ]);
        for (key, bytes) in &data {
            scene.vendor.put(key, bytes.clone());
        }
        let class = scene.class("c").await?;
        let pairs: Vec<(&str, &str)> = data
            .keys()
            .map(|key| (key.as_str(), key.as_str()))
            .collect();
        let sync = scene.sync_of(BOOTSTRAP, "bootstrap.kubernetes.io/token", &pairs);
        let sync = scene.create(sync).await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(advice(message) == ["bootstrap.expired"], "{message}");
        scene.told(BOOTSTRAP, "Synced").await?;
        scene.gone(BOOTSTRAP).await?;
        vanished(&scene, &class, &sync).await?;

        scene.vendor.put("expiration", "2126-01-01T00:00:00Z");
        asked_anew(&scene, &class).await?;
        let stays = scene
            .holds(BOOTSTRAP, "expiration", b"2126-01-01T00:00:00Z")
            .await?;
        is_well(&scene, &sync).await?;
        refetched(&scene, &class, &sync).await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &stays).await
    })
}
