//! Whose warm login a token may ride: that of its own account, and only when it is proven.

use anyhow::Result;
use coffer_tests::driver::{Pod, ServiceToken, Volume};
use coffer_tests::scripted::Reply;
use coffer_tests::vault::JwtAuth;
use serde_json::Value;
use tonic::Code;

use crate::stage::{AUDIENCE, ONE, Stage, class};

/// X3: while an account's login is warm, a forged call with its name gets nothing without a token of its own.
#[tokio::test]
async fn a_forged_token_does_not_ride_a_warm_login() -> Result<()> {
    let stage = Stage::set().await?;
    stage.content(&stage.volume(ONE)?).await?;
    let warm = stage.store.logins();
    stage
        .store
        .on_login(Reply::errors(403, &["permission denied"]));

    let pod = Pod::new("shop", "forger")?.with_service_account("web");
    let other = pod.clone().with_service_account("other");
    let foreign = JwtAuth::new("https://issuer.example")?;
    let mut past = stage.issuer.mint(&pod, AUDIENCE, -60)?;
    past.expires = "2099-01-01T00:00:00Z".to_owned();
    let mut borrowed = stage.issuer.mint(&pod, "another", 3600)?;
    borrowed.audience = AUDIENCE.to_owned();
    let real = stage.issuer.mint(&pod, AUDIENCE, 3600)?;
    let signature = real.jwt.rfind('.').unwrap_or_default();
    let tokens = [
        ("junk", ServiceToken::new(AUDIENCE, "junk")),
        ("another issuer's", foreign.mint(&pod, AUDIENCE, 3600)?),
        ("expired", past),
        ("for another audience", borrowed),
        (
            "another account's",
            stage.issuer.mint(&other, AUDIENCE, 3600)?,
        ),
        (
            "unsigned",
            ServiceToken::new(AUDIENCE, &real.jwt[..=signature]),
        ),
        (
            "algorithm none",
            ServiceToken::new(AUDIENCE, &without_algorithm(&real.jwt)),
        ),
    ];
    for (at, (what, token)) in tokens.into_iter().enumerate() {
        let volume = Volume::new(pod.clone(), class(ONE)).with_token(token);
        stage
            .refused(&volume, Code::Unauthenticated, "login_refused")
            .await
            .map_err(|error| error.context(what))?;
        assert_eq!(
            stage.store.logins(),
            warm + at + 1,
            "{what} must log in for itself"
        );
    }
    // The account itself is not disturbed by any of it.
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    assert_eq!(stage.store.logins(), warm + 7);
    Ok(())
}

fn without_algorithm(jwt: &str) -> String {
    use base64::Engine as _;
    let header = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let claims = jwt.split('.').nth(1).unwrap_or_default();
    format!("{header}.{claims}.")
}

/// X3, D7: where no token can be proven each distinct one logs in for itself, and is used again while it lasts.
#[tokio::test]
async fn without_keys_each_token_has_a_login_of_its_own() -> Result<()> {
    let stage = Stage::without_keys(&[]).await?;
    let volumes = [stage.volume(ONE)?, stage.volume(ONE)?];
    for _ in 0..3 {
        for volume in &volumes {
            assert_eq!(stage.content(volume).await?, "v");
        }
    }
    assert_eq!(stage.store.logins(), 2);
    let jwts: Vec<Value> = stage
        .login_requests()
        .iter()
        .map(|login| login.json()["jwt"].clone())
        .collect();
    assert_ne!(jwts[0], jwts[1]);
    Ok(())
}

/// X3: a warm login of an unproven token is nobody else's, not even with the same pod's name.
#[tokio::test]
async fn an_unproven_login_serves_its_own_token_only() -> Result<()> {
    let stage = Stage::without_keys(&[]).await?;
    let mut volume = stage.volume(ONE)?;
    stage.content(&volume).await?;
    stage
        .store
        .on_login(Reply::errors(403, &["permission denied"]));
    volume.tokens = Some(vec![ServiceToken::new(AUDIENCE, "junk")]);
    stage
        .refused(&volume, Code::Unauthenticated, "login_refused")
        .await?;
    Ok(())
}
