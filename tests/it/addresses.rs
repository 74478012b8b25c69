//! Several addresses of one store: which one serves, and when another takes over.

use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::driver::{Class, Volume};
use coffer_tests::fixture::{eventually, free_port};
use coffer_tests::scripted::{Reply, ScriptedStore};
use serde_json::json;
use tonic::Code;

use crate::stage::{Failures, ONE, Simulation, Stage, class};

const READ: &str = "/v1/secret/data/a";

/// A probe comes within six seconds; a busy machine takes its time.
const PROBED: Duration = Duration::from_secs(30);

/// A second node with the same secret that knows the tokens of any node.
async fn second() -> Result<ScriptedStore> {
    let store = ScriptedStore::start().await?;
    store.rule(|asked| {
        let data = json!({"data": {"k": "second"}, "metadata": {}});
        (asked.path == READ).then(|| Reply::data(&data))
    });
    Ok(store)
}

fn listed(addresses: &[&str]) -> Class {
    class(ONE).with("vaultAddress", &addresses.join(", "))
}

/// A volume of an account of its own, so that it logs in.
fn volume(stage: &Stage, account: &str, addresses: &[&str]) -> Result<Volume> {
    stage.volume_of(account, listed(addresses))
}

fn requests_but_probes(store: &ScriptedStore) -> usize {
    let asked = store.requests();
    let real = asked.iter().filter(|asked| asked.path != "/v1/sys/health");
    real.count()
}

/// N5, S2: whatever ails the first address, the second serves login and read, and goes on doing so.
#[tokio::test]
async fn the_second_address_serves_when_the_first_cannot() -> Result<()> {
    let mut failures = Failures::default();
    for (row, reply) in [
        ("sealed", Reply::errors(503, &["Vault is sealed"])),
        ("not initialised", Reply::errors(501, &[])),
        ("secondary", Reply::errors(472, &[])),
        ("standby", Reply::errors(473, &[])),
        ("standby without leader", Reply::errors(474, &[])),
        ("broken", Reply::errors(500, &["internal error"])),
        ("bad gateway", Reply::errors(502, &[])),
        ("hung up", Reply::hang_up()),
    ] {
        let (stage, second) = (Stage::set().await?, second().await?);
        stage.store.rule(move |_| Some(reply.clone()));
        let addresses = [&*stage.store.address(), &*second.address()];
        let served = async {
            for account in ["a", "b"] {
                let content = stage.content(&volume(&stage, account, &addresses)?).await?;
                ensure!(content == "second", "{content}");
            }
            ensure!(second.logins() == 2, "{} logins", second.logins());
            let first = requests_but_probes(&stage.store);
            ensure!(first == 1, "{first} requests to the first");
            Ok(())
        };
        failures.note(row, served.await);
    }
    failures.none()
}

/// N5: nobody at the first address, or no TLS there.
#[tokio::test]
async fn the_second_address_serves_when_the_first_is_dead() -> Result<()> {
    let (stage, second) = (Stage::set().await?, second().await?);
    let closed = format!("127.0.0.1:{}", free_port()?);
    for (account, first) in [
        ("plain", format!("http://{closed}")),
        ("tls", stage.store.address().replace("http", "https")),
    ] {
        let volume = volume(&stage, account, &[&first, &second.address()])?;
        assert_eq!(stage.content(&volume).await?, "second", "{first}");
    }
    Ok(())
}

/// N5: the order of the list counts again when the first address is well, which a probe without a token
/// finds out.
#[tokio::test]
async fn the_first_address_serves_again_when_it_is_well() -> Result<()> {
    let (stage, second) = (Stage::set().await?, second().await?);
    stage
        .store
        .rule(|_| Some(Reply::errors(503, &["Vault is sealed"])));
    let addresses = [&*stage.store.address(), &*second.address()];
    assert_eq!(
        stage.content(&volume(&stage, "web", &addresses)?).await?,
        "second"
    );
    stage.store.heal();
    let mut accounts = 0..;
    eventually(PROBED, "served by the first", async || {
        let account = format!("web-{}", accounts.next().unwrap_or(0));
        let content = stage
            .content(&volume(&stage, &account, &addresses)?)
            .await?;
        ensure!(content == "v", "{content}");
        Ok(())
    })
    .await?;
    let asked = stage.store.requests();
    let probes: Vec<_> = asked
        .iter()
        .filter(|asked| asked.path == "/v1/sys/health")
        .collect();
    ensure!(!probes.is_empty(), "it was probed");
    for probe in probes {
        assert_eq!(probe.header("x-vault-token"), None);
    }
    Ok(())
}

