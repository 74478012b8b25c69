//! The cases of the driver's own suite as far as a provider has a part in them, as `vault` and as `openbao`.
//!
//! Its CSIDriver asks for tokens of other audiences only and its role binds none, so the provider requests
//! the pod's token itself. The numbers of its cases stand in the names; what the driver and its sync do with
//! the files is not here.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::driver::{Class, Kubelet, Published, Volume};
use coffer_tests::fixture::eventually;
use coffer_tests::provider::ProviderProcess;
use coffer_tests::vault::KvVersion;
use serde_json::json;

use crate::cluster::{Rights, install};
use crate::stage::{SOON, mount, object, texts, unique};
use crate::world::{cluster, run, store};

/// The driver's suite waits so long for a rotation; kubelet polls within 90 s.
const ROTATION: Duration = Duration::from_secs(120);

/// One of the two provider names with what its suite sets up.
struct Suite {
    name: &'static str,
    provider: ProviderProcess,
    /// KV v2 engine.
    engine: String,
    namespace: String,
    class: Class,
}

async fn suite(name: &'static str) -> Result<Suite> {
    let (cluster, store) = (cluster().await?, store().await?);
    let provider = install(&cluster.api, Rights::SecretAndTokens)
        .await?
        .start_as_shipped(name)
        .await?;
    let engine = unique("secrets");
    store.vault.enable_kv(&engine, KvVersion::V2).await?;
    store
        .vault
        .kv2_put(&engine, "foo", &json!({"bar": "hello"}))
        .await?;
    store
        .vault
        .kv2_put(&engine, "foo1", &json!({"bar1": "hello1"}))
        .await?;
    let path = |secret: &str| format!("{engine}/data/{secret}");
    let objects = object("bar", &path("foo"), "secretKey: bar")
        + &object("bar1", &path("foo1"), "secretKey: bar1")
        + &object("nested/bar", &path("foo"), "secretKey: bar");
    let (namespace, class) = cluster.team(&objects).await?;
    let mut class = class;
    if name == "openbao" {
        for (theirs, ours) in [
            ("vaultAddress", "baoAddress"),
            ("vaultAuthMountPath", "baoAuthMountPath"),
        ] {
            if let Some(value) = class.parameters.remove(theirs) {
                class.parameters.insert(ours.to_owned(), value);
            }
        }
    }
    Ok(Suite {
        name,
        provider,
        engine,
        namespace,
        class,
    })
}

impl Suite {
    async fn volume(&self) -> Result<Volume> {
        cluster()
            .await?
            .volume(&self.class, &self.namespace, &["aud1", "aud2", "conjur"])
            .await
    }
}

const FILES: [(&str, &str); 3] = [
    ("bar", "hello"),
    ("bar1", "hello1"),
    ("nested/bar", "hello"),
];

fn check(files: &BTreeMap<String, String>) -> Result<()> {
    let found: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    ensure!(found == FILES, "{found:?}");
    Ok(())
}

/// The files of a pod, as texts.
fn read(node: &Kubelet) -> Result<BTreeMap<String, String>> {
    let files = node.files()?.into_iter();
    Ok(files
        .map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned()))
        .collect())
}

/// A provider is there before the store has an engine, a role or a secret for it, and needs no start after.
async fn installed(name: &'static str) -> Result<()> {
    let (cluster, store) = (cluster().await?, store().await?);
    let provider = install(&cluster.api, Rights::SecretAndTokens)
        .await?
        .start_as_shipped(name)
        .await?;
    let version = provider.driver()?.version().await?;
    assert_eq!(version.runtime_name, format!("{name}-csi-provider"));
    assert_eq!(provider.ask("/readyz").await?.0, 200);
    let engine = unique("secrets");
    let path = format!("{engine}/data/foo");
    let objects = object("bar", &path, "secretKey: bar");
    store.vault.enable_kv(&engine, KvVersion::V2).await?;
    let (namespace, class) = cluster.team(&objects).await?;
    store
        .vault
        .kv2_put(&engine, "foo", &json!({"bar": "hello"}))
        .await?;
    let volume = cluster.volume(&class, &namespace, &["aud1"]).await?;
    let files = texts(&mount(&provider, &volume).await?)?;
    ensure!(files["bar"] == "hello", "{files:?}");
    Ok(())
}

/// The provider is ready before the store is configured, and mounts as soon as it is.
#[test]
fn case_17_01_to_02_kubernetes_auth_installed_before_the_store_is_configured() -> Result<()> {
    run(async {
        installed("vault").await?;
        installed("openbao").await
    })
}

