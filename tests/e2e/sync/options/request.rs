//! What a provider is asked: the request as it arrives, the token in it, and how many requests there are.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use coffer_proto::attributes::{CLASS, POD_NAME, POD_NAMESPACE, POD_UID, SERVICE_ACCOUNT, TOKENS};
use coffer_tests::fixture::eventually;
use coffer_tests::vendor::{Arrived, Vendor};
use jiff::Timestamp;
use serde_json::{Value, json};
use tonic::Status;

use super::admin::readable;
use super::{fetch_anew, measured, message, shown, time};
use crate::stage::{SOON, has};
use crate::sync::{Scene, VENDOR};
use crate::sync_objects::with;
use crate::world::run;

const TOKENS_OK: &str = "coffer_sync_token_requests_total{result=\"ok\"}";
/// The vendor's provider gets a token for `vault`, or for whom a class's parameter `audience` names.
const NAMED_BY_CLASSES: [&str; 4] = [
    "--audience",
    "vendor=vault",
    "--audience-parameter",
    "audience",
];

/// A class with these parameters.
fn class_with(parameters: Value) -> Value {
    json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": "c"},
        "spec": {"provider": VENDOR, "parameters": parameters},
    })
}

/// What a token says of itself.
fn claims(token: &str) -> Result<Value> {
    let body = token.split('.').nth(1).context("no JWT")?;
    Ok(serde_json::from_slice(
        &BASE64_URL_SAFE_NO_PAD.decode(body)?,
    )?)
}

/// The one token of a request, for this audience.
fn token(arrived: &Arrived, audience: &str) -> Result<String> {
    let tokens = arrived.tokens()?;
    let all = tokens.as_object().context("no map")?;
    ensure!(all.keys().eq([audience]), "{:?}", all.keys());
    let token = tokens[audience]["token"].as_str().context("no token")?;
    Ok(token.to_owned())
}

/// Sync §4: the table of the request, field by field; a class cannot forge what comes from kubelet. The second call
/// says what the first one brought.
#[test]
fn a_request_is_the_drivers_with_a_token_and_the_versions_of_the_last_answer() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--audience", "vendor=vault", "--pod-uid", "uid-0"]).await?;
        scene.vendor.put("f", "one");
        scene.vendor.put("dir/g", "two");
        let parameters = json!({
            "roleName": "r",
            "csi.storage.k8s.io/pod.name": "forged",
            "csi.storage.k8s.io/serviceAccount.tokens": "forged",
            "csi.storage.k8s.io/anything": "forged",
        });
        let class = scene.create(class_with(parameters)).await?;
        scene.sync("a").await?;
        scene.holds("a", "k", b"one").await?;
        shown(&scene, "a", "ready", "Synced").await?;

        let arrived = scene.vendor.arrived();
        ensure!(arrived.len() == 1, "{} requests", arrived.len());
        let Arrived {
            mut attributes,
            secrets,
            target_path,
            permission,
            versions,
        } = arrived[0].clone();
        ensure!(secrets == "{}", "secrets: {secrets}");
        ensure!(permission == "420", "{permission}");
        ensure!(target_path == "/mnt/secrets-store", "{target_path}");
        ensure!(versions.is_empty(), "{versions:?}");
        let tokens = attributes.remove(TOKENS).context("no tokens")?;
        let expected = [
            ("roleName", "r"),
            (POD_NAME, "coffer-sync-0"),
            (POD_UID, "uid-0"),
            (POD_NAMESPACE, scene.namespace.as_str()),
            (SERVICE_ACCOUNT, "app"),
            (CLASS, "c"),
        ];
        let expected = expected.map(|(key, text)| (key.to_owned(), text.to_owned()));
        ensure!(attributes == BTreeMap::from(expected), "{attributes:?}");

        let tokens: Value = serde_json::from_str(&tokens)?;
        let ends = time(&tokens["vault"]["expirationTimestamp"])?;
        let left = ends.as_second() - Timestamp::now().as_second();
        ensure!((540..=601).contains(&left), "{left} s");
        let claims = claims(&token(&arrived[0], "vault")?)?;
        ensure!(claims["aud"] == json!(["vault"]), "{claims}");
        let subject = format!("system:serviceaccount:{}:app", scene.namespace);
        ensure!(claims["sub"] == json!(subject), "{claims}");
        let life = claims["exp"].as_i64().zip(claims["iat"].as_i64());
        ensure!(life.map(|(exp, iat)| exp - iat) == Some(600), "{claims}");
        ensure!(
            claims["kubernetes.io"]["pod"].is_null(),
            "it is bound: {claims}"
        );

        fetch_anew(&scene, &class).await?;
        eventually(SOON, "another call", async || {
            ensure!(scene.vendor.calls() == 2, "{}", scene.vendor.calls());
            Ok(())
        })
        .await?;
        let later = scene.vendor.arrived();
        let again = &later[1];
        let known = [("dir/g", "v1"), ("f", "v1")];
        let known = known.map(|(id, version)| (id.to_owned(), version.to_owned()));
        ensure!(again.versions == known, "{:?}", again.versions);
        // One token serves many calls.
        ensure!(token(again, "vault")? == token(&arrived[0], "vault")?);
        measured(&scene, TOKENS_OK, 1.0).await
    })
}

