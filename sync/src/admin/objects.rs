//! What `/objects` tells of each object: its state and when it is fetched next. Names and times, never values.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// Lists all objects when it is asked.
pub type Objects = Arc<dyn Fn() -> Vec<ObjectView> + Send + Sync>;

/// One object: a SecretSync, or an entry of a class's `secretObjects`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectView {
    /// Kind of the source.
    pub kind: String,
    /// Its namespace, which is the Secret's too.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the Secret.
    pub secret: String,
    /// As in the metric `coffer_sync_objects`.
    pub state: String,
    /// The reason of Ready.
    pub reason: String,
    /// When the Secret was last known to hold what was fetched.
    #[serde(serialize_with = "seconds")]
    pub last_success: Option<Timestamp>,
    /// When it is fetched next; none where it is not polled.
    #[serde(serialize_with = "seconds")]
    pub next_refresh: Option<Timestamp>,
}

/// RFC 3339 without fractions.
fn seconds<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%SZ")),
        None => serializer.serialize_none(),
    }
}
