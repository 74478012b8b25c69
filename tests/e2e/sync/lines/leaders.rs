//! Leaders that end while Secrets rotate and workloads restart for them: each workload restarts once, whoever does it.
//!
//! A leader that took over and finds a restart done gives the same mark again, which rolls nothing out.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use coffer_tests::syncer::SyncProcess;
use serde_json::{Value, json};

use crate::sync::leader::{lease, rivals};
use crate::sync::options::got;
use crate::sync::outages::{asked_anew, is_well, of_account};
use crate::sync::restarts::{reads, restarted, settled};
use crate::sync::{FEATURES, Ground, Install, LATER, Scene, value};
use crate::sync_objects::with;
use crate::world::run;

const OBJECTS: usize = 30;
/// A Lease is over after a quarter of a minute; the next leader comes to all objects within half a minute.
const TAKEOVER: Duration = Duration::from_secs(100);

/// A rotation in which some Secrets are new and others are not yet.
struct Rotation {
    scene: Scene,
    standby: SyncProcess,
    /// SecretSyncs, and for each a workload that reads its Secret.
    objects: Vec<(Value, Value)>,
}

/// How many Secrets hold the new value.
async fn rotated(scene: &Scene) -> Result<usize> {
    let path = format!("/api/v1/namespaces/{}/secrets", scene.namespace);
    let list = got(&scene.ground.admin, &path).await?;
    let items = list["items"].as_array().into_iter().flatten();
    let new = items.filter(|item| value(item, "k").as_deref() == Some(&b"new"[..]));
    Ok(new.count())
}

impl Rotation {
    async fn begun() -> Result<Self> {
        let ground = Ground::of(Install::Full).await?;
        let lease = lease(ground).await?;
        // Eight calls a second, so that there is a middle; polls that come before a case is over.
        let slow = ["--provider-qps", "8", "--provider-burst", "1"];
        let often = ["--refresh-interval", "30s"];
        let flags = [&FEATURES[..], &slow, &often].concat();
        let (scene, standby) = rivals(ground, &lease, &flags).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let mut objects = Vec::new();
        for at in 0..OBJECTS {
            let name = format!("s-{at}");
            let sync = of_account(&scene, &name, &format!("app-{at}"));
            let options = json!({"coffer.rs/restart": "Auto", "coffer.rs/restart-window": "0s"});
            let sync = with(sync, "/metadata/annotations", options);
            let sync = scene.create(sync).await?;
            let reader = reads(&format!("reader-{at}"), &[&name]);
            objects.push((sync, scene.create(reader).await?));
        }
        for (sync, _) in &objects {
            is_well(&scene, sync).await?;
        }
        scene.vendor.put("f", "new");
        asked_anew(&scene, &class).await?;
        eventually(LATER, "a leader in the middle of a rotation", async || {
            let count = rotated(&scene).await?;
            ensure!(count >= 5, "{count} of {OBJECTS}");
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        Ok(Self {
            scene,
            standby,
            objects,
        })
    }

    /// The leader is gone: the other one ends what it began.
    async fn goes_on(self) -> Result<()> {
        let Self {
            mut scene,
            standby,
            objects,
        } = self;
        ensure!(rotated(&scene).await? < OBJECTS, "it was done already");
        scene.controller = standby;
        eventually(TAKEOVER, "all Secrets with the new value", async || {
            let count = rotated(&scene).await?;
            ensure!(count == OBJECTS, "{count} of {OBJECTS}");
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        for (sync, reader) in &objects {
            restarted(&scene, reader, &[sync]).await?;
            settled(&scene, sync).await?;
            is_well(&scene, sync).await?;
        }
        Ok(())
    }
}

/// Sync §10, §12: by SIGTERM, as in an upgrade.
#[test]
fn a_leader_that_is_stopped_in_a_rotation_restarts_each_workload_once() -> Result<()> {
    run(async {
        let mut rotation = Rotation::begun().await?;
        let ended = rotation.scene.controller.stop().await?;
        ensure!(ended.success(), "{ended}");
        rotation.goes_on().await
    })
}

/// Sync §10, §12: by SIGKILL, between any two of its writes.
#[test]
fn a_leader_that_is_killed_in_a_rotation_restarts_each_workload_once() -> Result<()> {
    run(async {
        let mut rotation = Rotation::begun().await?;
        rotation.scene.controller.kill()?;
        rotation.goes_on().await
    })
}
