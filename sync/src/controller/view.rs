//! What is shown of objects: on the admin port and in gauges. Names and times, never a value.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coffer_sync_core::condition::{Fine, READY, Truth, stale_after};
use coffer_sync_core::instant::age;
use coffer_sync_core::schedule::Object;
use coffer_sync_core::secret_type::SecretType;
use jiff::Timestamp;

use super::Controller;
use crate::admin::ObjectView;
use crate::memory::Memory;
use crate::metrics::{ObjectCounts, PerObject};
use crate::world::Job;

/// How an object is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The Secret holds what the store holds.
    Ready,
    /// Rounds fail.
    Failing,
    /// A worse value is held back.
    Held,
    /// It is suspended.
    Suspended,
}

impl State {
    /// The label of the gauge.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Failing => "failing",
            Self::Held => "held",
            Self::Suspended => "suspended",
        }
    }
}

/// What is shown of one object.
#[derive(Clone, Debug)]
pub struct View {
    /// Kind of the source.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the Secret.
    pub secret: String,
    /// Its built-in type, if it is one.
    pub type_: Option<&'static str>,
    /// How it is doing.
    pub state: State,
    /// The reason of Ready.
    pub reason: String,
    /// The last fetch that ended in a verified Secret.
    pub last_success: Option<Timestamp>,
    /// When it is due again.
    pub next: Option<Timestamp>,
    /// When its content stops being of use.
    pub expires: Option<Timestamp>,
    /// How old a success may be; none for any age.
    pub stale_after: Option<Duration>,
}

impl View {
    pub(super) fn new(job: &Job, memory: &Memory, next: Option<Timestamp>) -> Self {
        let ready = memory.status.conditions.get(READY);
        let reason = ready.map(|ready| ready.reason.clone()).unwrap_or_default();
        let is_true = ready.is_some_and(|ready| ready.status == Truth::True);
        let state = match reason.as_str() {
            reason if reason == Fine::Held.as_str() => State::Held,
            reason if reason == Fine::Suspended.as_str() => State::Suspended,
            reason if reason == Fine::Synced.as_str() && is_true => State::Ready,
            _ => State::Failing,
        };
        let interval = job
            .options
            .as_ref()
            .ok()
            .and_then(|options| options.refresh_interval);
        let type_ = coffer_sync_core::render::normal_type(job.source.door, &job.type_);
        let built_in = SecretType::BUILT_IN
            .iter()
            .find(|built_in| built_in.as_str() == type_);
        Self {
            kind: job.source.door.kind(),
            namespace: job.source.namespace.clone(),
            name: job.source.name.clone(),
            secret: job.secret.clone().unwrap_or_default(),
            type_: built_in.map(built_in_name),
            state,
            reason,
            last_success: memory.last_success,
            next,
            expires: memory.expires,
            // What is not polled does not grow stale.
            stale_after: interval.map(|interval| stale_after(Some(interval))),
        }
    }

    pub(super) fn per_object(&self) -> PerObject {
        PerObject {
            last_success: self.last_success,
            expiry: self.expires,
            held: self.state == State::Held,
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        let (Some(limit), Some(success)) = (self.stale_after, self.last_success) else {
            return false;
        };
        self.state != State::Suspended && age(now, success) >= limit
    }
}

/// The name of a built-in type with the life of the program.
fn built_in_name(type_: &SecretType) -> &'static str {
    match type_ {
        SecretType::Opaque | SecretType::Custom(_) => "Opaque",
        SecretType::ServiceAccountToken => "kubernetes.io/service-account-token",
        SecretType::DockerCfg => "kubernetes.io/dockercfg",
        SecretType::DockerConfigJson => "kubernetes.io/dockerconfigjson",
        SecretType::BasicAuth => "kubernetes.io/basic-auth",
        SecretType::SshAuth => "kubernetes.io/ssh-auth",
        SecretType::Tls => "kubernetes.io/tls",
        SecretType::BootstrapToken => "bootstrap.kubernetes.io/token",
    }
}

/// The views of all objects.
#[derive(Debug, Default)]
pub struct Views(Mutex<BTreeMap<Object, View>>);

impl Views {
    pub(super) fn put(&self, object: Object, view: View) {
        self.lock().insert(object, view);
    }

    pub(super) fn remove(&self, object: &Object) -> Option<View> {
        self.lock().remove(object)
    }

    pub(super) fn next_of(&self, object: &Object) -> Option<Timestamp> {
        self.lock().get(object)?.next
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// All of them, for the admin port.
    #[must_use]
    pub fn list(&self) -> Vec<ObjectView> {
        let views = self.lock();
        let shown = views.values().map(|view| ObjectView {
            kind: view.kind.to_owned(),
            namespace: view.namespace.clone(),
            name: view.name.clone(),
            secret: view.secret.clone(),
            state: view.state.as_str().to_owned(),
            reason: view.reason.clone(),
            last_success: view.last_success,
            next_refresh: view.next,
        });
        shown.collect()
    }

    fn counts(&self, now: Timestamp) -> (ObjectCounts, BTreeMap<&'static str, Option<Timestamp>>) {
        let mut counts = ObjectCounts::default();
        let mut expiry: BTreeMap<&'static str, Option<Timestamp>> = BTreeMap::new();
        for view in self.lock().values() {
            match view.state {
                State::Ready => counts.ready += 1,
                State::Failing => counts.failing += 1,
                State::Held => counts.held += 1,
                State::Suspended => counts.suspended += 1,
            }
            counts.contested += i64::from(view.reason == Fine::Contested.as_str());
            counts.stale += i64::from(view.is_stale(now));
            let polled = view.state != State::Suspended && view.stale_after.is_some();
            let success = view.last_success.filter(|_| polled);
            let success = success.map(|success| age(now, success));
            counts.oldest_success_age = counts.oldest_success_age.max(success);
            if let (Some(type_), Some(end)) = (view.type_, view.expires) {
                let earliest = expiry.entry(type_).or_default();
                *earliest = Some(earliest.map_or(end, |before| before.min(end)));
            }
        }
        (counts, expiry)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Object, View>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller {
    /// Brings gauges up to date.
    pub(super) fn measure(&self) {
        let now = Timestamp::now();
        let metrics = &self.context.metrics;
        let (counts, expiry) = self.shown.views.counts(now);
        metrics.objects(&counts);
        metrics.earliest_expiry(&expiry);
        metrics.queue_depth(self.queue.depth(now));
    }
}
