//! Logins: one for everybody who may share it, a new one when its token died, none when it cannot help.

use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::fixture::eventually;
use coffer_tests::scripted::Reply;
use futures_util::future::join_all;
use tonic::Code;

use crate::stage::{ONE, Simulation, Stage, check_failure, class};

const LOGIN_OK: &str = "coffer_logins_total{method=\"kubernetes\",result=\"ok\"}";

/// D7: 50 pods of one service account log in once.
#[tokio::test]
async fn pods_of_one_account_share_a_login() -> Result<()> {
    let stage = Stage::set().await?;
    let volumes: Vec<_> = (0..50).map(|_| stage.volume(ONE)).collect::<Result<_>>()?;
    let mounts = volumes.iter().map(|volume| stage.mount(volume));
    for outcome in join_all(mounts).await {
        assert_eq!(outcome?.files()?["a"], "v");
    }
    assert_eq!(stage.store.logins(), 1);
    for volume in &volumes {
        stage.mount(volume).await?.response()?;
    }
    assert_eq!(stage.store.logins(), 1);
    assert_eq!(stage.provider.metric(LOGIN_OK).await?, Some(1.0));
    Ok(())
}

/// D7, X1: accounts, roles, audiences, auth mounts and store namespaces do not share one.
#[tokio::test]
async fn whatever_tells_identities_apart_tells_logins_apart() -> Result<()> {
    let stage = Stage::set().await?;
    let plain = class(ONE);
    for (account, class) in [
        ("web", plain.clone()),
        ("db", plain.clone()),
        ("web", plain.clone().with("roleName", "other")),
        ("web", plain.clone().with("vaultAuthMountPath", "jwt")),
        ("web", plain.clone().with("vaultNamespace", "team")),
        (
            "web",
            plain.clone().with(
                "vaultAddress",
                &stage.store.address().replace("127.0.0.1", "localhost"),
            ),
        ),
    ] {
        for _ in 0..2 {
            stage
                .content(&stage.volume_of(account, class.clone())?)
                .await?;
        }
    }
    assert_eq!(stage.store.logins(), 6);
    let bodies: Vec<_> = stage
        .store
        .requests()
        .into_iter()
        .filter(|asked| asked.is_login())
        .collect();
    assert_eq!(bodies[3].path, "/v1/auth/jwt/login");
    assert_eq!(bodies[2].json()["role"], "other");
    assert!(
        bodies
            .iter()
            .all(|login| login.header("x-vault-token").is_none())
    );
    Ok(())
}

/// I1, D8: a token that the store revoked costs one login for 50 mounts that wait for it, and none of them fails.
#[tokio::test]
async fn a_revoked_token_is_replaced_once_for_everybody() -> Result<()> {
    let stage = Stage::set().await?;
    let volumes: Vec<_> = (0..50).map(|_| stage.volume(ONE)).collect::<Result<_>>()?;
    stage.content(&volumes[0]).await?;
    stage.store.revoke_all();
    let mounts = volumes.iter().map(|volume| stage.mount(volume));
    for outcome in join_all(mounts).await {
        assert_eq!(outcome?.files()?["a"], "v");
    }
    assert_eq!(stage.store.logins(), 2);
    Ok(())
}

/// I1: the same when each pod reads something else, so that no read is shared either.
#[tokio::test]
async fn a_revoked_token_is_replaced_once_for_different_reads() -> Result<()> {
    let stage = Stage::set().await?;
    stage.content(&stage.volume(ONE)?).await?;
    stage.store.revoke_all();
    let volumes = (0..50).map(|at| {
        let path = format!("secret/data/{at}");
        stage.store.put(&path, serde_json::json!({"k": "v"}));
        stage.volume(&ONE.replace("secret/data/a", &path))
    });
    let volumes: Vec<_> = volumes.collect::<Result<_>>()?;
    for outcome in join_all(volumes.iter().map(|volume| stage.mount(volume))).await {
        assert_eq!(outcome?.files()?["a"], "v");
    }
    assert_eq!(stage.store.logins(), 2);
    Ok(())
}

