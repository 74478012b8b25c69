//! How often the store is asked for running pods: intervals, shared reads, remembered denials.
//!
//! Minutes pass by a clock of the test; what the shipped binary does by default is shown over its socket.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use coffer_tests::driver::{Class, Volume};
use coffer_tests::provider::DEFAULT_MEMORY;
use coffer_tests::scripted::Reply;
use futures_util::future::try_join_all;
use serde_json::json;
use tonic::Code;

use crate::stage::{ONE, Simulation, Stage, class, leased};

/// Objects on three paths, two of them on one.
const THREE: &str = "
- {objectName: a, secretPath: secret/data/a, secretKey: k}
- {objectName: a-again, secretPath: /v1/secret/data/a, secretKey: k}
- {objectName: b, secretPath: secret/data/b, secretKey: k}
- {objectName: c, secretPath: secret/data/c, secretKey: k}";

const MINUTE: Duration = Duration::from_secs(60);

/// Kubelet's next pause: between 60 and 90 s, at even spread.
fn pause(at: u32) -> Duration {
    MINUTE + Duration::from_secs(30).mul_f64((f64::from(at) * 0.618_033_988_749_895).fract())
}

/// Publishes every volume at the start and then as kubelet does, until `end`; in the order of time.
async fn live(simulation: &Simulation, volumes: &[Volume], end: Duration) -> Result<usize> {
    let provider = &simulation.provider;
    let first = volumes.iter().map(Volume::first_mount).collect::<Vec<_>>();
    try_join_all(first.iter().map(|request| provider.mount(request)))
        .await
        .map_err(|fault| anyhow!("{fault}"))?;
    let mut due: BTreeMap<(Duration, usize), u32> = (0..volumes.len())
        .map(|at| ((pause(u32::try_from(at).unwrap_or(0)), at), 0))
        .collect();
    let mut republished = 0;
    while let Some(((when, at), times)) = due.pop_first().filter(|((when, _), _)| *when < end) {
        provider.clock.move_to(when);
        let request = volumes[at].rotation(&[]);
        provider
            .mount(&request)
            .await
            .map_err(|fault| anyhow!("{fault}"))?;
        republished += 1;
        let next = pause(u32::try_from(at).unwrap_or(0) * 7 + times);
        due.insert((when + next, at), times + 1);
    }
    Ok(republished)
}

/// D7, I1: a hundred pods of one account share one login and, within an interval, one read per path.
#[tokio::test]
async fn a_hundred_pods_over_ten_minutes_cost_one_login_and_sixteen_reads_per_path() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    for path in ["a", "b", "c"] {
        simulation
            .store
            .put(&format!("secret/data/{path}"), json!({"k": path}));
    }
    let volumes = (0..100)
        .map(|_| simulation.volume("web", class(THREE)))
        .collect::<Result<Vec<_>>>()?;
    let republished = live(&simulation, &volumes, 10 * MINUTE).await?;
    ensure!(republished > 700, "only {republished} republishes");
    let asked = ["a", "b", "c"].map(|path| simulation.asked(&format!("secret/data/{path}")));
    ensure!(
        asked.iter().all(|reads| (10..=16).contains(reads)),
        "{asked:?} reads"
    );
    assert_eq!(simulation.store.logins(), 1);
    Ok(())
}

/// D10, L1: what was issued is issued once per pod, however often kubelet comes back.
#[tokio::test]
async fn unchanged_dynamic_credentials_are_never_issued_again() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    simulation.store.rule(|asked| {
        let issued = || coffer_tests::fixture::random_hex(8).unwrap_or_default();
        (asked.path == "/v1/database/creds/app").then(|| {
            let id = issued();
            leased(&format!("database/creds/app/{id}"), &id, 3600)
        })
    });
    let objects = "
- {objectName: user, secretPath: database/creds/app, secretKey: username}
- {objectName: password, secretPath: database/creds/app, secretKey: password}";
    let volumes = (0..20)
        .map(|_| simulation.volume("web", class(objects)))
        .collect::<Result<Vec<_>>>()?;
    live(&simulation, &volumes, 20 * MINUTE).await?;
    // The first pod's answer shows that the path is leased; those that shared its flight ask for their own.
    assert_eq!(simulation.asked("database/creds/app"), 20);
    Ok(())
}

/// A lone pod's next republish always reads fresh, and so it sees a rotation without anybody's doing.
#[tokio::test]
async fn a_lone_pods_next_republish_sees_a_rotation() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    let volume = simulation.volume("web", class(ONE))?;
    for round in 0..10_u32 {
        let value = format!("value {round}");
        simulation.store.put("secret/data/a", json!({"k": value}));
        let mounted = simulation.mount(&volume).await?;
        assert_eq!(mounted, [("a".to_owned(), value)], "round {round}");
        simulation.provider.clock.advance(pause(round));
    }
    Ok(())
}

