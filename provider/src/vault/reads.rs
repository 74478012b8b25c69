//! The answers of a Mount: from memory, from what was issued for the pod, or from the store; and when
//! the store gives none that can be used, the last good ones.
//!
//! Here is only where an answer comes from. Asking the store is in `reads/flight.rs`; how long an answer
//! may be used is decided in the core (`refresh`).

mod answer;
mod flight;
mod remark;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use coffer_provider_core::fault::{Fault, Phase, Reason};
use coffer_provider_core::refresh::RefreshRules;
use coffer_provider_core::request::Request;
use coffer_provider_core::target::Addresses;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::flights::Flights;
use super::http::Stores;
use super::kept::{Kept, KeptKey};
use super::memory::Memory;
use super::retry::Repeats;
use super::session::{JwtSource, Session, Sessions, StoreToken};
use crate::metrics::{CacheName, Metrics};
use crate::ports::Chance;

pub use answer::{Document, Fetched, Origin};
use flight::{FlightKey, Landed};
use remark::{out_of_time, told};

/// Who asks, and until when.
#[derive(Clone)]
pub struct Asker {
    /// The login to use.
    pub session: Arc<Session>,
    /// Where a token for it comes from.
    pub jwt: JwtSource,
    /// What tells the pod apart: its UID.
    pub pod: String,
    /// Whether the volume was answered before.
    pub phase: Phase,
    /// How far its files may lag behind the store.
    pub interval: Duration,
    /// When the Mount began, on the clock of ages.
    pub began: Instant,
    /// The same on the runtime's clock, which is that of deadlines.
    pub started: Instant,
    /// When it must have ended.
    pub deadline: Instant,
    /// What its reads may repeat, all together.
    pub repeats: Arc<Repeats>,
}

/// What is left of a Mount's time to answer with the last good bytes, when the store lets it wait.
const MARGIN: Duration = Duration::from_millis(500);

impl Asker {
    /// When asking the store must have ended. Of a very short time nine tenths are kept.
    fn ask_until(&self) -> Instant {
        let budget = self.deadline.saturating_duration_since(self.started);
        self.deadline - MARGIN.min(budget / 10)
    }
}

/// The reads of the process.
pub struct Reads {
    stores: Arc<Stores>,
    sessions: Arc<Sessions>,
    kept: Arc<Kept>,
    memory: Arc<Memory>,
    rules: RefreshRules,
    flights: Flights<FlightKey, Landed>,
    /// Reads whose answers turned out to belong to one pod each, by store and path.
    per_pod: Mutex<HashSet<(Addresses, String)>>,
    per_mount: usize,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
}

/// How many leased paths are remembered; a forgotten one costs a second request at its next flight.
const MAX_LEASED_PATHS: usize = 10_000;

/// What reads are made of.
pub struct ReadParts {
    /// Connections.
    pub stores: Arc<Stores>,
    /// Logins.
    pub sessions: Arc<Sessions>,
    /// What was issued for pods.
    pub kept: Arc<Kept>,
    /// What plain reads brought.
    pub memory: Arc<Memory>,
    /// What the operator says about refreshing.
    pub rules: RefreshRules,
    /// How many requests of one Mount are in flight at most.
    pub per_mount: usize,
}

/// The outcome of one request.
type Answer = Result<Fetched, Fault>;

impl Reads {
    /// Nothing is asked before the first Mount.
    #[must_use]
    pub fn new(parts: ReadParts, chance: Arc<dyn Chance>, metrics: Arc<Metrics>) -> Self {
        Self {
            stores: parts.stores,
            sessions: parts.sessions,
            kept: parts.kept,
            memory: parts.memory,
            rules: parts.rules,
            flights: Flights::default(),
            per_pod: Mutex::default(),
            per_mount: parts.per_mount.max(1),
            chance,
            metrics,
        }
    }