/// D9, I2: a path that the policy denies costs no login beyond the first, however often it is polled.
#[tokio::test]
async fn a_denied_path_is_no_login_loop() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on(
        "/v1/secret/data/a",
        Reply::errors(403, &["1 error occurred:\n\t* permission denied\n\n"]),
    );
    let volume = stage.volume(ONE)?;
    for _ in 0..10 {
        let text = stage
            .refused(&volume, Code::PermissionDenied, "denied")
            .await?;
        for part in [
            "object \"a\"",
            "permission denied",
            "Code: 403",
            "path secret/data/a",
            "role app",
            "service account shop/web",
            "needs read on this path",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    assert_eq!(stage.store.logins(), 1);
    let looked = stage.asked("auth/token/lookup-self");
    assert!(looked <= 1, "looked at the token {looked} times");
    Ok(())
}

/// D9: one denied object beside good ones does not take their login away.
#[tokio::test]
async fn a_denied_object_leaves_the_login_of_the_others_alone() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on(
        "/v1/secret/data/no",
        Reply::errors(403, &["permission denied"]),
    );
    let denied = stage.volume(&ONE.replace("data/a", "data/no"))?;
    for _ in 0..5 {
        stage
            .refused(&denied, Code::PermissionDenied, "denied")
            .await?;
        assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    }
    assert_eq!(stage.store.logins(), 1);
    Ok(())
}

/// I3: a refused login keeps the store's first words on one line and is not asked again within a minute.
#[tokio::test]
async fn a_refused_login_keeps_the_stores_words() -> Result<()> {
    let stage = Stage::set().await?;
    for (account, status, error, hint) in [
        (
            "one",
            403,
            "service account name not authorized",
            "bind this service account",
        ),
        (
            "two",
            403,
            "namespace not authorized",
            "bind this service account",
        ),
        (
            "three",
            400,
            "invalid role name \"app\"",
            "create role app in auth/kubernetes",
        ),
        (
            "four",
            400,
            "error validating token: invalid audience (aud) claim",
            "expects another audience",
        ),
        (
            "five",
            400,
            "error validating token: token has expired (exp)",
            "clock skew?",
        ),
        (
            "six",
            403,
            "permission denied",
            "check that auth/kubernetes exists",
        ),
    ] {
        stage.store.forget_requests();
        stage.store.on_login(Reply::errors(status, &[error]));
        let volume = stage.volume_of(account, class(ONE))?;
        for _ in 0..3 {
            let text = stage
                .refused(&volume, Code::Unauthenticated, "login_refused")
                .await?;
            assert!(
                text.starts_with(&format!(
                    "failed to login: {error}, Code: {status} (role app, store "
                )),
                "{text}"
            );
            assert!(
                text.contains(&format!("service account shop/{account}")) && text.contains(hint),
                "{text}"
            );
        }
        assert_eq!((stage.store.logins(), stage.store.requests().len()), (1, 1));
    }
    assert_eq!(
        stage
            .provider
            .metric("coffer_logins_total{method=\"kubernetes\",result=\"refused\"}")
            .await?,
        Some(6.0)
    );
    Ok(())
}

/// I2: mounts that come together while a login is refused share that one refusal.
#[tokio::test]
async fn a_refused_login_is_shared_by_those_who_wait_for_it() -> Result<()> {
    let stage = Stage::set().await?;
    stage
        .store
        .on_login(Reply::errors(403, &["no"]).after(Duration::from_millis(200)));
    let volumes: Vec<_> = (0..30).map(|_| stage.volume(ONE)).collect::<Result<_>>()?;
    for outcome in join_all(volumes.iter().map(|volume| stage.mount(volume))).await {
        check_failure(&outcome?, Code::Unauthenticated, "login_refused")?;
    }
    assert_eq!(stage.store.logins(), 1);
    Ok(())
}

