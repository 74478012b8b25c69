//! The cases of the driver's own suite as far as a provider has a part in them, as `vault` and as `openbao`.
//!
//! Its CSIDriver asks for tokens of other audiences only and its role binds none, so the provider requests
//! the pod's token itself. What the driver and its sync do with the files is not here.

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
        .start(name, &[])
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

fn check(files: &std::collections::BTreeMap<String, String>) -> Result<()> {
    let found: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    ensure!(found == FILES, "{found:?}");
    Ok(())
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
    let read = |node: &Kubelet| {
        anyhow::Ok(
            node.files()?
                .into_iter()
                .map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned()))
                .collect(),
        )
    };
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

/// §17 case 3, §17 case 4, §17 case 5, §17 case 6, §17 case 7: as `vault`, a class is mounted, rotated and unmounted
#[test]
fn case_17_03_kubernetes_auth_mount_rotation_and_unmount_as_vault() -> Result<()> {
    run(lives("vault"))
}

/// §17 case 3, §17 case 4, §17 case 5, §17 case 6, §17 case 7: as `openbao`, the same with its own parameter names
#[test]
fn case_17_03_kubernetes_auth_mount_rotation_and_unmount_as_openbao() -> Result<()> {
    run(lives("openbao"))
}

/// Two Deployments of two pods, and the same class name in another namespace.
async fn shared(name: &'static str) -> Result<()> {
    let suite = suite(name).await?;
    for _ in 0..4 {
        check(&texts(
            &mount(&suite.provider, &suite.volume().await?).await?,
        )?)?;
    }
    let other = unique("test-ns");
    let cluster = cluster().await?;
    cluster.api.create_namespace(&other).await?;
    cluster.role(&other, &other, "default", None).await?;
    let class = suite.class.clone().with("roleName", &other).with(
        "objects",
        &object(
            "only",
            &format!("{}/data/foo1", suite.engine),
            "secretKey: bar1",
        ),
    );
    let there = cluster.volume(&class, &other, &["aud1"]).await?;
    let files = eventually(SOON, "a mount in the other namespace", async || {
        texts(&mount(&suite.provider, &there).await?)
    })
    .await?;
    ensure!(files.len() == 1 && files["only"] == "hello1", "{files:?}");
    check(&texts(
        &mount(&suite.provider, &suite.volume().await?).await?,
    )?)
}

/// §17 case 8, §17 case 9, §17 case 11, §17 case 12: as `vault`, pods of Deployments and of two namespaces get their own files
#[test]
fn case_17_08_kubernetes_auth_deployments_and_namespaces_as_vault() -> Result<()> {
    run(shared("vault"))
}

/// §17 case 8, §17 case 9, §17 case 11, §17 case 12: as `openbao`, the same
#[test]
fn case_17_08_kubernetes_auth_deployments_and_namespaces_as_openbao() -> Result<()> {
    run(shared("openbao"))
}

/// §17 case 15, §17 case 16, §17 case 17: two classes in one pod, under both names
#[test]
fn case_17_15_kubernetes_auth_two_classes_in_one_pod() -> Result<()> {
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
