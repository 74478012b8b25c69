//! What was issued for a pod survives the end of the provider, however it ends.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::{MountOutcome, ServiceToken, Volume};
use coffer_tests::fixture::{directory, eventually};
use coffer_tests::scripted::{Reply, ScriptedStore};
use serde_json::json;
use tempfile::TempDir;
use tonic::Code;

use crate::stage::{AUDIENCE, Stage, leased};

const CREDS: &str = "- {objectName: user, secretPath: database/creds/app, secretKey: username}\n- {objectName: password, secretPath: database/creds/app, secretKey: password}";

const WAIT: Duration = Duration::from_secs(20);

/// A provider with a version key and a place for its state.
struct Scene {
    stage: Stage,
    state: TempDir,
    key: TempDir,
    /// The size of a state of nothing.
    empty: u64,
}

impl Scene {
    async fn set() -> Result<Self> {
        // The one memory file system that every Linux has; the provider takes no other.
        let state = tempfile::tempdir_in("/dev/shm").context("/dev/shm has to be a tmpfs")?;
        let key = directory("key")?;
        let file = key.path().join("key");
        std::fs::write(&file, "made-up version key")?;
        let place = state.path().to_str().context("a path that is not UTF-8")?;
        let file = file.to_str().context("a path that is not UTF-8")?;
        let arguments = ["--state-dir", place, "--hmac-key-file", file];
        let stage = Stage::with(&arguments).await?;
        stage.provider.settled().await?;
        let log = stage.provider.log();
        ensure!(!log.contains("not kept over a restart"), "{log}");
        let mut scene = Self {
            stage,
            state,
            key,
            empty: 0,
        };
        scene.empty = std::fs::metadata(scene.file())?.len();
        Ok(scene)
    }

    /// With something issued for a volume that was mounted once.
    async fn issued(seconds: u64) -> Result<(Self, Volume, MountOutcome)> {
        let scene = Self::set().await?;
        dynamic(&scene.stage.store, seconds);
        let volume = scene.stage.volume(CREDS)?;
        let mounted = scene.stage.mount(&volume).await?;
        mounted.response()?;
        Ok((scene, volume, mounted))
    }

    fn file(&self) -> PathBuf {
        self.state.path().join("vault.issued.v1")
    }

    /// Waits until a process has found the version key and read the state.
    async fn taken_over(&self) -> Result<()> {
        eventually(WAIT, "a state that is taken over", async || {
            let log = self.stage.provider.log();
            ensure!(log.contains("took over what was issued before"), "{log}");
            Ok(())
        })
        .await
    }

    /// Waits until something is written behind the answer.
    async fn written(&self) -> Result<()> {
        eventually(WAIT, "a written state", async || {
            ensure!(std::fs::metadata(self.file())?.len() > self.empty);
            Ok(())
        })
        .await
    }
}

/// A new user with a lease of its own at each read; leases can be renewed.
fn dynamic(store: &ScriptedStore, seconds: u64) {
    let number = AtomicUsize::new(0);
    store.rule(move |asked| match asked.path.as_str() {
        "/v1/database/creds/app" => {
            let number = number.fetch_add(1, Ordering::SeqCst);
            let lease = format!("database/creds/app/{number}");
            Some(leased(&lease, &format!("user-{number}"), seconds))
        }
        "/v1/sys/leases/renew" => Some(leased("database/creds/app/0", "", seconds)),
        _ => None,
    });
}

/// D34, L1: neither SIGTERM nor SIGKILL costs a pod its credentials: same bytes, same versions, one lease, one login.
#[tokio::test]
async fn a_lease_is_the_same_after_an_end_in_order_and_after_a_kill() -> Result<()> {
    for kill in [false, true] {
        let (mut scene, volume, before) = Scene::issued(3600).await?;
        scene.written().await?;
        if kill {
            scene.stage.provider.kill()?;
        } else {
            scene.stage.provider.stop().await?;
        }
        scene.stage.start_again().await?;
        let after = scene.stage.driver.mount(&volume.rotation(&[])).await?;
        ensure!(
            after.files()? == before.files()?,
            "killed {kill}: other bytes"
        );
        ensure!(
            after.versions()? == before.versions()?,
            "killed {kill}: other versions"
        );
        let plain = "- {objectName: a, secretPath: secret/data/a, secretKey: k}";
        scene.stage.content(&scene.stage.volume(plain)?).await?;
        // Nor does the next end take the token away.
        scene.stage.provider.stop().await?;
        assert_eq!(
            (
                scene.stage.asked("database/creds/app"),
                scene.stage.store.logins(),
                scene.stage.asked("auth/token/revoke-self"),
                scene.stage.asked("sys/leases/revoke"),
            ),
            (1, 1, 0, 0),
            "killed {kill}"
        );
    }
    Ok(())
}

