//! What is shown on the cluster, in order: each case stands on those before it.
//!
//! How things are done stands in the files beside; here is what should come of them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::chart::{COMPONENTS, Helm, NAMESPACE};
use super::driver::{self, Mounted};
use super::examples::{self, Example};
use super::ground::{ADDRESS, Ground};
use super::report::Report;
use super::{images, pods, rollout};

/// What stands between the cases.
struct Stage<'a> {
    report: &'a Report,
    ground: Ground,
    helm: Helm,
    examples: Vec<Example>,
}

/// Runs all cases.
pub(super) async fn run(report: &Report) -> Result<()> {
    let began = Instant::now();
    let ground = Ground::up().await.context("the cluster does not come up")?;
    let took = began.elapsed().as_secs_f64();
    report.saw(&format!(
        "cluster with a ready node after {took:.1} s, node address {ADDRESS}"
    ));
    let helm = Helm::new(&ground.api)?;
    let examples = examples::all()?;
    let stage = Stage {
        report,
        ground,
        helm,
        examples,
    };
    report.case("the image is imported", stage.image()).await;
    report
        .case("the chart installs, and both are ready", stage.install())
        .await;
    report
        .case("every program is confined", stage.confined())
        .await;
    let mounted = tokio::sync::OnceCell::new();
    report
        .case(
            "the provider's socket on the node serves the driver",
            async {
                let (volume, files) = driver::mount(&stage.ground).await?;
                for file in files {
                    report.saw(&file);
                }
                mounted
                    .set(volume)
                    .map_err(|_| anyhow::anyhow!("mounted twice"))
            },
        )
        .await;
    for example in &stage.examples {
        report
            .case(&format!("example {}", example.name), stage.example(example))
            .await;
    }
    report
        .case(
            "a new value reaches a running pod",
            stage.rotation("color=green"),
        )
        .await;
    report
        .case(
            "pods of ours that die cost no Secret a byte",
            stage.restarts(mounted.get()),
        )
        .await;
    report
        .case(
            "an upgrade and its rollback under load",
            stage.rollout(mounted.get()),
        )
        .await;
    report
        .case(
            "an upgrade with a surge is never without a provider",
            stage.surge(mounted.get()),
        )
        .await;
    report
        .case("nothing was denied that was asked for", stage.denied())
        .await;
    report
        .case("the notes say what the driver lacks", stage.notes())
        .await;
    report
        .case("an uninstall leaves every Secret", stage.uninstall())
        .await;
    report
        .case(
            "a definition that is there is left alone",
            stage.definition(),
        )
        .await;
    Ok(())
}

