//! What the admin port shows: objects with their state, and metrics. And nowhere that people can look, a value.

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{encoded, fetch_anew, got, measured, shown, time, with_options};
use crate::stage::{SOON, unique};
use crate::sync::{Scene, condition_of};
use crate::sync_objects::{stored, with};
use crate::world::run;

/// A SecretSync of a custom type that requires the key `b` of all files.
fn demanding(scene: &Scene, name: &str) -> Value {
    let sync = scene.sync_of(name, "example.com/login", &[("f", "k")]);
    with_options(sync, &[("all-keys", "true"), ("required-keys", "b")])
}

/// Sync §2 and §11: each object with its state, its reason and its next round; gauges and counters say the same.
#[test]
fn objects_and_metrics_show_every_state() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        scene.vendor.put("b", "two");
        let class = scene.class("c").await?;
        scene.sync("good").await?;
        let bad = scene.sync_of("bad", "Opaque", &[("missing", "k")]);
        scene.create(bad).await?;
        let idle = scene.sync_of("idle", "Opaque", &[("f", "k")]);
        scene
            .create(with_options(idle, &[("suspend", "true")]))
            .await?;
        let gated = scene.sync_of("gated", "bootstrap.kubernetes.io/token", &[("f", "k")]);
        scene.create(gated).await?;
        scene.create(demanding(&scene, "worse")).await?;
        shown(&scene, "worse", "ready", "Synced").await?;
        scene.vendor.remove("b");
        fetch_anew(&scene, &class).await?;

        let missing = "RemoteSecretStoreFetchFailed";
        for (name, state, reason, succeeded, polled) in [
            ("good", "ready", "Synced", true, true),
            ("worse", "held", "Held", true, true),
            ("bad", "failing", missing, false, true),
            ("gated", "failing", "TypeNotAllowed", false, true),
            ("idle", "suspended", "Suspended", false, false),
        ] {
            let row = shown(&scene, name, state, reason).await?;
            ensure!(row["kind"] == "SecretSync", "{row}");
            ensure!(row["namespace"] == json!(scene.namespace), "{row}");
            ensure!(row["name"] == name, "{row}");
            let now = Timestamp::now();
            match succeeded {
                true => ensure!(time(&row["lastSuccess"])? <= now, "{row}"),
                false => ensure!(row["lastSuccess"].is_null(), "{row}"),
            }
            match polled {
                // Not before, unless it became due while this was read.
                true => ensure!(
                    time(&row["nextRefresh"])?.as_second() >= now.as_second() - 2,
                    "{row}"
                ),
                false => ensure!(row["nextRefresh"].is_null(), "{row}"),
            }
        }
        for (state, count) in [
            ("ready", 1.0),
            ("held", 1.0),
            ("failing", 2.0),
            ("suspended", 1.0),
        ] {
            let series = format!("coffer_sync_objects{{state=\"{state}\"}}");
            measured(&scene, &series, count).await?;
        }
        for (result, count) in [("created", 2.0), ("held", 1.0), ("repaired", 0.0)] {
            let series = format!("coffer_sync_reconciles_total{{result=\"{result}\"}}");
            measured(&scene, &series, count).await?;
        }
        for series in [
            "coffer_sync_reconciles_total{result=\"unchanged\"}",
            "coffer_sync_reconciles_total{result=\"failed\"}",
            "coffer_sync_reconciles_total{result=\"refused\"}",
            "coffer_sync_failures_total{reason=\"RemoteSecretStoreFetchFailed\"}",
            "coffer_sync_failures_total{reason=\"TypeNotAllowed\"}",
            "coffer_sync_duration_seconds_count",
            "coffer_sync_leader",
        ] {
            let found = scene.controller.metric(series).await?;
            ensure!(found >= 1.0, "{series} {found}");
        }
        measured(
            &scene,
            "coffer_sync_provider_in_flight{provider=\"vendor\"}",
            0.0,
        )
        .await?;
        let calls = scene.vendor.calls();
        let series = "coffer_sync_provider_requests_total{provider=\"vendor\",code=\"Ok\"}";
        let counted = scene.controller.metric(series).await?;
        // One more may have been under way.
        ensure!(counted >= 2.0 && counted <= calls as f64 + 1.0, "{counted}");
        Ok(())
    })
}

/// Sync §11: calls of a provider are counted by the code of the answer.
#[test]
fn calls_are_counted_by_their_code() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene
            .vendor
            .change(|script| script.failure = Some(tonic::Status::not_found("no such role")));
        scene.class("c").await?;
        scene.sync("a").await?;
        shown(&scene, "a", "failing", "ProviderError").await?;
        let of = |code: &str| {
            format!("coffer_sync_provider_requests_total{{provider=\"vendor\",code=\"{code}\"}}")
        };
        let found = scene.controller.metric(&of("NotFound")).await?;
        ensure!(found >= 1.0, "{found}");
        measured(&scene, &of("Ok"), 0.0).await
    })
}