/// N5: what a working store answers moves nothing, neither at a read nor at a login.
#[tokio::test]
async fn an_answer_of_a_working_store_moves_nothing() -> Result<()> {
    let (stage, second) = (Stage::set().await?, second().await?);
    let addresses = [&*stage.store.address(), &*second.address()];
    let mut failures = Failures::default();
    for (status, code, reason) in [
        (403, Code::PermissionDenied, "denied"),
        (404, Code::NotFound, "not_found"),
        (400, Code::InvalidArgument, "bad_request"),
        (429, Code::Unknown, "store_busy"),
    ] {
        stage.store.on(READ, Reply::errors(status, &["no"]));
        let volume = volume(&stage, &format!("web-{status}"), &addresses)?;
        let refused = stage.refused(&volume, code, reason).await;
        failures.note(&status.to_string(), refused);
        stage.store.heal();
    }
    stage
        .store
        .on_login(Reply::errors(403, &["permission denied"]));
    let volume = volume(&stage, "nobody", &addresses)?;
    let refused = stage
        .refused(&volume, Code::Unauthenticated, "login_refused")
        .await;
    failures.note("login", refused);
    assert_eq!(second.requests().len(), 0);
    failures.none()
}

/// S2, N5: when no address is left the text names each that was tried, on one line.
#[tokio::test]
async fn when_none_is_left_every_address_is_named() -> Result<()> {
    let (stage, second) = (Stage::set().await?, second().await?);
    let dead = format!("127.0.0.1:{}", free_port()?);
    stage
        .store
        .rule(|_| Some(Reply::errors(503, &["Vault is sealed"])));
    second.rule(|_| Some(Reply::errors(473, &[])));
    let first = stage.store.address();
    let addresses = [&*first, &second.address(), &format!("http://{dead}")];
    let volume = volume(&stage, "web", &addresses)?;
    let text = stage
        .refused(&volume, Code::FailedPrecondition, "store_state")
        .await?;
    for part in [
        &*first.replace("http://", ""),
        "store is sealed",
        &second.address().replace("http://", ""),
        "standby without a leader",
        &dead,
        "phase connect",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    Ok(())
}

/// a request that writes goes to the second address only if the first cannot have carried it out.
#[tokio::test]
async fn a_write_moves_on_only_when_it_cannot_have_happened() -> Result<()> {
    let write = "- {objectName: a, secretPath: pki/issue/web, method: PUT, secretKey: k}";
    let mut failures = Failures::default();
    for (row, reply, moves) in [
        ("sealed", Reply::errors(503, &["Vault is sealed"]), true),
        ("not initialised", Reply::errors(501, &[]), true),
        ("secondary", Reply::errors(472, &[]), true),
        (
            "a proxy's 503",
            Reply::text(503, "no healthy upstream"),
            false,
        ),
        ("overload", Reply::errors(503, &["try again later"]), false),
        ("broken", Reply::errors(500, &[]), false),
        ("hung up", Reply::hang_up(), false),
        ("silence", Reply::silence(), false),
    ] {
        let stage = Stage::with(&["--vault-client-timeout", "1s"]).await?;
        let second = ScriptedStore::start().await?;
        stage.store.on("/v1/pki/issue/web", reply);
        second.on("/v1/pki/issue/web", Reply::data(&json!({"k": "issued"})));
        let addresses = format!("{},{}", stage.store.address(), second.address());
        let class = class(write).with("vaultAddress", &addresses);
        let outcome = stage.mount(&stage.volume_of("web", class)?).await?;
        let judged = || -> Result<()> {
            let writes = (
                stage.asked("pki/issue/web"),
                second.count("/v1/pki/issue/web"),
            );
            ensure!(writes == (1, usize::from(moves)), "{writes:?}");
            ensure!(outcome.files().is_ok() == moves);
            Ok(())
        };
        failures.note(row, judged());
    }
    failures.none()
}

/// The operator's own list is one for the policy, too, and a list that is none is refused by its field.
#[tokio::test]
async fn every_address_is_judged() -> Result<()> {
    let second = second().await?;
    let stage = Stage::with(&["--policy-profile", "strict", "--allow-plain-http"]).await?;
    let own = stage.store.address();
    let foreign = volume(&stage, "web", &[&own, &second.address()])?;
    let text = stage
        .refused(&foreign, Code::PermissionDenied, "not_allowed")
        .await?;
    assert!(text.contains("is not an allowed address"), "{text}");
    for list in [format!("{own},"), format!("{own},{own}/")] {
        let class = class(ONE).with("vaultAddress", &list);
        let text = stage
            .refused(
                &stage.volume_of("web", class)?,
                Code::InvalidArgument,
                "bad_request",
            )
            .await?;
        assert!(text.starts_with("vaultAddress: "), "{text}");
    }
    assert_eq!(stage.store.requests().len() + second.requests().len(), 0);
    Ok(())
}

/// N5: hours later as well: the second address serves when the first has gone away.
#[tokio::test]
async fn a_second_address_serves_however_long_the_provider_has_run() -> Result<()> {
    let second = ScriptedStore::start().await?;
    second.put("secret/data/a", json!({"k": "v"}));
    let simulation = Simulation::set(&[("refresh-interval", "0")]).await?;
    let both = format!("{}, {}", simulation.store.address(), second.address());
    simulation
        .provider
        .clock
        .advance(Duration::from_secs(3 * 3600));
    simulation.store.rule(|_| Some(Reply::hang_up()));
    let volume = simulation.volume("web", class(ONE).with("vaultAddress", &both))?;
    assert_eq!(simulation.mount(&volume).await?[0].1, "v");
    Ok(())
}
