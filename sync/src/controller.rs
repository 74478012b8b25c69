//! The loop of the leader: hears of changes, starts rounds when their turn comes, and takes up what they bring.
//!
//! One task owns everything that is known; rounds run beside it and own the memory of their object meanwhile.
//! What is decided in a round, and how objects follow from sources, stands elsewhere.

mod change;
mod drift;
mod finish;
mod start;
mod view;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffer_sync_core::options::Door;
use coffer_sync_core::schedule::{Limits, Object, Pause, Queue, Seen};
use jiff::Timestamp;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use self::view::{State, View, Views};
use crate::admin::{Liveness, Readiness};
use crate::memory::Memory;
use crate::round::{Acted, Alive, Context, Ended};
use crate::watch::{self, Change, Patience, SecretState};
use crate::world::{Key, World, WorldRules};

/// Changes that wait: a page of a list is taken in before the next one is read.
const CHANGES: usize = 512;
/// How often the loop moves when nothing happens, and gauges are brought up to date.
const TICK: Duration = Duration::from_secs(2);
/// What is under way at the end may finish for so long.
const DRAIN: Duration = Duration::from_secs(5);

/// What the operator says about the loop.
#[derive(Clone, Debug)]
pub struct ControllerRules {
    /// Which sources are ours.
    pub world: WorldRules,
    /// How much happens at the same time.
    pub limits: Limits,
    /// Namespaces that are watched; empty for all.
    pub namespaces: Vec<String>,
    /// How often a kind that is not installed is looked for.
    pub recheck: Duration,
    /// Whether the state of classes is written to them.
    pub class_status: bool,
    /// Whether there are metrics of single objects.
    pub per_object: bool,
}

/// What is told to those outside of the loop.
#[derive(Clone)]
pub struct Shown {
    /// That it moves.
    pub liveness: Arc<Liveness>,
    /// That everything is listed.
    pub readiness: Arc<Readiness>,
    /// Its objects.
    pub views: Arc<Views>,
}

/// An object and what is kept of it.
struct Tracked {
    seen: Seen,
    rival: Option<String>,
    provider: String,
    /// Namespace and name of the Secret that it writes, once a round looked at it.
    aim: Option<Key>,
    /// Namespace and name of the Secret that it claims.
    claim: Option<Key>,
    /// None while its round runs.
    memory: Option<Memory>,
    /// Of the round that runs.
    alive: Option<Alive>,
    /// It is due again as soon as its round ends.
    again: bool,
    /// Restarts settled while its round ran, which may have told of them before.
    untold: bool,
    /// Its Secret moved while its round ran.
    moved: bool,
    /// Its Secret went away while its round ran.
    gone: bool,
}

/// A round that ended.
struct Finished {
    object: Object,
    memory: Memory,
    ended: Ended,
}

type ClassTexts = Arc<Mutex<HashMap<Key, String>>>;

/// The loop.
pub struct Controller {
    context: Arc<Context>,
    rules: ControllerRules,
    shown: Shown,
    ended: CancellationToken,
    world: World,
    queue: Queue,
    /// In boxes, because a table is a third empty and is copied when it grows.
    tracked: HashMap<Object, Box<Tracked>>,
    pauses: HashMap<String, Pause>,
    secrets: HashMap<Key, SecretState>,
    /// Which object writes a Secret.
    aims: HashMap<Key, Object>,
    /// Lists that have not come yet; no round starts before.
    lists: BTreeSet<(Door, Option<String>)>,
    /// Secrets that their class names no more, and are being looked after.
    orphans: HashMap<Key, AbortHandle>,
    /// What runs beside the rounds.
    tasks: JoinSet<()>,
    rounds: JoinSet<Finished>,
    acted: (UnboundedSender<Acted>, UnboundedReceiver<Acted>),
    /// Objects of rounds that run, and their providers.
    running: HashMap<tokio::task::Id, (Object, String)>,
    /// State annotations as they were sent last; shared with those who send them.
    class_texts: ClassTexts,
}

