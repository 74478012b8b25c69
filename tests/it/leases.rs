//! The life of a lease and of the token that it hangs on, over longer than one maintenance of the provider.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use coffer_tests::fixture::eventually;
use coffer_tests::scripted::Reply;
use tonic::Code;

use crate::stage::{AUDIENCE, Stage, leased};

const CREDS: &str = "- {objectName: a, secretPath: database/creds/app, secretKey: username}";
const READ: &str = "/v1/database/creds/app";
const TRACKED: &str = "coffer_leases_tracked";

/// D8, L2: a lease counts until its end, not only until it is due: a pod may run on it although nobody asks.
#[tokio::test]
async fn a_lease_holds_its_token_until_it_ends() -> Result<()> {
    const LIFE: u64 = 12;
    let stage = Stage::set().await?;
    stage.store.on(READ, leased("lease/1", "user-1", LIFE));
    let begin = Instant::now();
    stage.content(&stage.volume(CREDS)?).await?;
    let wait = Duration::from_secs(30);
    eventually(wait, "a lease that is tracked", async || {
        ensure!(stage.provider.metric(TRACKED).await? == Some(1.0));
        Ok(())
    })
    .await?;
    eventually(wait, "the end of the lease", async || {
        ensure!(stage.provider.metric(TRACKED).await? == Some(0.0));
        Ok(())
    })
    .await?;
    let held = begin.elapsed();
    assert!(held >= Duration::from_secs(LIFE), "given up after {held:?}");
    Ok(())
}

/// D8, D10, L1: a token with leases is renewed, and what hangs on it is not issued anew for that.
#[tokio::test]
async fn a_renewed_token_keeps_its_leases() -> Result<()> {
    const LIFE: u64 = 12;
    let stage = Stage::set().await?;
    stage.store.set_token_ttl(LIFE);
    stage.store.on(READ, leased("lease/1", "user-1", 3600));
    let volume = stage.volume(CREDS)?;
    let begin = Instant::now();
    stage.content(&volume).await?;
    eventually(
        Duration::from_secs(40),
        "polls beyond the token's first life",
        async || {
            ensure!(stage.content(&volume).await? == "user-1");
            ensure!(begin.elapsed() > Duration::from_secs(LIFE + 1));
            Ok(())
        },
    )
    .await?;
    assert!(stage.asked("auth/token/renew-self") > 0);
    assert_eq!(
        (stage.asked("database/creds/app"), stage.store.logins()),
        (1, 1)
    );
    Ok(())
}

/// D34, D8: a renewal that the store denies is not asked for again at each look at the leases.
#[tokio::test]
async fn a_denied_renewal_is_not_repeated() -> Result<()> {
    // Looked at every five seconds, and due in the last third: at least twice.
    const LIFE: u64 = 31;
    let stage = Stage::set().await?;
    stage.store.set_token_ttl(LIFE);
    stage.store.on(READ, leased("lease/1", "user-1", 3600));
    let denied = Reply::errors(403, &["permission denied"]);
    stage.store.on("/v1/auth/token/renew-self", denied);
    stage.content(&stage.volume(CREDS)?).await?;
    let (begin, life) = (Instant::now(), Duration::from_secs(LIFE));
    eventually(2 * life, "the end of the token", async || {
        ensure!(begin.elapsed() > life);
        Ok(())
    })
    .await?;
    assert_eq!(stage.asked("auth/token/renew-self"), 1);
    assert_eq!(stage.store.logins(), 1);
    Ok(())
}

/// X3: a token that is not proven gets nothing that was issued for the pod it names, unless it logs in itself.
#[tokio::test]
async fn what_was_issued_for_a_pod_is_not_given_to_a_forger() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on(READ, leased("lease/1", "user-1", 3600));
    let volume = stage.volume(CREDS)?;
    assert_eq!(stage.content(&volume).await?, "user-1");
    let refused = Reply::errors(403, &["permission denied"]);
    stage.store.on_login(refused);
    let mut forged = volume.clone();
    forged.tokens = Some(vec![coffer_tests::driver::ServiceToken::new(
        AUDIENCE, "junk",
    )]);
    stage
        .refused(&forged, Code::Unauthenticated, "login_refused")
        .await?;
    forged.tokens = None;
    stage
        .refused(&forged, Code::FailedPrecondition, "no_token")
        .await?;
    assert_eq!(stage.content(&volume).await?, "user-1");
    Ok(())
}
