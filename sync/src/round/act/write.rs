//! Writes of Secrets, each by server-side apply under one manager, and what is known after them.
//!
//! Every write to a Secret that is there carries its uid: it never reaches another one of the same name.

use coffer_sync_core::answer::{Answer, Effect, Kind, Next, effect};
use coffer_sync_core::bytes::SecretBytes;
use coffer_sync_core::claim::{APPLY_MANAGER, Holder, Source};
use coffer_sync_core::decide::{
    Applied, Apply, Content, Fight, Matching, Plan, Present, Record, Recreation, Refusal, Skip,
    Target, Wanted, Why,
};
use coffer_sync_core::options::names::{ADOPTED, SOURCE_UID};
use coffer_sync_core::render::Rendered;
use serde_json::json;

use super::{Act, Done, Made, Step, differed};
use crate::cluster::{Patch, Seen, Written};
use crate::memory::Memory;
use crate::round::gather::digest;

/// Field manager of the CSI driver's own sync, by Update.
const DRIVER_MANAGER: &str = "csi-secrets-store";
/// End of the name of the admission policy that we bring along, as the API server quotes it; it says no to a stranger's Secret.
const WRITE_POLICY: &str = "-sync-write'";
/// The same of the one that keeps us from deleting what we do not own.
const DELETE_POLICY: &str = "-sync-delete'";
/// What the first then says.
const NOT_OURS: &str = "The Secret is not coffer-sync's";

/// A write that went through.
struct Through {
    written: Written,
    opponent: Option<String>,
}

