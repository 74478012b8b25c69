//! What may happen to a Secret of a real store: edits, deletions, adoption, changes of type and size, an API server
//! that starts again, a leader that is killed. Nothing is lost, emptied or downgraded.
//!
//! Each line has more cases elsewhere, with a vendor's provider whose answers the case decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::fixture::{Hopeless, eventually};
use coffer_tests::provider::ProviderProcess;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Kept, Login, opaque, provider, scene};
use crate::stage::object;
use crate::sync::adoption::{consent, strangers};
use crate::sync::drift::encoded;
use crate::sync::leader::{lease, rivals};
use crate::sync::options::{got, with_options};
use crate::sync::outages::{
    arrives, frail, is_well, renewed, revived, scene_in, serves_last_good, untouched,
};
use crate::sync::{FEATURES, Ground, Install, LATER, Scene, keys, value};
use crate::sync_objects::with;
use crate::world::{run, store};

/// What makes the controller request tokens for the store's provider.
const AUDIENCE: [&str; 2] = ["--audience", "vault=vault"];
/// A Lease is over after a quarter of a minute; the next leader comes to all objects within half a minute.
const TAKEOVER: Duration = Duration::from_secs(100);

/// A scene with a store, of which object `o` of class `c` is a secret's key, and the provider in between.
struct Tour {
    scene: Scene,
    kept: Kept<'static>,
    class: Value,
    provider: ProviderProcess,
}

impl Tour {
    /// The secret holds `old`.
    async fn of(scene: Scene) -> Result<Self> {
        let vault = &store().await?.vault;
        let login = Login::new(&scene, vault).await?;
        let provider = provider(&scene).await?;
        let kept = Kept::new(vault, "old").await?;
        let class = login.class(&scene, &kept.objects()).await?;
        Ok(Self {
            scene,
            kept,
            class,
            provider,
        })
    }

    /// Where all features are granted.
    async fn full() -> Result<Self> {
        Self::of(Scene::full(&AUDIENCE).await?).await
    }

    /// The class has these objects from now on.
    async fn objects(&self, objects: &str) -> Result<()> {
        let patch = json!({"spec": {"parameters": {"objects": objects}}});
        self.scene.merge(&self.class, &patch).await.map(|_| ())
    }

    /// The secret holds another text, and the provider is asked for it.
    async fn rotate(&self, text: &str) -> Result<()> {
        self.kept.becomes(text).await?;
        renewed(&self.scene, &self.class).await
    }

    /// The secret holds these data, and the provider is asked for them.
    async fn put(&self, data: &Value) -> Result<()> {
        let Kept { vault, name } = &self.kept;
        vault.kv2_put("secret", name, data).await?;
        renewed(&self.scene, &self.class).await
    }

    /// An object of the same secret by another key of it.
    fn another(&self, name: &str, rest: &str) -> String {
        object(name, &format!("secret/data/{}", self.kept.name), rest)
    }
}

fn uid(secret: &Value) -> &Value {
    &secret["metadata"]["uid"]
}

/// Sync §8, write-only mode: what the store holds is there again after the next round.
#[test]
fn an_edit_and_a_deletion_are_undone_from_the_store() -> Result<()> {
    run(async {
        let tour = Tour::of(scene().await?).await?;
        let scene = &tour.scene;
        let sync = scene.create(opaque(scene)).await?;
        let before = scene.holds("a", "k", b"old").await?;
        is_well(scene, &sync).await?;

        let secret = scene.secret_named("a");
        let edit = json!({"data": {"k": encoded("edited"), "theirs": encoded("x")}});
        scene.merge(&secret, &edit).await?;
        scene.force(&sync).await?;
        let restored = scene.holds("a", "k", b"old").await?;
        ensure!(uid(&restored) == uid(&before));
        ensure!(value(&restored, "theirs") == Some(b"x".to_vec()));
        scene.told("a", "Repaired").await?;

        scene.delete(&secret).await?;
        scene.force(&sync).await?;
        let made = scene.holds("a", "k", b"old").await?;
        ensure!(uid(&made) != uid(&before));
        is_well(scene, &sync).await?;

        tour.rotate("new").await?;
        let after = scene.holds("a", "k", b"new").await?;
        ensure!(uid(&after) == uid(&made));
        is_well(scene, &sync).await
    })
}