/// A class says how far its files may lag, by Go's durations or in seconds, within the operator's bounds.
#[tokio::test]
async fn a_class_decides_its_interval_within_the_operators_bounds() -> Result<()> {
    let bounds = [
        ("min-refresh-interval", "30s"),
        ("max-refresh-interval", "10m"),
    ];
    let simulation = Simulation::set(&bounds).await?;
    for (interval, waits, reads) in [
        // Jitter takes a tenth at most: at nine tenths an answer may be due, before that it never is.
        ("5m", [268, 40], [0, 1]),
        ("300", [268, 40], [0, 1]),
        ("0", [26, 5], [0, 1]),
        ("1h", [538, 70], [0, 1]),
        ("", [40, 6], [0, 1]),
    ] {
        let volume = simulation.volume("web", class(ONE).with("refreshInterval", interval))?;
        simulation.mount(&volume).await?;
        for (wait, expected) in waits.into_iter().zip(reads) {
            let before = simulation.asked("secret/data/a");
            simulation.provider.clock.advance(Duration::from_secs(wait));
            simulation.mount(&volume).await?;
            let asked = simulation.asked("secret/data/a") - before;
            assert_eq!(asked, expected, "{interval:?} after {wait} s");
        }
    }
    Ok(())
}

/// The first mount of a pod sees a read that is at most a second old, whatever other pods have read.
#[tokio::test]
async fn a_pods_first_mount_reads_fresh_and_a_storm_of_pods_is_one_read() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    let first = async || {
        let volume = simulation.volume("web", class(ONE))?;
        simulation.mount(&volume).await
    };
    for _ in 0..20 {
        first().await?;
    }
    assert_eq!(
        simulation.asked("secret/data/a"),
        1,
        "twenty pods in a moment"
    );
    simulation
        .provider
        .clock
        .advance(Duration::from_millis(1001));
    simulation.store.put("secret/data/a", json!({"k": "new"}));
    assert_eq!(first().await?, [("a".to_owned(), "new".to_owned())]);
    assert_eq!(simulation.asked("secret/data/a"), 2);
    Ok(())
}

/// X2: the same pod name with a new UID is a new pod.
#[tokio::test]
async fn a_pod_with_the_same_name_and_a_new_uid_starts_anew() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    let old = simulation.volume("web", class(ONE))?;
    simulation.mount(&old).await?;
    simulation.provider.clock.advance(Duration::from_secs(5));
    let new = simulation.volume("web", class(ONE))?;
    assert_eq!(old.pod.name, new.pod.name);
    simulation.mount(&new).await?;
    assert_eq!(simulation.asked("secret/data/a"), 2);
    Ok(())
}

/// I7: after an edit of the class nothing of the old identity or request answers.
#[tokio::test]
async fn an_edited_class_never_gets_the_old_answer() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    let other = Simulation::set(&[]).await?;
    other
        .store
        .put("secret/data/a", json!({"k": "of the other store"}));
    simulation.store.put("secret/data/b", json!({"k": "b"}));
    let volume = simulation.volume("web", class(ONE))?;
    simulation.mount(&volume).await?;
    let edits: [(&str, Class); 5] = [
        ("role", class(ONE).with("roleName", "other")),
        ("namespace", class(ONE).with("vaultNamespace", "team")),
        ("auth mount", class(ONE).with("vaultAuthMountPath", "jwt")),
        (
            "query",
            class("- {objectName: a, secretPath: 'secret/data/a?version=1', secretKey: k}"),
        ),
        (
            "path",
            class("- {objectName: a, secretPath: secret/data/b, secretKey: k}"),
        ),
    ];
    for (what, class) in edits {
        let before = simulation.store.requests().len();
        let edited = Volume {
            class,
            ..volume.clone()
        };
        simulation.mount(&edited).await?;
        ensure!(
            simulation.store.requests().len() > before,
            "{what}: nothing was asked"
        );
    }
    let class = class(ONE).with("vaultAddress", &other.store.address());
    let moved = simulation
        .mount(&Volume {
            class,
            ..volume.clone()
        })
        .await?;
    assert_eq!(moved[0].1, "of the other store");
    let before = simulation.store.requests().len();
    simulation.mount(&volume).await?;
    assert_eq!(
        simulation.store.requests().len(),
        before,
        "the old class is still known"
    );
    Ok(())
}

