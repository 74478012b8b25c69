//! Two controllers of one namespace: which of them works, and what a change of leader leaves alone.
//!
//! A case has a Lease of its own, because a cluster's Lease is for all of its namespaces.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use coffer_proto::attributes::POD_NAME;
use coffer_tests::fixture::eventually;
use coffer_tests::syncer::{Sockets, SyncProcess};
use coffer_tests::vendor::Vendor;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::outages::{arrives, asked_anew, frail, is_well};
use super::{FEATURES, Ground, Install, LATER, Scene, VENDOR, launch, value};
use crate::stage::unique;
use crate::sync_objects::{ACCOUNT, SYSTEM, stored, with};
use crate::world::run;

/// The Lease of an installation.
const LEASE: &str = "coffer-sync";
/// The two, as Lease and providers know them.
const PODS: [&str; 2] = ["coffer-sync-1", "coffer-sync-2"];
const LEADER: &str = "coffer_sync_leader";

/// Two controllers of a new namespace that want this Lease. The first one, which is the scene's, leads.
pub(super) async fn rivals(
    ground: &'static Ground,
    lease: &str,
    flags: &[&str],
) -> Result<(Scene, SyncProcess)> {
    let namespace = ground.namespace().await?;
    let sockets = Sockets::new()?;
    let vendor = Vendor::serve(&sockets.of(VENDOR))?;
    let [first, second] = PODS.map(|pod| {
        let own = [
            "--watch-namespaces",
            &namespace,
            "--lease-name",
            lease,
            "--pod-name",
            pod,
        ];
        let all = [&own, flags].concat().into_iter();
        all.map(str::to_owned).collect::<Vec<String>>()
    });
    let controller = launch(ground, &sockets, &first).await?;
    leads(&controller).await?;
    let standby = launch(ground, &sockets, &second).await?;
    let scene = Scene {
        ground,
        namespace,
        vendor,
        sockets,
        controller,
        arguments: first,
    };
    Ok((scene, standby))
}

/// A Lease of a case's own, with the rights that the chart grants for its one.
pub(super) async fn lease(ground: &Ground) -> Result<String> {
    let name = unique("lease");
    let rules = json!([{
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [name],
        "verbs": ["get", "update", "patch"],
    }]);
    ground.api.bind(SYSTEM, ACCOUNT, &name, &rules).await?;
    Ok(name)
}

async fn is_leader(controller: &SyncProcess) -> Result<bool> {
    Ok(controller.metric(LEADER).await? == 1.0)
}

async fn leads(controller: &SyncProcess) -> Result<()> {
    eventually(LATER, "a leader", async || {
        ensure!(is_leader(controller).await?, "it does not lead");
        Ok(())
    })
    .await
    .with_context(|| controller.log())
}

/// Fails unless it waits for the Lease, is ready to take it, and knows of no object.
async fn stands_by(controller: &SyncProcess) -> Result<()> {
    ensure!(!is_leader(controller).await?, "it leads");
    let (status, text) = controller.ask("/readyz").await?;
    ensure!(
        status == 200 && text.trim() == "standing by",
        "readyz answers {status}: {text}"
    );
    let objects = controller.objects().await?;
    ensure!(objects == json!([]), "{objects}");
    Ok(())
}

/// Who holds a Lease; empty for nobody.
async fn holder(ground: &Ground, lease: &str) -> Result<String> {
    let document = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": lease, "namespace": SYSTEM},
    });
    let now = stored(&ground.admin, &document).await?;
    let holder = now["spec"]["holderIdentity"].as_str();
    Ok(holder.unwrap_or_default().to_owned())
}

/// The pods in whose name the vendor was asked, in the order of the calls.
fn callers(scene: &Scene) -> Vec<String> {
    let arrived = scene.vendor.arrived().into_iter();
    arrived
        .filter_map(|mut request| request.attributes.remove(POD_NAME))
        .collect()
}

/// Sync §12: only the leader asks providers and writes; at its end it gives the Lease back, and the other goes on.
#[test]
fn one_controller_works_and_the_other_waits_for_its_end() -> Result<()> {
    run(async {
        let ground = Ground::of(Install::Plain).await?;
        let lease = lease(ground).await?;
        let (mut scene, standby) = rivals(ground, &lease, &[]).await?;
        scene.vendor.put("f", "old");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"old").await?;
        is_well(&scene, &sync).await?;
        stands_by(&standby).await?;
        let found = callers(&scene);
        ensure!(
            !found.is_empty() && found.iter().all(|pod| pod == PODS[0]),
            "{found:?}"
        );
        let first = holder(ground, &lease).await?;
        ensure!(first.starts_with("coffer-sync-1_"), "{first}");

        let ended = scene.controller.stop().await?;
        ensure!(ended.success(), "{ended}");
        let next = holder(ground, &lease).await?;
        ensure!(
            next.is_empty() || next.starts_with("coffer-sync-2_"),
            "{next}"
        );
        scene.controller = standby;
        leads(&scene.controller).await?;

        scene.vendor.put("f", "new");
        asked_anew(&scene, &class).await?;
        let after = arrives(&scene, "a", "k", b"new").await?;
        ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
        is_well(&scene, &sync).await?;
        let last = callers(&scene).pop().unwrap_or_default();
        ensure!(last == PODS[1], "{last}");
        Ok(())
    })
}