impl Act<'_> {
    /// Whether a Secret of that name is there, and whose.
    pub(super) async fn look(&self, name: &str) -> Result<(Target, Option<Seen>), Next> {
        let looked = match self.probe(name, None).await {
            // An untyped Secret would be Opaque, which the operator may not have allowed.
            Err(answer) if answer.message.contains(WRITE_POLICY) && !is_strangers(&answer) => {
                let made = self.gathered.made.as_ref();
                let type_ = made.map(|made| made.rendered.type_.as_str());
                self.probe(name, type_).await
            }
            looked => looked,
        };
        match looked {
            Ok(Written { created: true, .. }) => Ok((Target::Absent, None)),
            Ok(Written { seen, .. }) => {
                let present = seen.present(&self.job.source);
                Ok((Target::Present(Box::new(present)), Some(seen)))
            }
            // Of another type it cannot be looked at, and so not be proven to be ours.
            Err(answer) if is_strangers(&answer) || answer.kind() == Kind::Type => {
                Ok((Target::Present(Box::new(strangers())), None))
            }
            Err(answer) => Err(self.next(&answer)),
        }
    }

    async fn probe(&self, name: &str, type_: Option<&str>) -> Result<Written, Answer> {
        let mark = mark(&self.job.source, name, type_);
        let cluster = &self.context.cluster;
        cluster.probe(self.patch(name, true), mark.as_bytes()).await
    }

    pub(super) async fn compare(&self, name: &str, made: &Made) -> Result<Matching, Next> {
        let mark = mark(&self.job.source, name, None);
        let Rendered { type_, data, .. } = &made.rendered;
        let compared =
            self.context
                .cluster
                .compare(self.patch(name, true), mark.as_bytes(), type_, data);
        compared.await.map_err(|answer| self.next(&answer))
    }

    /// Carries out a plan that writes.
    pub(super) async fn write(&self, memory: &mut Memory, made: &Made, plan: Plan) -> Step {
        let Wanted::Content(content) = &self.gathered.wanted else {
            return Step::Again;
        };
        let outcome = match &plan {
            Plan::Create { .. } | Plan::NewVersion { .. } => {
                self.create(memory, made, content).await
            }
            Plan::Recreate {
                uid,
                resource_version,
                why,
            } => {
                self.recreate(memory, made, content, (uid, resource_version), *why)
                    .await
            }
            Plan::Apply(apply) => self.apply(memory, made, content, apply).await,
            Plan::Adopt { uid, clear_driver } => {
                self.adopt(memory, made, content, uid, *clear_driver).await
            }
            Plan::Probe | Plan::Compare | Plan::Hold(_) | Plan::Skip(_) | Plan::Refuse(_) => {
                return Step::Again;
            }
        };
        match outcome {
            Ok(through) => self.note(memory, made, content, plan, through),
            Err(next) => self.follow(memory, next),
        }
    }

    async fn create(
        &self,
        memory: &mut Memory,
        made: &Made,
        content: &Content,
    ) -> Result<Through, Next> {
        let name = memory.target_name.clone();
        let rendered = named(&made.rendered, &name, made.rendered.immutable);
        let body = rendered.body(&record(content), None);
        let written = self
            .context
            .cluster
            .apply(self.patch(&name, false), body.as_ref());
        let written = written.await.map_err(|answer| match answer.kind() {
            // Somebody was faster.
            Kind::Conflict => Next::Probe,
            _ if is_strangers(&answer) => Next::Probe,
            _ => self.next(&answer),
        })?;
        if written.created || only_ours(&written.seen) {
            return Ok(Through {
                written,
                opponent: None,
            });
        }
        // Somebody else made it between our look and our write: what we put in is taken out again.
        let undone =
            self.context
                .cluster
                .clear(self.patch(&name, true), APPLY_MANAGER, &written.seen.uid);
        undone.await.map_err(|answer| self.next(&answer))?;
        Err(Next::Probe)
    }

    async fn recreate(
        &self,
        memory: &mut Memory,
        made: &Made,
        content: &Content,
        (uid, resource_version): (&str, &str),
        why: Recreation,
    ) -> Result<Through, Next> {
        let (namespace, name) = (&self.job.source.namespace, memory.target_name.clone());
        let deleted = self
            .context
            .cluster
            .delete(namespace, &name, uid, resource_version);
        deleted.await.map_err(|answer| match answer.code {
            409 => Next::Probe,
            // A Secret that is to be retained has no owner, and without one it is not deleted.
            _ if answer.message.contains(DELETE_POLICY) => Next::Refuse(match why {
                Recreation::Type => Refusal::TypeChange,
                Recreation::Immutable => Refusal::ImmutableConflict,
            }),
            _ => self.next(&answer),
        })?;
        memory.unsee(Target::Absent);
        memory.history.applied = None;
        memory.recreating = Some(why);
        self.create(memory, made, content).await.map_err(|next| {
            // A moment without the Secret is bad enough: one more try at once, after a look, because the answer
            // may be lost and not the write.
            match next {
                Next::Fail(_) => Next::Probe,
                next => next,
            }
        })
    }

    async fn apply(
        &self,
        memory: &mut Memory,
        made: &Made,
        content: &Content,
        apply: &Apply,
    ) -> Result<Through, Next> {
        let name = memory.target_name.clone();
        let rendered = if is_adopted(memory) {
            as_adopted(&made.rendered, &self.job.source)
        } else {
            made.rendered.clone()
        };
        let rendered = named(&rendered, &name, apply.immutable);
        let body = rendered.body(&record(content), Some(&apply.uid));
        let through = self.gently(&name, body.as_ref(), apply.force).await?;
        for manager in &apply.clear {
            let cleared = self
                .context
                .cluster
                .clear(self.patch(&name, true), manager, &apply.uid);
            cleared.await.map_err(|answer| self.next(&answer))?;
        }
        if apply.clear.is_empty() {
            return Ok(through);
        }
        // Their entries are gone: what is there now is asked for by an equal apply.
        let again = self.gently(&name, body.as_ref(), true).await?;
        Ok(Through {
            opponent: through.opponent,
            ..again
        })
    }

    async fn adopt(
        &self,
        memory: &mut Memory,
        made: &Made,
        content: &Content,
        uid: &str,
        clear_driver: bool,
    ) -> Result<Through, Next> {
        let name = memory.target_name.clone();
        let rendered = as_adopted(&made.rendered, &self.job.source);
        let rendered = named(&rendered, &name, false);
        let body = rendered.body(&record(content), Some(uid));
        let through = self.gently(&name, body.as_ref(), true).await?;
        if clear_driver {
            let namespace = &self.job.source.namespace;
            let seen = &through.written.seen;
            let disowned = self
                .context
                .cluster
                .disown(namespace, &name, seen, DRIVER_MANAGER);
            disowned.await.map_err(|answer| self.next(&answer))?;
        }
        Ok(through)
    }

    /// Without force first: a refusal names who edited our keys.
    async fn gently(&self, name: &str, body: &[u8], force: bool) -> Result<Through, Next> {
        let cluster = &self.context.cluster;
        match cluster.apply(self.patch(name, false), body).await {
            Ok(written) => Ok(Through {
                written,
                opponent: None,
            }),
            Err(answer) if force && answer.kind() == Kind::Conflict => {
                let opponent = answer.opponent().map(str::to_owned);
                let forced = cluster.apply(self.patch(name, true), body).await;
                let written = forced.map_err(|answer| self.next(&answer))?;
                Ok(Through { written, opponent })
            }
            Err(answer) if answer.kind() == Kind::Conflict => {
                let manager = answer.opponent().unwrap_or("another field manager");
                Err(Next::Refuse(Refusal::Edited(manager.to_owned())))
            }
            Err(answer) => Err(self.next(&answer)),
        }
    }

    /// What is known after a write.
    fn note(
        &self,
        memory: &mut Memory,
        made: &Made,
        content: &Content,
        plan: Plan,
        through: Through,
    ) -> Step {
        let Through { written, opponent } = through;
        let seen = written.seen;
        let plan = as_begun(plan, memory.recreating.take());
        let first = memory.history.applied.is_none();
        let reply = seen.reply(written.created);
        let effect = effect(&plan, memory.before.as_ref(), &reply);
        let effect = corrected(effect, &plan, opponent.is_some(), first);
        if effect == Effect::Vanishing {
            memory.unsee(Target::Unknown);
            return Step::End(Done::Left(Plan::Skip(Skip::BeingDeleted)));
        }
        let differed = differed(&memory.history, content);
        let again = !differed && memory.history.written.is_some();
        let by = opponent.as_deref();
        fight(memory, (&plan, effect), by, again, content, self.now);
        let adopted = matches!(plan, Plan::Adopt { .. }) || is_adopted(memory);
        self.remember(memory, made, content, &seen, adopted);
        Step::End(Done::Written {
            plan,
            effect,
            opponent,
            differed,
        })
    }

    fn remember(
        &self,
        memory: &mut Memory,
        made: &Made,
        content: &Content,
        seen: &Seen,
        adopted: bool,
    ) {
        let metadata = if adopted {
            let adopted = as_adopted(&made.rendered, &self.job.source);
            digest(&adopted, content.verdict.as_ref())
        } else {
            content.metadata
        };
        memory.history.applied = Some(Applied {
            uid: seen.uid.clone(),
            resource_version: seen.resource_version.clone(),
            metadata,
        });
        memory.history.latest = Some(Record {
            fingerprint: content.fingerprint.clone(),
            verdict: content.verdict.clone(),
        });
        memory.see(seen.present(&self.job.source), seen);
    }

    const fn patch<'p>(&'p self, name: &'p str, force: bool) -> Patch<'p> {
        Patch {
            namespace: self.job.source.namespace.as_str(),
            name,
            force,
        }
    }

    fn next(&self, answer: &Answer) -> Next {
        answer.next(self.told(&answer.message))
    }
}

