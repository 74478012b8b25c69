//! Turns of the content, and of who claims it: a path that comes twice, a worse value behind which the Secret goes, an
//! older version that comes back, a second source that comes and goes; and the series of single objects.

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use coffer_tests::tls::{Authority, Certificate};
use jiff::Timestamp;
use serde_json::json;

use super::{demanding, maker};
use crate::stage::SOON;
use crate::sync::drift::{ask_anew, encoded, noted, synced};
use crate::sync::immutable::deployment;
use crate::sync::immutable::versions::{consumer, named, version};
use crate::sync::options::{a_second_after, message, shown, tells, with_options};
use crate::sync::outages::{asked_anew, is_well, untouched};
use crate::sync::{Scene, condition_of, keys, value};
use crate::sync_objects::stored;
use crate::world::run;

const SERVER: &[&str] = &["a.example"];

/// Sync §4, duplicate path: two spellings of one path are one, the last one counts, and people are told.
#[test]
fn of_a_path_that_comes_twice_the_last_one_counts() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        // The vendor sends them in this order.
        for (path, contents) in [
            ("./f", "first"),
            ("f", "last"),
            ("g", "first"),
            ("g/", "last"),
        ] {
            scene.vendor.put(path, contents);
        }
        scene.class("c").await?;
        let sync = scene.sync_of("a", "Opaque", &[("f", "k"), ("g", "l")]);
        let sync = scene.create(sync).await?;
        let secret = scene.holds("a", "k", b"last").await?;
        ensure!(value(&secret, "l") == Some(b"last".to_vec()));
        let twice = "the provider returned it twice, the last one counts";
        let (f, g) = (format!("f: {twice}"), format!("g/: {twice}"));
        tells(&scene, &sync, "Ready", &["; advice: ", &f, &g]).await?;
        is_well(&scene, &sync).await
    })
}

/// Sync §8, write-only mode, while a worse value is held back: the last good one is gone with its Secret, so that the
/// only one that there is becomes a first value.
#[test]
fn a_held_secret_that_somebody_deletes_is_written_again_at_the_next_round() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        scene.vendor.put("b", "two");
        let class = scene.class("c").await?;
        let sync = scene.create(demanding(&scene, "a")).await?;
        let before = scene.holds("a", "k", b"one").await?;
        is_well(&scene, &sync).await?;
        scene.vendor.put("f", "three");
        scene.vendor.remove("b");
        asked_anew(&scene, &class).await?;
        scene.says(&sync, "Ready", "True", "Held").await?;
        shown(&scene, "a", "held", "Held").await?;
        untouched(&scene, &before).await?;

        scene.delete(&scene.secret_named("a")).await?;
        scene.force(&sync).await?;
        let after = scene.holds("a", "k", b"three").await?;
        ensure!(keys(&after) == ["f", "k"], "{:?}", keys(&after));
        noted(&scene, "a", "Repaired", "was written again").await?;
        is_well(&scene, &sync).await?;
        let now = stored(&scene.ground.admin, &sync).await?;
        ensure!(condition_of(&now, "coffer.rs/Held").is_none(), "{now}");
        Ok(())
    })
}

/// The files `crt` and `key` become this pair, and the vendor is asked for them.
async fn turn(scene: &Scene, pair: &Certificate) -> Result<()> {
    put(scene, pair);
    ask_anew(scene, "c").await
}

fn put(scene: &Scene, pair: &Certificate) {
    scene.vendor.change(|script| {
        for (file, text) in [("crt", &pair.certificate), ("key", &pair.key)] {
            script.files.insert(file.to_owned(), text.clone().into());
        }
    });
}

/// Sync §9, Versioned: a first version that had expired was written for want of a better one. It is no reason to go
/// back to it: consumers stay with the newest version.
#[test]
fn an_older_version_that_is_worse_does_not_come_back() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let authority = Authority::new("Coffer tests")?;
        let expired = authority.server_between(SERVER, [2001, 2002])?;
        let good = authority.server(SERVER)?;
        put(&scene, &expired);
        scene.class("c").await?;
        let pairs = [("crt", "tls.crt"), ("key", "tls.key")];
        let sync = scene.sync_of("a", "kubernetes.io/tls", &pairs);
        let sync = with_options(
            sync,
            &[("immutable", "Versioned"), ("restart-window", "0s")],
        );
        let sync = scene.create(sync).await?;
        is_well(&scene, &sync).await?;
        let one = version(&scene, &sync, "").await?;
        let app = scene.create(deployment("app", consumer(&one))).await?;
        // The message tells that the controller has heard of both options.
        let options = json!({
            "coffer.rs/restart": "Deployment/app",
            "coffer.rs/refresh-interval": "20m",
        });
        let patch = json!({"metadata": {"annotations": options}});
        scene.merge(&sync, &patch).await?;
        tells(&scene, &sync, "Ready", &["polled every 20m"]).await?;

        turn(&scene, &good).await?;
        let two = version(&scene, &sync, &one).await?;
        let key = good.key.as_bytes();
        let newest = scene.holds(&two, "tls.key", key).await?;
        eventually(SOON, "a workload of the new version", async || {
            let now = stored(&scene.ground.admin, &app).await?;
            ensure!(
                named(&now, &two) == 5 && named(&now, &one) == 0,
                "{}",
                now["spec"]
            );
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        is_well(&scene, &sync).await?;

        turn(&scene, &expired).await?;
        scene.says(&sync, "Ready", "True", "Held").await?;
        let held = scene
            .says(&sync, "coffer.rs/Held", "True", "SemanticRegression")
            .await?;
        ensure!(message(&held).contains("tls.expired"), "{held}");
        shown(&scene, "a", "held", "Held").await?;
        ensure!(version(&scene, &sync, "").await? == two);
        untouched(&scene, &newest).await?;
        let now = stored(&scene.ground.admin, &sync).await?;
        let pending = condition_of(&now, "coffer.rs/RestartPending");
        ensure!(pending.is_none(), "{pending:?}");
        let now = stored(&scene.ground.admin, &app).await?;
        ensure!(named(&now, &two) == 5, "{}", now["spec"]);

        turn(&scene, &good).await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &newest).await
    })
}

