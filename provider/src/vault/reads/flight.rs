//! Asking the store: equal requests of one login that are in flight are one, and what comes back is
//! remembered for its login or kept for its pod.
//!
//! Whether the store is asked at all is decided in `reads.rs`.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use coffer_provider_core::fault::{Fault, Phase, Reason};
use coffer_provider_core::refresh::{Freshness, freshness, joinable};
use coffer_provider_core::request::Request;
use coffer_provider_core::response::{Head, Response};
use coffer_provider_core::secret::SecretBytes;
use coffer_provider_core::target::Addresses;
use tokio::time::Instant;

use super::remark::hinted;
use super::{Asker, Fetched, MAX_LEASED_PATHS, Reads, kept_key};
use crate::metrics::StoreOp;
use crate::vault::endpoint;
use crate::vault::flights::Seat;
use crate::vault::http::{Call, NoAnswer};
use crate::vault::memory::{Read, SessionId};
use crate::vault::retry::{Allowance, Repeat, repeat};
use crate::vault::session::{Lent, StoreToken};

/// What a flight carries: everything that makes two answers different.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    session: SessionId,
    /// The token's number: after a new login an old flight must not answer.
    token: u64,
    request: Arc<Request>,
    /// Refreshes wait in a queue of their own, where no first mount may wait.
    phase: Phase,
    /// Set where an answer belongs to one pod.
    pod: Option<String>,
}

/// What a flight brings.
pub(super) type Landed = Result<Landing, NoAnswer>;

/// An answer of the store.
#[derive(Clone)]
pub(super) struct Landing {
    response: Arc<Response>,
    freshness: Freshness,
    began: Instant,
}

impl Landing {
    /// As the answer of a Mount that caused it, or may share it.
    fn fetched(self) -> Fetched {
        match self.freshness {
            Freshness::ReadAgain => Fetched::read(self.response, self.began),
            Freshness::KeepForPod(_) => Fetched::issued(self.response),
        }
    }
}

/// A token to ask with, lent if it is not the Mount's own.
struct Usable {
    token: Arc<StoreToken>,
    _lent: Option<Lent>,
}

impl Usable {
    fn own(token: &Arc<StoreToken>) -> Self {
        Self {
            token: Arc::clone(token),
            _lent: None,
        }
    }
}

/// The store takes no more requests with the token: another login is due. Nobody is told of it.
fn used_up() -> NoAnswer {
    NoAnswer::never_sent(Fault::new(
        Reason::Busy,
        "the store token is used up",
        "give the role's tokens more uses",
    ))
}

fn is_used_up(failed: &NoAnswer) -> bool {
    *failed == used_up()
}

/// What is known to belong to one pod each, wherever it was asked for.
fn place(asker: &Asker, request: &Request) -> (Addresses, String) {
    let target = &asker.session.key().identity.target;
    (target.address.clone(), request.path.clone())
}

impl Reads {
    /// Asks the store, and remembers when it denies.
    pub(super) async fn asked(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Arc<Request>,
    ) -> Result<Fetched, NoAnswer> {
        let began = self.chance.instant();
        let mut usable = Usable::own(token);
        let mut outcome = self.asked_with(asker, &usable.token, request).await;
        while outcome.as_ref().is_err_and(is_used_up) {
            usable = self.another(asker).await?;
            outcome = self.asked_with(asker, &usable.token, request).await;
        }
        if let Err(failed) = &outcome
            && failed.fault.reason == Reason::Denied
        {
            let session = asker.session.id();
            self.memory.deny(session, request, &failed.fault, began);
        }
        outcome
    }

    /// Asks the store; after a 403 once more if the token had died.
    async fn asked_with(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Arc<Request>,
    ) -> Result<Fetched, NoAnswer> {
        let denied = match self.fly(asker, token, request).await {
            Err(failed) if failed.fault.reason == Reason::Denied => failed,
            outcome => return outcome,
        };
        let newer = self.sessions.after_denial(
            &asker.session,
            token,
            &asker.jwt,
            asker.began,
            asker.deadline,
        );
        match newer.await {
            Some(newer) => self.fly(asker, &newer, request).await,
            None => Err(denied),
        }
    }

    /// The token of another login.
    async fn another(&self, asker: &Asker) -> Result<Usable, NoAnswer> {
        let newer = self
            .sessions
            .token(&asker.session, &asker.jwt, asker.deadline);
        let token = newer.await.map_err(NoAnswer::never_sent)?;
        Ok(Usable {
            _lent: Some(self.sessions.lend(Arc::clone(&token))),
            token,
        })
    }

