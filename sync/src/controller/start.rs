//! Starts rounds of objects whose turn has come.
//!
//! Which object is next is decided by the core's queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coffer_sync_core::schedule::Turn;
use jiff::Timestamp;

use super::{Controller, Finished};
use crate::round::{Alive, round};

/// How long the loop sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

impl Controller {
    /// Starts what is due, and says how long nothing else will be.
    pub(super) fn start_due(&mut self, now: Timestamp) -> Duration {
        if !self.lists.is_empty() {
            return IDLE;
        }
        let paused = self.paused(now);
        while let Some(turn) = self.queue.next(now, self.rules.limits, &paused) {
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

    fn paused(&self, now: Timestamp) -> BTreeSet<String> {
        let paused = self.pauses.iter().filter(|(_, pause)| pause.is_paused(now));
        paused.map(|(provider, _)| provider.clone()).collect()
    }

    fn start(&mut self, turn: &Turn) {
        let object = turn.object.clone();
        let job = self.world.job(&object);
        let tracked = self.tracked.get_mut(&object);
        let taken = tracked.and_then(|tracked| {
            let memory = tracked.memory.take()?;
            let alive = Alive {
                overtaken: Arc::default(),
                ended: self.ended.clone(),
            };
            tracked.alive = Some(alive.clone());
            tracked.again = false;
            Some((memory, alive))
        });
        let (Some(job), Some((mut memory, alive))) = (job, taken) else {
            self.queue.done(&object);
            return;
        };
        if let Some(pause) = self.pauses.get_mut(job.provider()) {
            pause.calling();
        }
        self.context.metrics.queue_lag(turn.lag);
        let context = Arc::clone(&self.context);
        let named = object.clone();
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
}
