//! What goes away and comes back: providers, classes, accounts, the API server.
//!
//! Whatever is away, the Secret stays as it is to the byte, and conditions say what is wrong until it is right again.

/// Answers that are of no use, and more of them than there is room for.
mod answers;
/// A process on a socket that can be ended.
mod line;
/// Providers that are left alone for a while because they do not answer.
mod paused;
/// The API server itself.
mod server;

pub(super) use self::line::Line;
pub(super) use self::server::{frail, revived};

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::eventually;
use coffer_tests::syncer::Sockets;
use coffer_tests::vendor::Vendor;
use serde_json::{Value, json};
use tonic::Status;

use super::{Ground, LATER, Scene, VENDOR, condition_of, launch, redacted, value};
use crate::stage::{SOON, unique};
use crate::sync_objects::{ACCOUNT, SYSTEM, stored, with};
use crate::world::{end_with_us, run};

/// A cluster of one's own where these files are installed. Its processes end with this one.
pub(super) async fn ground_of(files: &[&str]) -> Result<&'static Ground> {
    let api = ApiServer::start().await?;
    end_with_us(&api.farewell())?;
    api.create_namespace(SYSTEM).await?;
    for file in files {
        api.install(file).await?;
    }
    let kubeconfig = api.kubeconfig_for(SYSTEM, ACCOUNT).await?;
    let admin = api.client();
    Ok(Box::leak(Box::new(Ground {
        api,
        admin,
        kubeconfig,
    })))
}

/// A scene in this namespace of a cluster.
pub(super) async fn scene_in(
    ground: &'static Ground,
    namespace: &str,
    arguments: &[&str],
) -> Result<Scene> {
    let sockets = Sockets::new()?;
    let vendor = Vendor::serve(&sockets.of(VENDOR))?;
    let own = ["--watch-namespaces", namespace, "--leader-elect=false"];
    let arguments: Vec<String> = [&own, arguments]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let controller = launch(ground, &sockets, &arguments).await?;
    Ok(Scene {
        ground,
        namespace: namespace.to_owned(),
        vendor,
        sockets,
        controller,
        arguments,
    })
}

/// Makes the class another generation, which no answer of a moment ago serves. All of its objects are due.
pub(super) async fn renewed(scene: &Scene, class: &Value) -> Result<()> {
    let parameters = json!({"spec": {"parameters": {"at": unique("at")}}});
    scene.merge(class, &parameters).await.map(|_| ())
}