/// D34: what the process before kept is renewed by the next, though no pod asks.
#[tokio::test]
async fn a_lease_of_the_process_before_is_renewed() -> Result<()> {
    let (mut scene, volume, before) = Scene::issued(12).await?;
    let before = before.files()?;
    scene.stage.provider.stop().await?;
    assert_eq!(scene.stage.asked("sys/leases/renew"), 0);
    scene.stage.start_again().await?;
    eventually(WAIT, "a renewal", async || {
        ensure!(scene.stage.asked("sys/leases/renew") > 0);
        Ok(())
    })
    .await?;
    assert_eq!(scene.stage.mount(&volume).await?.files()?, before);
    assert_eq!(scene.stage.asked("database/creds/app"), 1);
    Ok(())
}

/// D8, L1: the life of a token that was renewed is known to the next process, and so its leases live on.
#[tokio::test]
async fn a_lease_outlives_the_process_beyond_the_first_life_of_its_token() -> Result<()> {
    const LIFE: u64 = 9;
    let mut scene = Scene::set().await?;
    scene.stage.store.set_token_ttl(LIFE);
    dynamic(&scene.stage.store, 3600);
    let volume = scene.stage.volume(CREDS)?;
    let begin = Instant::now();
    let before = scene.stage.mount(&volume).await?.files()?;
    eventually(WAIT, "a time beyond the token's first life", async || {
        ensure!(scene.stage.asked("auth/token/renew-self") > 0);
        ensure!(begin.elapsed() > Duration::from_secs(LIFE + 1));
        Ok(())
    })
    .await?;
    scene.stage.provider.kill()?;
    scene.stage.start_again().await?;
    assert_eq!(scene.stage.mount(&volume).await?.files()?, before);
    assert_eq!(
        (
            scene.stage.asked("database/creds/app"),
            scene.stage.store.logins()
        ),
        (1, 1)
    );
    Ok(())
}

/// X3: nor does the next process give it to somebody whose token is not proven and gets no login.
#[tokio::test]
async fn what_was_kept_is_not_given_to_a_forger_by_the_next_process() -> Result<()> {
    let (mut scene, volume, before) = Scene::issued(3600).await?;
    let before = before.files()?;
    scene.stage.provider.stop().await?;
    scene.stage.start_again().await?;
    let stage = &scene.stage;
    stage
        .store
        .on_login(Reply::errors(403, &["permission denied"]));
    let mut forged = volume.clone();
    forged.tokens = Some(vec![ServiceToken::new(AUDIENCE, "junk")]);
    stage
        .refused(&forged, Code::Unauthenticated, "login_refused")
        .await?;
    assert_eq!(stage.mount(&volume).await?.files()?, before);
    Ok(())
}

/// L1, L3: what the process before issued and this one issued again stays alive until it ends, over further restarts:
/// the pod may run on it.
#[tokio::test]
async fn a_lease_that_was_issued_again_before_the_state_was_read_stays_alive() -> Result<()> {
    const LIFE: u64 = 9;
    let mut scene = Scene::set().await?;
    scene.stage.store.set_token_ttl(LIFE);
    dynamic(&scene.stage.store, 3600);
    let volume = scene.stage.volume(CREDS)?;
    scene.stage.mount(&volume).await?.response()?;
    scene.stage.provider.stop().await?;
    let (key, away) = (scene.key.path().join("key"), scene.key.path().join("away"));
    std::fs::rename(&key, &away)?;
    scene.stage.start_again().await?;
    scene.stage.mount(&volume).await?.response()?;
    std::fs::rename(&away, &key)?;
    scene.taken_over().await?;
    scene.stage.provider.stop().await?;
    let stage = &mut scene.stage;
    assert_eq!(
        (stage.asked("database/creds/app"), stage.store.logins()),
        (2, 2)
    );
    stage.store.forget_requests();
    stage.start_again().await?;
    eventually(WAIT, "a renewal of either token", async || {
        let requests = stage.store.requests();
        let renewals = requests
            .iter()
            .filter(|asked| asked.path == "/v1/auth/token/renew-self");
        let tokens: HashSet<_> = renewals
            .filter_map(|asked| asked.header("x-vault-token"))
            .collect();
        ensure!(tokens.len() == 2, "{} tokens", tokens.len());
        Ok(())
    })
    .await?;
    stage.provider.stop().await?;
    assert_eq!(stage.asked("auth/token/revoke-self"), 0);
    Ok(())
}