/// T6, X1: what one account may read never answers another, also at the same moment.
#[tokio::test]
async fn nothing_read_for_one_account_answers_another() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    let web = simulation.volume("web", class(ONE))?;
    simulation.mount(&web).await?;
    let token = simulation.store.requests();
    let token = token
        .iter()
        .find_map(|asked| asked.header("x-vault-token"))
        .context("no token")?
        .to_owned();
    simulation.store.rule(move |asked| {
        let others = asked
            .header("x-vault-token")
            .is_some_and(|sent| sent != token);
        others.then(|| Reply::errors(403, &["permission denied"]))
    });
    let other = simulation.volume("other", class(ONE))?;
    let fault = simulation.fault(&other).await?;
    ensure!(fault.contains("permission denied"), "{fault}");
    simulation.mount(&web).await?;
    Ok(())
}

/// I2, D9: a denied path is asked for again after 10 to 30 s, not at every attempt of kubelet.
#[tokio::test]
async fn a_denial_is_remembered_for_a_while() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    simulation.store.on(
        "/v1/secret/data/a",
        Reply::errors(403, &["permission denied"]),
    );
    let volume = simulation.volume("web", class(ONE))?;
    let mut attempts = 0;
    while simulation.provider.clock.passed() < 10 * MINUTE {
        let fault = simulation.fault(&volume).await?;
        ensure!(fault.ends_with("[denied]"), "{fault}");
        simulation.provider.clock.advance(Duration::from_secs(2));
        attempts += 1;
    }
    let asked = simulation.asked("secret/data/a");
    ensure!(
        (19..=60).contains(&asked),
        "{asked} reads in {attempts} attempts"
    );
    assert_eq!(simulation.store.logins(), 1);
    simulation.store.heal();
    simulation.provider.clock.advance(Duration::from_secs(30));
    simulation.mount(&volume).await?;
    Ok(())
}

/// A changed policy is noticed within an interval: files of a pod whose right was taken do not go on.
#[tokio::test]
async fn a_right_that_was_taken_away_is_noticed_within_an_interval() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    let volume = simulation.volume("web", class(ONE))?;
    simulation.mount(&volume).await?;
    simulation.store.on(
        "/v1/secret/data/a",
        Reply::errors(403, &["permission denied"]),
    );
    simulation.provider.clock.advance(Duration::from_secs(45));
    let fault = simulation.fault(&volume).await?;
    ensure!(fault.ends_with("[denied]"), "{fault}");
    Ok(())
}

/// A role that was deleted is noticed when its token is due, although the token may be used for longer.
#[tokio::test]
async fn a_deleted_role_is_noticed_at_the_next_renewal() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    simulation.store.set_token_ttl(600);
    let volume = simulation.volume("web", class(ONE))?;
    simulation.mount(&volume).await?;
    simulation.store.rule(|asked| {
        let gone = asked.is_login() || asked.path == "/v1/auth/token/renew-self";
        gone.then(|| Reply::errors(400, &["invalid role name \"app\""]))
    });
    simulation.provider.clock.advance(Duration::from_secs(390));
    simulation.mount(&volume).await?;
    simulation.provider.clock.advance(Duration::from_secs(60));
    let fault = simulation.fault(&volume).await?;
    ensure!(fault.ends_with("[login_refused]"), "{fault}");
    Ok(())
}

/// D8: over three lives of a token it is renewed, and the store never says 403.
#[tokio::test]
async fn a_token_is_renewed_at_two_thirds_of_its_life() -> Result<()> {
    let simulation = Simulation::set(&[]).await?;
    simulation.store.set_token_ttl(600);
    let volume = simulation.volume("web", class(ONE))?;
    for _ in 0..25 {
        simulation.mount(&volume).await?;
        simulation.provider.clock.advance(Duration::from_secs(75));
    }
    assert_eq!(simulation.store.logins(), 1);
    let renewals = simulation.asked("auth/token/renew-self");
    ensure!(
        (4..=5).contains(&renewals),
        "{renewals} renewals in 1,875 s"
    );
    Ok(())
}

/// A token that is good for so many requests only is replaced before the store refuses it, and its last
/// use is left for giving it back.
#[tokio::test]
async fn a_token_limited_in_uses_is_never_used_up() -> Result<()> {
    for (uses, logins) in [(1, 12), (2, 12), (4, 4), (13, 1)] {
        let simulation = Simulation::set(&[("refresh-interval", "0")]).await?;
        let given = std::sync::atomic::AtomicUsize::new(0);
        simulation.store.rule(move |asked| {
            let number = || given.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            asked.is_login().then(|| limited_login(number(), uses))
        });
        simulation.store.rule(|asked| {
            let reads = asked.path.starts_with("/v1/secret/");
            reads.then(|| Reply::data(&json!({"data": {"k": "v"}, "metadata": {"version": 1}})))
        });
        let volume = simulation.volume("web", class(THREE))?;
        for _ in 0..4 {
            simulation.mount(&volume).await?;
        }
        let requests = simulation.store.requests();
        let mut used: BTreeMap<&str, usize> = BTreeMap::new();
        for asked in requests
            .iter()
            .filter(|asked| asked.path.starts_with("/v1/secret/"))
        {
            *used
                .entry(asked.header("x-vault-token").unwrap_or_default())
                .or_default() += 1;
        }
        let most = used.values().max().copied().unwrap_or_default();
        ensure!(most <= (uses - 1).max(1), "{uses} uses: {used:?}");
        assert_eq!(simulation.store.logins(), logins, "{uses} uses");
        assert_eq!(simulation.asked("auth/token/renew-self"), 0);
    }
    Ok(())
}

