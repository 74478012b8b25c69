//! Fetches the answers of a Mount: from what was issued for the pod before, or from the store.
//!
//! Distinct requests go out side by side, bounded per Mount; equal ones of one identity that are in
//! flight are one. Which requests a class needs is planned in the core.

mod remark;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::issued::gives_no_answer;
use coffer_provider_core::refresh::{Freshness, freshness};
use coffer_provider_core::request::Request;
use coffer_provider_core::response::{Head, Response};
use coffer_provider_core::target::Address;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::endpoint;
use super::flights::{Flights, Seat};
use super::http::{NoAnswer, Stores};
use super::kept::{Kept, KeptKey};
use super::retry::{Repeat, repeat};
use super::session::{JwtSource, SessionKey, Sessions, StoreToken};
use crate::metrics::{CacheName, Metrics, StoreOp};
use crate::ports::Chance;

use remark::{hinted, told};

/// Who asks, and until when.
#[derive(Clone)]
pub struct Asker {
    /// The login to use.
    pub session: SessionKey,
    /// Where a token for it comes from.
    pub jwt: JwtSource,
    /// What tells the pod apart: its UID.
    pub pod: String,
    /// When the Mount began.
    pub began: Instant,
    /// When it must have ended.
    pub deadline: Instant,
}

/// An answer, and whether this Mount caused it to be issued.
#[derive(Clone)]
pub struct Fetched {
    /// The answer.
    pub response: Arc<Response>,
    /// It came from the store just now, not from memory.
    pub from_store: bool,
    /// It was issued for the pod by this Mount, and is kept under its request.
    pub issued: bool,
}

/// What a flight carries: the key of the session with everything that makes two answers different.
#[derive(Clone, PartialEq, Eq, Hash)]
struct FlightKey {
    session: SessionKey,
    /// The token's address: after a new login an old flight must not answer.
    token: usize,
    request: Request,
    /// Set where an answer belongs to one pod.
    pod: Option<String>,
}

type Landed = Result<(Arc<Response>, Freshness), NoAnswer>;

/// The reads of the process.
pub struct Reads {
    stores: Arc<Stores>,
    sessions: Arc<Sessions>,
    kept: Arc<Kept>,
    flights: Flights<FlightKey, Landed>,
    /// Reads whose answers turned out to belong to one pod each.
    per_pod: Mutex<HashSet<String>>,
    per_mount: usize,
    /// Stores that could not answer when last asked: they are asked one request at a time.
    suspects: Mutex<HashSet<Address>>,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
}

/// How many leased paths are remembered; a forgotten one costs a second request at its next flight.
const MAX_LEASED_PATHS: usize = 10_000;

/// How many stores that are away are remembered; one more is asked as if it were well.
const MAX_SUSPECTS: usize = 256;

