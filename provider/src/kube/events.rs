//! Events on pods, as core/v1 objects: `kubectl describe pod` and older tools show them whole.
//!
//! When and what is written is decided elsewhere.

use async_trait::async_trait;
use coffer_provider_core::problem::one_line;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::PostParams;

use super::{Cluster, kind};
use crate::events::PodEvent;
use crate::metrics::KubeVerb;
use crate::ports::{NotWritten, PodEvents};

/// Who reports, in every Event.
const COMPONENT: &str = "coffer-provider";

/// What the API server says of a namespace that goes away: not a right is missing then.
const GOING_AWAY: &str = "being terminated";

/// Writes Events as one instance of the provider.
pub struct EventWriter {
    cluster: Cluster,
    instance: String,
}

impl EventWriter {
    /// `instance` tells the nodes apart: the name of our pod or node.
    #[must_use]
    pub const fn new(cluster: Cluster, instance: String) -> Self {
        Self { cluster, instance }
    }
}

#[async_trait]
impl PodEvents for EventWriter {
    async fn write(&self, event: &PodEvent) -> Result<(), NotWritten> {
        let events: Api<Event> = Api::namespaced(self.cluster.client.clone(), &event.pod.namespace);
        let object = object(event, &self.instance);
        let params = PostParams::default();
        let created = events.create(&params, &object);
        match self.cluster.ask(KubeVerb::Create, created).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status))
                if status.code == 403 && !status.message.contains(GOING_AWAY) =>
            {
                Err(NotWritten::Forbidden(one_line(&status.message)))
            }
            Err(error) => Err(NotWritten::Failed(kind(&error))),
        }
    }
}

fn object(event: &PodEvent, instance: &str) -> Event {
    let PodEvent {
        pod,
        notice,
        text,
        at,
    } = event;
    // The client has its own version of the type.
    let at = k8s_openapi::jiff::Timestamp::from_second(at.as_second());
    let at = at.ok().map(Time);
    let weight = if notice.is_warning() {
        "Warning"
    } else {
        "Normal"
    };
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}.", pod.name)),
            namespace: Some(pod.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.name.clone()),
            namespace: Some(pod.namespace.clone()),
            uid: Some(pod.uid.clone()),
            ..ObjectReference::default()
        },
        type_: Some(weight.to_owned()),
        reason: Some(notice.as_str().to_owned()),
        message: Some(text.clone()),
        count: Some(1),
        first_timestamp: at.clone(),
        last_timestamp: at,
        source: Some(EventSource {
            component: Some(COMPONENT.to_owned()),
            ..EventSource::default()
        }),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests;