/// D34: a process that leaves does not replace what its successor wrote.
#[tokio::test]
async fn a_leaving_process_leaves_the_state_to_its_successor() -> Result<()> {
    let mut scene = Scene::set().await?;
    dynamic(&scene.stage.store, 3600);
    let mut successor = scene.stage.another().await?;
    let volume = scene.stage.volume(CREDS)?;
    let mounted = successor.driver()?.mount(&volume.first_mount()).await?;
    scene.written().await?;
    scene.stage.mount(&scene.stage.volume(CREDS)?).await?;
    scene.stage.provider.stop().await?;
    successor.kill()?;
    scene.stage.start_again().await?;
    let after = scene.stage.mount(&volume).await?;
    assert_eq!(after.files()?, mounted.files()?);
    assert_eq!(scene.stage.asked("database/creds/app"), 2);
    Ok(())
}

/// A version key that comes after the start opens the state then; until it does nothing is overwritten.
#[tokio::test]
async fn a_version_key_that_comes_late_still_opens_the_state() -> Result<()> {
    let (mut scene, volume, before) = Scene::issued(3600).await?;
    let before = before.files()?;
    scene.stage.provider.stop().await?;
    let (key, away) = (scene.key.path().join("key"), scene.key.path().join("away"));
    std::fs::rename(&key, &away)?;
    scene.stage.start_again().await?;
    scene.stage.mount(&scene.stage.volume(CREDS)?).await?;
    std::fs::rename(&away, &key)?;
    scene.taken_over().await?;
    assert_eq!(scene.stage.mount(&volume).await?.files()?, before);
    assert_eq!(scene.stage.asked("database/creds/app"), 2);
    Ok(())
}

/// A file that is damaged, or sealed with another key, costs a warning and new leases, never a mount.
#[tokio::test]
async fn a_damaged_state_is_warned_about_and_replaced() -> Result<()> {
    let (mut scene, volume, _) = Scene::issued(3600).await?;
    scene.stage.provider.stop().await?;
    let mut bytes = std::fs::read(scene.file())?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(scene.file(), &bytes)?;

    scene.stage.start_again().await?;
    let second = scene.stage.mount(&volume).await?.files()?;
    assert_eq!(scene.stage.asked("database/creds/app"), 2);
    let log = scene.stage.provider.whole_log().await?;
    let warnings = log.matches("what was issued before is lost").count();
    ensure!(warnings == 1, "{warnings} warnings: {log}");

    scene.stage.start_again().await?;
    assert_eq!(scene.stage.mount(&volume).await?.files()?, second);
    assert_eq!(scene.stage.asked("database/creds/app"), 2);
    Ok(())
}

/// D10, L3: the lease of a mount that failed is revoked, and no later process gives it to anybody.
#[tokio::test]
async fn the_lease_of_a_failed_mount_is_not_in_the_state() -> Result<()> {
    let mut scene = Scene::set().await?;
    dynamic(&scene.stage.store, 3600);
    let objects =
        format!("{CREDS}\n- {{objectName: a, secretPath: secret/data/late, secretKey: k}}");
    let volume = scene.stage.volume(&objects)?;
    let stage = &mut scene.stage;
    stage.refused(&volume, Code::NotFound, "not_found").await?;
    stage.provider.stop().await?;
    assert_eq!(stage.asked("sys/leases/revoke"), 1);
    stage.store.put("secret/data/late", json!({"k": "v"}));
    stage.start_again().await?;
    let files = stage.mount(&volume).await?.files()?;
    assert_eq!(files["user"], "user-1");
    Ok(())
}

/// Neither credentials nor tokens are readable in the file, and nobody else may open it.
#[tokio::test]
async fn the_state_tells_nothing() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let (mut scene, ..) = Scene::issued(3600).await?;
    scene.stage.provider.stop().await?;
    let bytes = std::fs::read(scene.file())?;
    for secret in ["user-0", "hvs.scripted", "database", "store"] {
        let found = bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        ensure!(!found, "{secret} is readable");
    }
    let mode = std::fs::metadata(scene.file())?.permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    Ok(())
}
