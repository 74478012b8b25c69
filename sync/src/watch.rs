//! Watches of classes, SecretSyncs and the metadata of our Secrets, as a stream of changes.
//!
//! An object that cannot be read is told and skipped: it never ends a watch. A kind that is not installed is looked
//! for again from time to time. What a change means is decided elsewhere.

mod read;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coffer_sync_core::options::Door;
use coffer_sync_core::options::names::SYNC_LABEL;
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::mpsc::Sender;

use crate::kinds::{CLASS_API, SYNC_API};
use crate::world::{Class, Key, Sync};

/// Between two tries of a watch that failed: it doubles from the first to the last.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// What was seen.
pub enum Change {
    /// A class as it is now.
    Class(Box<Class>),
    /// A SecretSync as it is now.
    Sync(Box<Sync>),
    /// A source that is gone, or about to go.
    Gone(Door, Key),
    /// All sources of a kind in a namespace, or in all of them: others are gone. Empty where the kind is not installed.
    Listed {
        /// The kind.
        door: Door,
        /// The namespace; none for all.
        namespace: Option<String>,
        /// Their names.
        keys: BTreeSet<Key>,
        /// Whether the kind is installed.
        installed: bool,
    },
    /// A Secret of ours as it is now.
    Secret(Moved),
    /// All Secrets of ours in a namespace, or in all of them: others are gone.
    Secrets {
        /// The namespace; none for all.
        namespace: Option<String>,
        /// Their names.
        keys: BTreeSet<Key>,
    },
}

/// A Secret that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Namespace and name.
    pub key: Key,
    /// Its state; none when it is gone.
    pub state: Option<SecretState>,
}

/// Of each Secret no more is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretState {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// How many watches of Secrets are at work, of how many.
#[derive(Debug)]
pub struct Live {
    at_work: AtomicUsize,
    all: usize,
}

impl Live {
    /// None of so many.
    #[must_use]
    pub const fn new(all: usize) -> Self {
        Self {
            at_work: AtomicUsize::new(0),
            all,
        }
    }

    /// Whether nothing can happen to a Secret that is not heard of.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.at_work.load(Ordering::Acquire) == self.all
    }
}

/// Objects of one page of a list: a SecretSync takes many times its size until it is read.
const PAGE: u32 = 100;

/// How long to wait before a watch is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Where the kind is not installed.
    pub missing: Duration,
}

/// Watches the sources of one kind until the receiver is gone.
pub async fn sources(
    client: Client,
    door: Door,
    namespace: Option<String>,
    changes: Sender<Change>,
    patience: Patience,
) {
    let resource = resource(door);
    let api: Api<DynamicObject> = match &namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let listen = Listen {
        what: door.kind(),
        changes,
        patience,
        live: None,
    };
    let listed = |keys, installed| Change::Listed {
        door,
        namespace: namespace.clone(),
        keys,
        installed,
    };
    let seen = |object: &DynamicObject| read::source(door, object);
    let stream = || watcher::watcher(api.clone(), watcher::Config::default().page_size(PAGE));
    listen.run(stream, seen, listed).await;
}

/// Watches the metadata of our Secrets until the receiver is gone.
pub async fn secrets(
    client: Client,
    namespace: Option<String>,
    changes: Sender<Change>,
    patience: Patience,
    live: Arc<Live>,
) {
    let api: Api<PartialObjectMeta<Secret>> = match &namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let config = watcher::Config::default()
        .labels(&format!("{SYNC_LABEL}=true"))
        .page_size(PAGE);
    let listen = Listen {
        what: "Secret",
        changes,
        patience,
        live: Some(live),
    };
    let listed = |keys, _| Change::Secrets {
        namespace: namespace.clone(),
        keys,
    };
    let seen = |object: &PartialObjectMeta<Secret>| read::secret(&object.metadata);
    let stream = || watcher::watcher(api.clone(), config.clone());
    listen.run(stream, seen, listed).await;
}

fn resource(door: Door) -> ApiResource {
    let (api, plural) = match door {
        Door::Class => (CLASS_API, "secretproviderclasses"),
        Door::Sync => (SYNC_API, "secretsyncs"),
    };
    let (group, version) = api.split_once('/').unwrap_or(("", api));
    let kind = GroupVersionKind::gvk(group, version, door.kind());
    ApiResource::from_gvk_with_plural(&kind, plural)
}

/// One change of one object, as its reader tells it.
struct Read {
    key: Key,
    /// The object as it is, or that it goes.
    now: Change,
    /// That it is gone.
    gone: Change,
}

