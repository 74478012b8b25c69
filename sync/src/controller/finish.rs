//! Takes up what a round brought: the memory of its object, when it is due again, what is shown of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, MutexGuard, PoisonError};

use coffer_sync_core::condition::{Status, class_annotation};
use coffer_sync_core::options::Door;
use coffer_sync_core::options::names::SYNC_STATUS;
use coffer_sync_core::schedule::{Call, Jitter, Last, Object, after_drift, due};
use jiff::Timestamp;
use tokio::task::{Id, JoinError};

use super::{Controller, Finished, View};
use crate::cluster::ClassState;
use crate::luck::luck;
use crate::memory::Memory;
use crate::round::Acted;
use crate::world::{Job, Key};

impl Controller {
    pub(super) fn finished(&mut self, ended: Result<(Id, Finished), JoinError>) {
        let now = Timestamp::now();
        // What a round said before it ended is heard before that: its object may run again at once.
        while let Ok(acted) = self.acted.1.try_recv() {
            self.acted(&acted);
        }
        match ended {
            Ok((id, finished)) => {
                self.running.remove(&id);
                self.take_up(finished, now);
            }
            // A panic ends one round. What was known of its object is read anew from its source.
            Err(error) => {
                if let Some((object, provider)) = self.running.remove(&error.id()) {
                    tracing::error!(secret = object.secret, "a round ended in a panic");
                    self.context.metrics.panicked();
                    self.note_call(&object, &provider, None, now);
                    self.recover(&object, now);
                }
            }
        }
    }

    pub(super) fn acted(&mut self, acted: &Acted) {
        self.queue.done(&acted.object);
        if acted.might_ask {
            self.note_call(&acted.object, &acted.provider, acted.call, Timestamp::now());
        }
    }

    fn recover(&mut self, object: &Object, now: Timestamp) {
        self.queue.done(object);
        let Some(job) = self.world.job(object) else {
            return;
        };
        let memory = self.recall(&job);
        let Some(tracked) = self.tracked.get_mut(object) else {
            return;
        };
        tracked.alive = None;
        tracked.memory = Some(memory);
        let last = Last::Failed {
            before: 3,
            retry_after: None,
        };
        let provider = tracked.provider.clone();
        self.plan(object, &provider, last, now);
    }

    fn take_up(&mut self, finished: Finished, now: Timestamp) {
        let Finished {
            object,
            mut memory,
            ended,
        } = finished;
        let job = self.world.job(&object);
        let Some(tracked) = self.tracked.get_mut(&object) else {
            return;
        };
        let provider = tracked.provider.clone();
        tracked.alive = None;
        let again = std::mem::take(&mut tracked.again);
        let (gone, moved, untold) = (
            std::mem::take(&mut tracked.gone),
            std::mem::take(&mut tracked.moved),
            std::mem::take(&mut tracked.untold),
        );
        if gone {
            memory.lose();
        }
        let aim = memory.target_name.clone();
        tracked.memory = Some(memory);
        let next = match ended.last {
            _ if again => {
                self.queue.insert(object.clone(), &provider, now);
                Some(now)
            }
            Some(last) => self.plan(&object, &provider, last, now),
            None => self.shown.views.next_of(&object),
        };
        if gone {
            self.queue
                .insert(object.clone(), &provider, after_drift(now));
        }
        let Some(job) = job else { return };
        if !aim.is_empty() {
            self.take_aim(&object, (job.source.namespace.clone(), aim));
        }
        if moved {
            self.compare(&object);
        }
        self.show(&object, &job, next);
        if job.source.door == Door::Class && self.rules.class_status {
            self.tell_class(&(job.source.namespace.clone(), job.source.name.clone()));
        }
        // A round that is due at once will tell.
        if untold && !again {
            self.tell_restarts(object);
        }
    }

