//! Which token a login uses, and whose warm login a token may ride.

use std::sync::Arc;

use anyhow::Result;
use coffer_tests::driver::attributes::parse;
use coffer_tests::driver::{Pod, ServiceToken, Volume};
use coffer_tests::provider::ProviderProcess;
use coffer_tests::scripted::ScriptedStore;
use coffer_tests::vault::JwtAuth;
use serde_json::json;
use tonic::Code;

use crate::stage::{AUDIENCE, Failures, ONE, Stage, class};

const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";

/// I4: the token of the class's audience is used, else that of the default, wherever the driver put it.
#[tokio::test]
async fn the_token_for_the_audience_is_used() -> Result<()> {
    let stage = Stage::set().await?;
    let pod = Pod::new("shop", "pod")?;
    let mint = |audience: &str| stage.issuer.mint(&pod, audience, 3600);
    let [vault, other, empty] = [mint("vault")?, mint("other")?, mint("")?];
    let plain = Volume::new(pod.clone(), class(ONE));
    let named = Volume::new(pod.clone(), class(ONE).with("audience", "other"));
    let all = |volume: &Volume| {
        let volume = volume
            .clone()
            .with_token(other.clone())
            .with_token(vault.clone());
        volume.with_token(empty.clone())
    };
    let mut in_secrets = plain
        .clone()
        .with_token(vault.clone())
        .with_secret("user", "admin");
    in_secrets.tokens_in_secrets = true;
    let rows = [
        ("the default", all(&plain), &vault),
        ("the class's", all(&named), &other),
        ("in secrets and attributes", in_secrets, &vault),
        (
            "beside other secrets",
            plain
                .clone()
                .with_token(vault.clone())
                .with_secret("user", "admin"),
            &vault,
        ),
    ];
    let mut failures = Failures::default();
    for (at, (row, mut volume, expected)) in rows.into_iter().enumerate() {
        stage.store.forget_requests();
        volume.class = volume.class.with("roleName", &format!("role-{at}"));
        failures.note(row, stage.content(&volume).await);
        let used = stage
            .login_requests()
            .first()
            .map(|login| login.json()["jwt"].clone());
        failures.note(
            row,
            (used == Some(json!(expected.jwt)))
                .then_some(())
                .ok_or_else(|| anyhow::anyhow!("another token")),
        );
    }
    failures.none()
}

/// I4, I5: without a usable token no login is tried; the text names the audience and what to do.
#[tokio::test]
async fn without_a_usable_token_nothing_is_sent() -> Result<()> {
    let stage = Stage::set().await?;
    let pod = Pod::new("shop", "pod")?.with_service_account("web");
    let mint = |audience: &str, seconds| stage.issuer.mint(&pod, audience, seconds);
    let bare = Volume::new(pod.clone(), class(ONE));
    let mut none = bare.clone();
    none.tokens = Some(Vec::new());
    let empty = ServiceToken::new(AUDIENCE, "");
    let mut failures = Failures::default();
    for (row, volume) in [
        ("absent", bare.clone()),
        ("an empty map", none),
        (
            "another audience",
            bare.clone().with_token(mint("other", 3600)?),
        ),
        (
            "a longer audience",
            bare.clone().with_token(mint("vault2", 3600)?),
        ),
        (
            "the API server's own",
            bare.clone().with_token(mint("", 3600)?),
        ),
        ("an empty token", bare.clone().with_token(empty)),
        (
            "an expired token",
            bare.clone().with_token(mint(AUDIENCE, -5)?),
        ),
        (
            "the class wants another",
            Volume::new(pod.clone(), class(ONE).with("audience", "x"))
                .with_token(mint(AUDIENCE, 3600)?),
        ),
    ] {
        let text = stage
            .refused(&volume, Code::FailedPrecondition, "no_token")
            .await;
        failures.note(
            row,
            text.and_then(|text| {
                anyhow::ensure!(text.contains("tokenRequests of the CSIDriver"), "{text}");
                Ok(())
            }),
        );
    }
    assert!(stage.store.requests().is_empty());
    failures.none()
}