struct Listen {
    what: &'static str,
    changes: Sender<Change>,
    patience: Patience,
    live: Option<Arc<Live>>,
}

/// What a watch knows of itself.
struct Progress {
    keys: BTreeSet<Key>,
    pause: Duration,
    /// Whether it was told that nothing can be listed.
    told: bool,
    /// Whether everything was listed once.
    listed: bool,
    /// Whether it counts as at work.
    counted: bool,
}

/// What follows from an event.
enum Heard {
    Change(Change),
    Nothing,
    /// The watch is begun anew after this time.
    Anew(Duration),
}

impl Listen {
    async fn run<K, S: Stream<Item = watcher::Result<Event<K>>>>(
        self,
        stream: impl Fn() -> S,
        seen: impl Fn(&K) -> Option<Read>,
        listed: impl Fn(BTreeSet<Key>, bool) -> Change,
    ) {
        let mut progress = Progress {
            keys: BTreeSet::new(),
            pause: PAUSES[0],
            told: false,
            listed: false,
            counted: false,
        };
        loop {
            let mut events = std::pin::pin!(stream());
            let wait = loop {
                let event = tokio::select! {
                    () = self.changes.closed() => return,
                    event = events.next() => event,
                };
                let heard = match event {
                    None => Heard::Anew(PAUSES[0]),
                    Some(Ok(event)) => self.hear(&mut progress, event, &seen, &listed),
                    Some(Err(error)) => self.fail(&mut progress, &error, &listed).await,
                };
                match heard {
                    Heard::Nothing => {}
                    Heard::Anew(wait) => break wait,
                    Heard::Change(change) => {
                        if self.changes.send(change).await.is_err() {
                            return;
                        }
                    }
                }
            };
            tokio::select! {
                () = self.changes.closed() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn hear<K>(
        &self,
        progress: &mut Progress,
        event: Event<K>,
        seen: impl Fn(&K) -> Option<Read>,
        listed: impl Fn(BTreeSet<Key>, bool) -> Change,
    ) -> Heard {
        let read = match &event {
            // It says no more than that a list is tried.
            Event::Init => {
                progress.keys.clear();
                return Heard::Nothing;
            }
            Event::InitDone => None,
            Event::InitApply(object) | Event::Apply(object) | Event::Delete(object) => {
                self.read(object, seen)
            }
        };
        (progress.pause, progress.told) = (PAUSES[0], false);
        match (event, read) {
            (Event::InitDone, _) => {
                self.count(progress, true);
                progress.listed = true;
                Heard::Change(listed(std::mem::take(&mut progress.keys), true))
            }
            (Event::Delete(_), Some(read)) => Heard::Change(read.gone),
            (Event::InitApply(_), Some(read)) => {
                progress.keys.insert(read.key);
                Heard::Change(read.now)
            }
            (_, Some(read)) => Heard::Change(read.now),
            (_, None) => Heard::Nothing,
        }
    }

    /// A watch that failed is begun anew, with a list: only then is it known what was missed.
    async fn fail(
        &self,
        progress: &mut Progress,
        error: &watcher::Error,
        listed: impl Fn(BTreeSet<Key>, bool) -> Change,
    ) -> Heard {
        self.count(progress, false);
        let (kind, first) = (self.what, !progress.told);
        let absent = read::is_missing(error);
        if absent && first {
            tracing::info!(kind, "the kind is not installed; it is looked for again");
        } else if !absent {
            let error = read::cause(error);
            tracing::warn!(kind, error, "the watch failed and is tried again");
        }
        // Where nothing may be listed there is nothing to wait for, and others must not wait with it. A right that is
        // missing for a moment makes nothing undone.
        if absent || read::is_forbidden(error) && !progress.listed {
            progress.told = true;
            if first {
                // Whoever hears it is gone only with everything else.
                let _ = self.changes.send(listed(BTreeSet::new(), false)).await;
            }
        }
        let wait = if absent {
            self.patience.missing
        } else {
            progress.pause
        };
        progress.pause = (progress.pause * 2).min(PAUSES[1]);
        Heard::Anew(wait)
    }

    fn count(&self, progress: &mut Progress, at_work: bool) {
        let Some(live) = &self.live else { return };
        if std::mem::replace(&mut progress.counted, at_work) == at_work {
            return;
        }
        if at_work {
            live.at_work.fetch_add(1, Ordering::AcqRel);
        } else {
            live.at_work.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn read<K>(&self, object: &K, seen: impl Fn(&K) -> Option<Read>) -> Option<Read> {
        let read = seen(object);
        if read.is_none() {
            tracing::warn!(kind = self.what, "an object cannot be read and is skipped");
        }
        read
    }
}
