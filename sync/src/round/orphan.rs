//! A Secret that its class names no more: looked at, then deleted, warned of, or left.
//!
//! Which of them is decided in the core.

use std::collections::BTreeMap;

use coffer_sync_core::condition::Event;
use coffer_sync_core::decide::{Orphan, orphan};
use coffer_sync_core::options::{self, Deletion, Door};
use jiff::Timestamp;

use super::Context;
use super::act::mark;
use crate::cluster::Patch;
use crate::world::Class;

/// Settles one orphan.
pub async fn settle(context: &Context, class: &Class, secret: &str, now: Timestamp) {
    let source = &class.source;
    let mark = mark(source, secret);
    let patch = Patch {
        namespace: &source.namespace,
        name: secret,
        force: true,
    };
    // A policy's no means a stranger's Secret: that is left alone.
    let Ok(looked) = context.cluster.probe(patch, mark.as_bytes()).await else {
        return;
    };
    if looked.created {
        return;
    }
    let present = looked.seen.present(source);
    match orphan(&present, deletion(class), context.rights) {
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