/// I4, I5: which token was looked for among the driver's, what was wrong with it, and which others there are.
#[tokio::test]
async fn a_missing_token_is_told_with_its_audience() -> Result<()> {
    let stage = Stage::set().await?;
    let pod = Pod::new("shop", "pod")?;
    for (token, words) in [
        (
            stage.issuer.mint(&pod, "other", 3600)?,
            "driver sent no token for audience \"vault\" but only for \"other\", and none can be requested",
        ),
        (
            stage.issuer.mint(&pod, AUDIENCE, -5)?,
            "driver sent a token for audience \"vault\" that has expired",
        ),
        (
            ServiceToken::new(AUDIENCE, ""),
            "driver sent an empty token for audience \"vault\"",
        ),
    ] {
        let volume = Volume::new(pod.clone(), class(ONE)).with_token(token);
        let text = stage
            .refused(&volume, Code::FailedPrecondition, "no_token")
            .await?;
        assert!(text.contains(words), "{text}");
        assert!(text.contains("add the audience to tokenRequests"), "{text}");
    }
    Ok(())
}

/// I4: tokens that are no JSON are the request's fault and are never repeated.
#[tokio::test]
async fn tokens_that_are_no_json_are_refused() -> Result<()> {
    let stage = Stage::set().await?;
    let volume = stage.volume(ONE)?;
    for (row, text) in [
        ("text", "marker-jwt"),
        ("a list", "[\"marker-jwt\"]"),
        ("cut", "{\"vault\":{\"token\":\"marker-jwt"),
    ] {
        let mut request = volume.first_mount();
        let mut attributes = parse(&request.attributes)?;
        attributes.insert(TOKENS.to_owned(), text.to_owned());
        request.attributes = serde_json::to_string(&attributes)?;
        let outcome = stage.driver.mount(&request).await?;
        let told = crate::stage::check_failure(&outcome, Code::InvalidArgument, "bad_request")?;
        assert!(
            told.contains("failed to unmarshal service account tokens"),
            "{row}: {told}"
        );
        assert!(!told.contains("marker-jwt"), "{row}: {told}");
    }
    assert!(stage.store.requests().is_empty());
    Ok(())
}

/// D16, I6: a token and an Agent in the environment serve nobody, and are warned about.
#[tokio::test]
async fn a_token_in_the_environment_is_ignored_with_a_warning() -> Result<()> {
    let (store, agent) = (ScriptedStore::start().await?, ScriptedStore::start().await?);
    store.put("secret/data/a", json!({"k": "v"}));
    let issuer = JwtAuth::new("https://issuer.example")?;
    let environment = [
        ("VAULT_ADDR", store.address()),
        ("VAULT_TOKEN", "hvs.operator".to_owned()),
        ("VAULT_AGENT_ADDR", agent.address()),
    ];
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut provider = ProviderProcess::start(&["-kubeconfig", "off"], &environment).await?;
    let pod = Pod::new("shop", "pod")?;
    let token = issuer.mint(&pod, AUDIENCE, 3600)?;
    let volume = Volume::new(pod, class(ONE)).with_token(token);
    let driver = Arc::new(provider.driver()?);
    assert_eq!(
        driver.mount(&volume.first_mount()).await?.files()?["a"],
        "v"
    );
    assert_eq!((store.logins(), agent.connections()), (1, 0));
    assert!(
        store
            .requests()
            .iter()
            .all(|asked| asked.header("x-vault-token") != Some("hvs.operator"))
    );
    let log = provider.whole_log().await?;
    for warning in ["VAULT_TOKEN is ignored", "VAULT_AGENT_ADDR is ignored"] {
        assert_eq!(log.matches(warning).count(), 1, "{log}");
    }
    assert!(!log.contains("hvs.operator"), "{log}");
    Ok(())
}
