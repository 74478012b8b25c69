//! Changes of sources: what they make due.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use coffer_sync_core::claim::opens_class;
use coffer_sync_core::condition::{
    Condition, READY, SECRET_CREATED, Status, Truth, written_secrets,
};
use coffer_sync_core::options::Door;
use coffer_sync_core::options::names::{RESTART_PENDING, SYNC_STATUS};
use coffer_sync_core::restart::pending_targets;
use coffer_sync_core::schedule::{Object, at_start, changed};
use jiff::{SignedDuration, Timestamp};

use super::{Controller, Tracked};
use crate::memory::Memory;
use crate::restarts::Changed;
use crate::round::settle_orphan;
use crate::watch::{Change, Moved};
use crate::world::{Class, Dropped, Job, Key, Touched};

/// How long a class that was made before a SecretSync may come into sight after it.
const IN_SIGHT: SignedDuration = SignedDuration::from_secs(2);

impl Controller {
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Class(class) => {
                let touched = self.world.put_class(*class);
                self.touch(touched);
            }
            Change::Sync(sync) => {
                let touched = self.world.put_sync(*sync);
                self.touch(touched);
            }
            Change::Gone(door, key) => self.gone(door, &key),
            Change::Listed {
                door,
                namespace,
                keys,
                installed,
            } => {
                self.listed(door, namespace.as_ref(), &keys);
                if installed {
                    tracing::debug!(kind = door.kind(), count = keys.len(), "listed");
                }
                let waited = self.lists.remove(&(door, namespace));
                if waited && self.lists.is_empty() {
                    self.begin();
                }
            }
            Change::Secret(moved) => self.moved(moved),
            Change::Secrets { namespace, keys } => {
                let gone: Vec<Key> = self
                    .secrets
                    .keys()
                    .filter(|key| is_within(key, namespace.as_ref()) && !keys.contains(*key))
                    .cloned()
                    .collect();
                for key in gone {
                    self.moved(Moved { key, state: None });
                }
            }
        }
    }

    fn gone(&mut self, door: Door, key: &Key) {
        let touched = match door {
            Door::Class => self.world.remove_class(key),
            Door::Sync => self.world.remove_sync(key),
        };
        if door == Door::Class {
            self.class_texts().remove(key);
        }
        self.touch(touched);
    }

    fn listed(&mut self, door: Door, namespace: Option<&String>, keys: &BTreeSet<Key>) {
        for key in self.world.keys(door) {
            if is_within(&key, namespace) && !keys.contains(&key) {
                self.gone(door, &key);
            }
        }
    }

    fn touch(&mut self, touched: Touched) {
        for object in &touched.objects {
            match self.world.job(object) {
                Some(job) => self.look(job),
                None => self.forget(object),
            }
        }
        for dropped in touched.dropped {
            self.settle(dropped);
        }
    }

    fn look(&mut self, job: Job) {
        let now = Timestamp::now();
        if let Ok(secret) = &job.secret {
            let claimed = (job.source.namespace.clone(), secret.clone());
            // It is named again.
            if let Some(orphan) = self.orphans.remove(&claimed) {
                orphan.abort();
            }
        }
        let provider = job.provider().to_owned();
        let object = job.object.clone();
        if let Some(tracked) = self.tracked.get_mut(&object) {
            let same = !changed(Some(&tracked.seen), &job.seen) && tracked.rival == job.rival;
            if same {
                return;
            }
            if let (Ok(options), Some((namespace, secret)), None) =
                (&job.options, &tracked.claim, &job.rival)
            {
                let restarts = &self.context.restarts;
                restarts.narrow(namespace, secret, &options.restart);
            }
            // Who claimed it in between may have written it.
            if tracked.rival != job.rival
                && let Some(memory) = &mut tracked.memory
            {
                memory.settled = false;
            }
            tracked.seen = job.seen;
            tracked.rival = job.rival;
            tracked.provider.clone_from(&provider);
            if let Some(alive) = &tracked.alive {
                alive.overtaken.store(true, Ordering::Release);
                tracked.again = true;
            } else if self.lists.is_empty() {
                self.queue.insert(object, &provider, now);
            }
            return;
        }
        let has_class = job.class.is_some();
        let memory = self.recall(&job);
        let claim = claim(&job);
        let tracked = Tracked {
            seen: job.seen,
            rival: job.rival,
            provider: provider.clone(),
            aim: None,
            claim,
            memory: Some(memory),
            alive: None,
            again: false,
            untold: false,
            moved: false,
            gone: false,
        };
        self.tracked.insert(object.clone(), Box::new(tracked));
        if self.lists.is_empty() {
            // Of two that were applied together the class may come into sight second.
            let wait = if has_class {
                SignedDuration::ZERO
            } else {
                IN_SIGHT
            };
            let due = now.checked_add(wait).unwrap_or(now);
            self.queue.insert(object, &provider, due);
        }
    }

    fn forget(&mut self, object: &Object) {
        self.queue.withdraw(object);
        let Some(tracked) = self.tracked.remove(object) else {
            return;
        };
        if let Some(alive) = &tracked.alive {
            alive.overtaken.store(true, Ordering::Release);
        }
        if let Some(aim) = &tracked.aim
            && self.aims.get(aim) == Some(object)
        {
            self.aims.remove(aim);
        }
        if let Some(claim) = &tracked.claim
            && self.world.claimants(claim).is_empty()
        {
            self.context.restarts.forget(&claim.0, &claim.1);
        }
        if let Some(view) = self.shown.views.remove(object)
            && self.rules.per_object
        {
            self.context
                .metrics
                .forget_object(&view.namespace, &view.secret);
        }
    }

    /// Everything is listed: new objects are due at once, others are spread.
    fn begin(&mut self) {
        let now = Timestamp::now();
        let mut known: Vec<Object> = Vec::new();
        for (object, tracked) in &self.tracked {
            let is_known = tracked.memory.as_ref().is_some_and(Memory::is_known);
            if is_known {
                known.push(object.clone());
            } else {
                self.queue.insert(object.clone(), &tracked.provider, now);
            }
        }
        known.sort();
        let count = known.len();
        for (position, object) in known.into_iter().enumerate() {
            let options = self.world.job(&object).and_then(|job| job.options.ok());
            let interval = options.map_or(self.rules.world.refresh_interval, |options| {
                options.refresh_interval
            });
            let at = at_start(position, count, interval, now);
            let provider = self
                .tracked
                .get(&object)
                .map(|tracked| tracked.provider.clone());
            self.queue.insert(object, &provider.unwrap_or_default(), at);
        }
        for key in self.world.keys(Door::Class) {
            self.settle_unnamed(&key);
        }
        self.show_all();
        self.shown.readiness.ready();
        tracing::info!(
            objects = self.tracked.len(),
            known = count,
            "everything is listed"
        );
    }

    /// Secrets that a class had when another process stopped, and names no more.
    fn settle_unnamed(&mut self, key: &Key) {
        let Some(class) = self.world.class(key) else {
            return;
        };
        let named: BTreeSet<&str> = class
            .spec
            .secret_objects
            .iter()
            .map(|entry| entry.secret_name.trim())
            .collect();
        let text = class.annotations.get(SYNC_STATUS);
        let written = text.map(|text| written_secrets(text)).unwrap_or_default();
        let is_open = opens_class(&class.annotations).is_some();
        let gone: Vec<String> = written
            .into_keys()
            .filter(|secret| is_open && !named.contains(secret.as_str()))
            .collect();
        for secret in gone {
            self.settle(Dropped {
                class: key.clone(),
                secret,
            });
        }
    }

    fn settle(&mut self, dropped: Dropped) {
        let Some(class) = self.world.class(&dropped.class).cloned() else {
            return;
        };
        let context = Arc::clone(&self.context);
        let orphan = (dropped.class.0.clone(), dropped.secret.clone());
        let task = self.tasks.spawn(async move {
            settle_orphan(&context, &class, &dropped.secret, Timestamp::now()).await;
        });
        self.orphans.retain(|_, task| !task.is_finished());
        self.orphans.insert(orphan, task);
    }

    /// What the source tells of rounds before this process.
    pub(super) fn recall(&self, job: &Job) -> Memory {
        let key = (job.source.namespace.clone(), job.source.name.clone());
        let status = match job.source.door {
            Door::Sync => self.world.sync(&key).map(|sync| sync.status.clone()),
            Door::Class => self
                .world
                .class(&key)
                .and_then(|class| of_annotation(class, &job.object.secret)),
        };
        let memory = Memory::new(status.unwrap_or_default(), job.revision());
        self.resume(job, &memory);
        memory
    }

    /// Restarts that were pending when another process stopped.
    fn resume(&self, job: &Job, memory: &Memory) {
        let pending = memory.status.conditions.get(RESTART_PENDING);
        let pending = pending.filter(|pending| pending.status == Truth::True);
        let (Some(pending), Ok(options), Ok(secret)) = (pending, &job.options, &job.secret) else {
            return;
        };
        let Some(written) = &memory.history.written else {
            return;
        };
        let version = coffer_sync_core::decide::version_name(secret, &written.fingerprint);
        let versioned = options.immutable == coffer_sync_core::options::Immutable::Versioned;
        let changed = Changed {
            source: &job.source,
            secret,
            name: if versioned { &version } else { secret },
            fingerprint: &written.fingerprint,
            restart: &options.restart,
            window: options.restart_window,
        };
        let targets = pending_targets(&pending.message);
        self.context
            .restarts
            .resume(&changed, targets, Timestamp::now());
    }
}

