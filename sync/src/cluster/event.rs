//! Events on sources and workloads, in `events.k8s.io/v1`.
//!
//! Which rounds are told, and how often, is decided in the core.

use coffer_sync_core::answer::Answer;
use coffer_sync_core::claim::{APPLY_MANAGER, Source};
use coffer_sync_core::condition::Event;
use coffer_sync_core::options::Door;
use http::Method;
use jiff::Timestamp;
use serde_json::json;

use super::{Call, Cluster, When};
use crate::kinds::{CLASS_API, SYNC_API};

/// The API server refuses longer ones.
const INSTANCE: usize = 128;
/// The longest name that still leaves room for what makes an Event's name unique.
const NAME: usize = 200;

impl Cluster {
    /// Writes one Event about a source. `instance` is the name of our Pod.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn write_event(
        &self,
        source: &Source,
        event: &Event,
        instance: &str,
        now: Timestamp,
    ) -> Result<(), Answer> {
        // Several may be told of one moment.
        let mark = Timestamp::now().as_nanosecond();
        let body = document(source, event, (instance, mark), now).to_string();
        let path = format!(
            "/apis/events.k8s.io/v1/namespaces/{}/events",
            source.namespace
        );
        let call = Call::new("create", Method::POST, path)
            .body(super::JSON, body.as_bytes())
            .accept(super::METADATA_ONLY)
            .when(When::Last);
        self.send(call).await.map(|_| ())
    }
}

fn document(
    source: &Source,
    event: &Event,
    (instance, mark): (&str, i128),
    now: Timestamp,
) -> serde_json::Value {
    let end = source.name.floor_char_boundary(NAME);
    let stem = source.name[..end].trim_end_matches(['.', '-']);
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": format!("{stem}.{mark:x}"), "namespace": source.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "note": event.note,
        "action": "Sync",
        "reportingController": APPLY_MANAGER,
        "reportingInstance": instance[..instance.floor_char_boundary(INSTANCE)],
        "regarding": {
            "apiVersion": match source.door {
                Door::Class => CLASS_API,
                Door::Sync => SYNC_API,
            },
            "kind": source.door.kind(),
            "namespace": source.namespace,
            "name": source.name,
            "uid": source.uid,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_source_and_has_a_name_of_its_own() {
        let source = Source {
            door: Door::Sync,
            namespace: "ns".to_owned(),
            name: "a".repeat(253),
            uid: "u".to_owned(),
            created: Timestamp::UNIX_EPOCH,
        };
        let event = Event {
            warning: true,
            reason: "SyncFailed",
            note: "why".to_owned(),
        };
        let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let document = document(&source, &event, ("pod-1", 1), now);
        assert_eq!(document["eventTime"], "2026-01-01T00:00:00.500000Z");
        assert_eq!(document["type"], "Warning");
        assert_eq!(document["regarding"]["uid"], "u");
        assert!(document["metadata"]["name"].as_str().unwrap().len() <= 253);
    }
}
