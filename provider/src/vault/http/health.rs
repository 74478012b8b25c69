//! How the addresses are: their breakers, and the probes that look whether a failing one is well again.
//!
//! When a breaker opens and closes is decided in the core. A probe carries no token. There is at most one
//! task for an address with its TLS settings, which ends when there is nothing to find out or nobody who
//! asks; all settings of an address share the pauses between its probes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use coffer_provider_core::breaker::{Breaker, Change, PROBE_EVERY, Pass, Sign};
use coffer_provider_core::fault::Fault;
use coffer_provider_core::target::{Address, Addresses, Target};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exchange::{Exchange, Server};
use super::queue::Queue;
use crate::metrics::{Metrics, StoreOp};
use crate::ports::Chance;
use crate::vault::endpoint;

/// The most servers that are remembered; a forgotten one is taken for well.
const MAX_WATCHES: usize = 256;

/// All servers that were asked.
pub(super) struct Health {
    /// Locked for moments only.
    watches: Mutex<HashMap<Server, Arc<Watch>>>,
    tools: Arc<Tools>,
}

/// What every watch works with.
struct Tools {
    exchange: Arc<Exchange>,
    queue: Arc<Queue>,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
    /// The moment that readings of the clock count from.
    epoch: Instant,
    /// Locked for moments only, also while a watch is.
    probed: Mutex<HashMap<Address, Probed>>,
    probes: TaskTracker,
    end: CancellationToken,
}

/// The last probe of an address.
#[derive(Clone, Copy)]
struct Probed {
    /// No other one before this.
    until: Duration,
    /// False until it is known.
    is_well: bool,
}

/// One server.
pub(super) struct Watch {
    server: Server,
    /// Locked for moments only.
    state: Mutex<State>,
    tools: Arc<Tools>,
}

struct State {
    breaker: Breaker,
    /// There is a task that probes.
    is_probed: bool,
}

/// A request that was let through. Dropped without a report, it says nothing of the server.
pub(super) struct Admitted {
    watch: Arc<Watch>,
    /// None once it was reported.
    pass: Option<Pass>,
}

impl Health {
    pub(super) fn new(
        exchange: Arc<Exchange>,
        queue: Arc<Queue>,
        chance: Arc<dyn Chance>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let epoch = chance.instant();
        Self {
            watches: Mutex::default(),
            tools: Arc::new(Tools {
                exchange,
                queue,
                chance,
                metrics,
                epoch,
                probed: Mutex::default(),
                probes: TaskTracker::new(),
                end: CancellationToken::new(),
            }),
        }
    }

    /// The servers of a target in the order in which they are to be asked: as listed, those in doubt last.
    pub(super) fn by_choice(&self, target: &Target) -> Vec<Arc<Watch>> {
        let are_several = target.address.are_several();
        let servers = target.address.iter().map(|address| server(address, target));
        let mut watches: Vec<Arc<Watch>> = servers.map(|server| self.watch(server)).collect();
        for watch in &watches {
            watch.asked(are_several);
        }
        watches.sort_by_cached_key(|watch| watch.lock().breaker.is_doubtful());
        watches
    }

    /// Whether every address of a target is known to be away.
    pub(super) fn is_away(&self, target: &Target) -> bool {
        let watches = self.lock();
        let mut addresses = target.address.iter();
        addresses.all(|address| {
            let watch = watches.get(&server(address, target));
            watch.is_some_and(|watch| watch.lock().breaker.is_away())
        })
    }

    /// Ends all probes.
    pub(super) async fn shut_down(&self) {
        self.tools.end.cancel();
        self.tools.probes.close();
        self.tools.probes.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Server, Arc<Watch>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, server: Server) -> Arc<Watch> {
        let mut watches = self.lock();
        if let Some(watch) = watches.get(&server) {
            return Arc::clone(watch);
        }
        if watches.len() >= MAX_WATCHES {
            let oldest = watches
                .iter()
                .min_by_key(|(_, watch)| watch.lock().breaker.last_asked())
                .map(|(server, _)| server.clone());
            oldest.map(|server| watches.remove(&server));
        }
        let watch = Arc::new(Watch {
            server: server.clone(),
            state: Mutex::new(State {
                breaker: Breaker::new(self.tools.now()),
                is_probed: false,
            }),
            tools: Arc::clone(&self.tools),
        });
        watches.insert(server, Arc::clone(&watch));
        watch
    }
}

impl Tools {
    fn now(&self) -> Duration {
        self.chance.instant().saturating_duration_since(self.epoch)
    }

    fn probed(&self) -> MutexGuard<'_, HashMap<Address, Probed>> {
        self.probed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last probe of an address found it well, a moment ago.
    fn was_well(&self, address: &Address, now: Duration) -> bool {
        let probed = self.probed();
        let last = probed.get(address);
        last.is_some_and(|last| last.is_well && now < last.until)
    }

    /// How long to wait before the next probe of an address; if not at all, that one is taken.
    fn take_turn(&self, address: &Address, wait: Duration, now: Duration) -> Duration {
        let mut probed = self.probed();
        probed.retain(|_, last| now < last.until);
        let left = probed
            .get(address)
            .map_or(Duration::ZERO, |last| last.until.saturating_sub(now));
        let paused = self.queue.paused(address).unwrap_or_default();
        let wait = wait.max(left).max(paused);
        if wait.is_zero() {
            let until = now + PROBE_EVERY;
            let taken = Probed {
                until,
                is_well: false,
            };
            probed.insert(address.clone(), taken);
        }
        wait
    }
}

