//! What people see on a source: the status of a SecretSync, the annotation of a SecretProviderClass.
//!
//! What it says is decided in the core; here it is read and written.

use std::collections::BTreeMap;

use coffer_sync_core::answer::Answer;
use coffer_sync_core::claim::APPLY_MANAGER;
use coffer_sync_core::condition::{Condition, Status, Truth};
use coffer_sync_core::options::names::SYNC_STATUS;
use http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Call, Cluster, When};
use crate::kinds::{CLASS_API, SYNC_API};

/// The status of a SecretSync on the wire. Conditions that are not ours are not read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncStatus {
    conditions: Vec<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_successful_sync_time: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: String,
    message: String,
    observed_generation: i64,
    last_transition_time: String,
}

/// The annotation of a class.
#[derive(Clone, Copy)]
pub struct ClassState<'a> {
    /// Namespace of the class.
    pub namespace: &'a str,
    /// Name of the class.
    pub name: &'a str,
    /// uid of the class: another one of the same name is not written to.
    pub uid: &'a str,
    /// The text.
    pub text: &'a str,
}

impl SyncStatus {
    /// What it says, as far as it can be read.
    #[must_use]
    pub fn read(self) -> Status {
        let conditions = self.conditions.into_iter().filter_map(|written| {
            let since = written.last_transition_time.parse().ok()?;
            let condition = Condition {
                status: match written.status.as_str() {
                    "True" => Truth::True,
                    "False" => Truth::False,
                    _ => Truth::Unknown,
                },
                reason: written.reason,
                message: written.message,
                observed_generation: written.observed_generation,
                since,
            };
            Some((written.type_, condition))
        });
        Status {
            conditions: conditions.collect(),
            sync_hash: self.sync_hash,
            last_success: self
                .last_successful_sync_time
                .and_then(|text| text.parse().ok()),
        }
    }

    fn of(status: &Status) -> Self {
        let conditions = status.conditions.iter().map(|(type_, condition)| Written {
            type_: type_.clone(),
            status: condition.status.as_str().to_owned(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            observed_generation: condition.observed_generation,
            last_transition_time: seconds(condition.since),
        });
        Self {
            conditions: conditions.collect(),
            sync_hash: status.sync_hash.clone(),
            last_successful_sync_time: status.last_success.map(seconds),
        }
    }
}

/// Kubernetes' times have whole seconds.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Cluster {
    /// Writes the whole status of a SecretSync in one apply. The uid keeps it from a namesake.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn write_status(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        status: &Status,
    ) -> Result<(), Answer> {
        let body = json!({
            "apiVersion": SYNC_API,
            "kind": "SecretSync",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "status": SyncStatus::of(status),
        })
        .to_string();
        let path = format!(
            "/apis/{SYNC_API}/namespaces/{namespace}/secretsyncs/{name}/status?fieldManager={APPLY_MANAGER}&force=true"
        );
        let call = Call::new("patch", Method::PATCH, path)
            .body("application/apply-patch+yaml", body.as_bytes())
            .accept(super::METADATA_ONLY)
            .when(When::Last);
        self.send(call).await.map(|_| ())
    }

    /// Writes the state annotation of a class. Needs the right to patch classes.
    ///
    /// # Errors
    /// What the API server said instead of yes.
    pub async fn write_class_state(&self, state: ClassState<'_>) -> Result<(), Answer> {
        let annotations = BTreeMap::from([(SYNC_STATUS, state.text)]);
        let body = json!({"metadata": {"uid": state.uid, "annotations": annotations}}).to_string();
        let ClassState {
            namespace, name, ..
        } = state;
        let path = format!(
            "/apis/{CLASS_API}/namespaces/{namespace}/secretproviderclasses/{name}?fieldManager={APPLY_MANAGER}"
        );
        let call = Call::new("patch", Method::PATCH, path)
            .body("application/merge-patch+json", body.as_bytes())
            .accept(super::METADATA_ONLY)
            .when(When::Last);
        self.send(call).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_was_written() {
        let condition = Condition {
            status: Truth::False,
            reason: "Stale".to_owned(),
            message: "m".to_owned(),
            observed_generation: 3,
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let status = Status {
            conditions: [("Ready".to_owned(), condition)].into(),
            sync_hash: Some("c1:a:b".to_owned()),
            last_success: Some("2026-01-01T00:00:01Z".parse().unwrap()),
        };
        let text = serde_json::to_string(&SyncStatus::of(&status)).unwrap();
        let back: SyncStatus = serde_json::from_str(&text).unwrap();
        assert_eq!(back.read(), status);
    }
}
