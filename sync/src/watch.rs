//! Watches of classes, SecretSyncs and the metadata of our Secrets, as a stream of changes.
//!
//! An object that cannot be read is told and skipped: it never ends a watch. A kind that is not installed is looked
//! for again from time to time. What a change means is decided elsewhere.

mod read;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use coffer_sync_core::options::Door;
use coffer_sync_core::options::names::SYNC_LABEL;
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
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

/// Watches the sources of one kind until the receiver is gone.
pub async fn sources(
    client: Client,
    door: Door,
    namespace: Option<String>,
    changes: Sender<Change>,
    recheck: Duration,
) {
    let resource = resource(door);
    let api: Api<DynamicObject> = match &namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let listen = Listen {
        what: door.kind(),
        changes,
        recheck,
    };
    let listed = |keys, installed| Change::Listed {
        door,
        namespace: namespace.clone(),
        keys,
        installed,
    };
    let seen = |object: &DynamicObject| read::source(door, object);
    listen
        .run(
            watcher::watcher(api, watcher::Config::default()),
            seen,
            listed,
        )
        .await;
}

/// Watches the metadata of our Secrets until the receiver is gone.
pub async fn secrets(
    client: Client,
    namespace: Option<String>,
    changes: Sender<Change>,
    recheck: Duration,
) {
    let api: Api<PartialObjectMeta<Secret>> = match &namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let config = watcher::Config::default().labels(&format!("{SYNC_LABEL}=true"));
    let listen = Listen {
        what: "Secret",
        changes,
        recheck,
    };
    let listed = |keys, _| Change::Secrets {
        namespace: namespace.clone(),
        keys,
    };
    let seen = |object: &PartialObjectMeta<Secret>| read::secret(&object.metadata);
    listen
        .run(watcher::watcher(api, config), seen, listed)
        .await;
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
    recheck: Duration,
}

impl Listen {
    async fn run<K: Debug + DeserializeOwned>(
        self,
        stream: impl Stream<Item = watcher::Result<Event<K>>>,
        seen: impl Fn(&K) -> Option<Read>,
        listed: impl Fn(BTreeSet<Key>, bool) -> Change,
    ) {
        let mut stream = std::pin::pin!(stream);
        let mut keys = BTreeSet::new();
        let mut pause = PAUSES[0];
        let mut missing = false;
        loop {
            let event = tokio::select! {
                () = self.changes.closed() => return,
                event = stream.next() => event,
            };
            let change = match event {
                None => return,
                Some(Ok(event)) => {
                    pause = PAUSES[0];
                    missing = false;
                    match event {
                        Event::Init => {
                            keys.clear();
                            None
                        }
                        Event::InitApply(object) => {
                            let read = self.read(&object, &seen);
                            keys.extend(read.as_ref().map(|read| read.key.clone()));
                            read.map(|read| read.now)
                        }
                        Event::InitDone => Some(listed(std::mem::take(&mut keys), true)),
                        Event::Apply(object) => self.read(&object, &seen).map(|read| read.now),
                        Event::Delete(object) => self.read(&object, &seen).map(|read| read.gone),
                    }
                }
                Some(Err(error)) => {
                    let absent = read::is_missing(&error);
                    let told = self.failed(&error, absent, &mut missing);
                    let wait = if absent { self.recheck } else { pause };
                    pause = (pause * 2).min(PAUSES[1]);
                    if told
                        && self
                            .changes
                            .send(listed(BTreeSet::new(), false))
                            .await
                            .is_err()
                    {
                        return;
                    }
                    tokio::select! {
                        () = self.changes.closed() => return,
                        () = tokio::time::sleep(wait) => None,
                    }
                }
            };
            if let Some(change) = change
                && self.changes.send(change).await.is_err()
            {
                return;
            }
        }
    }

    fn read<K>(&self, object: &K, seen: impl Fn(&K) -> Option<Read>) -> Option<Read> {
        let read = seen(object);
        if read.is_none() {
            tracing::warn!(kind = self.what, "an object cannot be read and is skipped");
        }
        read
    }

    /// Tells of a failure, of a missing kind once; whether the kind has just gone missing.
    fn failed(&self, error: &watcher::Error, absent: bool, missing: &mut bool) -> bool {
        let kind = self.what;
        if !absent {
            let error = read::cause(error);
            tracing::warn!(kind, error, "the watch failed and is tried again");
            return false;
        }
        let first = !std::mem::replace(missing, true);
        if first {
            tracing::info!(kind, "the kind is not installed; it is looked for again");
        }
        first
    }
}
