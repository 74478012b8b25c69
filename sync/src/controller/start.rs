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
        // A probe of a paused provider pauses it for all others, so this is looked up for each.
        while let Some(turn) = self.next(now) {
            self.start(&turn);
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

    fn next(&mut self, now: Timestamp) -> Option<Turn> {
        let paused = self.paused(now);
        self.queue.next(now, self.rules.limits, &paused)
    }

    fn paused(&self, now: Timestamp) -> BTreeSet<String> {
        let paused = self.pauses.iter().filter(|(_, pause)| pause.is_paused(now));
        paused.map(|(provider, _)| provider.clone()).collect()
    }

    fn start(&mut self, turn: &Turn) {
        let object = turn.object.clone();
        let job = self.world.job(&object);
        let tracked = self.tracked.get_mut(&object);
        let taken = tracked.and_then(|tracked| {
            // Its status is being written: the turn comes after that.
            tracked.again = tracked.memory.is_none();
            let memory = tracked.memory.take()?;
            let alive = Alive {
                overtaken: Arc::default(),
                ended: self.ended.clone(),
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
        if let Some(pause) = self.pauses.get_mut(job.provider()) {
            pause.calling();
        }
        self.context.metrics.queue_lag(turn.lag);
        let context = Arc::clone(&self.context);
        let (named, provider) = (object.clone(), job.provider().to_owned());
        let of = provider.clone();
        let handle = self.rounds.spawn(async move {
            let ended = round(&context, &job, &mut memory, &alive).await;
            Finished {
                object,
                provider,
                memory,
                ended,
            }
        });
        self.running.insert(handle.id(), (named, of));
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
        let (named, provider) = (object.clone(), job.provider().to_owned());
        let of = provider.clone();
        let handle = self.rounds.spawn(async move {
            let ended = restarts_changed(&context, &job, &mut memory).await;
            Finished {
                object,
                provider,
                memory,
                ended,
            }
        });
        self.running.insert(handle.id(), (named, of));
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
        if tracked.rival.is_some() || tracked.aim.as_ref() == Some(&aim) {
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