/// The Secret that an object claims, if it has a name that can be one.
fn claim(job: &Job) -> Option<Key> {
    let secret = job.secret.as_ref().ok()?;
    Some((job.source.namespace.clone(), secret.clone()))
}

/// A status of a class's Secret from the annotation: that it was created, what it holds, and which restarts it waits for.
fn of_annotation(class: &Class, secret: &str) -> Option<Status> {
    let text = class.annotations.get(SYNC_STATUS)?;
    let recorded = written_secrets(text).remove(secret)?;
    let condition = |reason: &str, message: String| Condition {
        status: Truth::True,
        reason: reason.to_owned(),
        message,
        observed_generation: class.generation,
        since: Timestamp::now(),
    };
    let created = condition("CreateSuccessful", String::new());
    let ready = condition("Synced", String::new());
    let pending = recorded.restart_pending.map(|pending| {
        (
            RESTART_PENDING.to_owned(),
            condition("RestartPending", pending),
        )
    });
    let conditions = [
        (SECRET_CREATED.to_owned(), created),
        (READY.to_owned(), ready),
    ];
    Some(Status {
        conditions: conditions.into_iter().chain(pending).collect(),
        sync_hash: Some(recorded.fingerprint.to_string()),
        last_success: None,
    })
}

fn is_within(key: &Key, namespace: Option<&String>) -> bool {
    namespace.is_none_or(|namespace| key.0 == *namespace)
}