/// Sync §8, adopt: refused without consent, and with it the store's value beside the keys of others.
#[test]
fn a_secret_that_stood_before_is_adopted_with_its_owners_consent() -> Result<()> {
    run(async {
        let tour = Tour::of(scene().await?).await?;
        let scene = &tour.scene;
        let before = strangers(scene, "a", "").await?;
        let sync = with_options(opaque(scene), &[("adopt", "Merge")]);
        let sync = scene.create(sync).await?;
        scene
            .says(&sync, "Ready", "False", "AdoptionRefused")
            .await?;
        untouched(scene, &before).await?;

        let agreed = json!({"metadata": {"annotations": consent("SecretSync/a")}});
        scene.merge(&scene.secret_named("a"), &agreed).await?;
        scene.force(&sync).await?;
        for text in ["old", "new"] {
            if text == "new" {
                tour.rotate(text).await?;
            }
            let secret = scene.holds("a", "k", text.as_bytes()).await?;
            let metadata = &secret["metadata"];
            ensure!(uid(&secret) == uid(&before), "{metadata}");
            ensure!(metadata["ownerReferences"].is_null(), "{metadata}");
            ensure!(
                value(&secret, "other") == Some(b"theirs".to_vec()),
                "{metadata}"
            );
            is_well(scene, &sync).await?;
        }
        Ok(())
    })
}

/// Sync §9, `coffer.rs/immutable: Recreate`: each value of the store is a new immutable Secret.
#[test]
fn an_immutable_secret_is_made_anew_for_each_value_of_the_store() -> Result<()> {
    run(async {
        let tour = Tour::full().await?;
        let scene = &tour.scene;
        let sync = with_options(opaque(scene), &[("immutable", "Recreate")]);
        let sync = scene.create(sync).await?;
        let before = scene.holds("a", "k", b"old").await?;
        ensure!(before["immutable"] == true, "{}", before["metadata"]);
        is_well(scene, &sync).await?;
        tour.rotate("new").await?;
        let after = scene.holds("a", "k", b"new").await?;
        ensure!(after["immutable"] == true, "{}", after["metadata"]);
        ensure!(uid(&after) != uid(&before));
        is_well(scene, &sync).await
    })
}

/// Sync §9, type change: there and back, with the value of the store on both sides.
#[test]
fn a_secret_of_a_store_changes_its_type_and_back() -> Result<()> {
    run(async {
        let tour = Tour::full().await?;
        let scene = &tour.scene;
        let sync = scene.create(opaque(scene)).await?;
        let before = scene.holds("a", "k", b"old").await?;
        is_well(scene, &sync).await?;

        let basic = json!({"spec": {"secretObject": {
            "type": "kubernetes.io/basic-auth",
            "data": [
                {"sourcePath": "o", "targetKey": "username"},
                {"sourcePath": "o", "targetKey": "password"},
            ],
        }}});
        scene.merge(&sync, &basic).await?;
        let login = scene.holds("a", "password", b"old").await?;
        ensure!(login["type"] == "kubernetes.io/basic-auth");
        ensure!(keys(&login) == ["password", "username"]);
        ensure!(uid(&login) != uid(&before));
        is_well(scene, &sync).await?;

        let back = json!({"spec": {"secretObject": {
            "type": "Opaque",
            "data": [{"sourcePath": "o", "targetKey": "k"}],
        }}});
        scene.merge(&sync, &back).await?;
        let last = scene.holds("a", "k", b"old").await?;
        ensure!(last["type"] == "Opaque" && keys(&last) == ["k"]);
        is_well(scene, &sync).await
    })
}

