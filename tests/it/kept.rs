//! What was issued for a pod stays that pod's, unchanged, until it is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::driver::{Class, Volume};
use coffer_tests::fixture::eventually;
use coffer_tests::scripted::{Reply, ScriptedStore};
use serde_json::json;
use tokio::sync::Notify;
use tonic::Code;

use crate::stage::{AUDIENCE, ONE, Stage, class, leased};

const CREDS: &str = "- {objectName: user, secretPath: database/creds/app, secretKey: username}\n- {objectName: password, secretPath: database/creds/app, secretKey: password}";

/// A new user with a lease of its own at each read.
fn dynamic(store: &ScriptedStore, seconds: u64) {
    let number = AtomicUsize::new(0);
    store.rule(move |asked| {
        let number = (asked.path == "/v1/database/creds/app")
            .then(|| number.fetch_add(1, Ordering::SeqCst))?;
        Some(leased(
            &format!("database/creds/app/{number}"),
            &format!("user-{number}"),
            seconds,
        ))
    });
}

/// A certificate that ends in a day, with its key.
fn certificate() -> Result<Reply> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()])?
        .self_signed(&key)?
        .pem();
    let data = json!({"certificate": certificate, "private_key": key.serialize_pem(), "serial_number": "1"});
    Ok(Reply::data(&data))
}

/// Polls ten times and expects the very same files and versions each time.
async fn ten_equal_polls(stage: &Stage, volume: &Volume) -> Result<()> {
    let first = stage.mount(volume).await?;
    for poll in 1..10 {
        let next = stage.driver.mount(&volume.rotation(&[])).await?;
        ensure!(
            next.files()? == first.files()?,
            "poll {poll} has other bytes"
        );
        ensure!(
            next.versions()? == first.versions()?,
            "poll {poll} has other versions"
        );
    }
    Ok(())
}

/// D10, L1: dynamic credentials are issued once for a pod and stay byte-identical over ten polls.
#[tokio::test]
async fn leased_credentials_are_issued_once_for_a_pod() -> Result<()> {
    let stage = Stage::set().await?;
    dynamic(&stage.store, 3600);
    ten_equal_polls(&stage, &stage.volume(CREDS)?).await?;
    assert_eq!(
        (
            stage.asked("database/creds/app"),
            stage.store.requests().len()
        ),
        (1, 2)
    );
    // Once for each poll after the first, however many objects the class has.
    let served = stage.provider.metric("coffer_served_memory_total").await?;
    assert_eq!(served, Some(9.0));
    Ok(())
}

/// D11, L1: so are certificates, and every other answer to a request that writes.
#[tokio::test]
async fn certificates_and_answers_to_writes_are_issued_once() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on("/v1/pki/issue/web", certificate()?);
    stage.store.rule(|asked| {
        let random = || coffer_tests::fixture::random_hex(8).unwrap_or_default();
        (asked.path == "/v1/transit/datakey").then(|| Reply::data(&json!({"ciphertext": random()})))
    });
    let objects = "
- {objectName: tls.crt, secretPath: pki/issue/web, method: PUT, secretArgs: {common_name: a.example}, secretKey: certificate}
- {objectName: tls.key, secretPath: pki/issue/web, method: PUT, secretArgs: {common_name: a.example}, secretKey: private_key}
- {objectName: whole, secretPath: pki/issue/web, method: PUT, secretArgs: {common_name: a.example}}
- {objectName: datakey, secretPath: transit/datakey, method: POST, secretKey: ciphertext}";
    ten_equal_polls(&stage, &stage.volume(objects)?).await?;
    assert_eq!(
        (stage.asked("pki/issue/web"), stage.asked("transit/datakey")),
        (1, 1)
    );
    Ok(())
}

/// L1, X2: two pods of one account never share what was issued, nor do two lives of one pod's name.
#[tokio::test]
async fn pods_never_share_what_was_issued() -> Result<()> {
    let stage = Stage::set().await?;
    dynamic(&stage.store, 3600);
    let user = async |volume: &Volume| {
        Ok::<_, anyhow::Error>(stage.mount(volume).await?.files()?["user"].clone())
    };
    let (one, two) = (stage.volume(CREDS)?, stage.volume(CREDS)?);
    assert_eq!(
        (one.pod.name.as_str(), &one.pod.namespace),
        (two.pod.name.as_str(), &two.pod.namespace)
    );
    let (first, second) = (user(&one).await?, user(&two).await?);
    assert_ne!(first, second);
    assert_eq!((user(&one).await?, user(&two).await?), (first, second));
    assert_eq!(
        (stage.asked("database/creds/app"), stage.store.logins()),
        (2, 1)
    );
    Ok(())
}

