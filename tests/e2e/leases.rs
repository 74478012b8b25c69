//! Leases of a real store: over a restart of the provider, and when their pod is gone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::MountOutcome;
use coffer_tests::fixture::{directory, eventually};
use coffer_tests::provider::ProviderProcess;
use coffer_tests::vault::{Policy, Vault};
use serde_json::json;

use crate::cluster::{Installed, Rights, install};
use crate::stage::{SOON, mount, object, provider, settled, texts, unique};
use crate::world::{cluster, leased, postgres, run, store};

/// By when the lease of a pod that is gone must be revoked.
const REVOKED: Duration = Duration::from_secs(30);

/// The objects of user and password, and where the engine is.
async fn database() -> Result<(String, String)> {
    let mount_point = unique("database");
    let vault = &store().await?.vault;
    postgres().await?.engine(vault, &mount_point, "1h").await?;
    let objects = pair(&mount_point);
    Ok((mount_point, objects))
}

/// User and password of one call.
fn pair(mount_point: &str) -> String {
    let path = format!("{mount_point}/creds/reader");
    let key = |name: &str, key: &str| object(name, &path, &format!("secretKey: {key}"));
    key("user", "username") + &key("password", "password")
}

/// L2: a short lease is renewed at the store: the same user still logs in after its first life
#[test]
fn l2_a_renewed_user_logs_in_beyond_the_first_life() -> Result<()> {
    run(async {
        let store = store().await?;
        let mount_point = unique("database");
        postgres()
            .await?
            .engine(&store.vault, &mount_point, "6s")
            .await?;
        let provider = provider(&[]).await?;
        let volume = store.volume(store.class(&pair(&mount_point)))?;
        let first = mount(&provider, &volume).await?;
        let renewed = "coffer_renewals_total{kind=\"lease\",result=\"ok\"}";
        eventually(SOON, "two renewals", async || {
            let next = mount(&provider, &volume).await?;
            assert_eq!(next.files()?, first.files()?);
            ensure!(provider.metric(renewed).await? >= Some(2.0));
            Ok(())
        })
        .await?;
        logs_in(&first).await?;
        assert_eq!(leases(&store.vault, &mount_point).await?, 1);
        Ok(())
    })
}

/// The users that are alive at the store.
async fn leases(vault: &Vault, mount_point: &str) -> Result<usize> {
    let path = format!("sys/leases/lookup/{mount_point}/creds/reader");
    let list = reqwest::Method::from_bytes(b"LIST")?;
    // None is answered with 404.
    let listed = vault.call(list, &path, None).await.ok();
    let keys = listed.and_then(|list| list["data"]["keys"].as_array().map(Vec::len));
    Ok(keys.unwrap_or(0))
}

async fn logs_in(mounted: &MountOutcome) -> Result<()> {
    let files = texts(mounted)?;
    postgres().await?.log_in(&files["user"], &files["password"])
}

/// D34: database credentials survive a restart and a kill of the provider, and still log in
#[test]
fn d34_database_credentials_survive_a_restart_of_the_provider() -> Result<()> {
    run(async {
        let store = store().await?;
        let (mount_point, objects) = database().await?;
        let state = tempfile::tempdir_in("/dev/shm").context("/dev/shm has to be a tmpfs")?;
        let key = directory("key")?;
        let key_file = key.path().join("key");
        std::fs::write(&key_file, "made-up version key")?;
        let (state_dir, key_file) = (state.path().to_string_lossy(), key_file.to_string_lossy());
        let arguments = [
            "--kubeconfig",
            "off",
            "--state-dir",
            &state_dir,
            "--hmac-key-file",
            &key_file,
        ];
        let start = async || settled(ProviderProcess::start(&arguments, &[]).await?).await;
        let volume = store.volume(store.class(&objects))?;
        let mut provider = start().await?;
        let first = mount(&provider, &volume).await?;
        logs_in(&first).await?;
        for kill in [false, true] {
            if kill {
                provider.kill()?;
            } else {
                provider.stop().await?;
            }
            provider = start().await?;
            let next = mount(&provider, &volume).await?;
            ensure!(
                next.files()? == first.files()?,
                "killed {kill}: other files"
            );
            ensure!(next.versions()? == first.versions()?, "killed {kill}");
            logs_in(&next).await?;
        }
        assert_eq!(leases(&store.vault, &mount_point).await?, 1);
        Ok(())
    })
}