/// Sync §2: an object is shown with the name of its Secret, whether the Secret was ever there or not.
#[test]
fn an_object_is_shown_with_its_secret_before_that_is_there() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene
            .vendor
            .change(|script| script.code = Some("Boom".to_owned()));
        scene.class("c").await?;
        scene.sync("a").await?;
        let entries = json!([super::class::entry("x", "f"), super::class::entry("y", "f")]);
        let mut class = super::class::open(entries);
        class["metadata"]["name"] = json!("d");
        scene.create(class).await?;
        for (secret, source, kind) in [
            ("a", "a", "SecretSync"),
            ("x", "d", "SecretProviderClass"),
            ("y", "d", "SecretProviderClass"),
        ] {
            eventually(SOON, secret, async || {
                let all = scene.controller.objects().await?;
                let mut rows = all.as_array().into_iter().flatten();
                let row = rows.find(|row| {
                    row["secret"] == secret && row["name"] == source && row["kind"] == kind
                });
                let row = row.with_context(|| all.to_string())?;
                ensure!(row["reason"] == "ProviderError", "{row}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
}

/// Everything that people can read of a namespace: the log, the admin port, Events, sources with their status, and
/// Secrets without their data.
pub(super) async fn readable(scene: &Scene) -> Result<String> {
    let mut all = scene.controller.log();
    for path in ["/metrics", "/objects", "/readyz", "/livez"] {
        all.push_str(&scene.controller.ask(path).await?.1);
    }
    for (api, kind) in [
        ("apis/events.k8s.io/v1", "events"),
        ("apis/secret-sync.x-k8s.io/v1alpha1", "secretsyncs"),
        (
            "apis/secrets-store.csi.x-k8s.io/v1",
            "secretproviderclasses",
        ),
        ("api/v1", "secrets"),
    ] {
        let path = format!("/{api}/namespaces/{}/{kind}", scene.namespace);
        let mut list = got(&scene.ground.admin, &path).await?;
        for item in list["items"].as_array_mut().into_iter().flatten() {
            if let Some(item) = item.as_object_mut() {
                item.remove("data");
            }
        }
        all.push_str(&list.to_string());
    }
    Ok(all)
}

/// Sync §11 and style 28: a value that is written, rotated, refused, held, repaired and decoded in vain is nowhere but
/// in its Secret.
#[test]
fn no_value_is_in_the_log_a_status_an_event_or_the_admin_port() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let canary = unique("canary-of-a-store");
        let pem = format!("-----BEGIN CERTIFICATE-----\n{canary}\n-----END CERTIFICATE-----\n");
        scene.vendor.put("f", canary.clone());
        scene.vendor.put("b", canary.clone());
        scene
            .vendor
            .put("json", format!("{{\"auths\": \"{canary}\", {canary}"));
        scene.vendor.put("pem", pem);
        let class = scene.class("c").await?;
        let decoded = scene.sync_of("decoded", "Opaque", &[("f", "k")]);
        let extra = json!([
            {"sourcePath": "f", "targetKey": "a", "decode": "gzip"},
            {"sourcePath": "json", "targetKey": "b", "pointer": "/auths"},
        ]);
        let labelled = scene.sync_of("labelled", "Opaque", &[("f", "k")]);
        let basic = [("f", "username"), ("f", "password")];
        let mut syncs = vec![
            scene.sync_of("plain", "Opaque", &[("f", "k")]),
            scene.sync_of(
                "json",
                "kubernetes.io/dockerconfigjson",
                &[("json", ".dockerconfigjson")],
            ),
            scene.sync_of("login", "kubernetes.io/dockercfg", &[("f", ".dockercfg")]),
            scene.sync_of(
                "tls",
                "kubernetes.io/tls",
                &[("pem", "tls.crt"), ("f", "tls.key")],
            ),
            scene.sync_of("bundle", "kubernetes.io/tls", &[("pem", "tls.pem")]),
            scene.sync_of("ssh", "kubernetes.io/ssh-auth", &[("f", "ssh-privatekey")]),
            scene.sync_of("basic", "kubernetes.io/basic-auth", &basic),
            scene.sync_of("bad", "Opaque", &[("missing", "k")]),
            with(labelled, "/spec/secretObject/labels", json!({"a b!": "x"})),
            with_options(decoded, &[("extra-data", &extra.to_string())]),
            demanding(&scene, "held"),
        ];
        for sync in &mut syncs {
            *sync = scene.create(sync.take()).await?;
        }
        for sync in &syncs {
            settled(&scene, sync).await?;
        }
        shown(&scene, "held", "ready", "Synced").await?;

        scene.vendor.put("f", format!("{canary}\n"));
        scene.vendor.remove("b");
        fetch_anew(&scene, &class).await?;
        shown(&scene, "held", "held", "Held").await?;
        scene
            .holds("plain", "k", format!("{canary}\n").as_bytes())
            .await?;
        let edit = json!({"data": {"k": encoded("edited")}});
        scene.merge(&scene.secret_named("plain"), &edit).await?;
        scene.force(&syncs[0]).await?;
        scene
            .holds("plain", "k", format!("{canary}\n").as_bytes())
            .await?;
        scene
            .vendor
            .change(|script| script.failure = Some(tonic::Status::internal("sealed")));
        fetch_anew(&scene, &class).await?;
        shown(&scene, "plain", "failing", "ServingLastGood").await?;

        let all = readable(&scene).await?;
        ensure!(
            all.contains("ServingLastGood"),
            "there is nothing to search"
        );
        let line = format!("{canary}\n");
        for form in [canary.clone(), encoded(&canary), encoded(&line)] {
            // The end of base64 depends on what follows.
            let form = form.trim_end_matches('=');
            let form = &form[..form.len() - 2];
            if let Some(at) = all.find(form) {
                let start = all.floor_char_boundary(at.saturating_sub(400));
                anyhow::bail!("{form} stands behind: {}", &all[start..at]);
            }
        }
        Ok(())
    })
}

/// Waits until a round of this object has ended, however it did.
async fn settled(scene: &Scene, sync: &Value) -> Result<()> {
    eventually(SOON, "a round", async || {
        let now = stored(&scene.ground.admin, sync).await?;
        let ready = condition_of(&now, "Ready").context("no condition")?;
        ensure!(ready["status"] != "Unknown", "{ready}");
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}