/// A Secret as a change of leader must leave it.
#[derive(Debug, PartialEq, Eq)]
struct Stands {
    uid: String,
    version: String,
}

/// The Secrets of a case that hold what they should, by name.
async fn finished(scene: &Scene) -> Result<BTreeMap<String, Stands>> {
    let path = format!("/api/v1/namespaces/{}/secrets", scene.namespace);
    let request = http::Request::get(path).body(Vec::new())?;
    let list: Value = scene.ground.admin.request(request).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let whole = items
        .into_iter()
        .filter(|item| value(item, "k").as_deref() == Some(&b"value"[..]));
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let pair = |item: Value| {
        let metadata = &item["metadata"];
        let stands = Stands {
            uid: text(&metadata["uid"]),
            version: text(&metadata["resourceVersion"]),
        };
        (text(&metadata["name"]), stands)
    };
    Ok(whole.map(pair).collect())
}

/// Sync §12, §15, row "leader change": killed in the middle of its work, under the Lease and the rights of an
/// installation.
#[test]
fn a_leader_that_is_killed_at_work_loses_no_secret_and_restarts_nothing() -> Result<()> {
    const OBJECTS: usize = 40;
    run(async {
        let ground = Ground::of(Install::Full).await?;
        // Eight calls a second, so that there is a middle.
        let slow = ["--provider-qps", "8", "--provider-burst", "1"];
        let flags = [&FEATURES[..], &slow].concat();
        let (mut scene, standby) = rivals(ground, LEASE, &flags).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let mut syncs = Vec::new();
        let mut names = Vec::new();
        for at in 0..OBJECTS {
            let name = format!("s-{at}");
            let sync = scene.sync_of(&name, "Opaque", &[("f", "k")]);
            let sync = with(sync, "/spec/serviceAccountName", json!(format!("app-{at}")));
            let options = json!({"coffer.rs/restart": "Auto", "coffer.rs/restart-window": "0s"});
            let sync = with(sync, "/metadata/annotations", options);
            syncs.push(scene.create(sync).await?);
            names.push(name);
        }
        let from: Vec<Value> = names
            .iter()
            .map(|name| json!({"secretRef": {"name": name}}))
            .collect();
        let main = json!({"name": "main", "image": "none", "envFrom": from});
        let reader = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "reader"},
            "spec": {
                "selector": {"matchLabels": {"app": "reader"}},
                "template": {
                    "metadata": {"labels": {"app": "reader"}},
                    "spec": {"containers": [main]},
                },
            },
        });
        let reader = scene.create(reader).await?;
        eventually(LATER, "a leader in the middle of its work", async || {
            ensure!(finished(&scene).await?.len() >= 8);
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        scene.controller.kill()?;
        let before = finished(&scene).await?;
        ensure!(before.len() < OBJECTS, "it was done already");
        scene.controller = standby;

        eventually(LATER, "all Secrets", async || {
            let count = finished(&scene).await?.len();
            ensure!(count == OBJECTS, "{count} of {OBJECTS}");
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        ensure!(is_leader(&scene.controller).await?);
        for sync in &syncs {
            is_well(&scene, sync).await?;
        }
        // One that the first leader wrote is looked at by the second one, too.
        let known = before.keys().next().context("there is none")?;
        let known = syncs
            .iter()
            .find(|sync| sync["metadata"]["name"] == **known);
        let known = known.context("a Secret of nobody")?;
        scene.force(known).await?;
        is_well(&scene, known).await?;

        let after = finished(&scene).await?;
        for (name, stands) in &before {
            ensure!(after.get(name) == Some(stands), "{name} was written again");
        }
        let reader = stored(&ground.admin, &reader).await?;
        ensure!(reader["metadata"]["generation"] == 1, "{reader}");
        let restarts = "coffer_sync_restarts_total{result=\"ok\"}";
        ensure!(scene.controller.metric(restarts).await? == 0.0);
        Ok(())
    })
}

/// Sync §12: whoever cannot renew stops leading before anybody else may begin; afterwards there is one leader again.
#[test]
fn a_leader_that_the_api_server_does_not_answer_leads_no_more() -> Result<()> {
    run(async {
        let ground = frail().await?;
        let (scene, standby) = rivals(ground, LEASE, &[]).await?;
        scene.vendor.put("f", "old");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"old").await?;
        is_well(&scene, &sync).await?;

        ground.api.signal(Signal::STOP)?;
        scene.vendor.put("f", "new");
        eventually(LATER, "nobody who leads", async || {
            ensure!(!is_leader(&standby).await?, "the other one began");
            ensure!(!is_leader(&scene.controller).await?, "it still leads");
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        eventually(LATER, "two that stand by", async || {
            stands_by(&scene.controller).await?;
            stands_by(&standby).await
        })
        .await?;

        ground.api.signal(Signal::CONT)?;
        let after = arrives(&scene, "a", "k", b"new").await?;
        ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
        let leaders = [
            is_leader(&scene.controller).await?,
            is_leader(&standby).await?,
        ];
        ensure!(leaders[0] != leaders[1], "{leaders:?}");
        is_well(&scene, &sync).await?;
        ground.api.signal(Signal::KILL)
    })
}
