//! This node's pods by list and watch. Of a pod only UID and phase are read.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use kube::Client;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::{Cluster, KubeAccess, config, kind};
use crate::metrics::{KubeVerb, Metrics};
use crate::pods::{PodEvent, PodEvents, PodFault, PodList, PodSource, SeenPod};

/// Seconds after which the API server ends a watch.
const WATCH_SECONDS: u32 = 240;

/// How long a watch may be silent: bookmarks come once a minute.
const SILENCE: Duration = Duration::from_secs(150);

/// Pods in one answer.
const PAGE: usize = 100;

/// More pages are no node's.
const MAX_PAGES: usize = 100;

/// The pods of one node.
pub struct NodePods {
    cluster: Cluster,
    selector: String,
}

/// Connects for the pods of a node, if there is a cluster to connect to. Nothing is sent yet.
///
/// # Errors
/// When there is access but it cannot be used.
pub async fn node_pods(
    access: &KubeAccess,
    node: &str,
    metrics: Arc<Metrics>,
) -> Result<Option<NodePods>, String> {
    let Some(mut config) = config(access).await? else {
        return Ok(None);
    };
    config.read_timeout = Some(SILENCE);
    let client = Client::try_from(config).map_err(|error| kind(&error))?;
    let cluster = Cluster {
        client,
        namespace: String::new(),
        secret_name: String::new(),
        audience: String::new(),
        metrics,
    };
    let selector = format!("spec.nodeName={node}");
    Ok(Some(NodePods { cluster, selector }))
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(default)]
    r#continue: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Slim {
    metadata: SlimMeta,
    #[serde(default)]
    status: SlimStatus,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlimMeta {
    uid: String,
    #[serde(default)]
    resource_version: String,
}

#[derive(Clone, Default, Deserialize)]
struct SlimStatus {
    #[serde(default)]
    phase: String,
}

impl From<&Slim> for SeenPod {
    fn from(pod: &Slim) -> Self {
        Self {
            uid: pod.metadata.uid.clone(),
            ended: matches!(pod.status.phase.as_str(), "Succeeded" | "Failed"),
        }
    }
}

#[async_trait]
impl PodSource for NodePods {
    async fn list(&self) -> Result<PodList, PodFault> {
        let mut list = PodList {
            is_complete: true,
            ..PodList::default()
        };
        let mut next = String::new();
        for _ in 0..MAX_PAGES {
            let page = self.page(&next).await?;
            for item in page.items.into_iter().flatten() {
                match serde_json::from_str::<Slim>(item.get()) {
                    Ok(pod) => list.pods.push(SeenPod::from(&pod)),
                    Err(_) => list.is_complete = false,
                }
            }
            list.version = page.metadata.resource_version;
            next = page.metadata.r#continue.unwrap_or_default();
            if next.is_empty() {
                return Ok(list);
            }
        }
        Err(PodFault::Failed("the list of pods has no end".to_owned()))
    }

    async fn watch(&self, version: &str) -> Result<PodEvents, PodFault> {
        let seconds = WATCH_SECONDS.to_string();
        let request = self.request(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &seconds),
            ("resourceVersion", version),
        ])?;
        let asked = self.cluster.client.request_events::<Slim>(request);
        let events = self
            .cluster
            .ask(KubeVerb::Watch, asked)
            .await
            .map_err(|error| fault(&error))?;
        Ok(events.map(change).flat_map(stream::iter).boxed())
    }
}

impl NodePods {
    async fn page(&self, next: &str) -> Result<Page, PodFault> {
        let limit = PAGE.to_string();
        let mut query = vec![("limit", limit.as_str())];
        if !next.is_empty() {
            query.push(("continue", next));
        }
        let request = self.request(&query)?;
        let text = self
            .cluster
            .ask(KubeVerb::List, self.cluster.client.request_text(request))
            .await
            .map_err(|error| fault(&error))?;
        serde_json::from_str(&text)
            .map_err(|_| PodFault::Failed("the list of pods cannot be read".to_owned()))
    }

