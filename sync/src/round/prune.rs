//! Old versions of an immutable Secret: listed, and deleted where nobody needs them.
//!
//! Which may go is decided in the core. Without the rights to list Secrets and workloads nothing is deleted.

use std::collections::BTreeSet;

use coffer_sync_core::claim::Holder;
use coffer_sync_core::decide::{VersionSeen, is_version, prunable};
use coffer_sync_core::options::names::SYNC_LABEL;
use coffer_sync_core::restart::{Workload, repoint};
use jiff::Timestamp;

use super::Context;
use crate::cluster::Seen;
use crate::world::Job;

/// What came of pruning.
pub(super) struct Pruned {
    /// Names of the versions that are gone.
    pub(super) gone: Vec<String>,
    /// Whether there are more than are kept: too young, or still in use.
    pub(super) left_over: bool,
}

/// Deletes what may go; none where nothing could be looked at.
pub(super) async fn prune(
    context: &Context,
    job: &Job,
    secret: &str,
    current: &str,
    keep: usize,
    now: Timestamp,
) -> Option<Pruned> {
    let rights = context.rights();
    if !rights.delete || !rights.watch || !context.restarts.enabled() {
        return None;
    }
    let namespace = &job.source.namespace;
    let listed = context.cluster.labelled(namespace, SYNC_LABEL).await;
    let workloads = context.cluster.workloads(namespace).await;
    let (Ok(listed), Ok(workloads)) = (listed, workloads) else {
        return None;
    };
    let ours = |(name, seen): &(String, Seen)| {
        let holder = seen.present(&job.source).holder;
        is_version(secret, name) && holder == Holder::Ours { adopted: false }
    };
    let ours: Vec<(String, Seen)> = listed.into_iter().filter(ours).collect();
    let named = named(&workloads, secret);
    let seen = ours.iter().map(|(name, seen)| VersionSeen {
        name: name.clone(),
        created: seen.created_at.unwrap_or(now),
        named: named.contains(name),
    });
    let seen: Vec<VersionSeen> = seen.collect();
    let mut gone = Vec::new();
    for name in prunable(&seen, current, keep, now) {
        let Some((_, seen)) = ours.iter().find(|(known, _)| known == name) else {
            continue;
        };
        let deleted = context
            .cluster
            .delete(namespace, name, &seen.uid, &seen.resource_version)
            .await;
        match deleted {
            Ok(()) => gone.push(name.to_owned()),
            Err(answer) => tracing::warn!(
                namespace,
                secret = name,
                error = answer.message,
                "an old version cannot be deleted"
            ),
        }
    }
    Some(Pruned {
        left_over: seen.len() - gone.len() > keep.max(1),
        gone,
    })
}

/// The versions that workloads of the namespace name.
fn named(workloads: &[Workload], secret: &str) -> BTreeSet<String> {
    let found = workloads
        .iter()
        .flat_map(|workload| repoint(&workload.template, "", &|name| is_version(secret, name)));
    found.map(|replacement| replacement.old).collect()
}
