//! Events on pods, written by the provider's account to a real API server.
//!
//! When something is told, and that no Mount waits for it, is in the unit tests of the provider.

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::driver::{Class, Pod, Volume};
use coffer_tests::fixture::eventually;
use coffer_tests::provider::ProviderProcess;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::cluster::{Installed, Rights, install, sum};
use crate::stage::{SOON, failure, has, mount, object, text, unique};
use crate::world::{Cluster, cluster, run, store};

/// Lets the account of an installed provider write Events, and waits until it may.
async fn let_write_events(api: &ApiServer, installed: &Installed) -> Result<()> {
    let namespace = &installed.namespace;
    let rules = json!([{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]);
    let name = unique("events");
    api.bind_cluster(namespace, "default", &name, &rules)
        .await?;
    let client = api.client_for(namespace, "default").await?;
    eventually(SOON, "the right to write events", async || {
        ensure!(ApiServer::allowed(client.clone(), namespace, "create", "events").await?);
        Ok(())
    })
    .await
}

/// A secret that can be there and not.
struct Secret(String);

impl Secret {
    async fn new() -> Result<(Self, String)> {
        let name = unique("events");
        let path = format!("secret/data/{name}");
        let secret = Self(name);
        secret.holds("k").await?;
        Ok((secret, object("o", &path, "secretKey: k")))
    }

    /// From now on it has this key and no other.
    async fn holds(&self, key: &str) -> Result<()> {
        let data = json!({key: "v"});
        store().await?.vault.kv2_put("secret", &self.0, &data).await
    }
}

/// The Events of a reason on a pod.
async fn events(cluster: &Cluster, pod: &Pod, reason: &str) -> Result<Vec<Event>> {
    let api: Api<Event> = Api::namespaced(cluster.api.client(), &pod.namespace);
    let ours = format!("involvedObject.uid={},reason={reason}", pod.uid);
    Ok(api.list(&ListParams::default().fields(&ours)).await?.items)
}

/// Waits for the one Event of a reason on a pod.
async fn event(
    provider: &ProviderProcess,
    cluster: &Cluster,
    pod: &Pod,
    reason: &str,
) -> Result<Event> {
    let mut found = Vec::new();
    let seen = eventually(SOON, reason, async || {
        ensure!(!events(cluster, pod, reason).await?.is_empty());
        Ok(())
    });
    seen.await.with_context(|| provider.log())?;
    found.extend(events(cluster, pod, reason).await?);
    ensure!(found.len() == 1, "{found:?}");
    found.pop().context("no event")
}

/// Mounts a volume that works, then takes its secret away and fails twice; the text of the second failure.
async fn fail_twice(
    provider: &ProviderProcess,
    volume: &Volume,
    secret: &Secret,
) -> Result<String> {
    assert_eq!(text(&mount(provider, volume).await?)?, "v");
    secret.holds("other").await?;
    let first = failure(&mount(provider, volume).await?)?;
    has(&first, &["NotFound: object \"o\"", "[not_found]"])?;
    let second = failure(&mount(provider, volume).await?)?;
    ensure!(first == second, "{first}\n{second}");
    Ok(second)
}

async fn volume(cluster: &Cluster, class: &Class, team: &str) -> Result<Volume> {
    cluster.volume(class, team, &["vault"]).await
}

/// a republish that fails is an Event on the pod, once, and so is its recovery
#[test]
fn a_refresh_that_fails_and_recovers_is_told_on_the_pod() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (secret, objects) = Secret::new().await?;
        let (team, class) = cluster.team(&objects).await?;
        let installed = install(&cluster.api, Rights::Secret).await?;
        let_write_events(&cluster.api, &installed).await?;
        let provider = installed.start("vault", &["--events"]).await?;
        let volume = volume(cluster, &class, &team).await?;
        let told = fail_twice(&provider, &volume, &secret).await?;

        let failed = event(&provider, cluster, &volume.pod, "CofferRefreshFailed").await?;
        assert_eq!(failed.type_.as_deref(), Some("Warning"));
        let message = failed.message.unwrap_or_default();
        assert_eq!(format!("NotFound: {message}"), told);
        assert_eq!(failed.involved_object.name.as_ref(), Some(&volume.pod.name));
        assert_eq!(
            failed.reporting_component.as_deref(),
            Some("coffer-provider")
        );
        ensure!(failed.reporting_instance.is_some_and(|i| !i.is_empty()));

        secret.holds("k").await?;
        for _ in 0..2 {
            assert_eq!(text(&mount(&provider, &volume).await?)?, "v");
        }
        let recovered = event(&provider, cluster, &volume.pod, "CofferRefreshRecovered").await?;
        assert_eq!(recovered.type_.as_deref(), Some("Normal"));
        let failures = events(cluster, &volume.pod, "CofferRefreshFailed").await?;
        assert_eq!(failures.len(), 1);
        Ok(())
    })
}

/// without the right to write Events mounts answer as ever, and one line says which right is missing
#[test]
fn without_the_right_to_write_events_one_line_says_so() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (secret, objects) = Secret::new().await?;
        let (team, class) = cluster.team(&objects).await?;
        let installed = install(&cluster.api, Rights::Secret).await?;
        let silent = installed.start("vault", &[]).await?;
        let mut provider = installed.start("vault", &["--events"]).await?;
        let pods = [
            volume(cluster, &class, &team).await?,
            volume(cluster, &class, &team).await?,
        ];
        for volume in &pods {
            let told = fail_twice(&provider, volume, &secret).await?;
            secret.holds("k").await?;
            assert_eq!(fail_twice(&silent, volume, &secret).await?, told);
            secret.holds("k").await?;
        }
        let refused = ["verb=\"create\"", "code=\"403\""];
        eventually(SOON, "two events that are refused", async || {
            ensure!(sum(&provider, "coffer_kube_requests_total", &refused).await? == 2.0);
            Ok(())
        })
        .await?;
        // Without --events nobody even asks.
        assert_eq!(
            sum(&silent, "coffer_kube_requests_total", &refused).await?,
            0.0
        );
        let log = provider.whole_log().await?;
        assert_eq!(log.matches("grant events create").count(), 1, "{log}");
        Ok(())
    })
}
