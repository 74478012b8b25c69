//! The canary: marker secrets through every kind of fault, at the most talkative level; no marker may come out.

use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_proto::v1alpha1::MountRequest;
use coffer_tests::driver::{ServiceToken, Volume};
use coffer_tests::fixture::eventually;
use coffer_tests::scripted::Reply;
use serde_json::{Value, json};

use crate::stage::{AUDIENCE, ONE, Stage, class};

/// Every secret of this test holds it.
const MARKER: &str = "canary7f3a";

const OBJECTS: &str = "
- {objectName: value, secretPath: secret/data/app, secretKey: k}
- {objectName: whole, secretPath: secret/data/app}
- {objectName: hex, secretPath: secret/data/app, secretKey: k, encoding: hex}
- {objectName: issued, secretPath: pki/issue/web, method: PUT, secretArgs: {password: canary7f3a-args, deep: {er: [canary7f3a-list]}}, secretKey: k}";

fn good(data: Value) -> Reply {
    Reply::data(&data).header("x-secret", "canary7f3a-header")
}

/// What a login may answer, and what a read may, each with markers in it.
fn answers() -> (Vec<Reply>, Vec<Reply>) {
    let cut = |text: &str| Reply::text(200, text.to_owned());
    let token = |token: Value, more: Value| {
        Reply::json(
            200,
            &json!({"auth": {"client_token": token, "accessor": "canary7f3a-accessor", "lease_duration": 60, "renewable": true, "metadata": more}}),
        )
    };
    let logins = vec![
        token(json!("hvs.canary7f3a-token"), Value::Null),
        token(json!("hvs.canary7f3a\n"), Value::Null),
        token(json!(["hvs.canary7f3a"]), json!({"a": "canary7f3a"})),
        cut("{\"auth\": {\"client_token\": \"hvs.canary7f3a"),
        cut("<html>canary7f3a</html>"),
        Reply::hang_up(),
    ];
    let reads = vec![
        good(json!({"data": {"k": "canary7f3a-value"}, "metadata": {}})),
        good(json!({"data": {"canary7f3a-key": "x"}, "metadata": {}})),
        cut("{\"data\": {\"k\": \"canary7f3a"),
        cut("canary7f3a"),
        Reply::json(200, &json!(["canary7f3a"])),
        Reply::data(&json!({"k": "canary7f3a"})).cut_after(40),
        Reply::verbatim("HTTP/1.1 200 OK\r\ncanary7f3a\r\n\r\n"),
        Reply::verbatim("canary7f3a\r\n\r\n"),
        Reply::json(500, &json!({"errors": [], "data": "canary7f3a"})),
        Reply::json(
            403,
            &json!({"errors": ["permission denied"], "data": "canary7f3a"}),
        ),
        Reply::text(502, "<html>canary7f3a</html>"),
        Reply::text(307, "canary7f3a").header("location", "/v1/elsewhere?token=canary7f3a"),
        crate::stage::leased("lease/1", "canary7f3a-user", 60),
    ];
    (logins, reads)
}

fn volumes(stage: &Stage) -> Result<Vec<Volume>> {
    let mut forged = stage.volume(OBJECTS)?;
    forged.tokens = Some(vec![ServiceToken::new(
        AUDIENCE,
        "canary7f3a.canary7f3a.canary7f3a",
    )]);
    let mut in_secrets = stage
        .volume(OBJECTS)?
        .with_secret("password", "canary7f3a-secret-ref");
    in_secrets.tokens_in_secrets = true;
    let query = OBJECTS.replace(
        "secretPath: secret/data/app",
        "secretPath: 'secret/data/app?token=canary7f3a'",
    );
    let bad_args = OBJECTS.replace(
        "password: canary7f3a-args",
        "infinite: .inf, nested: {1: canary7f3a}, text: canary7f3a-args",
    );
    let bad_method = OBJECTS.replace("method: PUT", "method: BREW");
    Ok(vec![
        stage.volume(OBJECTS)?,
        forged,
        in_secrets,
        stage.volume(&query)?,
        stage.volume(&bad_args)?,
        stage.volume(&bad_method)?,
    ])
}

/// A login's answer and a read's, in turn. All but the first login fail before any read, so two reads of each do.
fn rounds() -> Vec<(Reply, Reply)> {
    let (logins, reads) = answers();
    let mut rounds = Vec::new();
    for (at, login) in logins.iter().enumerate() {
        let count = if at == 0 { reads.len() } else { 2 };
        let reads = reads.iter().take(count).cloned();
        rounds.extend(reads.map(|read| (login.clone(), read)));
    }
    rounds
}

/// What the driver was told, and the tokens that it sent.
#[derive(Default)]
struct Heard {
    told: String,
    jwts: Vec<String>,
}

impl Heard {
    async fn mount(&mut self, stage: &Stage, request: &MountRequest) {
        if let Err(status) = stage.driver.mount_raw(request).await.reply {
            self.told += &format!("{status:?}\n{}\n", status.message());
        }
    }