impl Stage<'_> {
    fn all(&self) -> Vec<&Example> {
        self.examples.iter().collect()
    }

    async fn image(&self) -> Result<()> {
        let bytes = images::coffer()?;
        let mebibytes = bytes as f64 / f64::from(1 << 20);
        self.report.saw(&format!("archive of {mebibytes:.1} MiB"));
        Ok(())
    }

    /// What every test cluster needs, and the types that mint credentials, for the examples of them.
    fn values(&self) -> Vec<String> {
        let types = self
            .examples
            .iter()
            .map(|it| it.expected.secret.type_.as_str());
        let types: BTreeSet<&str> = types.collect();
        let types: Vec<&str> = types.into_iter().collect();
        vec![
            "store.addresses={http://vault.vault:8200}".to_owned(),
            "sync.enabled=true".to_owned(),
            format!("sync.allowedSecretTypes={{{}}}", types.join(",")),
        ]
    }

    async fn upgrade(&self, more: &[&str]) -> Result<(f64, String)> {
        let values = self.values();
        let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
        values.extend(more);
        let began = Instant::now();
        let upgraded: Result<_> = async {
            let notes = self.helm.upgrade(&values).await?;
            self.ready().await?;
            Ok((began.elapsed().as_secs_f64(), notes))
        }
        .await;
        match upgraded {
            Ok(upgraded) => Ok(upgraded),
            Err(error) => Err(error.context(self.why().await)),
        }
    }

    async fn ready(&self) -> Result<()> {
        for component in COMPONENTS {
            pods::all_ready(&self.ground.client(), NAMESPACE, component).await?;
        }
        Ok(())
    }

    async fn why(&self) -> String {
        let mut text = String::new();
        let client = self.ground.client();
        for component in COMPONENTS {
            for pod in pods::of(&client, NAMESPACE, component)
                .await
                .unwrap_or_default()
            {
                let name = pod.metadata.name.unwrap_or_default();
                text.push_str(&pods::why(&client, NAMESPACE, &name).await);
            }
        }
        format!("{text}\n{}", self.ground.node().log())
    }

    async fn install(&self) -> Result<()> {
        let (took, notes) = self.upgrade(&[]).await?;
        let missing = "no CSIDriver secrets-store.csi.k8s.io was seen";
        ensure!(notes.contains(missing), "the notes do not tell: {notes}");
        self.report
            .saw(&format!("all pods Ready {took:.1} s after helm began"));
        let asked = self.ground.nameserver.asked();
        let by_name = asked.iter().any(|name| name.starts_with("vault.vault"));
        self.report.saw(&format!(
            "{} names asked of the cluster's nameserver so far",
            asked.len()
        ));
        // The store is asked when there is something to mount, and no earlier.
        ensure!(!by_name, "a provider without a Mount looked the store up");
        Ok(())
    }

    async fn confined(&self) -> Result<()> {
        // Names of processes are cut at fifteen characters.
        for program in ["coffer-provider", "coffer-sync"] {
            for status in rollout::confined(program)? {
                self.report.saw(&format!("{program}: {status}"));
                ensure!(status.contains("CapEff: 0000000000000000"), "capabilities");
                ensure!(status.contains("NoNewPrivs: 1"), "it may gain privileges");
                ensure!(status.contains("Seccomp: 2"), "no seccomp filter");
            }
        }
        Ok(())
    }

    async fn example(&self, example: &Example) -> Result<()> {
        example.apply(&self.ground).await?;
        self.report.saw(&example.synced(&self.ground).await?);
        if example.needs_driver() {
            self.report
                .saw("its pod needs the driver itself, which is not here");
            return Ok(());
        }
        let lines = example.used(&self.ground).await?;
        self.report
            .saw(&format!("the pod has {}", lines.join(", ")));
        Ok(())
    }

    async fn rotation(&self, value: &str) -> Result<()> {
        let opaque = self.examples.iter().find(|it| it.name == "opaque");
        rollout::rotation(
            &self.ground,
            self.report,
            opaque.context("no such example")?,
            value,
        )
        .await
    }

    async fn restarts(&self, mounted: Option<&Mounted>) -> Result<()> {
        let mounted = mounted.context("nothing was mounted")?;
        let before = rollout::held(&self.ground.client(), &self.all()).await?;
        for component in ["sync", "provider"] {
            let took = rollout::replaced(&self.ground, component).await?;
            self.report.saw(&format!(
                "{component}: killed, ready again after {took:.1} s"
            ));
        }
        mounted.recovers().await?;
        rollout::unchanged(&self.ground.client(), &self.all(), &before).await?;
        // Whoever leads now goes on where the other ended, and by then it has looked at all the others.
        self.rotation("color=red").await?;
        let others: Vec<&Example> = self
            .examples
            .iter()
            .filter(|it| it.name != "opaque")
            .collect();
        rollout::unchanged(&self.ground.client(), &others, &before).await
    }

    /// To a provider without root, and back.
    async fn rollout(&self, mounted: Option<&Mounted>) -> Result<()> {
        let mounted = mounted.context("nothing was mounted")?;
        let before = rollout::held(&self.ground.client(), &self.all()).await?;
        let load = mounted.load();
        let (upgraded, _) = self
            .upgrade(&["csi.nonRoot.enabled=true", "csi.logLevel=debug"])
            .await?;
        let users = rollout::confined("coffer-provider")?;
        let without_root = users.iter().all(|status| status.contains("Uid: 65532"));
        ensure!(without_root, "a provider still runs as root: {users:?}");
        mounted.recovers().await?;
        let began = Instant::now();
        self.helm.rollback().await?;
        self.ready().await?;
        let back = began.elapsed().as_secs_f64();
        mounted.recovers().await?;
        let counts = load.end().await?;
        let [answered, refused] = [&counts.answered, &counts.refused];
        let [answered, refused] = [answered, refused].map(|it| it.load(Ordering::Relaxed));
        self.report.saw(&format!(
            "upgrade to csi.nonRoot {upgraded:.1} s, rollback {back:.1} s"
        ));
        self.report.saw(&format!(
            "republishes meanwhile: {answered} with unchanged versions, {refused} while no provider ran"
        ));
        ensure!(answered > 0, "no republish was answered");
        rollout::unchanged(&self.ground.client(), &self.all(), &before).await
    }

    /// The new pod takes the socket over while the old one still serves, even one without root from one with.
    async fn surge(&self, mounted: Option<&Mounted>) -> Result<()> {
        let mounted = mounted.context("nothing was mounted")?;
        let surge = [
            "csi.daemonSet.updateStrategy.maxSurge=1",
            "csi.daemonSet.updateStrategy.maxUnavailable=0",
        ];
        self.upgrade(&surge).await?;
        mounted.recovers().await?;
        let load = mounted.load();
        let (took, _) = self
            .upgrade(&[&surge[..], &["csi.nonRoot.enabled=true"]].concat())
            .await?;
        let counts = load.end().await?;
        let [answered, refused] =
            [&counts.answered, &counts.refused].map(|it| it.load(Ordering::Relaxed));
        self.report.saw(&format!(
            "upgrade {took:.1} s: {answered} republishes answered, {refused} not"
        ));
        let first = counts.first.get();
        ensure!(
            answered > 0 && refused == 0,
            "a republish failed: {first:?}"
        );
        Ok(())
    }

    async fn denied(&self) -> Result<()> {
        let (counts, denied) = Ground::requests(NAMESPACE)?;
        self.report.saw(&format!(
            "requests by account {counts:?}, {} of them denied",
            denied.len()
        ));
        for account in ["coffer-provider", "coffer-sync"] {
            ensure!(
                counts.contains_key(account),
                "no request of {account} was seen"
            );
        }
        ensure!(denied.is_empty(), "{denied:#?}");
        Ok(())
    }

    /// Of a driver that sends no token for our audience, and of one that does and rotates.
    async fn notes(&self) -> Result<()> {
        let driver = |spec: Value| {
            json!({
                "apiVersion": "storage.k8s.io/v1",
                "kind": "CSIDriver",
                "metadata": {"name": "secrets-store.csi.k8s.io"},
                "spec": spec,
            })
        };
        let bare = json!({"podInfoOnMount": true, "attachRequired": false});
        self.ground.api.apply(&driver(bare)).await?;
        let (_, notes) = self.upgrade(&[]).await?;
        for expected in [
            "MISSING  the driver sends no token for audience vault",
            "tokenRequests[0].audience=vault",
            "rotation is off in the driver",
        ] {
            ensure!(notes.contains(expected), "{expected}: {notes}");
        }
        self.ground
            .api
            .apply(&daemon_set(
                "secrets-store-csi-driver",
                "driver:v1.2.4",
                "--x",
            ))
            .await?;
        self.ground
            .api
            .apply(&daemon_set(
                "vault-csi-provider",
                "vault-csi-provider:1",
                "--x",
            ))
            .await?;
        let weak = ["policy.allowedAddresses={*}", "podMonitor.enabled=true"];
        let (_, notes) = self.upgrade(&weak).await?;
        for expected in [
            "driver   driver:v1.2.4",
            "WARNING  driver 1.2.4 is too old",
            "WARNING  DaemonSet default/vault-csi-provider looks like another provider named vault",
            r#"WARNING  policy.allowedAddresses has "*""#,
            "WARNING  podMonitor.enabled, but the cluster has no kind PodMonitor",
        ] {
            ensure!(notes.contains(expected), "{expected}: {notes}");
        }
        let rotates = "--enable-secret-rotation=true";
        let new = daemon_set("secrets-store-csi-driver", "driver:v1.6.0", rotates);
        self.ground.api.apply(&new).await?;
        let strict = self.upgrade(&["csi.failOnMissingAudience=true"]).await;
        let refused = strict.err().context("installed without an audience")?;
        let text = format!("{refused:#}");
        ensure!(text.contains("has no tokenRequests entry"), "{text}");
        let whole = json!({
            "podInfoOnMount": true, "attachRequired": false, "requiresRepublish": true,
            "tokenRequests": [{"audience": "vault"}],
        });
        self.ground.api.apply(&driver(whole)).await?;
        let (_, notes) = self.upgrade(&["csi.failOnMissingAudience=true"]).await?;
        for expected in [
            "ok       the driver sends tokens for audience vault",
            "ok       rotation is on",
        ] {
            ensure!(notes.contains(expected), "{expected}: {notes}");
        }
        Ok(())
    }

    /// Installs where upstream's controller brought its definition first.
    async fn definition(&self) -> Result<()> {
        const UPSTREAM: &str = "tests/cluster/upstream/secretsync.yaml";
        let api = &self.ground.api;
        api.uninstall("charts/coffer/files/crds/secretsync.yaml")
            .await?;
        rollout::undefined(&self.ground).await?;
        api.install(UPSTREAM).await?;
        let before = rollout::definition(&self.ground).await?;
        let (_, notes) = self.upgrade(&[]).await?;
        let told = "secretsyncs.secret-sync.x-k8s.io was there and is left as it is";
        ensure!(notes.contains(told), "{notes}");
        self.helm.uninstall().await?;
        ensure!(
            rollout::definition(&self.ground).await? == before,
            "it was touched"
        );
        Ok(())
    }

    async fn uninstall(&self) -> Result<()> {
        let before = rollout::held(&self.ground.client(), &self.all()).await?;
        self.helm.uninstall().await?;
        rollout::gone(&self.ground).await?;
        rollout::unchanged(&self.ground.client(), &self.all(), &before).await?;
        for line in rollout::left(&self.ground).await? {
            self.report.saw(&line);
        }
        Ok(())
    }
}

/// A DaemonSet that the notes look at; no node is for it.
fn daemon_set(name: &str, image: &str, argument: &str) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "nodeSelector": {"example.com/none": "here"},
                "containers": [{"name": "secrets-store", "image": image, "args": [argument]}],
            }},
        },
    })
}