impl Controller {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        rules: ControllerRules,
        shown: Shown,
        ended: CancellationToken,
    ) -> Self {
        let doors = [Door::Class, Door::Sync];
        let scopes = scopes(&rules.namespaces);
        let lists = doors
            .iter()
            .flat_map(|door| scopes.iter().map(|scope| (*door, scope.clone())));
        Self {
            lists: lists.collect(),
            world: World::new(rules.world.clone()),
            context,
            rules,
            shown,
            ended,
            queue: Queue::default(),
            tracked: HashMap::new(),
            pauses: HashMap::new(),
            secrets: HashMap::new(),
            aims: HashMap::new(),
            orphans: HashMap::new(),
            tasks: JoinSet::new(),
            rounds: JoinSet::new(),
            acted: mpsc::unbounded_channel(),
            running: HashMap::new(),
            class_texts: Arc::default(),
        }
    }

    /// Runs until the token is cancelled, then lets rounds under way finish for a moment.
    pub async fn run(mut self) {
        let (send, mut changes) = mpsc::channel(CHANGES);
        let mut watches = self.watch(&send);
        drop(send);
        let (settled, mut refresh) = mpsc::channel(CHANGES);
        let restarts = Arc::clone(&self.context.restarts).run(
            Arc::clone(&self.context.cluster),
            settled,
            self.ended.clone(),
        );
        watches.spawn(restarts);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.ended.is_cancelled() {
            tokio::select! {
                // They end with the receiver, or by a panic: then nothing would be heard any more.
                Some(_) = watches.join_next() => break,
                () = self.step(&mut changes, &mut refresh, &mut tick) => {}
            }
        }
        self.ended.cancel();
        self.tasks.abort_all();
        drop(changes);
        watches.abort_all();
        let drained = async { while self.rounds.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("rounds were cut off at the end");
        }
        self.leave();
    }

    /// Whoever does not lead shows no objects.
    fn leave(&self) {
        for view in self.shown.views.list() {
            if self.rules.per_object {
                self.context
                    .metrics
                    .forget_object(&view.namespace, &view.secret);
            }
        }
        self.shown.views.clear();
        self.measure();
    }

    async fn step(
        &mut self,
        changes: &mut Receiver<Change>,
        refresh: &mut Receiver<Key>,
        tick: &mut Interval,
    ) {
        let wait = self.start_due(Timestamp::now());
        tokio::select! {
            () = self.ended.cancelled() => return,
            Some(finished) = self.rounds.join_next_with_id(), if !self.rounds.is_empty() => {
                self.finished(finished);
            }
            Some(acted) = self.acted.1.recv() => self.acted(&acted),
            Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                if ended.is_err_and(|error| error.is_panic()) {
                    self.context.metrics.panicked();
                }
            }
            Some(change) = changes.recv() => self.change(change),
            Some(key) = refresh.recv() => self.refresh(&key),
            _ = tick.tick() => self.measure(),
            () = tokio::time::sleep(wait) => {}
        }
        self.shown.liveness.moved();
    }

    fn watch(&self, send: &Sender<Change>) -> JoinSet<()> {
        let mut watches = JoinSet::new();
        let client = || self.context.cluster.client();
        let patience = Patience {
            missing: self.rules.recheck,
        };
        for scope in scopes(&self.rules.namespaces) {
            for door in [Door::Class, Door::Sync] {
                let (scope, send) = (scope.clone(), send.clone());
                watches.spawn(watch::sources(client(), door, scope, send, patience));
            }
            if self.context.granted.watch {
                let (send, live) = (send.clone(), Arc::clone(&self.context.watching));
                watches.spawn(watch::secrets(client(), scope, send, patience, live));
            }
        }
        watches
    }
}

/// One watch for all namespaces, or one for each that is listed.
fn scopes(namespaces: &[String]) -> Vec<Option<String>> {
    if namespaces.is_empty() {
        return vec![None];
    }
    namespaces.iter().cloned().map(Some).collect()
}