    fn request(&self, query: &[(&str, &str)]) -> Result<http::Request<Vec<u8>>, PodFault> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("fieldSelector", &self.selector)
            .extend_pairs(query)
            .finish();
        http::Request::get(format!("/api/v1/pods?{query}"))
            .body(Vec::new())
            .map_err(|error| PodFault::Failed(error.to_string()))
    }
}

/// What an event of the watch says: the change, then how far it has come.
fn change(event: kube::Result<WatchEvent<Slim>>) -> Vec<Result<PodEvent, PodFault>> {
    let with_version = |change, pod: &Slim| {
        let version = PodEvent::Version(pod.metadata.resource_version.clone());
        let is_known = !pod.metadata.resource_version.is_empty();
        std::iter::once(Ok(change))
            .chain(is_known.then_some(Ok(version)))
            .collect()
    };
    match event {
        Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) => {
            with_version(PodEvent::Seen(SeenPod::from(&pod)), &pod)
        }
        Ok(WatchEvent::Deleted(pod)) => {
            with_version(PodEvent::Deleted(pod.metadata.uid.clone()), &pod)
        }
        Ok(WatchEvent::Bookmark(mark)) => {
            vec![Ok(PodEvent::Version(mark.metadata.resource_version))]
        }
        Ok(WatchEvent::Error(status)) => vec![Err(fault(&kube::Error::Api(status)))],
        Err(kube::Error::SerdeError(_)) => vec![Ok(PodEvent::Malformed)],
        Err(error) => vec![Err(fault(&error))],
    }
}

fn fault(error: &kube::Error) -> PodFault {
    match error {
        kube::Error::Api(status) if status.code == 410 => PodFault::Expired,
        kube::Error::Api(status) if status.code == 403 => PodFault::Failed(format!(
            "{}; grant list and watch on pods, or drop --watch-pods",
            kind(error)
        )),
        error => PodFault::Failed(kind(error)),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::WatchEvent;

    use super::{PodEvent, PodFault, SeenPod, Slim, change};

    fn read(text: &str) -> Vec<Result<PodEvent, PodFault>> {
        let event = serde_json::from_str::<WatchEvent<Slim>>(text);
        change(event.map_err(kube::Error::SerdeError))
    }

    #[test]
    fn of_a_pod_uid_and_phase_count_and_everything_else_may_be_anything() {
        let pod = |phase: &str| {
            format!(
                r#"{{"metadata":{{"uid":"u","resourceVersion":"7","labels":3}},"spec":[],"status":{{"phase":"{phase}"}}}}"#
            )
        };
        let version = || Ok(PodEvent::Version("7".to_owned()));
        for (kind, phase, ended) in [
            ("ADDED", "Pending", false),
            ("MODIFIED", "Running", false),
            ("MODIFIED", "Succeeded", true),
            ("MODIFIED", "Failed", true),
        ] {
            let uid = "u".to_owned();
            let seen = Ok(PodEvent::Seen(SeenPod { uid, ended }));
            let text = format!(r#"{{"type":"{kind}","object":{}}}"#, pod(phase));
            assert_eq!(read(&text), [seen, version()], "{text}");
        }
        let text = format!(r#"{{"type":"DELETED","object":{}}}"#, pod("Running"));
        let deleted = Ok(PodEvent::Deleted("u".to_owned()));
        assert_eq!(read(&text), [deleted, version()]);
    }

    #[test]
    fn what_cannot_be_read_is_passed_over_and_an_old_watch_is_told_apart() {
        let malformed = r#"{"type":"ADDED","object":{"metadata":{"uid":7}}}"#;
        assert_eq!(read(malformed), [Ok(PodEvent::Malformed)]);
        let old = r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old","reason":"Expired","code":410}}"#;
        assert_eq!(read(old), [Err(PodFault::Expired)]);
        let mark = r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}"#;
        assert_eq!(read(mark), [Ok(PodEvent::Version("9".to_owned()))]);
    }
}
