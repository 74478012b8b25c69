//! Takes up what a round brought: the memory of its object, when it is due again, what is shown of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_sync_core::condition::{Status, class_annotation};
use coffer_sync_core::decide::Target;
use coffer_sync_core::options::Door;
use coffer_sync_core::options::names::SYNC_STATUS;
use coffer_sync_core::schedule::{Call, Jitter, Last, Object, due};
use jiff::Timestamp;
use tokio::task::{Id, JoinError};

use super::{Controller, Finished, View};
use crate::cluster::ClassState;
use crate::luck::luck;
use crate::world::{Job, Key};

impl Controller {
    pub(super) fn finished(&mut self, ended: Result<(Id, Finished), JoinError>) {
        let now = Timestamp::now();
        match ended {
            Ok((id, finished)) => {
                self.running.remove(&id);
                self.take_up(finished, now);
            }
            // A panic ends one round. What was known of its object is read anew from its source.
            Err(error) => {
                if let Some(object) = self.running.remove(&error.id()) {
                    tracing::error!(secret = object.secret, "a round ended in a panic");
                    self.recover(&object, now);
                }
            }
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
            memory,
            ended,
        } = finished;
        self.queue.done(&object);
        let job = self.world.job(&object);
        let Some(tracked) = self.tracked.get_mut(&object) else {
            return;
        };
        let provider = tracked.provider.clone();
        tracked.alive = None;
        let (again, gone) = (tracked.again, std::mem::take(&mut tracked.gone));
        let mut memory = memory;
        if gone {
            memory.unsee(Target::Unknown);
        }
        if let Some(job) = &job {
            let aim = (job.source.namespace.clone(), memory.target_name.clone());
            if tracked.aim.as_ref() != Some(&aim) {
                if let Some(before) = tracked.aim.replace(aim.clone()) {
                    self.aims.remove(&before);
                }
                self.aims.insert(aim, object.clone());
            }
        }
        tracked.memory = Some(memory);
        self.note_call(&object, &provider, ended.call, now);
        let next = if again {
            self.queue.insert(object.clone(), &provider, now);
            Some(now)
        } else {
            self.plan(&object, &provider, ended.last, now)
        };
        if self.context.rights.watch {
            self.compare(&object);
        }
        if let Some(job) = job {
            self.show(&object, &job, next);
            if job.source.door == Door::Class && self.rules.class_status {
                self.tell_class(&(job.source.namespace.clone(), job.source.name.clone()));
            }
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
        let Some(call) = call else { return };
        let pause = self.pauses.entry(provider.to_owned()).or_default();
        pause.note(object, call, now);
        let is_paused = pause.is_paused(now);
        self.context.metrics.provider_paused(provider, is_paused);
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
        let sent = self
            .class_texts
            .get(key)
            .or_else(|| class.annotations.get(SYNC_STATUS));
        if sent == Some(&text) {
            return;
        }
        self.class_texts.insert(key.clone(), text.clone());
        let cluster = Arc::clone(&self.context.cluster);
        tokio::spawn(async move {
            let state = ClassState {
                namespace: &class.source.namespace,
                name: &class.source.name,
                uid: &class.source.uid,
                text: &text,
            };
            if let Err(answer) = cluster.write_class_state(state).await {
                let (class, error) = (&class.source.name, answer.message);
                tracing::warn!(class, error, "the state of a class cannot be written");
            }
        });
    }

    /// A restart settled: the status of those who waited for it says something else now.
    pub(super) fn refresh(&mut self, key: &Key) {
        let now = Timestamp::now();
        for object in self.world.claimants(key) {
            let Some(tracked) = self.tracked.get_mut(&object) else {
                continue;
            };
            let provider = tracked.provider.clone();
            match tracked.alive {
                Some(_) => tracked.again = true,
                None => self.queue.insert(object, &provider, now),
            }
        }
    }
}
