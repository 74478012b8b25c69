//! What an Event looks like to the API server.

use coffer_provider_core::notice::Notice;
use coffer_provider_core::params::Pod;
use jiff::Timestamp;
use serde_json::json;

use super::object;
use crate::events::PodEvent;

#[test]
fn an_event_names_the_pod_by_uid_and_who_reports() {
    let pod = Pod {
        name: "web-1".to_owned(),
        namespace: "shop".to_owned(),
        uid: "u-1".to_owned(),
        service_account: "web".to_owned(),
    };
    let mut event = PodEvent {
        pod,
        notice: Notice::RefreshFailed,
        text: "denied".to_owned(),
        at: Timestamp::from_second(1_767_225_600).unwrap(),
    };
    let written = serde_json::to_value(object(&event, "node-1")).unwrap();
    assert_eq!(
        written,
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "web-1.", "namespace": "shop"},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web-1", "namespace": "shop", "uid": "u-1"},
            "type": "Warning",
            "reason": "CofferRefreshFailed",
            "message": "denied",
            "count": 1,
            "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-01T00:00:00Z",
            "source": {"component": "coffer-provider"},
            "reportingComponent": "coffer-provider",
            "reportingInstance": "node-1",
        })
    );
    event.notice = Notice::RefreshRecovered;
    let written = object(&event, "node-1");
    assert_eq!(written.type_.as_deref(), Some("Normal"));
}
