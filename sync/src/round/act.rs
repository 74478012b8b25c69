//! The only code that writes Secrets: carries out plans of the core until one of them ends the round.
//!
//! What an answer means is told by the core; here it is asked and noted.

mod write;

pub(super) use self::write::mark;

use coffer_sync_core::answer::{Effect, Next};
use coffer_sync_core::claim::{APPLY_MANAGER, Frozen, Holder, Operation};
use coffer_sync_core::condition::masked;
use coffer_sync_core::decide::{
    Failure, FailureKind, History, Plan, Policy, Present, Refusal, Same, Skip, Target, Wanted,
    decide, version_name,
};
use coffer_sync_core::options::{Door, Immutable, Options};
use jiff::Timestamp;

use super::gather::{Gathered, Made, digest};
use super::{Alive, Context};
use crate::cluster::Seen;
use crate::memory::Memory;
use crate::world::Job;

/// A round that decides more often than this runs in a circle.
const MOST_STEPS: usize = 12;

/// Looks at a Secret that a source of ours left behind, before it counts as a stranger's.
const MOST_WAITS: u32 = 8;

/// How the round of a Secret ended.
pub(super) enum Done {
    /// It was written.
    Written {
        /// By which plan.
        plan: Plan,
        /// What that did.
        effect: Effect,
        /// Who had edited it, if the API server named somebody.
        opponent: Option<String>,
        /// Whether there was other content before.
        differed: bool,
    },
    /// It was left as it is, as planned.
    Left(Plan),
    /// The API server did not take it.
    Failed(Failure),
    /// The API server did not take it, and only a person can change that.
    Refused(Refusal),
    /// Its namespace goes away.
    Forgotten,
}

/// One round at work.
pub(super) struct Act<'a> {
    pub(super) context: &'a Context,
    pub(super) job: &'a Job,
    pub(super) alive: &'a Alive,
    pub(super) gathered: &'a Gathered,
    pub(super) now: Timestamp,
}

/// What one plan led to.
enum Step {
    Again,
    End(Done),
}

