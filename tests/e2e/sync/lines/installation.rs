//! What is installed: definitions that come late or are upstream's, whose objects are ours, and what stays when the
//! controller goes.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::{demanding, maker};
use crate::sync::drift::{collected, good, synced, there};
use crate::sync::options::with_options;
use crate::sync::outages::{
    arrives, asked_anew, ground_of, is_well, renewed, scene_in, serves_last_good, untouched,
};
use crate::sync::{POLICIES, Scene, value};
use crate::sync_objects::{CLASS, RBAC, SECRET_SYNC, judge, stored, tried, with, without};
use crate::world::run;

/// The definition that upstream's controller ships.
const UPSTREAM: &str = "tests/cluster/upstream/secretsync.yaml";
const CONTROLLER: &str = "/spec/secretSyncControllerName";

/// Sync §2, missing CRDs: door B is closed, which is told once, and opens when the definition comes; door A works
/// all the while.
#[test]
fn door_b_opens_when_its_definition_comes_and_door_a_does_not_wait_for_it() -> Result<()> {
    run(async {
        let files = [&[CLASS, RBAC][..], &POLICIES].concat();
        let ground = ground_of(&files).await?;
        ground.guarded().await?;
        let often = ["--crd-check-interval", "1s"];
        let scene = scene_in(ground, &ground.namespace().await?, &often).await?;
        scene.vendor.put("f", "one");
        let class = maker(&scene, "d", "made").await?;
        scene.holds("made", "k", b"one").await?;

        ground.api.install(SECRET_SYNC).await?;
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        arrives(&scene, "a", "k", b"one").await?;
        is_well(&scene, &sync).await?;
        scene.vendor.put("f", "two");
        renewed(&scene, &class).await?;
        scene.holds("made", "k", b"two").await?;

        let log = scene.controller.log();
        let told = log.matches("the kind is not installed").count();
        ensure!(told == 1, "told {told} times: {log}");
        ground.api.signal(Signal::KILL)
    })
}

/// Sync §2, claim: with `--claim-unnamed` an empty name and none are ours too; another controller's is not.
#[test]
fn who_names_no_controller_is_synced_where_the_operator_says_so() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--claim-unnamed"]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let plain = |name: &str| scene.sync_of(name, "Opaque", &[("f", "k")]);
        let other = with(plain("other"), CONTROLLER, json!("example.com/sync"));
        let other = scene.create(other).await?;
        // Theirs came before all of these.
        for sync in [
            with(plain("empty"), CONTROLLER, json!("")),
            without(plain("absent"), CONTROLLER),
            plain("ours"),
        ] {
            let sync = scene.create(sync).await?;
            is_well(&scene, &sync).await?;
            let name = sync["metadata"]["name"].as_str().unwrap_or_default();
            scene.holds(name, "k", b"value").await?;
        }
        let now = stored(&scene.ground.admin, &other).await?;
        ensure!(now["status"].is_null(), "{now}");
        ensure!(scene.secret("other").await?.is_none(), "it was made");
        Ok(())
    })
}

/// Sync §2, where upstream's CRD is installed: all that we tell of an object fits into it, and the option is the way to
/// keys and paths that it has no words for.
#[test]
fn objects_of_upstreams_definition_are_synced_and_told_of() -> Result<()> {
    run(async {
        let files = [&[UPSTREAM, CLASS, RBAC][..], &POLICIES].concat();
        let ground = ground_of(&files).await?;
        ground.guarded().await?;
        let scene = scene_in(ground, &ground.namespace().await?, &[]).await?;
        for (file, contents) in [("f", "one"), ("b", "two"), ("dir/f", "three")] {
            scene.vendor.put(file, contents);
        }
        let class = scene.class("c").await?;
        let refused = scene.sync_of("refused", "Opaque", &[("dir/f", "k")]);
        let said = tried(&ground.admin, &refused).await?;
        judge("a path", &said, "422 spec.secretObject.data[0].sourcePath")?;

        let extra = json!([{"sourcePath": "dir/f", "targetKey": "_x"}]);
        let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
        let sync = with_options(sync, &[("extra-data", &extra.to_string())]);
        let sync = scene.create(sync).await?;
        let secret = scene.holds("a", "k", b"one").await?;
        ensure!(value(&secret, "_x") == Some(b"three".to_vec()));
        is_well(&scene, &sync).await?;
        let status = stored(&ground.admin, &sync).await?["status"].take();
        let hash = status["syncHash"].as_str().unwrap_or_default();
        ensure!(hash.starts_with("c1:"), "{status}");
        ensure!(status["lastSuccessfulSyncTime"].is_string(), "{status}");
        let held = scene.create(demanding(&scene, "held")).await?;
        is_well(&scene, &held).await?;

        scene.vendor.put("f", "new");
        scene.vendor.remove("b");
        asked_anew(&scene, &class).await?;
        scene.holds("a", "k", b"new").await?;
        is_well(&scene, &sync).await?;
        scene
            .says(&held, "coffer.rs/Held", "True", "SemanticRegression")
            .await?;
        scene.vendor.remove("f");
        asked_anew(&scene, &class).await?;
        serves_last_good(&scene, &sync, "RemoteSecretStoreFetchFailed").await?;
        scene.holds("a", "k", b"new").await?;
        ground.api.signal(Signal::KILL)
    })
}

/// Sync §15, row "uninstalled": Secrets of both doors stay without us, and with us again nothing changes.
#[test]
fn what_was_synced_stays_when_the_controller_goes() -> Result<()> {
    run(async {
        let mut scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        maker(&scene, "d", "made").await?;
        scene.holds("made", "k", b"value").await?;
        let other = scene.sync("b").await?;
        good(&scene, &other).await?;
        let before = [there(&scene, "a").await?, there(&scene, "made").await?];

        let ended = scene.controller.stop().await?;
        ensure!(ended.success(), "{ended}");
        // One that goes with its source shows that the collector has been there.
        scene.delete(&other).await?;
        collected(&scene, "b").await?;
        for secret in &before {
            untouched(&scene, secret).await?;
        }

        scene.again().await?;
        scene.force(&sync).await?;
        is_well(&scene, &sync).await?;
        for secret in &before {
            untouched(&scene, secret).await?;
        }
        Ok(())
    })
}