    fn plan(
        &mut self,
        object: &Object,
        provider: &str,
        last: Last,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let options = self.world.job(object).and_then(|job| job.options.ok());
        let interval = options.map_or(self.rules.world.refresh_interval, |options| {
            options.refresh_interval
        });
        let next = due(last, now, interval, Jitter::new(luck()));
        if let Some(at) = next {
            self.queue.insert(object.clone(), provider, at);
        }
        next
    }

    fn note_call(&mut self, object: &Object, provider: &str, call: Option<Call>, now: Timestamp) {
        let Some(call) = call else {
            if let Some(pause) = self.pauses.get_mut(provider) {
                pause.unused();
            }
            return;
        };
        let pause = self.pauses.entry(provider.to_owned()).or_default();
        let was_paused = pause.until().is_some();
        pause.note(object, call, now);
        let (is_paused, until) = (pause.is_paused(now), pause.until());
        self.context.metrics.provider_paused(provider, is_paused);
        if was_paused && until.is_none() {
            self.hurry(provider, now);
        }
    }

    /// A provider answers again: whoever waited for it is due.
    fn hurry(&mut self, provider: &str, now: Timestamp) {
        for (object, tracked) in &self.tracked {
            let fails = tracked
                .memory
                .as_ref()
                .is_none_or(|memory| memory.failures > 0);
            if tracked.provider == provider && fails {
                self.queue.insert(object.clone(), provider, now);
            }
        }
    }

    fn show(&mut self, object: &Object, job: &Job, next: Option<Timestamp>) {
        let memory = self
            .tracked
            .get(object)
            .and_then(|tracked| tracked.memory.as_ref());
        let Some(memory) = memory else { return };
        let view = View::new(job, memory, next);
        if self.rules.per_object {
            let metrics = &self.context.metrics;
            metrics.object(&view.namespace, &view.secret, &view.per_object());
        }
        self.shown.views.put(object.clone(), view);
    }

    /// Shows what sources tell of objects whose first round is to come.
    pub(super) fn show_all(&mut self) {
        let objects: Vec<Object> = self.tracked.keys().cloned().collect();
        for object in objects {
            let memory = self
                .tracked
                .get(&object)
                .and_then(|tracked| tracked.memory.as_ref());
            if memory.is_some_and(Memory::is_known)
                && let Some(job) = self.world.job(&object)
            {
                self.show(&object, &job, None);
            }
        }
    }

    /// Writes the state of a class, if it is another than was written last.
    fn tell_class(&mut self, key: &Key) {
        let Some(class) = self.world.class(key).cloned() else {
            return;
        };
        let mut states: BTreeMap<String, Status> = BTreeMap::new();
        for object in self.world.objects_of(Door::Class, key) {
            let tracked = self.tracked.get(object);
            // The round that runs will tell.
            let Some(memory) = tracked.and_then(|tracked| tracked.memory.as_ref()) else {
                return;
            };
            states.insert(object.secret.clone(), memory.status.clone());
        }
        let text = class_annotation(&states);
        let mut texts = self.class_texts();
        let sent = texts
            .get(key)
            .or_else(|| class.annotations.get(SYNC_STATUS));
        if sent == Some(&text) {
            return;
        }
        texts.insert(key.clone(), text.clone());
        drop(texts);
        let (cluster, texts) = (
            Arc::clone(&self.context.cluster),
            Arc::clone(&self.class_texts),
        );
        self.tasks.spawn(async move {
            let state = ClassState {
                namespace: &class.source.namespace,
                name: &class.source.name,
                uid: &class.source.uid,
                text: &text,
            };
            if let Err(answer) = cluster.write_class_state(state).await {
                // The next round of the class tries again.
                texts
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&class.key());
                let (class, error) = (&class.source.name, answer.message);
                tracing::warn!(class, error, "the state of a class cannot be written");
            }
        });
    }

    pub(super) fn class_texts(&self) -> MutexGuard<'_, HashMap<Key, String>> {
        self.class_texts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