/// X1: of two accounts that read one path at the same moment each gets what its own login may read.
#[tokio::test]
async fn an_account_gets_what_its_own_login_may_read() -> Result<()> {
    let stage = Stage::set().await?;
    stage.content(&stage.volume_of("one", class(ONE))?).await?;
    stage.store.rule(|asked| {
        let reply = match asked.header("x-vault-token") {
            Some("hvs.scripted-1") => return None,
            _ => Reply::errors(403, &["permission denied"]),
        };
        (asked.path == "/v1/secret/data/a").then(|| reply.after(Duration::from_millis(100)))
    });
    let volumes: Vec<_> = (0..20)
        .map(|at| stage.volume_of(if at % 2 == 0 { "one" } else { "two" }, class(ONE)))
        .collect::<Result<_>>()?;
    let outcomes = join_all(volumes.iter().map(|volume| stage.mount(volume))).await;
    for (at, outcome) in outcomes.into_iter().enumerate() {
        if at % 2 == 0 {
            assert_eq!(outcome?.files()?["a"], "v");
        } else {
            check_failure(&outcome?, Code::PermissionDenied, "denied")?;
        }
    }
    Ok(())
}

/// I7: a class that changes between two republishes is another identity with a login of its own.
#[tokio::test]
async fn a_changed_role_is_a_new_login() -> Result<()> {
    let stage = Stage::set().await?;
    let mut volume = stage.volume(ONE)?;
    for (role, logins) in [("app", 1), ("other", 2), ("app", 2)] {
        volume.class = volume.class.with("roleName", role);
        assert_eq!(stage.content(&volume).await?, "v");
        assert_eq!(stage.store.logins(), logins, "{role}");
    }
    Ok(())
}

/// D31: pods share connections; mounts one after the other need a few.
#[tokio::test]
async fn pods_share_connections() -> Result<()> {
    let stage = Stage::set().await?;
    for at in 0..20 {
        let volume = stage.volume_of(&format!("account-{at}"), class(ONE))?;
        stage.content(&volume).await?;
    }
    // A connection goes back a moment after its answer, so that the next mount may just miss it.
    let connections = stage.store.connections();
    assert!(connections <= 5, "{connections} connections for 20 pods");
    Ok(())
}

/// I1, D8: while no login can be had, an ageing token serves on, and the store is not asked for one by every mount.
#[tokio::test]
async fn an_ageing_token_serves_on_while_no_login_can_be_had() -> Result<()> {
    let simulation = Simulation::set(&[("refresh-interval", "0")]).await?;
    simulation.store.set_token_ttl(600);
    let volume = simulation.volume("web", class(ONE))?;
    simulation.mount(&volume).await?;
    simulation.store.rule(|asked| {
        let login = asked.is_login() || asked.path == "/v1/auth/token/renew-self";
        login.then(|| Reply::errors(429, &["busy"]).header("retry-after", "0"))
    });
    simulation.provider.clock.advance(Duration::from_secs(420));
    let mounts = (0..12).map(|_| simulation.mount(&volume));
    futures_util::future::try_join_all(mounts).await?;
    let logins = simulation.store.logins() - 1;
    ensure!(
        (1..=3).contains(&logins),
        "{logins} logins: one with its repeats is enough for all"
    );
    simulation.store.heal();
    simulation.provider.clock.advance(Duration::from_secs(60));
    simulation.mount(&volume).await?;
    let renewals = simulation.asked("auth/token/renew-self");
    ensure!(renewals >= 2, "it is tried again: {renewals}");
    Ok(())
}

/// D9: a token that may not look itself up lives all the same: it is given back, not forgotten.
#[tokio::test]
async fn a_token_that_was_taken_for_dead_is_given_back() -> Result<()> {
    let simulation = Simulation::set(&[("refresh-interval", "0")]).await?;
    let volume = simulation.volume("web", class(ONE))?;
    simulation.mount(&volume).await?;
    simulation.provider.clock.advance(Duration::from_secs(1));
    simulation.store.on(
        "/v1/auth/token/lookup-self",
        Reply::errors(403, &["permission denied"]),
    );
    simulation.store.on(
        "/v1/secret/data/a",
        Reply::errors(403, &["permission denied"]),
    );
    ensure!(
        simulation
            .provider
            .mount(&volume.first_mount())
            .await
            .is_err()
    );
    eventually(
        Duration::from_secs(10),
        "a token that is given back",
        async || {
            ensure!(simulation.asked("auth/token/revoke-self") == 1);
            Ok(())
        },
    )
    .await?;
    assert_eq!(simulation.store.logins(), 2);
    Ok(())
}
