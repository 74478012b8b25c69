//! Upstream's sync controller, the first four lines: deletions and edits, outages, classes, certificates.

use anyhow::{Context, Result, ensure};
use coffer_tests::tls::Authority;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use tonic::Status;

use crate::sync::drift::{ask_anew, encoded, good, rotate, synced, there};
use crate::sync::{Scene, condition_of, value};
use crate::sync_objects::{stored, with};
use crate::world::run;

/// A private key that needs a passphrase.
const LOCKED: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../sync/core/testdata/encrypted.pkcs8.key"
));
/// The same in the older form.
const LOCKED_BEFORE: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../sync/core/testdata/encrypted.pkcs1.key"
));
const SERVER: &[&str] = &["a.example"];

/// A kubernetes.io/tls Secret of these two files.
fn pair(scene: &Scene, name: &str, crt: &str, key: &str) -> Value {
    let pairs = [(crt, "tls.crt"), (key, "tls.key")];
    scene.sync_of(name, "kubernetes.io/tls", &pairs)
}

/// The text of Ready, which is true.
async fn synced_message(scene: &Scene, sync: &Value) -> Result<String> {
    let ready = scene.says(sync, "Ready", "True", "Synced").await?;
    Ok(ready["message"].as_str().unwrap_or_default().to_owned())
}

/// Sync §16, upstream, line 1: a deleted Secret comes back, and meanwhile no condition says that it holds anything
#[test]
fn upstream_line_1_a_deleted_secret_is_restored_and_the_status_is_truthful() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let down = Status::unavailable("down");
        scene.vendor.change(|script| script.failure = Some(down));
        scene.delete(&scene.secret_named("a")).await?;
        ask_anew(&scene, "c").await?;
        scene
            .says(&sync, "SecretUpdated", "False", "ProviderError")
            .await?;
        scene.vendor.change(|script| script.failure = None);
        scene.force(&sync).await?;
        scene.holds("a", "k", b"value").await?;
        good(&scene, &sync).await
    })
}

/// Sync §16, upstream, line 1: an edited key is restored, and the rotation after an edit works
#[test]
fn upstream_line_1_an_edited_key_is_restored_and_blocks_no_rotation() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let edit = json!({"data": {"k": encoded("edited")}});
        let secret = scene.secret_named("a");
        scene.merge(&secret, &edit).await?;
        scene.force(&sync).await?;
        scene.holds("a", "k", b"value").await?;
        scene.merge(&secret, &edit).await?;
        rotate(&scene, "new").await?;
        scene.holds("a", "k", b"new").await?;
        rotate(&scene, "newer").await?;
        scene.holds("a", "k", b"newer").await?;
        good(&scene, &sync).await
    })
}

/// Sync §16, upstream, line 2: after an outage all conditions are good again, though the value is the same
#[test]
fn upstream_line_2_a_recovery_with_an_equal_value_heals_all_conditions() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let sync = synced(&scene).await?;
        let before = there(&scene, "a").await?;
        let down = Status::unavailable("down");
        scene.vendor.change(|script| script.failure = Some(down));
        ask_anew(&scene, "c").await?;
        scene
            .says(&sync, "SecretUpdated", "False", "ProviderError")
            .await?;
        scene
            .says(&sync, "Ready", "True", "ServingLastGood")
            .await?;
        scene.vendor.change(|script| script.failure = None);
        scene.force(&sync).await?;
        good(&scene, &sync).await?;
        scene.told("a", "SyncRecovered").await?;
        let after = there(&scene, "a").await?;
        ensure!(before == after, "{before} became {after}");
        Ok(())
    })
}

/// Sync §16, upstream, line 2: what was never created is never up to date, whatever kept it from being created
#[test]
fn upstream_line_2_a_failed_creation_is_never_up_to_date() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        scene.class("later").await?;
        let sync = |name: &str, file: &str| scene.sync_of(name, "Opaque", &[(file, "k")]);
        let (class, object) = ("/spec/secretProviderClassName", "/spec/secretObject");
        let (type_, labels) = (format!("{object}/type"), format!("{object}/labels"));
        let gated = json!("bootstrap.kubernetes.io/token");
        for (sync, reason) in [
            (
                with(sync("class", "f"), class, json!("missing")),
                "SecretProviderClassMisconfigured",
            ),
            (sync("file", "missing"), "RemoteSecretStoreFetchFailed"),
            (
                with(sync("type", "f"), &type_, gated),
                "ControllerPatchError",
            ),
            (
                with(sync("label", "f"), &labels, json!({"tier": "a b!"})),
                "ControllerPatchError",
            ),
            (
                with(sync("provider", "f"), class, json!("later")),
                "ProviderError",
            ),
        ] {
            if reason == "ProviderError" {
                let down = Status::internal("down");
                scene.vendor.change(|script| script.failure = Some(down));
            }
            let sync = scene.create(sync).await?;
            // Once as it is made, and once more.
            for _ in 0..2 {
                scene.says(&sync, "SecretCreated", "False", reason).await?;
                let now = stored(&scene.ground.admin, &sync).await?;
                let updated = condition_of(&now, "SecretUpdated");
                let updated = updated.context("no SecretUpdated")?;
                ensure!(updated["status"] == "Unknown", "{updated}");
                ensure!(updated["reason"] == "NoUpdatesAttemptedYet", "{updated}");
                scene.force(&sync).await?;
            }
        }
        Ok(())
    })
}

