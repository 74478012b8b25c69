//! What becomes of a login: renewed while it is used, given back when it is not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::fixture::eventually;
use coffer_tests::scripted::Reply;
use tokio::sync::Notify;

use crate::stage::{ONE, Stage, class};

/// D7: with the cache switched off each mount logs in and gives its token back.
#[tokio::test]
async fn without_a_cache_each_mount_logs_in_for_itself() -> Result<()> {
    for size in ["0", "-1"] {
        let stage = Stage::with(&["-cache-size", size]).await?;
        let volume = stage.volume(ONE)?;
        for _ in 0..3 {
            assert_eq!(stage.content(&volume).await?, "v");
        }
        assert_eq!(stage.store.logins(), 3);
        revoked(&stage, 3).await?;
    }
    Ok(())
}

/// D8, D34: a token that ages is renewed, not replaced; when it cannot be renewed it is replaced and given back.
#[tokio::test]
async fn an_ageing_token_is_renewed_before_it_ends() -> Result<()> {
    let stage = Stage::set().await?;
    // Two thirds of it are one second.
    stage.store.set_token_ttl(2);
    let volume = stage.volume(ONE)?;
    eventually(Duration::from_secs(20), "a renewal", async || {
        ensure!(stage.content(&volume).await? == "v");
        ensure!(stage.asked("auth/token/renew-self") > 0);
        Ok(())
    })
    .await?;
    assert_eq!(stage.store.logins(), 1);
    stage.store.on(
        "/v1/auth/token/renew-self",
        Reply::errors(403, &["permission denied"]),
    );
    eventually(Duration::from_secs(20), "a second login", async || {
        ensure!(stage.content(&volume).await? == "v");
        ensure!(stage.store.logins() == 2);
        Ok(())
    })
    .await
}

/// D8: the least recent login goes when the cache is full, and its token is given back.
#[tokio::test]
async fn a_login_that_leaves_the_cache_is_given_back() -> Result<()> {
    let stage = Stage::with(&["-cache-size", "2"]).await?;
    for account in ["one", "two", "three"] {
        stage
            .content(&stage.volume_of(account, class(ONE))?)
            .await?;
    }
    revoked(&stage, 1).await?;
    let token = stage
        .store
        .requests()
        .into_iter()
        .find(|asked| asked.path.ends_with("revoke-self"));
    assert_eq!(
        token
            .and_then(|asked| asked.header("x-vault-token").map(str::to_owned))
            .as_deref(),
        Some("hvs.scripted-1")
    );
    assert_eq!(
        stage
            .provider
            .metric("coffer_cache_evictions_total{cache=\"login\"}")
            .await?,
        Some(1.0)
    );
    Ok(())
}

/// P6: a caller that goes away leaves no token behind: the login that it began serves the next one.
#[tokio::test]
async fn a_login_outlives_the_caller_that_began_it() -> Result<()> {
    let mut stage = Stage::set().await?;
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    stage.store.rule(move |asked| {
        // The healthy answer, held back: a rule's own reply would be a token that the store does not know.
        let reply = serde_json::json!({"auth": {"client_token": "hvs.held", "lease_duration": 3600, "renewable": true}});
        asked.is_login().then(|| Reply::json(200, &reply).behind(&held))
    });
    stage.store.on(
        "/v1/secret/data/a",
        Reply::data(&serde_json::json!({"k": "v"})),
    );
    let volume = stage.volume(ONE)?;
    let (driver, request) = (stage.driver.clone(), volume.first_mount());
    let call = tokio::spawn(async move { driver.mount_raw(&request).await });
    let wait = Duration::from_secs(10);
    eventually(wait, "a login under way", async || {
        ensure!(stage.store.logins() == 1);
        Ok(())
    })
    .await?;
    call.abort();
    let cancelled = "coffer_mount_failures_total{phase=\"first\",reason=\"cancelled\"}";
    eventually(wait, "a cancelled mount", async || {
        ensure!(stage.provider.metric(cancelled).await? == Some(1.0));
        Ok(())
    })
    .await?;
    gate.notify_one();
    assert_eq!(stage.content(&volume).await?, "v");
    assert_eq!(stage.store.logins(), 1);
    let log = stage.provider.whole_log().await?;
    ensure!(!log.contains("mount failed"), "{log}");
    Ok(())
}

async fn revoked(stage: &Stage, count: usize) -> Result<()> {
    eventually(Duration::from_secs(10), "tokens given back", async || {
        let seen = stage.asked("auth/token/revoke-self");
        ensure!(seen == count, "{seen} of {count}");
        Ok(())
    })
    .await
}