/// The same, and waits until the vendor is asked for it.
pub(super) async fn asked_anew(scene: &Scene, class: &Value) -> Result<()> {
    let before = scene.vendor.calls();
    renewed(scene, class).await?;
    eventually(SOON, "a call of the vendor", async || {
        ensure!(scene.vendor.calls() > before);
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// The same, and has the object synced with that answer.
pub(super) async fn refetched(scene: &Scene, class: &Value, sync: &Value) -> Result<()> {
    asked_anew(scene, class).await?;
    scene.force(sync).await
}

/// Fails unless the Secret is the one that it was, to the byte.
pub(super) async fn untouched(scene: &Scene, before: &Value) -> Result<()> {
    let name = before["metadata"]["name"].as_str().unwrap_or_default();
    let now = scene.secret(name).await?.context("the Secret is gone")?;
    for place in [
        "/metadata/uid",
        "/metadata/resourceVersion",
        "/type",
        "/data",
    ] {
        ensure!(
            now.pointer(place) == before.pointer(place),
            "another {place}: {}",
            redacted(&now)
        );
    }
    Ok(())
}

/// Waits until the last good value is served for this reason of upstream's; the message of Ready, which names ours.
pub(super) async fn serves_last_good(scene: &Scene, sync: &Value, reason: &str) -> Result<String> {
    scene.says(sync, "SecretUpdated", "False", reason).await?;
    scene
        .says(sync, "SecretCreated", "True", "CreateSuccessful")
        .await?;
    let ready = scene.says(sync, "Ready", "True", "ServingLastGood").await?;
    Ok(ready["message"].as_str().unwrap_or_default().to_owned())
}

/// Waits until all conditions say of the spec as it is now that all is well.
pub(super) async fn is_well(scene: &Scene, sync: &Value) -> Result<()> {
    eventually(LATER, "an object that is well", async || {
        let now = stored(&scene.ground.admin, sync).await?;
        for (name, reason) in [
            ("SecretCreated", "CreateSuccessful"),
            ("SecretUpdated", "SecretUpToDate"),
            ("Ready", "Synced"),
        ] {
            let found = condition_of(&now, name).context("no conditions yet")?;
            ensure!(
                found["status"] == "True"
                    && found["reason"] == reason
                    && found["observedGeneration"] == now["metadata"]["generation"],
                "{}",
                now["status"]
            );
        }
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Waits longer than usual for bytes under a key of a Secret: for a watch, a store or a leader to be back.
pub(super) async fn arrives(scene: &Scene, name: &str, key: &str, bytes: &[u8]) -> Result<Value> {
    eventually(LATER, "the value", async || {
        let secret = scene.secret(name).await?.context("there is no Secret")?;
        ensure!(
            value(&secret, key).as_deref() == Some(bytes),
            "{}",
            redacted(&secret)
        );
        Ok(secret)
    })
    .await
    .with_context(|| scene.controller.log())
}

/// The class `c` of this provider.
pub(super) async fn class_of(scene: &Scene, provider: &str) -> Result<Value> {
    scene
        .create(json!({
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": {"name": "c"},
            "spec": {"provider": provider, "parameters": {"a": "b"}},
        }))
        .await
}

/// Sync §15, rows "provider down" and "recovery with an unchanged value": a process that is killed leaves its socket
/// behind, then the socket goes as well, then there is a new process with the same value, and with another one.
#[test]
fn a_provider_that_is_away_costs_no_secret_a_byte() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let (socket, vendor) = (scene.sockets.of("line"), scene.sockets.of(VENDOR));
        let line = Line::open(&socket, &vendor)?;
        scene.vendor.put("f", "old");
        let class = class_of(&scene, "line").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"old").await?;
        is_well(&scene, &sync).await?;

        line.down().await?;
        renewed(&scene, &class).await?;
        let told = serves_last_good(&scene, &sync, "ProviderError").await?;
        ensure!(told.contains("provider line answered "), "{told}");
        untouched(&scene, &before).await?;
        scene.told("a", "SyncFailed").await?;

        std::fs::remove_file(&socket)?;
        scene.force(&sync).await?;
        let told = serves_last_good(&scene, &sync, "SecretProviderClassMisconfigured").await?;
        ensure!(told.contains("there is no socket line.sock"), "{told}");
        untouched(&scene, &before).await?;

        let line = Line::open(&socket, &vendor)?;
        scene.force(&sync).await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &before).await?;
        scene.told("a", "SyncRecovered").await?;

        line.down().await?;
        renewed(&scene, &class).await?;
        serves_last_good(&scene, &sync, "ProviderError").await?;
        scene.vendor.put("f", "new");
        std::fs::remove_file(&socket)?;
        let _line = Line::open(&socket, &vendor)?;
        scene.force(&sync).await?;
        let after = scene.holds("a", "k", b"new").await?;
        ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
        is_well(&scene, &sync).await
    })
}

/// Sync §15, row "provider slow"; §5: while all other workers wait for one provider, the last one serves another.
#[test]
fn a_provider_that_hangs_holds_up_no_other() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--provider-timeout", "5s", "--workers", "4"]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let other = Vendor::serve(&scene.sockets.of("other"))?;
        other.put("f", "old");
        let quick_class = with(class.clone(), "/spec/provider", json!("other"));
        let quick_class = with(quick_class, "/metadata", json!({"name": "o"}));
        let quick_class = scene.create(quick_class).await?;
        let quick = scene.sync_of("quick", "Opaque", &[("f", "k")]);
        let quick = with(quick, "/spec/secretProviderClassName", json!("o"));
        let quick = scene.create(quick).await?;
        let mut hung = Vec::new();
        for at in 0..3 {
            let sync = of_account(&scene, &format!("hung-{at}"), &format!("app-{at}"));
            let sync = scene.create(sync).await?;
            let secret = scene.holds(&format!("hung-{at}"), "k", b"old").await?;
            hung.push((sync, secret));
        }
        is_well(&scene, &quick).await?;
        for (sync, _) in &hung {
            is_well(&scene, sync).await?;
        }

        let calls = scene.vendor.calls();
        scene.vendor.change(|script| script.hangs = true);
        asked_anew(&scene, &class).await?;
        eventually(SOON, "three calls that hang", async || {
            ensure!(scene.vendor.calls() == calls + 3);
            Ok(())
        })
        .await?;
        other.put("f", "new");
        let parameters = json!({"spec": {"parameters": {"at": "new"}}});
        scene.merge(&quick_class, &parameters).await?;
        scene.holds("quick", "k", b"new").await?;
        let hanging = "coffer_sync_provider_in_flight{provider=\"vendor\"}";
        ensure!(scene.controller.metric(hanging).await? > 0.0);

        for (sync, secret) in &hung {
            let told = serves_last_good(&scene, sync, "ProviderError").await?;
            ensure!(told.contains("answered DeadlineExceeded"), "{told}");
            untouched(&scene, secret).await?;
        }
        scene.vendor.change(|script| script.hangs = false);
        for (sync, secret) in &hung {
            scene.force(sync).await?;
            is_well(&scene, sync).await?;
            untouched(&scene, secret).await?;
        }
        is_well(&scene, &quick).await
    })
}

