//! The life of a lease and of the token that it hangs on, over longer than one maintenance of the provider.

use std::time::{Duration, Instant};

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use coffer_tests::fixture::eventually;
use coffer_tests::scripted::Reply;
use tonic::Code;

use crate::stage::{AUDIENCE, Stage, leased};

const PAIR: &str = "- {objectName: user, secretPath: database/creds/app, secretKey: username}\n- {objectName: password, secretPath: database/creds/app, secretKey: password}";

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
    // Looked at every two seconds, and due in the last third: at least twice.
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

/// A new user with a lease of its own at each read.
fn dynamic(stage: &Stage, seconds: u64) {
    let number = AtomicUsize::new(0);
    stage.store.rule(move |asked| {
        let number = (asked.path == READ).then(|| number.fetch_add(1, Ordering::SeqCst))?;
        let lease = format!("database/creds/app/{number}");
        Some(leased(&lease, &format!("user-{number}"), seconds))
    });
}

/// L1, L2: a lease is renewed at two thirds of its life, again and again, and its bytes stay.
#[tokio::test]
async fn a_lease_is_renewed_and_keeps_its_bytes() -> Result<()> {
    const LIFE: u64 = 6;
    let stage = Stage::set().await?;
    dynamic(&stage, LIFE);
    stage.store.on(
        "/v1/sys/leases/renew",
        leased("database/creds/app/0", "", LIFE),
    );
    let volume = stage.volume(PAIR)?;
    let first = stage.mount(&volume).await?;
    eventually(Duration::from_secs(40), "three renewals", async || {
        let next = stage.mount(&volume).await?;
        assert_eq!(next.files()?, first.files()?);
        assert_eq!(next.versions()?, first.versions()?);
        ensure!(stage.asked("sys/leases/renew") >= 3);
        Ok(())
    })
    .await?;
    assert_eq!(stage.asked("database/creds/app"), 1);
    let requests = stage.store.requests();
    let mut last = requests.iter().find(|asked| asked.path == READ);
    for asked in requests
        .iter()
        .filter(|asked| asked.path == "/v1/sys/leases/renew")
    {
        assert_eq!(asked.method, "PUT");
        assert_eq!(
            asked.json(),
            serde_json::json!({"lease_id": "database/creds/app/0"})
        );
        let life = last.map(|last| asked.at - last.at).unwrap_or_default();
        ensure!(
            life >= Duration::from_secs(LIFE * 2 / 3) - Duration::from_millis(100),
            "{life:?}"
        );
        ensure!(
            life < Duration::from_secs(LIFE),
            "renewed after its end: {life:?}"
        );
        last = Some(asked);
    }
    let renewals = "coffer_renewals_total{kind=\"lease\",result=\"ok\"}";
    eventually(Duration::from_secs(5), "counted renewals", async || {
        ensure!(stage.provider.metric(renewals).await? >= Some(3.0));
        Ok(())
    })
    .await
}

/// L2, D34: a lease whose renewal is denied is denied once, then issued anew once, with user and password of one call.
#[tokio::test]
async fn a_lease_that_cannot_be_renewed_is_issued_anew_once() -> Result<()> {
    let stage = Stage::set().await?;
    dynamic(&stage, 6);
    stage.store.on(
        "/v1/sys/leases/renew",
        Reply::errors(403, &["permission denied"]),
    );
    let volume = stage.volume(PAIR)?;
    let mut seen = Vec::new();
    eventually(Duration::from_secs(40), "the third user", async || {
        let files = stage.mount(&volume).await?.files()?;
        let text = |name: &str| String::from_utf8_lossy(&files[name]).into_owned();
        assert_eq!(text("password"), format!("password of {}", text("user")));
        if !seen.contains(&text("user")) {
            seen.push(text("user"));
        }
        ensure!(seen.len() == 3);
        Ok(())
    })
    .await?;
    assert_eq!(seen, ["user-0", "user-1", "user-2"]);
    assert_eq!(stage.asked("database/creds/app"), 3);
    assert_eq!(
        stage.asked("sys/leases/renew"),
        2,
        "one denial for each lease"
    );
    Ok(())
}

/// L2: while the store cannot issue anew the old credentials are served, until they end.
#[tokio::test]
async fn old_credentials_are_served_until_they_end() -> Result<()> {
    let stage = Stage::with(&["--vault-max-retries", "0"]).await?;
    dynamic(&stage, 9);
    stage.store.on(
        "/v1/sys/leases/renew",
        Reply::errors(400, &["lease is not renewable"]),
    );
    let volume = stage.volume(PAIR)?;
    let first = stage.mount(&volume).await?.files()?;
    stage
        .store
        .on(READ, Reply::errors(500, &["internal error"]));
    let stale = "coffer_served_stale_total{reason=\"store_error\"}";
    eventually(Duration::from_secs(30), "old credentials", async || {
        assert_eq!(stage.mount(&volume).await?.files()?, first);
        ensure!(stage.provider.metric(stale).await? > Some(0.0));
        Ok(())
    })
    .await?;
    ensure!(
        stage.asked("database/creds/app") <= 3,
        "it rests between attempts"
    );
    eventually(Duration::from_secs(30), "their end", async || {
        let outcome = stage.mount(&volume).await?;
        ensure!(outcome.failure()?.code() == Code::Unknown);
        Ok(())
    })
    .await
}

/// L3: a role that may not give leases back is told once what to allow, and nothing else breaks.
#[tokio::test]
async fn a_role_that_may_not_revoke_is_named_once_with_the_remedy() -> Result<()> {
    let mut stage = Stage::set().await?;
    dynamic(&stage, 3600);
    stage.store.on(
        "/v1/sys/leases/revoke",
        Reply::errors(403, &["permission denied"]),
    );
    let objects =
        format!("{CREDS}\n- {{objectName: none, secretPath: secret/data/none, secretKey: k}}");
    for _ in 0..3 {
        let failing = stage.volume(&objects)?;
        stage.refused(&failing, Code::NotFound, "not_found").await?;
    }
    let refused = "coffer_revocations_total{kind=\"lease\",result=\"error\"}";
    eventually(Duration::from_secs(20), "three refusals", async || {
        ensure!(stage.provider.metric(refused).await? == Some(3.0));
        Ok(())
    })
    .await?;
    assert_eq!(stage.content(&stage.volume(CREDS)?).await?, "user-3");
    let log = stage.provider.whole_log().await?;
    let remedy = "allow update on sys/leases/revoke";
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains(remedy)).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("\"role\":\"app\""), "{}", warnings[0]);
    Ok(())
}
