//! Which workloads restart when the content of a Secret changes, by which patch, and when.
//!
//! Only a change of content between two successful writes restarts anything. How a patch is sent stands elsewhere.

mod batch;
mod pending;
mod reference;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

pub use self::batch::{Batch, Limits, Pending, Ready};
pub use self::pending::{pending_message, pending_targets};
pub use self::reference::{Replacement, needs_restart, repoint};
use crate::decide::{Plan, Recreation, Why};
use crate::fingerprint::{Fingerprint, short_name};
use crate::options::names::RESTART_MARK;
use crate::options::{Restart, Target};

/// A Deployment, StatefulSet or DaemonSet of the object's namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Kind and name.
    pub target: Target,
    /// Its own labels.
    pub labels: BTreeMap<String, String>,
    /// `spec.template`.
    pub template: Value,
}

/// Whether a plan that was carried out changed content that consumers may have read.
///
/// Never a first write, an adoption, a takeover, a lost key, metadata, or a repair that restored known content.
/// For a recreation or a new version the caller says whether there was a comparable record before that differed.
#[must_use]
pub fn changes_content(plan: &Plan, differed: bool) -> bool {
    match plan {
        Plan::Apply(apply) => match apply.why {
            Why::Rotation => true,
            Why::First
            | Why::KeyLost
            | Why::Metadata
            | Why::Drifted
            | Why::Confirm
            | Why::Takeover => false,
        },
        // Pods that run keep the old mount of an immutable Secret, so they restart even to learn of its successor.
        Plan::Recreate {
            why: Recreation::Immutable,
            ..
        } => true,
        Plan::Recreate {
            why: Recreation::Type,
            ..
        }
        | Plan::NewVersion { .. } => differed,
        Plan::Create { .. }
        | Plan::Adopt { .. }
        | Plan::Probe
        | Plan::Compare
        | Plan::Hold(_)
        | Plan::Skip(_)
        | Plan::Refuse(_) => false,
    }
}

/// Who restarts for this Secret. Names are kept whether the workload is known or not: its absence is an error to tell.
#[must_use]
pub fn targets(restart: &Restart, workloads: &[Workload], secret: &str) -> BTreeSet<Target> {
    let those = |wanted: &dyn Fn(&Workload) -> bool| {
        let chosen = workloads.iter().filter(|workload| wanted(workload));
        chosen.map(|workload| workload.target.clone()).collect()
    };
    match restart {
        Restart::Never => BTreeSet::new(),
        Restart::Auto => those(&|workload| needs_restart(&workload.template, secret)),
        Restart::Selected(selector) => those(&|workload| selector.matches(&workload.labels)),
        Restart::Named(targets) => targets.clone(),
    }
}

/// The JSON merge patch that restarts a workload for these Secrets and their fingerprints, in one rollout.
/// A second one with equal fingerprints changes nothing.
#[must_use]
pub fn patch(changes: &BTreeMap<String, Fingerprint>) -> Value {
    let marks = changes
        .iter()
        .map(|(secret, fingerprint)| (mark(secret), json!(fingerprint.short())));
    let marks: serde_json::Map<String, Value> = marks.collect();
    json!({"spec": {"template": {"metadata": {"annotations": marks}}}})
}

/// The annotation of the Pod template that stands for this Secret.
#[must_use]
pub fn mark(secret: &str) -> String {
    format!("{RESTART_MARK}{}", short_name(secret))
}

#[cfg(test)]
mod tests;
