//! Which due object is synced next: the earliest deadline, but no provider lives at the cost of the others.
//!
//! A provider that hangs holds its calls until their deadline; the others must not wait behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::instant::age;

/// A source and the Secret it writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// uid of the source.
    pub source: String,
    /// Name of the Secret.
    pub secret: String,
}

/// How much happens at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rounds in all.
    pub workers: usize,
    /// Rounds per provider.
    pub per_provider: usize,
}

impl Default for Limits {
    /// 8 and 8: the API server's and a provider's share of one core.
    fn default() -> Self {
        Self {
            workers: 8,
            per_provider: 8,
        }
    }
}

/// Objects that wait, each at most once, and rounds that run.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<Object, (String, Timestamp)>,
    order: BTreeMap<String, BTreeSet<(Timestamp, Object)>>,
    running: BTreeMap<Object, String>,
    served: BTreeMap<String, u64>,
    turns: u64,
}

/// An object whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The object.
    pub object: Object,
    /// How long after its time.
    pub lag: Duration,
}

impl Queue {
    /// Makes the object due at `at`. If it waits already, the earlier time counts.
    pub fn insert(&mut self, object: Object, provider: &str, at: Timestamp) {
        let at = self
            .waiting
            .get(&object)
            .map_or(at, |(_, before)| at.min(*before));
        self.replace(object, provider, at);
    }

    /// Makes the object due at `at`, later or earlier than before.
    pub fn replace(&mut self, object: Object, provider: &str, at: Timestamp) {
        self.withdraw(&object);
        self.order
            .entry(provider.to_owned())
            .or_default()
            .insert((at, object.clone()));
        self.waiting.insert(object, (provider.to_owned(), at));
    }

    /// Forgets the object: it is deleted or suspended. A round that runs goes on.
    pub fn withdraw(&mut self, object: &Object) {
        let Some((provider, at)) = self.waiting.remove(object) else {
            return;
        };
        if let Some(line) = self.order.get_mut(&provider) {
            line.remove(&(at, object.clone()));
            if line.is_empty() {
                self.order.remove(&provider);
            }
        }
    }

    /// The object whose turn it is, now counted as running; `paused` names providers that are not asked.
    ///
    /// Of the providers with due objects the one with the fewest running rounds is next, then the one that waited
    /// longest for a turn. While several providers are known, none takes the last worker.
    pub fn next(
        &mut self,
        now: Timestamp,
        limits: Limits,
        paused: &BTreeSet<String>,
    ) -> Option<Turn> {
        let free = limits
            .workers
            .checked_sub(self.running.len())
            .filter(|free| *free > 0)?;
        let alone = self.providers() <= 1;
        let chosen = self.order.iter().filter_map(|(provider, line)| {
            let running = self
                .running
                .values()
                .filter(|running| *running == provider)
                .count();
            let room = running < limits.per_provider
                && (free > 1 || alone || running == 0 || limits.workers == 1);
            // An object never runs twice at once: its next turn comes after this one.
            let ready = line
                .iter()
                .take_while(|(at, _)| *at <= now)
                .find(|(_, object)| !self.running.contains_key(object));
            let (at, object) = ready.filter(|_| room && !paused.contains(provider))?;
            let turn = self.served.get(provider).copied().unwrap_or_default();
            Some((running, turn, *at, provider.clone(), object.clone()))
        });
        let (_, _, at, provider, object) = chosen.min()?;
        self.withdraw(&object);
        self.turns += 1;
        self.served.insert(provider.clone(), self.turns);
        self.running.insert(object.clone(), provider);
        Some(Turn {
            object,
            lag: age(now, at),
        })
    }

    /// Notes that a round ended.
    pub fn done(&mut self, object: &Object) {
        self.running.remove(object);
        let known: BTreeSet<String> = self
            .order
            .keys()
            .chain(self.running.values())
            .cloned()
            .collect();
        self.served.retain(|provider, _| known.contains(provider));
    }

    /// When the next object is due, if none is before.
    #[must_use]
    pub fn wake(&self) -> Option<Timestamp> {
        self.order
            .values()
            .filter_map(|line| line.first())
            .map(|(at, _)| *at)
            .min()
    }

    /// How many objects are due and have not started.
    #[must_use]
    pub fn depth(&self, now: Timestamp) -> usize {
        self.order
            .values()
            .map(|line| line.iter().take_while(|(at, _)| *at <= now).count())
            .sum()
    }

    fn providers(&self) -> usize {
        let known: BTreeSet<&String> = self.order.keys().chain(self.running.values()).collect();
        known.len()
    }
}