/// Mount, rotation and unmount of one pod.
async fn lives(name: &'static str) -> Result<()> {
    let suite = suite(name).await?;
    let mut node = Kubelet::new(
        suite.provider.driver()?,
        suite.volume().await?,
        Duration::ZERO,
    )?;
    ensure!(
        matches!(node.publish().await?, Published::Written),
        "{}",
        suite.name
    );
    check(&read(&node)?)?;
    store()
        .await?
        .vault
        .kv2_put(&suite.engine, "foo", &json!({"bar": "rotated"}))
        .await?;
    eventually(ROTATION, "a rotated file", async || {
        let published = node.publish().await?;
        let files = node.files()?;
        ensure!(
            files["bar"] == "rotated" && files["nested/bar"] == "rotated",
            "{published:?}"
        );
        ensure!(files["bar1"] == "hello1");
        Ok(())
    })
    .await?;
    node.unpublish()?;
    ensure!(!node.target().exists());
    Ok(())
}

/// As `vault`, a class is mounted, rotated and unmounted.
#[test]
fn case_17_03_to_07_kubernetes_auth_mount_rotation_and_unmount_as_vault() -> Result<()> {
    run(lives("vault"))
}

/// As `openbao`, the same with its own parameter names.
#[test]
fn case_17_03_to_07_kubernetes_auth_mount_rotation_and_unmount_as_openbao() -> Result<()> {
    run(lives("openbao"))
}

/// A pod of a Deployment, mounted and with the right files.
async fn started(suite: &Suite) -> Result<Kubelet> {
    let (driver, volume) = (suite.provider.driver()?, suite.volume().await?);
    let mut pod = Kubelet::new(driver, volume, Duration::ZERO)?;
    let published = pod.publish().await?;
    ensure!(matches!(published, Published::Written), "{published:?}");
    check(&read(&pod)?)?;
    Ok(pod)
}

/// Two Deployments of two pods, of which one goes and then the other.
async fn deployments(suite: &Suite) -> Result<()> {
    let mut first = [started(suite).await?, started(suite).await?];
    let mut second = [started(suite).await?, started(suite).await?];
    for pod in &mut first {
        pod.unpublish()?;
    }
    for pod in &mut second {
        let published = pod.publish().await?;
        ensure!(matches!(published, Published::Unchanged), "{published:?}");
        check(&read(pod)?)?;
        pod.unpublish()?;
    }
    let left = first
        .iter()
        .chain(&second)
        .find(|pod| pod.target().exists());
    ensure!(left.is_none(), "a volume is left behind");
    Ok(())
}

/// The same class name in another namespace with other objects, and what is left when that is gone.
async fn namespaces(suite: &Suite) -> Result<()> {
    let other = unique("test-ns");
    let cluster = cluster().await?;
    cluster.api.create_namespace(&other).await?;
    cluster.role(&other, &other, "default", None).await?;
    let path = format!("{}/data/foo1", suite.engine);
    let class = suite
        .class
        .clone()
        .with("roleName", &other)
        .with("objects", &object("only", &path, "secretKey: bar1"));
    let there = cluster.volume(&class, &other, &["aud1"]).await?;
    let mut there = Kubelet::new(suite.provider.driver()?, there, Duration::ZERO)?;
    let files = eventually(SOON, "a mount in the other namespace", async || {
        let published = there.publish().await?;
        ensure!(matches!(published, Published::Written), "{published:?}");
        read(&there)
    })
    .await?;
    ensure!(files.len() == 1 && files["only"] == "hello1", "{files:?}");
    let mut here = started(suite).await?;
    there.unpublish()?;
    let published = here.publish().await?;
    ensure!(matches!(published, Published::Unchanged), "{published:?}");
    check(&read(&here)?)
}

async fn shared(name: &'static str) -> Result<()> {
    let suite = suite(name).await?;
    deployments(&suite).await?;
    namespaces(&suite).await
}

/// As `vault`, pods of Deployments and of two namespaces get their own files, and keep them when others go.
#[test]
fn case_17_08_to_13_kubernetes_auth_deployments_and_namespaces_as_vault() -> Result<()> {
    run(shared("vault"))
}

/// As `openbao`, the same.
#[test]
fn case_17_08_to_13_kubernetes_auth_deployments_and_namespaces_as_openbao() -> Result<()> {
    run(shared("openbao"))
}

/// Two classes in one pod, under both names.
#[test]
fn case_17_15_to_17_kubernetes_auth_two_classes_in_one_pod() -> Result<()> {
    run(async {
        for name in ["vault", "openbao"] {
            let suite = suite(name).await?;
            let first = suite.volume().await?;
            let mut second = first.clone();
            second.name = "second".to_owned();
            second.class = second.class.with(
                "objects",
                &object(
                    "bar1",
                    &format!("{}/data/foo1", suite.engine),
                    "secretKey: bar1",
                ),
            );
            second.class.name = "second".to_owned();
            check(&texts(&mount(&suite.provider, &first).await?)?)?;
            let files = texts(&mount(&suite.provider, &second).await?)?;
            ensure!(files.len() == 1 && files["bar1"] == "hello1", "{files:?}");
        }
        Ok(())
    })
}
