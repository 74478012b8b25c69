//! Pods as they run: what they say, when they are ready, and what became of those that were not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, LogParams};

use crate::fixture::eventually;

/// A pod of a test starts within seconds; several at once on two cores take their time.
const SOON: Duration = Duration::from_secs(150);

/// Whether the pod runs and is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|it| it.type_ == "Ready" && it.status == "True")
}

/// Waits until a pod is ready, and says why it is not otherwise.
pub(super) async fn ready(client: &Client, namespace: &str, name: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let waited = eventually(SOON, &format!("pod {name}"), async || {
        let pod = pods.get(name).await?;
        ensure!(is_ready(&pod), "not ready");
        Ok(pod)
    })
    .await;
    match waited {
        Ok(pod) => Ok(pod),
        Err(error) => Err(error.context(why(client, namespace, name).await)),
    }
}

/// Waits until all pods of a component are ready: of one that may be missing Helm does not.
pub(super) async fn all_ready(client: &Client, namespace: &str, component: &str) -> Result<()> {
    eventually(SOON, component, async || {
        let pods = of(client, namespace, component).await?;
        ensure!(
            !pods.is_empty() && pods.iter().all(is_ready),
            "not all are ready"
        );
        Ok(())
    })
    .await
}

/// The pods of a component of the chart.
pub(super) async fn of(client: &Client, namespace: &str, component: &str) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let labels = format!("app.kubernetes.io/component={component}");
    Ok(pods
        .list(&ListParams::default().labels(&labels))
        .await?
        .items)
}

/// Lines that a pod wrote, once there are as many as these.
pub(super) async fn lines(
    client: &Client,
    namespace: &str,
    name: &str,
    count: usize,
) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    eventually(SOON, &format!("what pod {name} says"), async || {
        let text = pods.logs(name, &LogParams::default()).await?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        ensure!(lines.len() >= count, "{lines:?}");
        Ok(lines)
    })
    .await
}

/// Fails where kubelet could not read a Secret that the pod pulls its images with.
pub(super) async fn pulled(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let told = events.list(&about).await?.items;
    let failed = |it: &&Event| it.reason.as_deref() == Some("FailedToRetrieveImagePullSecret");
    let found = told.iter().find(failed);
    ensure!(found.is_none(), "{:?}", found.map(|it| &it.message));
    Ok(())
}

/// Deletes a pod at once.
pub(super) async fn delete(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let now = DeleteParams::default().grace_period(0);
    pods.delete(name, &now)
        .await
        .with_context(|| name.to_owned())?;
    Ok(())
}

/// Everything that is known about a pod that does not become what it should.
pub(super) async fn why(client: &Client, namespace: &str, name: &str) -> String {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let events = events.list(&about).await.map(|list| list.items);
    let told: Vec<String> = events
        .unwrap_or_default()
        .into_iter()
        .map(|event| format!("{:?} {:?}", event.reason, event.message))
        .collect();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let log = pods
        .logs(name, &LogParams::default())
        .await
        .unwrap_or_default();
    format!("events: {told:?}, log: {log}")
}