    async fn fly(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Arc<Request>,
    ) -> Result<Fetched, NoAnswer> {
        let alone = request.generates() || self.is_per_pod(asker, request);
        let (seat, landed) = self.board(asker, token, request, alone).await;
        let landing = landed?;
        if seat == Seat::Leader || landing.freshness == Freshness::ReadAgain {
            return Ok(landing.fetched());
        }
        // The answer that we shared belongs to the pod that asked first, which may be our own.
        if let Some(ours) = self.issued_before(asker, request) {
            return Ok(ours);
        }
        let (_, landed) = self.board(asker, token, request, true).await;
        landed.map(Landing::fetched)
    }

    async fn board(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Arc<Request>,
        alone: bool,
    ) -> (Seat, Landed) {
        let key = FlightKey {
            session: asker.session.id(),
            token: token.number(),
            request: Arc::clone(request),
            // A pod's own request is one in whatever phase its volumes are.
            phase: if alone { Phase::First } else { asker.phase },
            pod: alone.then(|| asker.pod.clone()),
        };
        // What is being issued for a pod is the pod's, however long that takes: it is never asked for twice.
        let oldest = if alone {
            Duration::MAX
        } else {
            joinable(asker.phase, asker.interval)
        };
        let (this, asker, token, request) = (
            Arc::clone(self),
            asker.clone(),
            Arc::clone(token),
            Arc::clone(request),
        );
        let (seat, landed) = self
            .flights
            .fly(key, oldest, move || async move {
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

    /// The flight itself: asks the store, and remembers what it says.
    async fn ask(&self, asker: &Asker, token: &Arc<StoreToken>, request: &Arc<Request>) -> Landed {
        let kind = if request.generates() {
            Repeat::OnlyIfNotSent
        } else {
            Repeat::Yes
        };
        // Until the answer is kept nobody may revoke what it may hang on.
        let _in_use = token.hold();
        let began = self.chance.instant();
        let attempt = || self.attempt(asker, token, request);
        let allowed = Allowance {
            kind,
            tries: self.stores.tries(),
            deadline: asker.ask_until(),
            repeats: &asker.repeats,
        };
        let outcome = repeat(allowed, || self.chance.random(), &self.metrics, attempt);
        let (response, body) = outcome.await.inspect_err(|failed| {
            if failed.fault.reason == Reason::NotFound {
                let session = asker.session.id();
                self.memory.miss(session, request, &failed.fault, began);
            }
        })?;
        let response = Arc::new(response);
        let freshness = freshness(request, &response, self.chance.now().as_second());
        match freshness {
            Freshness::ReadAgain => {
                let read = Read { body, began };
                self.memory.learn(asker.session.id(), request, read);
            }
            Freshness::KeepForPod(life) => {
                self.note_per_pod(asker, request);
                self.kept.put(
                    kept_key(asker, request),
                    asker.session.key().proof.clone(),
                    Arc::clone(&response),
                    Arc::clone(token),
                    life,
                );
            }
        }
        Ok(Landing {
            response,
            freshness,
            began,
        })
    }

    async fn attempt(
        &self,
        asker: &Asker,
        token: &StoreToken,
        request: &Request,
    ) -> Result<(Response, SecretBytes), NoAnswer> {
        if !token.take_use() {
            return Err(used_up());
        }
        let target = &asker.session.key().identity.target;
        let op = if request.generates() {
            StoreOp::Write
        } else {
            StoreOp::Read
        };
        let prepared =
            endpoint::object(target, token.secret(), request).map_err(NoAnswer::never_sent)?;
        let call = Call {
            op,
            deadline: asker.ask_until(),
            first: asker.phase == Phase::First,
        };
        let answer = self.stores.send(target, prepared, call).await?;
        let head = Head {
            status: answer.status,
            content_type: &answer.content_type,
        };
        let response = Response::read(head, &answer.body).map_err(|fault| {
            NoAnswer::maybe_sent(Fault {
                retry_after: answer.retry_after,
                ..hinted(fault, request)
            })
        })?;
        // A copy of its exact size: the buffer that it was read into is larger.
        Ok((response, SecretBytes::new(answer.body.to_vec())))
    }

    fn is_per_pod(&self, asker: &Asker, request: &Request) -> bool {
        self.per_pod
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&place(asker, request))
    }

    fn note_per_pod(&self, asker: &Asker, request: &Request) {
        let mut paths = self.per_pod.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.len() >= MAX_LEASED_PATHS {
            paths.clear();
        }
        paths.insert(place(asker, request));
    }
}