    /// Mounts under every answer, with the plain volume and with each other one in turn.
    async fn under_every_answer(&mut self, stage: &Stage) -> Result<()> {
        for (at, (login, read)) in rounds().into_iter().enumerate() {
            let all = volumes(stage)?;
            for mut volume in [all[0].clone(), all[(at + 1) % all.len()].clone()] {
                // Something good in between, or the breaker would keep answers away.
                stage.store.heal();
                stage.content(&stage.volume(ONE)?).await?;
                let (login, read) = (login.clone(), read.clone());
                stage.store.rule(move |asked| {
                    let reply = if asked.is_login() { &login } else { &read };
                    Some(reply.clone())
                });
                volume.class = volume.class.with("roleName", &format!("role-{at}"));
                let tokens = volume.tokens.iter().flatten();
                self.jwts.extend(tokens.map(|token| token.jwt.clone()));
                self.mount(stage, &volume.first_mount()).await;
            }
        }
        stage.store.heal();
        Ok(())
    }

    /// Mounts with texts for attributes and for secrets that are not what they should be.
    async fn under_broken_requests(&mut self, stage: &Stage) -> Result<()> {
        for text in [
            "canary7f3a",
            "{\"roleName\":\"canary7f3a",
            "[\"canary7f3a\"]",
        ] {
            let good = stage.volume(OBJECTS)?.first_mount();
            let attributes = text.to_owned();
            let secrets = text.to_owned();
            let broken = [
                MountRequest {
                    attributes,
                    ..good.clone()
                },
                MountRequest { secrets, ..good },
            ];
            for request in &broken {
                self.mount(stage, request).await;
            }
        }
        Ok(())
    }

    /// Fails when a text has a marker, a token of the store, or a whole service account token or its signature.
    fn check(&self, name: &str, text: &str) -> Result<()> {
        let secret = |line: &&str| line.contains(MARKER) || line.contains("hvs.");
        let found = text.lines().find(secret);
        ensure!(found.is_none(), "{name}: {}", found.unwrap_or_default());
        let signature = |jwt: &String| text.contains(jwt.rsplit('.').next().unwrap_or(jwt));
        let found = self.jwts.iter().any(signature);
        ensure!(!found, "{name} holds a service account token");
        Ok(())
    }
}

/// D33, R1, T8: no secret byte reaches a log line at trace, a status or a metric, whatever goes wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_but_in_a_file() -> Result<()> {
    // Without repeats a mount fails too seldom to open the breaker.
    let arguments = "-log-level trace -cache-size 2 -vault-max-retries 0";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut stage = Stage::with(&arguments).await?;
    let mut heard = Heard::default();
    heard.under_every_answer(&stage).await?;
    heard.under_broken_requests(&stage).await?;
    // An unchanged republish is told at the lowest levels only: proof that they are heard.
    stage.store.put("secret/data/app", json!({"k": MARKER}));
    let volume = stage.volume("- {objectName: a, secretPath: secret/data/app, secretKey: k}")?;
    for _ in 0..2 {
        assert_eq!(stage.content(&volume).await?, MARKER);
    }
    let (_, metrics) = stage.provider.ask("/metrics").await?;
    let log = stage.provider.whole_log().await?;
    ensure!(
        log.contains("\"level\":\"debug\""),
        "the level is not as talkative as it should be"
    );
    heard.check("status", &heard.told)?;
    heard.check("metrics", &metrics)?;
    heard.check("log", &log)
}

/// R1: the process lets no other look into its memory.
#[tokio::test]
async fn the_process_cannot_be_dumped() -> Result<()> {
    let stage = Stage::set().await?;
    let pid = stage.provider.pid();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap_or_default();
    let numbers: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
    Ok(())
}

/// R1: the level that a signal raises tells no more secrets than the one of a flag.
#[tokio::test]
async fn a_level_raised_by_signal_tells_no_secret() -> Result<()> {
    let mut stage = Stage::set().await?;
    let pid = rustix::process::Pid::from_raw(i32::try_from(stage.provider.pid())?);
    let pid = pid.ok_or_else(|| anyhow::anyhow!("no pid"))?;
    rustix::process::kill_process(pid, rustix::process::Signal::USR1)?;
    eventually(Duration::from_secs(10), "the raised level", async || {
        ensure!(stage.provider.log().contains("log level changed by signal"));
        Ok(())
    })
    .await?;
    stage
        .store
        .put("secret/data/app", json!({"k": "canary7f3a"}));
    let objects = "- {objectName: a, secretPath: secret/data/app, secretKey: k}";
    let volume = stage.volume_of("web", class(objects))?;
    for _ in 0..2 {
        assert_eq!(stage.content(&volume).await?, MARKER);
    }
    let log = stage.provider.whole_log().await?;
    ensure!(
        log.contains("\"level\":\"debug\"") && !log.contains(MARKER),
        "{log}"
    );
    Ok(())
}