/// Waits until so many objects are known.
async fn known(scene: &Scene, count: usize) -> Result<()> {
    eventually(SOON, "objects", async || {
        let objects = scene.controller.objects().await?;
        let found = objects.as_array().map(Vec::len);
        ensure!(found == Some(count), "{objects}");
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Somebody edits a Secret, and that is undone within seconds.
async fn is_guarded(scene: &Scene, secret: &str) -> Result<()> {
    let edit = json!({"data": {"k": encoded("edited")}});
    scene.merge(&scene.secret_named(secret), &edit).await?;
    scene.holds(secret, "k", b"value").await.map(|_| ())
}

/// Sync §1, duplicates, and §8, watch mode: whoever won has its Secret watched as before, when the other one is gone.
#[test]
fn edits_are_repaired_after_a_second_source_came_and_went() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        let sync = synced(&scene).await?;
        let class = maker(&scene, "d", "made").await?;
        scene.holds("made", "k", b"value").await?;
        a_second_after(&sync).await?;
        a_second_after(&class).await?;

        let second = maker(&scene, "second", "a").await?;
        let told = "claims Secret a already, and is older";
        noted(&scene, "second", "SyncRefused", told).await?;
        is_guarded(&scene, "a").await?;
        scene.delete(&second).await?;
        known(&scene, 2).await?;
        is_guarded(&scene, "a").await?;
        noted(&scene, "a", "Repaired", "by hand were undone").await?;

        let second = scene.sync("made").await?;
        scene
            .says(&second, "Ready", "False", "DuplicateTarget")
            .await?;
        is_guarded(&scene, "made").await?;
        scene.delete(&second).await?;
        known(&scene, 2).await?;
        is_guarded(&scene, "made").await?;
        noted(&scene, "d", "Repaired", "by hand were undone")
            .await
            .map(|_| ())
    })
}

/// The series of a single object.
async fn series(scene: &Scene, metric: &str, object: &str) -> Result<Option<f64>> {
    let (_, text) = scene.controller.ask("/metrics").await?;
    let start = format!("coffer_sync_object_{metric}{{");
    let labels = [
        format!("namespace=\"{}\"", scene.namespace),
        format!("name=\"{object}\""),
    ];
    let mut lines = text.lines();
    let line = lines.find(|line| {
        line.starts_with(&start) && labels.iter().all(|label| line.contains(label.as_str()))
    });
    let number = line.and_then(|line| line.rsplit_once(' '));
    Ok(number
        .map(|(_, number)| number.parse::<f64>())
        .transpose()?)
}

/// Sync §11, per-object metrics: last success, expiry and what is held, as long as the object is there.
#[test]
fn single_objects_have_series_where_the_operator_says_so() -> Result<()> {
    /// The first second of 2100.
    const END: f64 = 4_102_444_800.0;
    run(async {
        let scene = Scene::plain(&["--per-object-metrics"]).await?;
        let pair = Authority::new("Coffer tests")?.server_between(SERVER, [2001, 2100])?;
        put(&scene, &pair);
        scene.vendor.put("f", "one");
        scene.vendor.put("b", "two");
        let class = scene.class("c").await?;
        let pairs = [("crt", "tls.crt"), ("key", "tls.key")];
        let sync = scene.sync_of("pair", "kubernetes.io/tls", &pairs);
        let sync = scene.create(sync).await?;
        scene.create(demanding(&scene, "worse")).await?;
        for name in ["pair", "worse"] {
            shown(&scene, name, "ready", "Synced").await?;
            let success = series(&scene, "last_success_timestamp_seconds", name).await?;
            let age = success.map(|at| Timestamp::now().as_second() as f64 - at);
            ensure!(
                age.is_some_and(|age| (-2.0..60.0).contains(&age)),
                "{name}: {age:?}"
            );
            ensure!(series(&scene, "held", name).await? == Some(0.0), "{name}");
        }
        let expiry = "expiry_timestamp_seconds";
        ensure!(series(&scene, expiry, "pair").await? == Some(END));
        ensure!(series(&scene, expiry, "worse").await?.is_none());

        scene.vendor.remove("b");
        asked_anew(&scene, &class).await?;
        shown(&scene, "worse", "held", "Held").await?;
        ensure!(series(&scene, "held", "worse").await? == Some(1.0));
        scene.delete(&sync).await?;
        eventually(SOON, "no series", async || {
            for metric in ["last_success_timestamp_seconds", expiry, "held"] {
                let found = series(&scene, metric, "pair").await?;
                ensure!(found.is_none(), "{metric} is {found:?}");
            }
            Ok(())
        })
        .await?;
        ensure!(series(&scene, "held", "worse").await? == Some(1.0));

        let silent = Scene::plain(&[]).await?;
        synced(&silent).await?;
        let (_, text) = silent.controller.ask("/metrics").await?;
        ensure!(!text.contains("coffer_sync_object_"), "{text}");
        Ok(())
    })
}
