//! Starts rounds of objects whose turn has come.
//!
//! Which object is next is decided by the core's queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coffer_sync_core::options::Immutable;
use coffer_sync_core::schedule::{Object, Turn};
use jiff::Timestamp;

use super::{Controller, Finished};
use crate::round::{Alive, restarts_changed, round};
use crate::world::{Job, Key};

/// How long the loop sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

impl Controller {
    /// Starts what is due, and says how long nothing else will be.
    pub(super) fn start_due(&mut self, now: Timestamp) -> Duration {
        if !self.lists.is_empty() {
            return IDLE;
        }
        self.probe(now);
        let nobody = BTreeSet::new();
        while let Some(turn) = self.queue.next(now, self.rules.limits, &nobody) {
            self.start(&turn, now);
        }
        let over = self
            .pauses
            .values()
            .filter_map(coffer_sync_core::schedule::Pause::until);
        // What is due and could not start waits for a round to end, or for a pause.
        let due = self.queue.wake().into_iter().chain(over);
        let next = due.filter(|at| *at > now).min();
        next.map_or(IDLE, |next| {
            next.duration_since(now).try_into().unwrap_or_default()
        })
    }

    /// Where a pause is over one object tries whether its provider answers, before its own time.
    fn probe(&mut self, now: Timestamp) {
        let over = self.pauses.iter().filter(|(_, pause)| {
            let ended = pause.until().is_some_and(|until| until <= now);
            ended && !pause.is_paused(now)
        });
        let over: Vec<String> = over.map(|(provider, _)| provider.clone()).collect();
        for provider in over {
            let mut tracked = self.tracked.iter();
            let idle = tracked
                .find(|(_, tracked)| tracked.provider == provider && tracked.memory.is_some());
            if let Some((object, _)) = idle {
                self.queue.insert(object.clone(), &provider, now);
            }
        }
    }

    fn start(&mut self, turn: &Turn, now: Timestamp) {
        let object = turn.object.clone();
        let job = self.world.job(&object);
        let provider = job.as_ref().map(Job::provider).unwrap_or_default();
        let pause = self.pauses.get(provider);
        let paused = pause.is_some_and(|pause| pause.is_paused(now));
        let tracked = self.tracked.get_mut(&object);
        let taken = tracked.and_then(|tracked| {
            // Its status is being written: the turn comes after that.
            tracked.again = tracked.memory.is_none();
            let memory = tracked.memory.take()?;
            let alive = Alive {
                overtaken: Arc::default(),
                ended: self.ended.clone(),
                paused,
                acted: self.acted.0.clone(),
            };
            tracked.alive = Some(alive.clone());
            tracked.moved = false;
            Some((memory, alive))
        });
        let (Some(job), Some((mut memory, alive))) = (job, taken) else {
            self.queue.done(&object);
            return;
        };
        self.aim(&object, &job);
        if let (Some(pause), false) = (self.pauses.get_mut(job.provider()), paused) {
            pause.calling();
        }
        self.context.metrics.queue_lag(turn.lag);
        let context = Arc::clone(&self.context);
        let named = (object.clone(), job.provider().to_owned());
        let handle = self.rounds.spawn(async move {
            let ended = round(&context, &job, &mut memory, &alive).await;
            Finished {
                object,
                memory,
                ended,
            }
        });
        self.running.insert(handle.id(), named);
    }

    /// Restarts settled: the status of those who waited for them says something else now.
    pub(super) fn refresh(&mut self, key: &Key) {
        for object in self.world.claimants(key) {
            self.tell_restarts(object);
        }
    }

    pub(super) fn tell_restarts(&mut self, object: Object) {
        let Some(tracked) = self.tracked.get_mut(&object) else {
            return;
        };
        let (job, memory) = (self.world.job(&object), tracked.memory.take());
        tracked.untold = memory.is_none();
        let (Some(job), Some(mut memory)) = (job, memory) else {
            return;
        };
        let context = Arc::clone(&self.context);
        let named = (object.clone(), job.provider().to_owned());
        let handle = self.rounds.spawn(async move {
            let ended = restarts_changed(&context, &job, &mut memory).await;
            Finished {
                object,
                memory,
                ended,
            }
        });
        self.running.insert(handle.id(), named);
    }

    /// Says which object writes a Secret, before it does: it may vanish again before the round ends. Names of
    /// versions are known only afterwards.
    fn aim(&mut self, object: &Object, job: &Job) {
        let versioned = job
            .options
            .as_ref()
            .is_ok_and(|options| options.immutable == Immutable::Versioned);
        if let (false, Ok(secret)) = (versioned, &job.secret) {
            let aim = (job.source.namespace.clone(), secret.clone());
            self.take_aim(object, aim);
        }
    }

    /// Of several objects that claim a Secret the one that won keeps it.
    pub(super) fn take_aim(&mut self, object: &Object, aim: Key) {
        let Some(tracked) = self.tracked.get_mut(object) else {
            return;
        };
        if tracked.rival.is_some() || self.aims.get(&aim) == Some(object) {
            return;
        }
        let before = tracked.aim.replace(aim.clone());
        if let Some(before) = before
            && self.aims.get(&before) == Some(object)
        {
            self.aims.remove(&before);
        }
        self.aims.insert(aim, object.clone());
    }
}