/// Sync §4: a class without parameters is an empty map, and without an audience there is no token at all.
#[test]
fn without_an_audience_there_is_no_token() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--audience", "another=vault"]).await?;
        scene.vendor.put("f", "one");
        let mut class = class_with(Value::Null);
        class["spec"] = json!({"provider": VENDOR});
        scene.create(class).await?;
        scene.sync("a").await?;
        scene.holds("a", "k", b"one").await?;
        let arrived = scene.vendor.arrived();
        let keys: Vec<&str> = arrived[0].attributes.keys().map(String::as_str).collect();
        let mut own = [POD_NAME, POD_UID, POD_NAMESPACE, SERVICE_ACCOUNT, CLASS];
        own.sort_unstable();
        ensure!(keys == own, "{keys:?}");
        measured(&scene, TOKENS_OK, 0.0).await
    })
}

/// Sync §4: the class's own audience counts where the operator names its parameter; blanks around it do not.
#[test]
fn a_class_names_its_audience_where_the_operator_lets_it() -> Result<()> {
    run(async {
        let scene = Scene::plain(&NAMED_BY_CLASSES).await?;
        scene.vendor.put("f", "one");
        let parameters = json!({"audience": " openbao "});
        scene.create(class_with(parameters)).await?;
        scene.sync("a").await?;
        scene.holds("a", "k", b"one").await?;
        let arrived = scene.vendor.arrived();
        token(&arrived[0], "openbao")?;
        // It is a parameter like any other besides.
        let passed = &arrived[0].attributes;
        ensure!(passed["audience"] == " openbao ");
        measured(&scene, TOKENS_OK, 1.0).await
    })
}

/// Sync §4: an empty audience is refused; the operator's own for the provider is not sent in its place.
#[test]
fn a_class_that_names_an_empty_audience_is_told() -> Result<()> {
    run(async {
        let scene = Scene::plain(&NAMED_BY_CLASSES).await?;
        scene.vendor.put("f", "one");
        scene.create(class_with(json!({"audience": "  "}))).await?;
        let sync = scene.sync("a").await?;
        let reason = "SecretProviderClassMisconfigured";
        // The class may come into sight after the object.
        eventually(SOON, "what is wrong with the class", async || {
            let told = scene.says(&sync, "SecretCreated", "False", reason).await?;
            let parts = [
                "spec.parameters.audience",
                "SecretProviderClass c",
                "is empty",
            ];
            has(message(&told), &parts)
        })
        .await?;
        ensure!(scene.vendor.calls() == 0);
        measured(&scene, TOKENS_OK, 0.0).await
    })
}

/// Sync §4: classes of one account that are fetched at the same time share one token.
#[test]
fn fetches_of_one_account_at_once_share_a_token() -> Result<()> {
    run(async {
        let mut scene = Scene::plain(&["--audience", "vendor=vault", "--workers", "8"]).await?;
        scene.vendor.put("f", "one");
        // All are there when the controller comes, so that all are fetched at once.
        scene.controller.stop().await?;
        let names = ["a", "b", "d", "e", "g", "h"];
        for name in names {
            let mut class = class_with(json!({}));
            class["metadata"]["name"] = json!(name);
            scene.create(class).await?;
            let sync = scene.sync_of(name, "Opaque", &[("f", "k")]);
            let of = "/spec/secretProviderClassName";
            scene.create(with(sync, of, json!(name))).await?;
        }
        scene.again().await?;
        for name in names {
            scene.holds(name, "k", b"one").await?;
        }
        ensure!(scene.vendor.calls() == names.len());
        measured(&scene, TOKENS_OK, 1.0).await
    })
}

/// Sync §2 and §4: without a token nothing is asked; the condition has the API server's words, or the policy's.
#[test]
fn without_a_token_the_condition_says_why() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--audience", "vendor=vault,late=sts.amazonaws.com"]).await?;
        scene.vendor.put("f", "one");
        scene.class("c").await?;
        let mut other = class_with(json!({}));
        other["metadata"]["name"] = json!("d");
        other["spec"]["provider"] = json!("late");
        scene.create(other).await?;
        let late = Vendor::serve(&scene.sockets.of("late"))?;
        for (name, place, text, told) in [
            (
                "a",
                "/spec/serviceAccountName",
                "nobody",
                "serviceaccounts \"nobody\" not found",
            ),
            (
                "b",
                "/spec/secretProviderClassName",
                "d",
                "ValidatingAdmissionPolicy 'coffer-sync-token'",
            ),
        ] {
            let sync = scene.sync_of(name, "Opaque", &[("f", "k")]);
            let sync = scene.create(with(sync, place, json!(text))).await?;
            let ready = scene.says(&sync, "Ready", "False", "TokenError").await?;
            let account = format!("no token for ServiceAccount {}/", scene.namespace);
            has(message(&ready), &[&account, told])?;
            scene
                .says(&sync, "SecretCreated", "False", "ControllerSyncError")
                .await?;
            ensure!(scene.secret(name).await?.is_none());
        }
        ensure!(scene.vendor.calls() + late.calls() == 0);
        let series = "coffer_sync_token_requests_total{result=\"error\"}";
        let found = scene.controller.metric(series).await?;
        ensure!(found >= 2.0, "{found}");
        Ok(())
    })
}