/// L1: not even when they ask at the same moment for something of which nobody knows yet that it is leased.
#[tokio::test]
async fn pods_that_ask_at_the_same_moment_do_not_share_either() -> Result<()> {
    let stage = Stage::set().await?;
    stage.content(&stage.volume(ONE)?).await?;
    let number = AtomicUsize::new(0);
    stage.store.rule(move |asked| {
        let number = (asked.path == "/v1/database/creds/app")
            .then(|| number.fetch_add(1, Ordering::SeqCst))?;
        let reply = leased(
            &format!("database/creds/app/{number}"),
            &format!("user-{number}"),
            3600,
        );
        Some(reply.after(Duration::from_millis(300)))
    });
    let volumes: Vec<_> = (0..5).map(|_| stage.volume(CREDS)).collect::<Result<_>>()?;
    let mut users = Vec::new();
    for outcome in
        futures_util::future::join_all(volumes.iter().map(|volume| stage.mount(volume))).await
    {
        let files = outcome?.files()?;
        let (user, password) = (files["user"].clone(), files["password"].clone());
        assert_eq!(
            password,
            format!("password of {}", String::from_utf8_lossy(&user))
        );
        users.push(user);
    }
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 5);
    assert_eq!(
        stage.asked("database/creds/app"),
        5,
        "nothing was issued that nobody got"
    );
    Ok(())
}

/// L2: at two thirds of its life a lease is replaced by a new one, once.
#[tokio::test]
async fn a_lease_is_issued_anew_before_it_ends() -> Result<()> {
    let stage = Stage::set().await?;
    dynamic(&stage.store, 3);
    let volume = stage.volume(CREDS)?;
    let first = stage.mount(&volume).await?.files()?;
    eventually(Duration::from_secs(20), "new credentials", async || {
        ensure!(stage.mount(&volume).await?.files()? != first);
        Ok(())
    })
    .await?;
    let asked: Vec<_> = stage
        .store
        .requests()
        .into_iter()
        .filter(|asked| asked.path.starts_with("/v1/database"))
        .collect();
    assert_eq!(asked.len(), 2);
    let waited = asked[1].at - asked[0].at;
    assert!(
        waited >= Duration::from_millis(1900) && waited < Duration::from_secs(3),
        "{waited:?}"
    );
    Ok(())
}

/// D10, L3: when another object of the mount fails, the lease that nobody will get is given back.
#[tokio::test]
async fn leases_of_a_failed_mount_are_revoked() -> Result<()> {
    let stage = Stage::set().await?;
    dynamic(&stage.store, 3600);
    let objects =
        format!("{CREDS}\n- {{objectName: a, secretPath: secret/data/none, secretKey: k}}");
    stage
        .refused(&stage.volume(&objects)?, Code::NotFound, "not_found")
        .await?;
    eventually(Duration::from_secs(10), "a revocation", async || {
        let requests = stage.store.requests();
        let revoked = requests
            .iter()
            .find(|asked| asked.path == "/v1/sys/leases/revoke");
        let revoked = revoked.ok_or_else(|| anyhow::anyhow!("none yet"))?;
        ensure!(revoked.json() == json!({"lease_id": "database/creds/app/0"}));
        ensure!(revoked.header("x-vault-token") == Some("hvs.scripted-1"));
        Ok(())
    })
    .await?;
    Ok(())
}

/// D10: what was issued by an earlier mount that succeeded survives a later one that fails.
#[tokio::test]
async fn a_failing_republish_keeps_the_lease_of_a_running_pod() -> Result<()> {
    let stage = Stage::set().await?;
    dynamic(&stage.store, 3600);
    let objects = format!("{CREDS}\n- {{objectName: a, secretPath: secret/data/a, secretKey: k}}");
    let volume = stage.volume(&objects)?;
    let before = stage.mount(&volume).await?.files()?;
    stage.store.on("/v1/secret/data/a", Reply::errors(404, &[]));
    stage.refused(&volume, Code::NotFound, "not_found").await?;
    stage
        .store
        .rule(|asked| (asked.path == "/v1/secret/data/a").then(|| Reply::data(&json!({"k": "v"}))));
    assert_eq!(stage.mount(&volume).await?.files()?["user"], before["user"]);
    assert_eq!(
        (
            stage.asked("database/creds/app"),
            stage.asked("sys/leases/revoke")
        ),
        (1, 0)
    );
    Ok(())
}

/// D4, K4: a whole reply has one version and the same bytes while nothing of substance changes.
#[tokio::test]
async fn a_whole_reply_is_stable_while_its_data_are() -> Result<()> {
    let stage = Stage::set().await?;
    let (request, value) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let changing = Arc::clone(&value);
    stage.store.rule(move |asked| {
        let id = (asked.path == "/v1/kv/app").then(|| request.fetch_add(1, Ordering::SeqCst))?;
        Some(Reply::json(200, &json!({
            "request_id": format!("request-{id}"), "lease_id": "", "lease_duration": 2_764_800, "renewable": false,
            "data": {"z": changing.load(Ordering::SeqCst), "a": "x"}, "warnings": null, "mount_type": "kv",
        })))
    });
    let volume = stage.volume_of("web", class("- {objectName: whole, secretPath: kv/app}"))?;
    ten_equal_polls(&stage, &volume).await?;
    assert_eq!(
        stage.asked("kv/app"),
        10,
        "a plain read is read at every poll"
    );
    let before = stage.mount(&volume).await?;
    let whole: serde_json::Value = serde_json::from_slice(&before.files()?["whole"])?;
    assert_eq!(
        (&whole["data"]["a"], &whole["mount_type"]),
        (&json!("x"), &json!("kv"))
    );
    value.store(1, Ordering::SeqCst);
    assert_ne!(stage.mount(&volume).await?.versions()?, before.versions()?);
    Ok(())
}

