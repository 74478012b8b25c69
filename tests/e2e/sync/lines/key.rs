//! The key of all fingerprints, which one Secret of the cluster holds: a case that loses it has a cluster of its own.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::stage::SOON;
use crate::sync::drift::{rounds, there};
use crate::sync::outages::{asked_anew, ground_of, is_well, scene_in};
use crate::sync::restarts::{left_alone, reads};
use crate::sync::{EXTRA, FEATURES, LATER, POLICIES};
use crate::sync_objects::{CLASS, RBAC, SECRET_SYNC, SYSTEM, secret, stored, with};
use crate::world::run;

const NAMES: [&str; 3] = ["x", "y", "z"];
const UNCHANGED: &str = "coffer_sync_reconciles_total{result=\"unchanged\"}";
const UPDATED: &str = "coffer_sync_reconciles_total{result=\"updated\"}";

/// Which key a hash `c1:<key id>:<hex>` is of.
fn key_of(hash: &str) -> Result<String> {
    let id = hash
        .strip_prefix("c1:")
        .and_then(|rest| rest.split_once(':'));
    let (id, _) = id.with_context(|| format!("no hash of ours: {hash}"))?;
    Ok(id.to_owned())
}

/// Which key the record on a Secret is of.
fn recorded(secret: &Value) -> Result<String> {
    let record = secret["metadata"]["annotations"]["coffer.rs/record"].as_str();
    let record: Value = serde_json::from_str(record.context("no record")?)?;
    key_of(record["hash"].as_str().unwrap_or_default())
}

/// Sync §6, a lost key, and §10: each object costs one write that changes its record alone, and nothing restarts.
#[test]
fn a_lost_key_costs_one_write_per_object_and_no_restart() -> Result<()> {
    run(async {
        let files = [&[SECRET_SYNC, CLASS, RBAC][..], &EXTRA, &POLICIES].concat();
        let ground = ground_of(&files).await?;
        ground.guarded().await?;
        let mut scene = scene_in(ground, &ground.namespace().await?, &FEATURES).await?;
        scene.vendor.put("f", "value");
        let class = scene.class("c").await?;
        let reader = scene.create(reads("reader", &NAMES)).await?;
        let mut objects = Vec::new();
        for name in NAMES {
            let options = json!({"coffer.rs/restart": "Auto", "coffer.rs/restart-window": "0s"});
            let sync = scene.sync_of(name, "Opaque", &[("f", "k")]);
            let sync = with(sync, "/metadata/annotations", options);
            let sync = scene.create(sync).await?;
            is_well(&scene, &sync).await?;
            objects.push((name, sync, there(&scene, name).await?));
        }

        scene.delete(&secret(SYSTEM, "coffer-sync-hmac")).await?;
        scene.restart().await?;
        asked_anew(&scene, &class).await?;
        rounds(&scene, "updated", NAMES.len()).await?;
        let mut keys = BTreeSet::new();
        let mut written = Vec::new();
        for (name, sync, before) in &objects {
            let now = there(&scene, name).await?;
            for place in ["/metadata/uid", "/type", "/data", "/metadata/labels"] {
                ensure!(now.pointer(place) == before.pointer(place), "{place}");
            }
            let key = recorded(&now)?;
            ensure!(key != recorded(before)?, "{name} has the old record");
            eventually(SOON, "a hash of the new key", async || {
                let sync = stored(&scene.ground.admin, sync).await?;
                let hash = sync["status"]["syncHash"].as_str().unwrap_or_default();
                ensure!(key_of(hash)? == key, "{hash}");
                Ok(())
            })
            .await?;
            keys.insert(key);
            written.push(now);
        }
        ensure!(keys.len() == 1, "{keys:?}");

        let unchanged = scene.controller.metric(UNCHANGED).await?;
        asked_anew(&scene, &class).await?;
        eventually(LATER, "a round of each without a change", async || {
            let more = scene.controller.metric(UNCHANGED).await? - unchanged;
            ensure!(more >= NAMES.len() as f64, "{more}");
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        for before in &written {
            let name = before["metadata"]["name"].as_str().unwrap_or_default();
            let now = there(&scene, name).await?;
            ensure!(now == *before, "{name} was written again");
        }
        let updated = scene.controller.metric(UPDATED).await?;
        ensure!(updated == NAMES.len() as f64, "{updated} writes");
        left_alone(&scene, &reader).await?;
        ground.api.signal(Signal::KILL)
    })
}