/// A SecretSync whose account is its own, so that its call is its own too.
pub(super) fn of_account(scene: &Scene, name: &str, account: &str) -> Value {
    let sync = scene.sync_of(name, "Opaque", &[("f", "k")]);
    with(sync, "/spec/serviceAccountName", json!(account))
}

/// Sync §15, row "SPC deleted": back at once when there is one of that name again.
#[test]
fn a_class_that_is_deleted_and_made_again_costs_no_secret_a_byte() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"value").await?;
        is_well(&scene, &sync).await?;
        scene.delete(&class).await?;
        let told = serves_last_good(&scene, &sync, "SecretProviderClassMisconfigured").await?;
        ensure!(
            told.contains("SecretProviderClass c does not exist"),
            "{told}"
        );
        untouched(&scene, &before).await?;
        scene.class("c").await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &before).await?;
        scene.told("a", "SyncRecovered").await.map(|_| ())
    })
}

/// Sync §4, tokens, and §15, row "ServiceAccount deleted": once its last token is refused there is no other.
#[test]
fn an_account_that_is_deleted_and_made_again_costs_no_secret_a_byte() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--audience", "vendor=vault"]).await?;
        scene.vendor.put("f", "value");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"value").await?;
        is_well(&scene, &sync).await?;
        let arrived = scene.vendor.arrived();
        let tokens = arrived.first().context("no call")?.tokens()?;
        ensure!(tokens["vault"]["token"].is_string(), "no token");

        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "app", "namespace": scene.namespace},
        });
        scene.delete(&account).await?;
        let refused = Status::unauthenticated("the token is of nobody");
        scene.vendor.change(|script| script.failure = Some(refused));
        asked_anew(&scene, &class).await?;
        let told = serves_last_good(&scene, &sync, "ControllerSyncError").await?;
        let expected = format!(
            "TokenError: no token for ServiceAccount {}/app",
            scene.namespace
        );
        ensure!(told.starts_with(&expected), "{told}");
        untouched(&scene, &before).await?;

        // Nobody is asked without the token that was meant for it.
        scene.vendor.change(|script| script.failure = None);
        let calls = scene.vendor.calls();
        scene.force(&sync).await?;
        serves_last_good(&scene, &sync, "ControllerSyncError").await?;
        ensure!(scene.vendor.calls() == calls, "it was asked all the same");
        let errors = "coffer_sync_token_requests_total{result=\"error\"}";
        ensure!(scene.controller.metric(errors).await? >= 2.0);

        let api = &scene.ground.api;
        api.create_service_account(&scene.namespace, "app").await?;
        scene.force(&sync).await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &before).await?;
        scene.told("a", "SyncRecovered").await.map(|_| ())
    })
}