/// L1: two volumes of one pod that start together share what is issued for the pod; nothing is issued twice.
#[tokio::test]
async fn volumes_of_one_pod_share_what_was_issued() -> Result<()> {
    let stage = Stage::set().await?;
    stage.content(&stage.volume(ONE)?).await?;
    let number = AtomicUsize::new(0);
    stage.store.rule(move |asked| {
        let dynamic = ["/v1/pki/issue/web", "/v1/database/creds/app"];
        let number = dynamic
            .contains(&asked.path.as_str())
            .then(|| number.fetch_add(1, Ordering::SeqCst))?;
        let reply = leased(&format!("lease/{number}"), &format!("user-{number}"), 3600);
        Some(reply.after(Duration::from_millis(300)))
    });
    for objects in [
        "- {objectName: a, secretPath: pki/issue/web, method: PUT, secretKey: username}",
        "- {objectName: a, secretPath: database/creds/app, secretKey: username}",
    ] {
        let one = stage.volume(objects)?;
        let mut two = one.clone();
        two.name = "second".to_owned();
        two.class.name = "second".to_owned();
        let (first, second) = tokio::join!(stage.content(&one), stage.content(&two));
        assert_eq!(first?, second?);
    }
    assert_eq!(
        (
            stage.asked("pki/issue/web"),
            stage.asked("database/creds/app")
        ),
        (1, 1)
    );
    Ok(())
}

/// L1: where tokens cannot be proven, a pod's renewed token gets what was issued for the pod, after its own login.
#[tokio::test]
async fn a_renewed_token_that_cannot_be_proven_gets_what_was_issued() -> Result<()> {
    let stage = Stage::without_keys(&[]).await?;
    stage.store.on(
        "/v1/database/creds/app",
        leased("database/creds/app/1", "user-1", 3600),
    );
    let volume = stage.volume(CREDS)?;
    stage.mount(&volume).await?.files()?;
    let renewed = Volume {
        tokens: Some(vec![stage.issuer.mint(&volume.pod, AUDIENCE, 7200)?]),
        ..volume.clone()
    };
    stage.mount(&renewed).await?.files()?;
    assert_eq!(
        (stage.store.logins(), stage.asked("database/creds/app")),
        (2, 1)
    );
    Ok(())
}

/// L1, P6: however long the store takes to issue, it is asked once for a pod.
#[tokio::test]
async fn what_is_being_issued_is_not_asked_for_again() -> Result<()> {
    let stage = Stage::set().await?;
    let gate = Arc::new(Notify::new());
    let slow = leased("database/creds/app/1", "user-1", 3600).behind(&gate);
    stage.store.on("/v1/database/creds/app", slow);
    let objects =
        "- {objectName: user, secretPath: database/creds/app, secretKey: username, method: PUT}";
    let volume = stage.volume(objects)?;
    let other = Volume {
        name: "other".to_owned(),
        class: Class {
            name: "other".to_owned(),
            ..volume.class.clone()
        },
        ..volume.clone()
    };
    let path = "database/creds/app";
    let late = async {
        eventually(Duration::from_secs(10), "the first request", async || {
            ensure!(stage.asked(path) == 1);
            Ok(())
        })
        .await?;
        // Time itself is what this is about: reads that began over a second ago are not joined.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let mounted = stage.mount(&other);
        tokio::pin!(mounted);
        let waits = tokio::time::timeout(Duration::from_millis(500), mounted.as_mut()).await;
        ensure!(waits.is_err(), "it was answered by a request of its own");
        gate.notify_waiters();
        mounted.await
    };
    let (first, second) = tokio::join!(stage.mount(&volume), late);
    assert_eq!(first?.files()?["user"], second?.files()?["user"]);
    assert_eq!(stage.asked(path), 1);
    Ok(())
}

/// A certificate and its key that somebody put into a key-value store are read like any other secret.
#[tokio::test]
async fn a_stored_certificate_rotates_like_any_other_secret() -> Result<()> {
    let stage = Stage::set().await?;
    let objects = "- {objectName: crt, secretPath: kv/tls, secretKey: certificate}";
    let volume = stage.volume(objects)?;
    let pem = |name: &str| -> Result<String> {
        let key = rcgen::KeyPair::generate()?;
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()])?;
        Ok(parameters.self_signed(&key)?.pem())
    };
    for name in ["one", "two"] {
        let pem = pem(name)?;
        let reply = Reply::data(&json!({"certificate": pem, "private_key": "k"}));
        stage.store.on("/v1/kv/tls", reply);
        assert_eq!(stage.content(&volume).await?, pem);
    }
    Ok(())
}