/// A provider that watches the pods of the node on which the harness puts them.
async fn watching(installed: &Installed) -> Result<ProviderProcess> {
    let arguments = ["--watch-pods", "--node-name", "node-1"];
    installed.start("vault", &arguments).await
}

/// The same with the right to do so.
async fn allowed_to_watch() -> Result<ProviderProcess> {
    let api = &cluster().await?.api;
    let installed = install(api, Rights::Secret).await?;
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]);
    let name = unique("pods");
    api.bind_cluster(&installed.namespace, "default", &name, &rules)
        .await?;
    watching(&installed).await
}

/// L3, X2: with the watch a pod that is deleted gives its lease back, and no other pod does
#[test]
fn l3_the_lease_of_a_deleted_pod_is_revoked() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let vault = &store().await?.vault;
        let (mount_point, objects) = database().await?;
        let rights = leased(&format!("{mount_point}/creds/reader"));
        let (team, class) = cluster.team_with(&objects, &rights).await?;
        let provider = allowed_to_watch().await?;
        let gone = cluster.volume(&class, &team, &["vault"]).await?;
        let stays = cluster.volume(&class, &team, &["vault"]).await?;
        mount(&provider, &gone).await?.response()?;
        let before = mount(&provider, &stays).await?;
        assert_eq!(leases(vault, &mount_point).await?, 2);
        cluster.api.delete_pod(&gone.pod).await?;
        eventually(REVOKED, "a revoked lease", async || {
            ensure!(leases(vault, &mount_point).await? == 1);
            Ok(())
        })
        .await
        .with_context(|| provider.log())?;
        let after = mount(&provider, &stays).await?;
        assert_eq!(after.files()?, before.files()?);
        logs_in(&after).await?;
        let counted = "coffer_revocations_total{kind=\"lease\",result=\"ok\"}";
        assert_eq!(provider.metric(counted).await?, Some(1.0));
        Ok(())
    })
}

/// L3: a role without the right to revoke is named once, with what to allow, and everything else works
#[test]
fn l3_without_the_right_to_revoke_there_is_one_warning() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let vault = &store().await?.vault;
        let (mount_point, objects) = database().await?;
        let rights = Policy::read(&[&format!("{mount_point}/creds/reader")]);
        let (team, class) = cluster.team_with(&objects, &rights).await?;
        let mut provider = allowed_to_watch().await?;
        for _ in 0..2 {
            let gone = cluster.volume(&class, &team, &["vault"]).await?;
            mount(&provider, &gone).await?.response()?;
            cluster.api.delete_pod(&gone.pod).await?;
        }
        let refused = "coffer_revocations_total{kind=\"lease\",result=\"error\"}";
        eventually(REVOKED, "two refused revocations", async || {
            ensure!(provider.metric(refused).await? == Some(2.0));
            Ok(())
        })
        .await
        .with_context(|| provider.log())?;
        assert_eq!(leases(vault, &mount_point).await?, 2);
        let stays = cluster.volume(&class, &team, &["vault"]).await?;
        logs_in(&mount(&provider, &stays).await?).await?;
        let log = provider.whole_log().await?;
        let warnings: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("allow update on sys/leases/revoke"))
            .collect();
        ensure!(warnings.len() == 1, "{} warnings: {log}", warnings.len());
        ensure!(warnings[0].contains(&team), "{}", warnings[0]);
        Ok(())
    })
}

/// L3: without the right to watch pods there is one warning, and everything else works
#[test]
fn l3_without_the_right_to_watch_there_is_one_warning() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (_, objects) = database().await?;
        let (team, class) = cluster.team(&objects).await?;
        let mut provider = watching(&install(&cluster.api, Rights::Secret).await?).await?;
        let volume = cluster.volume(&class, &team, &["vault"]).await?;
        logs_in(&mount(&provider, &volume).await?).await?;
        let refused = "coffer_kube_requests_total{verb=\"list\",code=\"403\"}";
        eventually(SOON, "two refused lists", async || {
            ensure!(provider.metric(refused).await? >= Some(2.0));
            Ok(())
        })
        .await?;
        let log = provider.whole_log().await?;
        let warnings = log.matches("grant list and watch on pods").count();
        ensure!(warnings == 1, "{warnings} warnings: {log}");
        Ok(())
    })
}
