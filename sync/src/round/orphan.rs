//! A Secret that its class names no more: looked at, then deleted, warned of, or left.
//!
//! Which of them is decided in the core.

use std::collections::BTreeMap;
use std::time::Duration;

use coffer_sync_core::answer::Kind;
use coffer_sync_core::condition::Event;
use coffer_sync_core::decide::{Orphan, orphan};
use coffer_sync_core::options::{self, Deletion, Door};
use jiff::Timestamp;

use super::Context;
use super::act::mark;
use crate::cluster::{Patch, Written};
use crate::world::Class;

/// Pauses between tries to look at it.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
    Duration::from_secs(60),
];

/// Settles one orphan.
pub async fn settle(context: &Context, class: &Class, secret: &str, now: Timestamp) {
    let source = &class.source;
    let mark = mark(source, secret, None);
    let patch = Patch {
        namespace: &source.namespace,
        name: secret,
        force: true,
    };
    let Some(looked) = look(context, patch, &mark).await else {
        return;
    };
    // Only what goes with its source is deleted; what was to be retained has no owner.
    let mut owners = looked.seen.metadata.owners.iter();
    if looked.created || !owners.any(|(_, _, uid)| *uid == source.uid) {
        return;
    }
    let present = looked.seen.present(source);
    match orphan(&present, deletion(class), context.rights()) {
        Orphan::Leave => {}
        Orphan::Warn => {
            let note = format!(
                "Secret {secret} is no longer named by this class and will not change any more; delete it if it is of no use."
            );
            tell(context, class, ("OrphanedSecret", true), note, now).await;
        }
        Orphan::Delete {
            uid,
            resource_version,
        } => {
            let deleted = context
                .cluster
                .delete(&source.namespace, secret, &uid, &resource_version)
                .await;
            match deleted {
                Ok(()) => {
                    let note = format!(
                        "Secret {secret} is no longer named by this class and was deleted."
                    );
                    tell(context, class, ("Synced", false), note, now).await;
                }
                Err(answer) => {
                    let note = format!("Secret {secret} cannot be deleted: {}", answer.message);
                    tell(context, class, ("OrphanedSecret", true), note, now).await;
                }
            }
        }
    }
}

/// None where there is no answer in a few tries; a policy's no means a stranger's Secret, which is left alone.
async fn look(context: &Context, patch: Patch<'_>, mark: &str) -> Option<Written> {
    for pause in PAUSES {
        match context.cluster.probe(patch, mark.as_bytes()).await {
            Ok(looked) => return Some(looked),
            Err(answer)
                if answer.kind() != Kind::Unavailable && answer.kind() != Kind::Throttled =>
            {
                return None;
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
    }
    None
}

/// The options of a class that cannot be read keep everything.
fn deletion(class: &Class) -> Deletion {
    let parsed = options::parse(Door::Class, &class.annotations, &BTreeMap::new(), None);
    parsed
        .options
        .map_or(Deletion::Retain, |options| options.deletion)
}

async fn tell(
    context: &Context,
    class: &Class,
    (reason, warning): (&'static str, bool),
    note: String,
    now: Timestamp,
) {
    let event = Event {
        warning,
        reason,
        note,
    };
    let written = context
        .cluster
        .write_event(&class.source, &event, &context.instance, now);
    if let Err(answer) = written.await {
        tracing::debug!(reason, error = answer.message, "an Event cannot be written");
    }
}
