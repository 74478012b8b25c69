//! Sends what a round comes to: the status, Events, metrics, and restarts that it calls for.
//!
//! What is told is decided in the core. A status or Event that cannot be written changes nothing about the Secret.

use coffer_sync_core::condition::{
    Event, Facts, Outcome, Update, event, note_of, update, update_pending,
};
use coffer_sync_core::decide::Wanted;
use coffer_sync_core::options::Door;
use coffer_sync_core::problem::joined;
use coffer_sync_core::validate::{Check, Class};
use jiff::{SignedDuration, Timestamp};

use super::Context;
use super::conclude::Concluded;
use super::gather::Gathered;
use super::prune;
use crate::memory::Memory;
use crate::restarts::{Changed, NotAdded};
use crate::world::Job;

/// How long versions that may not go yet are left alone.
const PRUNE_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// Before the end of the first round: the object is known, nothing was done.
pub(super) async fn accepted(context: &Context, job: &Job, memory: &mut Memory, now: Timestamp) {
    if memory.status.conditions.is_empty() {
        status(context, job, memory, &Outcome::Accepted, now).await;
    }
}

/// Names of options that mean nothing, once for each revision.
pub(super) async fn unknown(context: &Context, job: &Job, memory: &mut Memory, now: Timestamp) {
    if !job.unknown.is_empty() && memory.unknown_told != Some(job.revision()) {
        memory.unknown_told = Some(job.revision());
        warn(context, job, "UnknownOption", &joined(&job.unknown), now).await;
    }
}

/// After a round; whether the status stands as it should.
pub(super) async fn outcome(
    context: &Context,
    job: &Job,
    memory: &mut Memory,
    gathered: &Gathered,
    concluded: &Concluded,
    now: Timestamp,
) -> bool {
    count(context, gathered, concluded);
    log(job, memory, concluded);
    let synced = matches!(concluded.outcome, Some(Outcome::Synced { .. }));
    if concluded.changed || synced && memory.owes_restart {
        restart(context, job, memory, gathered, now).await;
    } else if synced && memory.prune_due.is_some_and(|due| due <= now) {
        prune(context, job, memory, now).await;
    }
    let told = match &concluded.outcome {
        Some(outcome) => status(context, job, memory, outcome, now).await,
        None => true,
    };
    if let Some(deed) = &concluded.deed {
        let (news, told) = event(&memory.told, deed, now);
        memory.told = told;
        if let Some(news) = news {
            write(context, job, &news, now).await;
        }
    }
    expiring(context, job, memory, gathered, now).await;
    told && !memory.owes_restart
}

fn count(context: &Context, gathered: &Gathered, concluded: &Concluded) {
    if let Some(reason) = concluded.reason {
        context.metrics.failed(reason);
    }
    let findings = gathered.made.iter().flat_map(|made| made.findings.list());
    for finding in findings.filter(|finding| finding.check.class() != Class::Structure) {
        context.metrics.check_failed(finding.check.as_str());
    }
}

fn log(job: &Job, memory: &Memory, concluded: &Concluded) {
    let (namespace, source) = (&job.source.namespace, &job.source.name);
    let (kind, secret) = (job.source.door.kind(), &memory.target_name);
    let (result, reason) = (concluded.result, concluded.reason.unwrap_or_default());
    match result {
        "unchanged" => tracing::debug!(kind, namespace, source, secret, result, "round"),
        "failed" | "refused" | "held" => {
            tracing::warn!(kind, namespace, source, secret, result, reason, "round");
        }
        _ => tracing::info!(kind, namespace, source, secret, result, "round"),
    }
}

async fn restart(
    context: &Context,
    job: &Job,
    memory: &mut Memory,
    gathered: &Gathered,
    now: Timestamp,
) {
    let (Ok(options), Ok(secret), Wanted::Content(content)) =
        (&job.options, &job.secret, &gathered.wanted)
    else {
        return;
    };
    let changed = Changed {
        source: &job.source,
        secret,
        name: &memory.target_name,
        fingerprint: &content.fingerprint,
        restart: &options.restart,
        window: options.restart_window,
    };
    let added = context.restarts.add(&context.cluster, &changed, now).await;
    memory.owes_restart = matches!(added, Err(NotAdded::Listing(_)));
    if let Err(refused) = added {
        warn(context, job, "RestartFailed", &refused.to_string(), now).await;
    }
    prune(context, job, memory, now).await;
}