/// Sync §3, extra-data: an object that the store may lack is a key exactly as long as the store has it.
#[test]
fn an_optional_key_comes_and_goes_with_the_store() -> Result<()> {
    run(async {
        let tour = Tour::of(scene().await?).await?;
        let scene = &tour.scene;
        let maybe = tour.another("maybe", "secretKey: maybe, optional: true");
        tour.objects(&(tour.kept.objects() + &maybe)).await?;
        let extra = json!([{"sourcePath": "maybe", "targetKey": "maybe", "optional": true}]);
        let sync = with_options(opaque(scene), &[("extra-data", &extra.to_string())]);
        let sync = scene.create(sync).await?;
        let before = scene.holds("a", "k", b"old").await?;
        ensure!(keys(&before) == ["k"]);
        is_well(scene, &sync).await?;
        for (data, expected) in [
            (json!({"k": "old", "maybe": "more"}), &["k", "maybe"][..]),
            (json!({"k": "old"}), &["k"]),
        ] {
            tour.put(&data).await?;
            let what = format!("exactly the keys {expected:?}");
            let secret = scene
                .until("a", &what, |secret| keys(secret) == expected)
                .await?;
            ensure!(uid(&secret) == uid(&before));
            for key in expected {
                let text = data[*key].as_str().map(|text| text.as_bytes().to_vec());
                ensure!(value(&secret, key) == text, "{key}");
            }
        }
        is_well(scene, &sync).await
    })
}

/// Types §2, bytes: a MiB of two objects is written, a byte more is refused and the last good value stays.
#[test]
fn a_mebibyte_of_a_store_is_written_and_one_byte_more_is_not() -> Result<()> {
    const HALF: usize = 1 << 19;
    run(async {
        let tour = Tour::of(scene().await?).await?;
        let scene = &tour.scene;
        let data = |more: usize| json!({"k": "x".repeat(HALF), "l": "y".repeat(HALF + more)});
        tour.put(&data(0)).await?;
        let second = tour.another("p", "secretKey: l");
        tour.objects(&(tour.kept.objects() + &second)).await?;
        let sync = scene.sync_of("a", "Opaque", &[("o", "k"), ("p", "l")]);
        let sync = scene.create(sync).await?;
        let is_whole = |secret: &Value| {
            let half = |key, byte| value(secret, key) == Some(vec![byte; HALF]);
            half("k", b'x') && half("l", b'y')
        };
        let before = scene.until("a", "a MiB", is_whole).await?;
        is_well(scene, &sync).await?;

        tour.put(&data(1)).await?;
        let told = serves_last_good(scene, &sync, "ControllerPatchError").await?;
        ensure!(told.starts_with("TooLarge: "), "{told}");
        untouched(scene, &before).await?;

        tour.put(&data(0)).await?;
        is_well(scene, &sync).await?;
        untouched(scene, &before).await
    })
}

/// Sync §15, row "API server down": while it is away the store cannot have it review a login either.
#[test]
fn an_api_server_that_starts_again_costs_no_value_of_the_store() -> Result<()> {
    const FAILED: &str = "coffer_sync_reconciles_total{result=\"failed\"}";
    run(async {
        let ground = frail().await?;
        let scene = scene_in(ground, &ground.namespace().await?, &AUDIENCE).await?;
        let mut tour = Tour::of(scene).await?;
        let scene = &tour.scene;
        let sync = scene.create(opaque(scene)).await?;
        let before = scene.holds("a", "k", b"old").await?;
        is_well(scene, &sync).await?;
        // The provider fails once, so that it is asked again whatever becomes of the API server.
        tour.provider.kill()?;
        renewed(scene, &tour.class).await?;
        serves_last_good(scene, &sync, "ProviderError").await?;

        ground.api.signal(Signal::KILL)?;
        tour.kept.becomes("new").await?;
        tour.provider = provider(scene).await?;
        let failed = scene.controller.metric(FAILED).await?;
        eventually(LATER, "a round without the API server", async || {
            ensure!(scene.controller.metric(FAILED).await? > failed);
            Ok(())
        })
        .await?;
        let server = revived(ground).await?;
        let after = arrives(scene, "a", "k", b"new").await?;
        ensure!(uid(&after) == uid(&before));
        is_well(scene, &sync).await?;
        scene.force(&sync).await?;
        is_well(scene, &sync).await?;
        server.signal(Signal::KILL)
    })
}