/// A creation that ends a recreation counts as that.
fn as_begun(plan: Plan, recreating: Option<Recreation>) -> Plan {
    match (plan, recreating) {
        (Plan::Create { .. }, Some(why)) => Plan::Recreate {
            uid: String::new(),
            resource_version: String::new(),
            why,
        },
        (plan, _) => plan,
    }
}

/// The effect with what metadata cannot tell: times of managedFields are whole seconds, so an edit right after our
/// write is known by its manager; and of writes before this process nobody says what was asked for.
fn corrected(effect: Effect, plan: &Plan, opposed: bool, first: bool) -> Effect {
    match effect {
        Effect::Unchanged if opposed => Effect::Repaired,
        Effect::Repaired if first && !opposed && matches!(plan, Plan::Apply(_)) => Effect::Updated,
        effect => effect,
    }
}

/// Whether our own policy said that the Secret is somebody else's.
fn is_strangers(answer: &Answer) -> bool {
    answer.message.contains(WRITE_POLICY) && answer.message.contains(NOT_OURS)
}

/// The body of a look: who would be the Secret's source, and no more of a Secret than has to be.
pub(in crate::round) fn mark(source: &Source, name: &str, type_: Option<&str>) -> String {
    let mut mark = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": source.namespace,
            "annotations": {SOURCE_UID: source.uid},
        },
    });
    if let Some(type_) = type_ {
        mark["type"] = json!(type_);
    }
    mark.to_string()
}