    /// The answers to all requests of a Mount, in their order. When the store as a whole cannot answer,
    /// what was not asked yet is not asked any more and fails in the same way.
    ///
    /// # Errors
    /// Those of a login that was needed; a request's own fault stands in its place of the result.
    pub async fn fetch_all(
        self: &Arc<Self>,
        asker: &Asker,
        requests: &[Arc<Request>],
    ) -> Result<Vec<Answer>, Fault> {
        self.kept.opened().await;
        let mut answers: Vec<Option<Answer>> = requests
            .iter()
            .map(|request| self.without_asking(asker, request))
            .collect();
        if answers.iter().all(Option::is_some) {
            return Ok(answers.into_iter().flatten().collect());
        }
        let was_trusted = asker.session.is_trusted();
        let login = self.login(asker).await;
        if login.is_ok() && !was_trusted {
            // The login has just shown whose pod it is.
            for (answer, request) in answers.iter_mut().zip(requests) {
                *answer = answer
                    .take()
                    .or_else(|| self.issued_before(asker, request).map(Ok));
            }
        }
        let missing: Vec<usize> = (0..requests.len())
            .filter(|at| answers[*at].is_none())
            .collect();
        let asked = match login {
            Ok(token) => {
                let token = self.sessions.lend(token);
                self.ask_all(asker, token.token(), requests, missing).await
            }
            Err(fault) => self.old_ones(asker, requests, missing, &fault)?,
        };
        for (at, answer) in asked {
            answers[at] = Some(answer);
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// What needs no request: an answer that is fresh enough, or a denial of a moment ago.
    fn without_asking(&self, asker: &Asker, request: &Arc<Request>) -> Option<Answer> {
        if let Some(issued) = self.issued_before(asker, request) {
            return Some(Ok(issued));
        }
        let (session, phase) = (asker.session.id(), asker.phase);
        let recalled = self.memory.recall(session, request, phase, asker.interval);
        self.metrics
            .cache_lookup(CacheName::Memory, recalled.is_some());
        Some(recalled?.map(|known| Fetched::recalled(known, Origin::Memory)))
    }

    /// What was issued for this pod, for whoever proved to be that pod's account.
    fn issued_before(&self, asker: &Asker, request: &Arc<Request>) -> Option<Fetched> {
        if !asker.session.is_trusted() || self.kept.is_empty() {
            return None;
        }
        let kept = self.kept.get(&kept_key(asker, request))?;
        Some(Fetched::kept(kept.response))
    }

    /// No login can be had: the last good answers, if every one is there.
    fn old_ones(
        &self,
        asker: &Asker,
        requests: &[Arc<Request>],
        missing: Vec<usize>,
        fault: &Fault,
    ) -> Result<Vec<(usize, Answer)>, Fault> {
        missing
            .into_iter()
            .map(
                |at| match self.old_one(asker, &requests[at], fault.reason) {
                    Some(old) => Ok((at, old)),
                    None => Err(fault.clone()),
                },
            )
            .collect()
    }

    /// What the store said last, where it may stand in for an answer that did not come.
    fn old_one(&self, asker: &Asker, request: &Arc<Request>, reason: Reason) -> Option<Answer> {
        if let Some(issued) = self.issued_until_end(asker, request, reason) {
            return Some(Ok(issued));
        }
        let (said, at) = self.memory.last(asker.session.id(), request)?;
        let age = self.chance.instant().saturating_duration_since(at);
        self.rules
            .may_answer_stale(asker.phase, reason, age)
            .then(|| said.map(|known| Fetched::recalled(known, Origin::Stale(reason))))
    }

    /// What was issued before, is due, and has not ended: it is as good as ever, so that a volume which asks
    /// for the first time may have it too.
    fn issued_until_end(
        &self,
        asker: &Asker,
        request: &Arc<Request>,
        reason: Reason,
    ) -> Option<Fetched> {
        if !reason.is_no_answer() || !asker.session.is_trusted() {
            return None;
        }
        let kept = self.kept.until_end(&kept_key(asker, request))?;
        Some(Fetched {
            origin: Origin::Stale(reason),
            ..Fetched::kept(kept.response)
        })
    }

    /// Asks the store for the requests at these places, side by side.
    async fn ask_all(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        requests: &[Arc<Request>],
        missing: Vec<usize>,
    ) -> Vec<(usize, Answer)> {
        // Set by the first that finds the store away.
        let broken: OnceLock<Fault> = OnceLock::new();
        stream::iter(missing)
            .map(|at| {
                let broken = &broken;
                async move { (at, self.ask_one(asker, token, &requests[at], broken).await) }
            })
            .buffer_unordered(self.width(asker))
            .collect()
            .await
    }

    async fn ask_one(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Arc<Request>,
        broken: &OnceLock<Fault>,
    ) -> Answer {
        let asked = match broken.get() {
            Some(fault) => Err(fault.clone()),
            None => timeout_at(asker.ask_until(), self.asked(asker, token, request))
                .await
                .unwrap_or_else(|_| Err(out_of_time(asker)))
                .map_err(|failed| {
                    if failed.fault.reason.is_whole_store() {
                        // A second one says the same.
                        let _ = broken.set(failed.fault.clone());
                    }
                    told(failed, request)
                }),
        };
        asked.or_else(|fault| {
            self.old_one(asker, request, fault.reason)
                .unwrap_or(Err(fault))
        })
    }

    async fn login(&self, asker: &Asker) -> Result<Arc<StoreToken>, Fault> {
        let login = self
            .sessions
            .token(&asker.session, &asker.jwt, asker.deadline);
        timeout_at(asker.ask_until(), login)
            .await
            .unwrap_or_else(|_| Err(out_of_time(asker).fault))
    }

    /// Gives back what this Mount caused to be issued, because it failed in another place and nobody
    /// will ever get it.
    pub fn give_back(self: &Arc<Self>, asker: &Asker, request: &Arc<Request>) {
        let Some(issued) = self.kept.take(&kept_key(asker, request)) else {
            return;
        };
        if let Some((token, lease)) = issued.lease() {
            self.sessions.spawn_revoke_lease(token, lease);
        }
    }

    /// Waits until all reads have ended.
    pub async fn shut_down(&self) {
        self.flights.shut_down().await;
    }

    /// A store that is away gets one request of a Mount, not one for each object.
    fn width(&self, asker: &Asker) -> usize {
        if self
            .stores
            .is_doubtful(&asker.session.key().identity.target)
        {
            1
        } else {
            self.per_mount
        }
    }
}

fn kept_key(asker: &Asker, request: &Arc<Request>) -> KeptKey {
    KeptKey {
        pod: asker.pod.clone(),
        identity: Arc::clone(&asker.session.key().identity),
        request: Arc::clone(request),
    }
}