fn limited_login(number: usize, uses: usize) -> Reply {
    Reply::json(
        200,
        &json!({"auth": {
            "client_token": format!("hvs.limited-{number}"), "lease_duration": 3600, "renewable": true, "num_uses": uses,
            "policies": ["default"], "accessor": "a", "metadata": {},
        }}),
    )
}

/// `--cache=off`, and its peers' name: neither logins nor answers are remembered.
#[tokio::test]
async fn without_a_cache_every_mount_logs_in_and_reads() -> Result<()> {
    for option in [("cache", "off"), ("cache-size", "0")] {
        let simulation = Simulation::set(&[option]).await?;
        let volume = simulation.volume("web", class(ONE))?;
        for round in 1..=3 {
            simulation.mount(&volume).await?;
            assert_eq!(simulation.store.logins(), round, "{option:?}");
            assert_eq!(simulation.asked("secret/data/a"), round, "{option:?}");
        }
        assert_eq!(simulation.provider.parts.memory.bytes(), 0);
        simulation.store.rule(|_| Some(Reply::hang_up()));
        let failed = simulation.provider.mount(&volume.first_mount()).await;
        ensure!(
            failed.is_err(),
            "{option:?}: nothing is remembered for an outage either"
        );
    }
    Ok(())
}

/// X3: whoever cannot prove to be an account gets nothing that was remembered for it.
#[tokio::test]
async fn a_junk_token_gets_nothing_out_of_memory() -> Result<()> {
    let stage = Stage::with_environment(&[], &DEFAULT_MEMORY).await?;
    let volume = stage.volume(ONE)?;
    assert_eq!(stage.content(&volume).await?, "v");
    stage
        .store
        .on_login(Reply::errors(400, &["error validating token"]));
    let forged = Volume {
        tokens: Some(vec![coffer_tests::driver::ServiceToken::new(
            "vault", "junk",
        )]),
        ..volume.clone()
    };
    stage
        .refused(&forged, Code::Unauthenticated, "login_refused")
        .await?;
    assert_eq!(stage.content(&volume).await?, "v", "its owner still has it");
    Ok(())
}

/// The shipped binary's defaults: the second publish asks nobody, and says so.
#[tokio::test]
async fn by_default_a_republish_asks_nobody() -> Result<()> {
    let stage = Stage::with_environment(&["--log-level", "debug"], &DEFAULT_MEMORY).await?;
    let volume = stage.volume(ONE)?;
    for _ in 0..10 {
        assert_eq!(stage.content(&volume).await?, "v");
    }
    assert_eq!(stage.store.requests().len(), 2, "one login, one read");
    assert_eq!(
        stage.provider.metric("coffer_served_memory_total").await?,
        Some(9.0)
    );
    let mut stage = stage;
    let log = stage.provider.whole_log().await?;
    assert_eq!(log.matches("\"source\":\"memory\"").count(), 9, "{log}");
    Ok(())
}

/// `refreshInterval: 0` reads at every republish.
#[tokio::test]
async fn an_interval_of_zero_reads_at_every_republish() -> Result<()> {
    let stage = Stage::with_environment(&[], &DEFAULT_MEMORY).await?;
    let volume = stage.volume_of("web", class(ONE).with("refreshInterval", "0"))?;
    for round in 1..=5 {
        stage.content(&volume).await?;
        assert_eq!(stage.asked("secret/data/a"), round);
    }
    Ok(())
}

/// A wrong interval is told with the field and the remedy before anything is asked.
#[tokio::test]
async fn a_wrong_interval_is_refused_before_any_request() -> Result<()> {
    let stage = Stage::set().await?;
    let volume = stage.volume_of("web", class(ONE).with("refreshInterval", "5 minutes"))?;
    let text = stage
        .refused(&volume, Code::InvalidArgument, "bad_request")
        .await?;
    ensure!(
        text.contains("refreshInterval") && text.contains("10m"),
        "{text}"
    );
    ensure!(stage.store.requests().is_empty());
    Ok(())
}