/// Sync §16, upstream, line 3: a class needs no parameters, and its edits count at once
#[test]
fn upstream_line_3_a_class_without_parameters_works_and_its_edits_are_seen() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene
            .create(json!({
                "apiVersion": "secrets-store.csi.x-k8s.io/v1",
                "kind": "SecretProviderClass",
                "metadata": {"name": "c"},
                "spec": {"provider": "vendor"},
            }))
            .await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"value").await?;
        good(&scene, &sync).await?;
        rotate(&scene, "new").await?;
        scene.holds("a", "k", b"new").await?;
        ensure!(
            !scene.controller.log().contains("panic"),
            "{}",
            scene.controller.log()
        );
        Ok(())
    })
}

/// Sync §16, upstream, line 4: an authority beside the pair is taken, and so is a key of Ed25519
#[test]
fn upstream_line_4_an_authority_and_ed25519_are_taken() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let authority = Authority::new("Coffer tests")?;
        let server = authority.server(SERVER)?;
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let params = CertificateParams::new(vec![SERVER[0].to_owned()])?;
        let edwards = params.self_signed(&key)?.pem();
        for (file, text) in [
            ("ca", authority.pem()),
            ("crt", server.certificate.as_str()),
            ("key", server.key.as_str()),
            ("ed-crt", edwards.as_str()),
            ("ed-key", key.serialize_pem().as_str()),
        ] {
            scene.vendor.put(file, text.to_owned());
        }
        scene.class("c").await?;
        let pairs = [("crt", "tls.crt"), ("key", "tls.key"), ("ca", "ca.crt")];
        let whole = scene.sync_of("whole", "kubernetes.io/tls", &pairs);
        let whole = scene.create(whole).await?;
        let edwards = scene
            .create(pair(&scene, "edwards", "ed-crt", "ed-key"))
            .await?;
        for sync in [&whole, &edwards] {
            let message = synced_message(&scene, sync).await?;
            // Every remark about a value names its place like this.
            ensure!(!message.contains("data["), "{message}");
        }
        scene
            .holds("whole", "ca.crt", authority.pem().as_bytes())
            .await?;
        scene
            .holds("whole", "tls.key", server.key.as_bytes())
            .await?;
        let pem = key.serialize_pem();
        scene
            .holds("edwards", "tls.key", pem.as_bytes())
            .await
            .map(|_| ())
    })
}

/// Sync §16, upstream, line 4: an encrypted key arrives as it came and is told of, or is held back; it never is empty
#[test]
fn upstream_line_4_an_encrypted_key_is_told_of_or_held_and_never_empty() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let server = Authority::new("Coffer tests")?.server(SERVER)?;
        scene.vendor.put("crt", server.certificate);
        scene.vendor.put("key", server.key.clone());
        scene.vendor.put("locked", LOCKED);
        scene.vendor.put("locked-before", LOCKED_BEFORE);
        scene.class("c").await?;
        for (file, bytes) in [("locked", LOCKED), ("locked-before", LOCKED_BEFORE)] {
            let sync = scene.create(pair(&scene, file, "crt", file)).await?;
            let message = synced_message(&scene, &sync).await?;
            ensure!(
                message.contains("tls.key-format (data[tls.key])"),
                "{message}"
            );
            scene.holds(file, "tls.key", bytes).await?;
        }
        let sync = scene.create(pair(&scene, "good", "crt", "key")).await?;
        good(&scene, &sync).await?;
        scene.vendor.put("key", LOCKED);
        ask_anew(&scene, "c").await?;
        scene.says(&sync, "Ready", "True", "Held").await?;
        let held = scene
            .says(&sync, "coffer.rs/Held", "True", "SemanticRegression")
            .await?;
        let message = held["message"].as_str().unwrap_or_default();
        ensure!(message.contains("tls.key-format"), "{message}");
        let secret = there(&scene, "good").await?;
        ensure!(value(&secret, "tls.key") == Some(server.key.into_bytes()));
        Ok(())
    })
}

/// Sync §16, upstream, line 4: a pair that does not match, and one that has expired, are told of in the status
#[test]
fn upstream_line_4_pairs_that_do_not_match_or_have_expired_are_told_of() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let authority = Authority::new("Coffer tests")?;
        let (one, other) = (authority.server(SERVER)?, authority.server(SERVER)?);
        let expired = authority.server_between(SERVER, [2001, 2002])?;
        scene.vendor.put("crt", one.certificate);
        scene.vendor.put("key", other.key);
        scene.vendor.put("old-crt", expired.certificate);
        scene.vendor.put("old-key", expired.key);
        scene.class("c").await?;
        for (name, crt, key, check) in [
            ("mismatched", "crt", "key", "tls.pair"),
            ("expired", "old-crt", "old-key", "tls.expired"),
        ] {
            let sync = scene.create(pair(&scene, name, crt, key)).await?;
            let message = synced_message(&scene, &sync).await?;
            ensure!(message.contains(&format!("{check} (data[")), "{message}");
            let series = format!("coffer_sync_check_failures_total{{check=\"{check}\"}}");
            let failures = scene.controller.metric(&series).await?;
            ensure!(failures > 0.0, "{series} is {failures}");
        }
        Ok(())
    })
}