impl Reads {
    /// Up to `per_mount` requests of one Mount are in flight.
    #[must_use]
    pub fn new(
        stores: Arc<Stores>,
        sessions: Arc<Sessions>,
        kept: Arc<Kept>,
        per_mount: usize,
        chance: Arc<dyn Chance>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            stores,
            sessions,
            kept,
            flights: Flights::default(),
            per_pod: Mutex::default(),
            per_mount: per_mount.max(1),
            suspects: Mutex::default(),
            chance,
            metrics,
        }
    }

    /// Fetches all requests of a Mount, in their order. When the store as a whole cannot answer, what
    /// was not asked yet is not asked any more and fails in the same way.
    ///
    /// # Errors
    /// Those of a login that was needed; a request's own fault stands in its place of the result.
    pub async fn fetch_all(
        self: &Arc<Self>,
        asker: &Asker,
        requests: &[Request],
    ) -> Result<Vec<Result<Fetched, Fault>>, Fault> {
        self.kept.opened().await;
        // What was issued for a pod is for whoever proves to be that pod's account. A token that is not
        // proven must have logged in itself before anything is answered from memory.
        let mut token = None;
        if !asker.session.proof.is_proven() {
            token = Some(self.login(asker).await?);
        }
        let mut fetched: Vec<Option<Result<Fetched, Fault>>> = requests
            .iter()
            .map(|request| self.remembered(asker, request).map(Ok))
            .collect();
        if fetched.iter().all(Option::is_some) {
            return Ok(fetched.into_iter().flatten().collect());
        }
        let token = match token {
            Some(token) => token,
            None => match self.login(asker).await {
                Ok(token) => token,
                Err(fault) => return self.without_login(asker, requests, fetched, fault),
            },
        };
        let missing: Vec<usize> = (0..requests.len())
            .filter(|at| fetched[*at].is_none())
            .collect();
        for (at, answer) in self.ask_all(asker, &token, requests, missing).await {
            fetched[at] = Some(answer);
        }
        self.sessions.release(token);
        Ok(fetched.into_iter().flatten().collect())
    }

    /// Asks the store for the requests at these places, side by side.
    async fn ask_all(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        requests: &[Request],
        missing: Vec<usize>,
    ) -> Vec<(usize, Result<Fetched, Fault>)> {
        // Set by the first that finds the store away.
        let broken: OnceLock<Fault> = OnceLock::new();
        let answers = stream::iter(missing)
            .map(|at| {
                let broken = &broken;
                async move {
                    if let Some(fault) = broken.get() {
                        let kept = self.until_end(asker, &requests[at], fault.reason);
                        return (at, kept.ok_or_else(|| fault.clone()));
                    }
                    let answer = self.asked(asker, token, &requests[at]).await;
                    if let Err(failed) = &answer
                        && failed.fault.reason.is_whole_store()
                    {
                        // A second one says the same.
                        let _ = broken.set(failed.fault.clone());
                    }
                    let answer = answer.or_else(|failed| {
                        let kept = self.until_end(asker, &requests[at], failed.fault.reason);
                        kept.ok_or(failed)
                    });
                    (at, answer.map_err(|failed| told(failed, &requests[at])))
                }
            })
            .buffer_unordered(self.width(asker))
            .collect()
            .await;
        self.note_health(asker, broken.get().is_some());
        answers
    }

    /// The answers of a Mount whose login got no usable answer: those that are there, if they are all that
    /// is asked for.
    fn without_login(
        &self,
        asker: &Asker,
        requests: &[Request],
        fetched: Vec<Option<Result<Fetched, Fault>>>,
        fault: Fault,
    ) -> Result<Vec<Result<Fetched, Fault>>, Fault> {
        let kept = fetched.into_iter().zip(requests).map(|(there, request)| {
            there.or_else(|| self.until_end(asker, request, fault.reason).map(Ok))
        });
        kept.collect::<Option<Vec<_>>>().ok_or(fault)
    }

    /// What was issued before and has not ended, when the store gives nothing usable in its stead.
    fn until_end(&self, asker: &Asker, request: &Request, reason: Reason) -> Option<Fetched> {
        if !gives_no_answer(reason) {
            return None;
        }
        let issued = self.kept.until_end(&self.kept_key(asker, request))?;
        self.metrics.served_stale(reason);
        Some(Fetched {
            response: issued.response,
            from_store: false,
            issued: false,
        })
    }

    async fn login(&self, asker: &Asker) -> Result<Arc<StoreToken>, Fault> {
        self.sessions
            .token(&asker.session, &asker.jwt, asker.deadline)
            .await
    }

    /// Gives back what this Mount caused to be issued, because it failed in another place and nobody
    /// will ever get it.
    pub fn give_back(self: &Arc<Self>, asker: &Asker, request: &Request) {
        let Some(issued) = self.kept.take(&self.kept_key(asker, request)) else {
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
        let suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        if suspects.contains(&asker.session.identity.target.address) {
            1
        } else {
            self.per_mount
        }
    }

    fn note_health(&self, asker: &Asker, is_broken: bool) {
        let address = &asker.session.identity.target.address;
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_broken {
            suspects.remove(address);
        } else if suspects.len() < MAX_SUSPECTS {
            suspects.insert(address.clone());
        }
    }

    fn kept_key(&self, asker: &Asker, request: &Request) -> KeptKey {
        KeptKey {
            pod: asker.pod.clone(),
            identity: asker.session.identity.clone(),
            request: request.clone(),
        }
    }

    fn remembered(&self, asker: &Asker, request: &Request) -> Option<Fetched> {
        let kept = self.kept.get(&self.kept_key(asker, request));
        self.metrics.cache_lookup(CacheName::Memory, kept.is_some());
        let response = kept?.response;
        self.metrics.served_memory();
        Some(Fetched {
            response,
            from_store: false,
            issued: false,
        })
    }

    /// Asks the store; after a 403 once more if the token had died.
    async fn asked(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Request,
    ) -> Result<Fetched, NoAnswer> {
        let denied = match self.fly(asker, token, request).await {
            Err(failed) if failed.fault.reason == Reason::Denied => failed,
            outcome => return outcome,
        };
        let newer = self
            .sessions
            .after_denial(
                &asker.session,
                token,
                &asker.jwt,
                asker.began,
                asker.deadline,
            )
            .await;
        match newer {
            Some(newer) => self.fly(asker, &newer, request).await,
            None => Err(denied),
        }
    }

    async fn fly(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Request,
    ) -> Result<Fetched, NoAnswer> {
        let alone = request.generates() || self.is_per_pod(request);
        let (seat, landed) = self.board(asker, token, request, alone).await;
        let (response, freshness) = landed?;
        if seat == Seat::Leader || matches!(freshness, Freshness::ReadAgain) {
            let issued = matches!(freshness, Freshness::KeepForPod(_));
            return Ok(Fetched {
                response,
                from_store: true,
                issued,
            });
        }
        // The answer that we shared belongs to the pod that asked first, which may be our own.
        if let Some(ours) = self.remembered(asker, request) {
            return Ok(ours);
        }
        let (_, landed) = self.board(asker, token, request, true).await;
        landed.map(|(response, _)| Fetched {
            response,
            from_store: true,
            issued: true,
        })
    }

    async fn board(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Request,
        alone: bool,
    ) -> (Seat, Landed) {
        let key = FlightKey {
            session: asker.session.clone(),
            token: Arc::as_ptr(token) as usize,
            request: request.clone(),
            pod: alone.then(|| asker.pod.clone()),
        };
        let (this, asker, token, request) = (
            Arc::clone(self),
            asker.clone(),
            Arc::clone(token),
            request.clone(),
        );
        let (seat, landed) = self
            .flights
            .fly(key, move || async move {
                this.ask(&asker, &token, &request).await
            })
            .await;
        if seat == Seat::Passenger {
            self.metrics.store_coalesced();
        }
        let lost = || {
            NoAnswer::maybe_sent(Fault::new(
                Reason::Internal,
                "the read ended unexpectedly",
                "report this",
            ))
        };
        (seat, landed.unwrap_or_else(|_| Err(lost())))
    }

    /// The flight itself: asks the store, and keeps for the asking pod what was issued.
    async fn ask(&self, asker: &Asker, token: &Arc<StoreToken>, request: &Request) -> Landed {
        let kind = if request.generates() {
            Repeat::OnlyIfNotSent
        } else {
            Repeat::Yes
        };
        let attempt = || self.attempt(asker, token, request);
        let outcome = repeat(
            kind,
            self.stores.tries(),
            asker.deadline,
            || self.chance.random(),
            &self.metrics,
            attempt,
        )
        .await;
        let response = Arc::new(outcome?);
        let freshness = freshness(request, &response, self.chance.now().as_second());
        if let Freshness::KeepForPod(life) = freshness {
            self.note_per_pod(request);
            self.kept.put(
                self.kept_key(asker, request),
                asker.session.proof.clone(),
                Arc::clone(&response),
                Arc::clone(token),
                life,
            );
        }
        Ok((response, freshness))
    }

    async fn attempt(
        &self,
        asker: &Asker,
        token: &StoreToken,
        request: &Request,
    ) -> Result<Response, NoAnswer> {
        let target = &asker.session.identity.target;
        let op = if request.generates() {
            StoreOp::Write
        } else {
            StoreOp::Read
        };
        let prepared =
            endpoint::object(target, token.secret(), request).map_err(NoAnswer::never_sent)?;
        let answer = self.stores.send(target, prepared, op).await?;
        let head = Head {
            status: answer.status,
            content_type: &answer.content_type,
        };
        Response::read(head, &answer.body).map_err(|fault| {
            NoAnswer::maybe_sent(Fault {
                retry_after: answer.retry_after,
                ..hinted(fault, request)
            })
        })
    }

    fn is_per_pod(&self, request: &Request) -> bool {
        self.per_pod
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&request.path)
    }

    fn note_per_pod(&self, request: &Request) {
        let mut paths = self.per_pod.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.len() >= MAX_LEASED_PATHS {
            paths.clear();
        }
        paths.insert(request.path.clone());
    }
}