impl Watch {
    pub(super) const fn server(&self) -> &Server {
        &self.server
    }

    /// Why a request would end at once; none if it would not.
    pub(super) fn refusal(&self) -> Option<Fault> {
        self.lock().breaker.refusal(self.tools.now())
    }

    /// Lets a request through.
    ///
    /// # Errors
    /// The last failure, when it does not.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Admitted, Fault> {
        let pass = self.lock().breaker.admit(self.tools.now())?;
        Ok(Admitted {
            watch: Arc::clone(self),
            pass: Some(pass),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(self: &Arc<Self>, has_others: bool) {
        let mut state = self.lock();
        state.breaker.asked(self.tools.now(), has_others);
        self.probe_if_needed(&mut state);
    }

    fn report(self: &Arc<Self>, pass: Pass, sign: Sign) {
        let fault = match &sign {
            Sign::Ill(fault) | Sign::Untrusted(fault) => Some(fault.clone()),
            Sign::Well | Sign::Nothing => None,
        };
        let (now, jitter) = (self.tools.now(), self.tools.chance.random());
        let change = {
            let mut state = self.lock();
            let change = state.breaker.report(pass, sign, now, jitter);
            self.probe_if_needed(&mut state);
            change
        };
        if let Some(change) = change {
            self.tell(change, fault);
        }
    }

    fn tell(&self, change: Change, fault: Option<Fault>) {
        let (label, store) = (self.label(), self.server.address.place());
        match change {
            Change::Opened => {
                self.tools.metrics.breaker_opened(label);
                let error = fault.map(|fault| fault.to_string()).unwrap_or_default();
                tracing::warn!(%store, error, "breaker open: the store is not asked before a probe finds it well");
            }
            Change::Closed => {
                self.tools.metrics.breaker_closed(label);
                tracing::info!(%store, "breaker closed: the store answers again");
            }
        }
    }

    fn label(&self) -> crate::metrics::Target {
        self.tools.exchange.label(&self.server.address)
    }

    fn probe_if_needed(self: &Arc<Self>, state: &mut State) {
        if state.is_probed || state.breaker.next_probe(self.tools.now()).is_none() {
            return;
        }
        state.is_probed = true;
        // Weak, so that a server that was forgotten is not probed for ever.
        let (watch, end) = (Arc::downgrade(self), self.tools.end.clone());
        self.tools.probes.spawn(async move {
            tokio::select! { () = keep_probing(watch) => {}, () = end.cancelled() => {} }
        });
    }

    /// How long to wait until the next probe. None ends the task, which the next need starts again.
    fn until_probe(&self) -> Option<Duration> {
        let (tools, address) = (&self.tools, &self.server.address);
        let (now, jitter) = (tools.now(), tools.chance.random());
        let mut state = self.lock();
        // Due while another's pause goes on means open since before that probe.
        let is_due = state.breaker.next_probe(now) == Some(Duration::ZERO);
        if is_due && state.breaker.is_open() && tools.was_well(address, now) {
            state.breaker.probed(true, now, jitter);
        }
        let wait = state.breaker.next_probe(now);
        state.is_probed = wait.is_some();
        wait.map(|wait| tools.take_turn(address, wait, now))
    }

    async fn probe(&self) {
        let target = Target {
            address: Addresses::from(self.server.address.clone()),
            namespace: None,
            tls: self.server.tls.clone(),
        };
        let is_well = match endpoint::health(&target) {
            Ok(prepared) => {
                let exchange = &self.tools.exchange;
                let answer = exchange.send(&self.server, &prepared, StoreOp::Probe).await;
                answer.is_ok_and(|answer| Sign::is_well_probed(answer.status))
            }
            Err(_) => false,
        };
        let (now, jitter) = (self.tools.now(), self.tools.chance.random());
        self.lock().breaker.probed(is_well, now, jitter);
        if let Some(last) = self.tools.probed().get_mut(&self.server.address) {
            last.is_well = is_well;
        }
        tracing::debug!(store = %self.server.address.place(), is_well, "probed");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.lock().breaker.is_open() {
            self.tools.metrics.breaker_closed(self.label());
        }
    }
}

impl Admitted {
    /// Says what came of the request.
    pub(super) fn report(mut self, sign: Sign) {
        if let Some(pass) = self.pass.take() {
            self.watch.report(pass, sign);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(pass) = self.pass {
            self.watch.lock().breaker.abandoned(pass);
        }
    }
}

async fn keep_probing(watch: Weak<Watch>) {
    loop {
        let Some(watch) = watch.upgrade() else { return };
        let Some(wait) = watch.until_probe() else {
            return;
        };
        if wait.is_zero() {
            watch.probe().await;
        } else {
            drop(watch);
            sleep(wait).await;
        }
    }
}

fn server(address: &Address, target: &Target) -> Server {
    Server {
        address: address.clone(),
        tls: target.tls.clone(),
    }
}