impl Act<'_> {
    /// None when the round was overtaken before it wrote.
    pub(super) async fn run(&self, memory: &mut Memory) -> Option<Done> {
        let (Ok(options), Some(made)) = (&self.job.options, &self.gathered.made) else {
            return Some(Done::Left(self.decide(
                memory,
                &Options::new(None),
                &self.gathered.wanted,
            )));
        };
        if !std::mem::replace(&mut memory.settled, false) {
            memory.unsee(Target::Unknown);
        }
        let done = match self.aim(memory, options).await {
            Ok(()) => self.steps(memory, options, made).await?,
            Err(next) => match self.follow(memory, next) {
                Step::End(done) => done,
                Step::Again => circular(),
            },
        };
        // What is held is not applied again, so only a watch tells that it is still there.
        memory.settled = match &done {
            Done::Left(Plan::Hold(_)) => self.context.rights().watch,
            done => done.settles(),
        };
        Some(done)
    }

    async fn steps(&self, memory: &mut Memory, options: &Options, made: &Made) -> Option<Done> {
        for _ in 0..MOST_STEPS {
            let wanted = self.wanted(memory, made);
            let plan = self.decide(memory, options, &wanted);
            if plan.writes() && !self.alive.may_write() {
                return None;
            }
            match self.carry_out(memory, made, plan).await {
                Step::Again => {}
                Step::End(done) => return Some(done),
            }
        }
        Some(circular())
    }

    fn decide(&self, memory: &Memory, options: &Options, wanted: &Wanted) -> Plan {
        let policy = Policy::new(options, self.context.rights());
        decide(wanted, &memory.target, &memory.history, &policy, self.now)
    }

    /// The content with the metadata that an adopted Secret gets.
    fn wanted(&self, memory: &Memory, made: &Made) -> Wanted {
        let mut wanted = self.gathered.wanted.clone();
        if let (Wanted::Content(content), true) = (&mut wanted, write::is_adopted(memory)) {
            let adopted = write::as_adopted(&made.rendered, &self.job.source);
            content.metadata = digest(&adopted, content.verdict.as_ref());
        }
        wanted
    }

    /// Under `immutable: Versioned` the Secret in question is that of the content's version.
    async fn aim(&self, memory: &mut Memory, options: &Options) -> Result<(), Next> {
        let Wanted::Content(content) = &self.gathered.wanted else {
            return Ok(());
        };
        if options.immutable != Immutable::Versioned {
            memory.aim(&content.secret);
            return Ok(());
        }
        let written = memory.history.written.as_ref();
        let before = written.map(|written| version_name(&content.secret, &written.fingerprint));
        memory.aim(&version_name(&content.secret, &content.fingerprint));
        // After a restart the record of the newest version stands on that version only.
        if let (None, Some(before)) = (&memory.history.latest, before)
            && let (Target::Present(present), _) = self.look(&before).await?
        {
            memory.history.latest = present.record;
        }
        Ok(())
    }

    async fn carry_out(&self, memory: &mut Memory, made: &Made, plan: Plan) -> Step {
        let name = memory.target_name.clone();
        match plan {
            Plan::Probe => match self.look(&name).await {
                Ok((target, seen)) => {
                    match (target, seen) {
                        (Target::Present(mut present), Some(seen)) => {
                            if self.is_left_behind(&present, &seen, memory.waits) {
                                present.holder = Holder::Former;
                            }
                            memory.see(*present, &seen);
                        }
                        (target, _) => memory.unsee(target),
                    }
                    Step::Again
                }
                Err(next) => self.follow(memory, next),
            },
            Plan::Compare => match self.compare(&name, made).await {
                Ok(matching) => {
                    if let Target::Present(present) = &mut memory.target {
                        present.matching = Some(matching);
                    }
                    Step::Again
                }
                Err(next) => self.follow(memory, next),
            },
            Plan::Create { .. }
            | Plan::Apply(_)
            | Plan::Adopt { .. }
            | Plan::Recreate { .. }
            | Plan::NewVersion { .. } => self.write(memory, made, plan).await,
            Plan::Hold(_) | Plan::Skip(_) | Plan::Refuse(_) => Step::End(Done::Left(plan)),
        }
    }

    /// Whether we made it for a source that no longer claims it: the garbage collector takes it in a moment. Where it
    /// has not after a while, it is somebody else's.
    fn is_left_behind(&self, present: &Present, seen: &Seen, waits: u32) -> bool {
        let metadata = &seen.metadata;
        let kinds = [Door::Class.kind(), Door::Sync.kind()];
        let mut owners = metadata.owners.iter();
        present.holder == Holder::Stranger
            && waits < MOST_WAITS
            && self.job.rival.is_none()
            && owners.len() > 0
            && owners.all(|(kind, ..)| kinds.contains(&kind.as_str()))
            && seen.entry_of(APPLY_MANAGER, Operation::Apply).is_some()
    }

    /// What follows from a refusal of the API server.
    fn follow(&self, memory: &mut Memory, next: Next) -> Step {
        match next {
            Next::Probe => {
                memory.unsee(Target::Unknown);
                Step::Again
            }
            // Somebody made it immutable since it was looked at.
            Next::DataDiffers => known(memory, |present| {
                present.same_data = Same::No;
                if present.frozen == Frozen::No {
                    present.frozen = Frozen::Perhaps;
                }
            }),
            Next::TypeDiffers => known(memory, |present| present.same_type = Same::No),
            Next::ForeignEdits => Step::End(Done::Refused(Refusal::Edited(
                "another field manager".to_owned(),
            ))),
            Next::Forget => Step::End(Done::Forgotten),
            Next::Refuse(refusal) => Step::End(Done::Refused(refusal)),
            Next::Fail(failure) => Step::End(Done::Failed(failure)),
        }
    }

    /// A message of the API server, without any piece of a value.
    fn told(&self, message: &str) -> String {
        let values = self.gathered.made.iter();
        let values = values.flat_map(|made| made.rendered.data.values().map(AsRef::as_ref));
        masked(message, values)
    }
}

/// Notes what a refused write told; if that was known, nothing new would be decided.
fn known(memory: &mut Memory, note: impl FnOnce(&mut coffer_sync_core::decide::Present)) -> Step {
    match &mut memory.target {
        Target::Present(present) => note(present),
        Target::Unknown | Target::Absent => memory.unsee(Target::Unknown),
    }
    Step::Again
}

/// Whether there was content before that is known to be other content.
fn differed(history: &History, content: &coffer_sync_core::decide::Content) -> bool {
    let before = history
        .latest
        .as_ref()
        .map(|record| &record.fingerprint)
        .or(history.written.as_ref().map(|written| &written.fingerprint));
    before.is_some_and(|before| {
        before.compare(&content.fingerprint) == coffer_sync_core::fingerprint::Comparison::Different
    })
}

fn circular() -> Done {
    Done::Failed(Failure {
        kind: FailureKind::Internal,
        message: "the Secret changes faster than it can be looked at".to_owned(),
        retry_after: None,
    })
}

impl Done {
    /// Whether nothing is left open about the Secret: what was seen of it stays true until somebody writes.
    const fn settles(&self) -> bool {
        matches!(
            self,
            Self::Written { .. } | Self::Left(Plan::Skip(Skip::Unchanged))
        )
    }

    /// Whether nothing had to be done and the Secret holds what was fetched.
    pub(super) const fn is_unchanged(&self) -> bool {
        matches!(self, Self::Left(Plan::Skip(Skip::Unchanged)))
    }
}