/// Sync §4: a provider that refuses the token gets another one, once.
#[test]
fn a_refused_token_is_replaced_once() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--audience", "vendor=vault"]).await?;
        scene.vendor.put("f", "one");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"one").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        scene
            .vendor
            .change(|script| script.failure = Some(Status::unauthenticated("expired")));
        fetch_anew(&scene, &class).await?;
        scene
            .says(&sync, "SecretUpdated", "False", "ProviderError")
            .await?;
        let arrived = scene.vendor.arrived();
        ensure!(arrived.len() >= 3, "{} requests", arrived.len());
        let tokens = [0, 1, 2].map(|at| token(&arrived[at], "vault"));
        let [first, refused, new] = tokens;
        let refused = refused?;
        ensure!(first? == refused, "the one that was held");
        ensure!(new? != refused, "the same again");
        let found = scene.controller.metric(TOKENS_OK).await?;
        ensure!(found >= 2.0, "{found}");
        Ok(())
    })
}

/// Sync §11: a provider that quotes a piece of our token does not get it into a condition, an Event or the log.
#[test]
fn a_token_that_a_provider_quotes_is_masked() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--audience", "vendor=vault"]).await?;
        scene.vendor.put("f", "one");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"one").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        let token = token(&scene.vendor.arrived()[0], "vault")?;
        // Of its signature, which makes it a credential.
        let piece = &token[token.len() - 60..];
        let text = format!("cannot use {piece} here");
        scene
            .vendor
            .change(|script| script.failure = Some(Status::invalid_argument(text)));
        fetch_anew(&scene, &class).await?;
        let told = scene
            .says(&sync, "SecretUpdated", "False", "ProviderError")
            .await?;
        has(message(&told), &["answered InvalidArgument: cannot use"])?;
        shown(&scene, "a", "failing", "ServingLastGood").await?;
        let all = readable(&scene).await?;
        ensure!(!all.contains(piece), "{told}");
        Ok(())
    })
}

/// Sync §4: equal fetches are shared, also by those who come a moment later; another account is another fetch.
#[test]
fn objects_of_one_class_and_account_share_their_fetches() -> Result<()> {
    run(async {
        const OBJECTS: usize = 20;
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        scene.class("c").await?;
        let accounts = scene
            .ground
            .api
            .create_service_account(&scene.namespace, "other");
        accounts.await?;
        for number in 0..OBJECTS {
            scene.sync(&format!("s{number}")).await?;
        }
        for number in 0..OBJECTS {
            let name = format!("s{number}");
            scene.holds(&name, "k", b"one").await?;
            shown(&scene, &name, "ready", "Synced").await?;
        }
        let calls = scene.vendor.calls();
        ensure!(calls <= OBJECTS / 4, "{calls} calls for {OBJECTS} objects");

        let sync = scene.sync_of("another", "Opaque", &[("f", "k")]);
        let sync = with(sync, "/spec/serviceAccountName", json!("other"));
        scene.create(sync).await?;
        scene.holds("another", "k", b"one").await?;
        let arrived = scene.vendor.arrived();
        ensure!(arrived.len() == calls + 1, "{} requests", arrived.len());
        ensure!(arrived[calls].attributes[SERVICE_ACCOUNT] == "other");
        Ok(())
    })
}

/// Of two that are applied together the class may come second: nobody is alarmed.
#[test]
fn a_class_that_comes_just_after_its_object_raises_no_alarm() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        scene.sync("a").await?;
        scene.class("c").await?;
        scene.holds("a", "k", b"one").await?;
        scene.told("a", "Synced").await?;
        let events = scene.events("a").await?;
        ensure!(events.iter().all(|it| it["type"] == "Normal"), "{events:?}");
        Ok(())
    })
}

/// Sync §4: sockets are looked up again, so a provider that starts late is found.
#[test]
fn a_provider_that_starts_late_is_found() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let mut class = class_with(json!({}));
        class["spec"]["provider"] = json!("late");
        scene.create(class).await?;
        let sync = scene.sync("a").await?;
        let reason = "SecretProviderClassMisconfigured";
        // The class may come into sight after the object.
        eventually(SOON, "what is wrong with the provider", async || {
            let told = scene.says(&sync, "SecretCreated", "False", reason).await?;
            let text = "there is no socket late.sock in the provider directories (--provider-dirs)";
            ensure!(message(&told) == text, "{told}");
            Ok(())
        })
        .await?;
        let late = Vendor::serve(&scene.sockets.of("late"))?;
        late.put("f", "one");
        scene.force(&sync).await?;
        scene.holds("a", "k", b"one").await?;
        ensure!(scene.vendor.calls() == 0);
        Ok(())
    })
}