/// What was seen of Secrets that turn from `old` to `new`.
#[derive(Default)]
struct Turning {
    uids: BTreeMap<String, String>,
    turned: BTreeSet<String>,
}

impl Turning {
    /// Looks at all of them; how many hold the new value. The case ends where one is gone, was made anew, is empty, or
    /// is old again.
    async fn look(&mut self, scene: &Scene) -> Result<usize> {
        let path = format!("/api/v1/namespaces/{}/secrets", scene.namespace);
        let list = got(&scene.ground.admin, &path).await?;
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().into_iter().flatten();
        let found: BTreeMap<String, (String, Option<Vec<u8>>)> = items
            .map(|item| {
                let name = text(&item["metadata"]["name"]);
                (name, (text(uid(item)), value(item, "k")))
            })
            .collect();
        if self.uids.is_empty() {
            let first = found.iter();
            self.uids = first
                .map(|(name, (uid, _))| (name.clone(), uid.clone()))
                .collect();
        }
        for (name, uid) in &self.uids {
            let same = found.get(name).filter(|(now, _)| now == uid);
            let bytes = same.and_then(|(_, bytes)| bytes.as_deref());
            if bytes == Some(&b"new"[..]) {
                self.turned.insert(name.clone());
            } else if bytes != Some(&b"old"[..]) || self.turned.contains(name) {
                let told = format!("{name} is gone, was made anew, is empty, or is old again");
                return Err(Hopeless(told).into());
            }
        }
        Ok(self.turned.len())
    }
}

/// Sync §12, §15, row "leader change": killed in the middle of a rotation, with the store behind both leaders.
#[test]
fn a_leader_that_is_killed_in_a_rotation_of_the_store_loses_and_downgrades_nothing() -> Result<()> {
    const OBJECTS: usize = 16;
    run(async {
        let ground = Ground::of(Install::Full).await?;
        let lease = lease(ground).await?;
        // Four calls a second, so that there is a middle; polls that come before a case is over.
        let slow = ["--provider-qps", "4", "--provider-burst", "1"];
        let often = ["--refresh-interval", "30s"];
        let flags = [&FEATURES[..], &AUDIENCE, &slow, &often].concat();
        let (mut scene, standby) = rivals(ground, &lease, &flags).await?;
        let vault = &store().await?.vault;
        let login = Login::new(&scene, vault).await?;
        let _provider = provider(&scene).await?;
        let kept = Kept::new(vault, "old").await?;
        let mut objects = Vec::new();
        for at in 0..OBJECTS {
            // A class is a call.
            let name = format!("s-{at}");
            let class = login.class_named(&scene, &name, &kept.objects()).await?;
            let sync = scene.sync_of(&name, "Opaque", &[("o", "k")]);
            let sync = with(sync, "/spec/secretProviderClassName", json!(name));
            objects.push((class, scene.create(sync).await?));
        }
        for (_, sync) in &objects {
            is_well(&scene, sync).await?;
        }
        let mut turning = Turning::default();
        turning.look(&scene).await?;
        ensure!(turning.uids.len() == OBJECTS, "{:?}", turning.uids);

        kept.becomes("new").await?;
        for (class, _) in &objects {
            renewed(&scene, class).await?;
        }
        eventually(LATER, "a leader in the middle of a rotation", async || {
            let count = turning.look(&scene).await?;
            ensure!(count >= 3, "{count} of {OBJECTS}");
            Ok(())
        })
        .await?;
        scene.controller.kill()?;
        let count = turning.look(&scene).await?;
        ensure!(count < OBJECTS, "it was done already");
        scene.controller = standby;
        eventually(TAKEOVER, "all Secrets with the new value", async || {
            let count = turning.look(&scene).await?;
            ensure!(count == OBJECTS, "{count} of {OBJECTS}");
            Ok(())
        })
        .await?;
        for (_, sync) in &objects {
            is_well(&scene, sync).await?;
        }
        Ok(())
    })
}