fn record(content: &Content) -> String {
    let record = Record {
        fingerprint: content.fingerprint.clone(),
        verdict: content.verdict.clone(),
    };
    record.render()
}

fn fight(
    memory: &mut Memory,
    (plan, effect): (&Plan, Effect),
    opponent: Option<&str>,
    again: bool,
    content: &Content,
    now: jiff::Timestamp,
) {
    let contest = &mut memory.history.contest;
    match (plan, effect) {
        (Plan::NewVersion { .. }, _) if again => {
            contest.fought(Fight::Deletion, content.revision, now);
        }
        (Plan::Create { again: true }, _) => {
            contest.fought(Fight::Deletion, content.revision, now);
        }
        (Plan::Apply(_), Effect::Repaired) => {
            let manager = opponent.unwrap_or("another field manager").to_owned();
            contest.fought(Fight::Manager(manager), content.revision, now);
        }
        (Plan::Apply(apply), Effect::Unchanged) if apply.why == Why::Confirm => contest.calm(now),
        _ => {}
    }
}

/// Whether the Secret stood before us.
pub(super) fn is_adopted(memory: &Memory) -> bool {
    match &memory.target {
        Target::Present(present) => matches!(present.holder, Holder::Ours { adopted: true }),
        Target::Unknown | Target::Absent => false,
    }
}

/// The Secret as it is written to one that stood before us: without an owner, with the marks of adoption.
pub(super) fn as_adopted(
    rendered: &Rendered<SecretBytes>,
    source: &Source,
) -> Rendered<SecretBytes> {
    let mut adopted = rendered.clone();
    adopted.owner = None;
    adopted.immutable = false;
    let marks = [(SOURCE_UID, source.uid.as_str()), (ADOPTED, "true")];
    let marks = marks.map(|(name, text)| (name.to_owned(), text.to_owned()));
    adopted.annotations.extend(marks);
    adopted
}

fn named(rendered: &Rendered<SecretBytes>, name: &str, immutable: bool) -> Rendered<SecretBytes> {
    let mut named = rendered.clone();
    name.clone_into(&mut named.name);
    named.immutable = immutable;
    named
}

/// Whether nobody but us wrote the Secret.
fn only_ours(seen: &Seen) -> bool {
    let mut managed = seen.metadata.managed.iter();
    managed.all(|entry| entry.manager == APPLY_MANAGER)
}

/// A Secret of which the policy says that it is a stranger's, and nothing else.
fn strangers() -> Present {
    let nobody = Source {
        door: coffer_sync_core::options::Door::Sync,
        namespace: String::new(),
        name: String::new(),
        uid: String::new(),
        created: jiff::Timestamp::UNIX_EPOCH,
    };
    let nothing = coffer_sync_core::claim::Metadata::default();
    Present::read(&nobody, "", "", false, &nothing)
}