/// Deletes old versions, says so, and notes when to look again for those that may not go yet.
async fn prune(context: &Context, job: &Job, memory: &mut Memory, now: Timestamp) {
    let (Ok(options), Ok(secret)) = (&job.options, &job.secret) else {
        return;
    };
    if memory.target_name == *secret {
        memory.prune_due = None;
        return;
    }
    let (current, keep) = (&memory.target_name, options.keep_versions);
    let pruned = prune::prune(context, job, secret, current, keep, now).await;
    // Where nothing could be looked at there may be some.
    let left_over = pruned.as_ref().is_none_or(|pruned| pruned.left_over);
    let again = now.checked_add(PRUNE_AGAIN).ok();
    memory.prune_due = again.filter(|_| left_over);
    let Some(pruned) = pruned else {
        return;
    };
    if !pruned.gone.is_empty() {
        let event = Event {
            warning: false,
            reason: "Synced",
            note: note_of(&format!("Pruned old versions: {}.", pruned.gone.join(", "))),
        };
        write(context, job, &event, now).await;
    }
}

/// After restarts that a Secret called for: nothing else about its object is new.
pub(super) async fn restarts_changed(
    context: &Context,
    job: &Job,
    memory: &mut Memory,
    now: Timestamp,
) {
    let update = update_pending(&memory.status, &facts(context, job, memory), now);
    send(context, job, memory, update).await;
}

async fn status(
    context: &Context,
    job: &Job,
    memory: &mut Memory,
    outcome: &Outcome,
    now: Timestamp,
) -> bool {
    let update = update(&memory.status, outcome, &facts(context, job, memory), now);
    send(context, job, memory, update).await
}

fn facts(context: &Context, job: &Job, memory: &Memory) -> Facts {
    let options = job.options.as_ref().ok();
    let secret = job.secret.as_deref().unwrap_or_default();
    Facts {
        generation: job.revision().generation,
        interval: options.and_then(|options| options.refresh_interval),
        heartbeat: context.heartbeat,
        last_success: memory.last_success,
        restart_pending: context.restarts.pending(&job.source.namespace, secret),
    }
}

/// Whether it need not be tried again.
async fn send(context: &Context, job: &Job, memory: &mut Memory, update: Update) -> bool {
    let source = &job.source;
    if !update.write {
        return true;
    }
    if source.door == Door::Class {
        memory.status = update.status;
        return true;
    }
    let written = context
        .cluster
        .write_status(&source.namespace, &source.name, &source.uid, &update.status)
        .await;
    let (namespace, name) = (&source.namespace, &source.name);
    match written {
        Ok(()) => {
            memory.status = update.status;
            true
        }
        // It is gone, or another one by now.
        Err(answer) if matches!(answer.code, 404 | 409) => {
            tracing::debug!(namespace, name, code = answer.code, "no status was written");
            true
        }
        Err(answer) => {
            let error = answer.message;
            tracing::warn!(namespace, name, error, "the status cannot be written");
            false
        }
    }
}

/// Tells once of each content that it will soon be of no use.
async fn expiring(
    context: &Context,
    job: &Job,
    memory: &mut Memory,
    gathered: &Gathered,
    now: Timestamp,
) {
    let (Wanted::Content(content), Some(made)) = (&gathered.wanted, &gathered.made) else {
        return;
    };
    let findings = made.findings.list().iter();
    let soon = findings
        .filter(|finding| finding.check == Check::TlsExpiring)
        .map(ToString::to_string)
        .next();
    let Some(text) = soon else { return };
    if memory.expiring.as_ref() != Some(&content.fingerprint) {
        memory.expiring = Some(content.fingerprint.clone());
        warn(context, job, "ExpiresSoon", &text, now).await;
    }
}

async fn warn(context: &Context, job: &Job, reason: &'static str, note: &str, now: Timestamp) {
    let event = Event {
        warning: true,
        reason,
        note: note_of(note),
    };
    write(context, job, &event, now).await;
}

async fn write(context: &Context, job: &Job, event: &Event, now: Timestamp) {
    let written = context
        .cluster
        .write_event(&job.source, event, &context.instance, now);
    if let Err(answer) = written.await {
        let (reason, error) = (event.reason, answer.message);
        tracing::debug!(reason, error, "an Event cannot be written");
    }
}
