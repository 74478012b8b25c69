//! Asking the store: equal requests of one login that are in flight are one, and what comes back is
//! remembered for its login or kept for its pod.
//!
//! Whether the store is asked at all is decided in `reads.rs`.

use std::sync::{Arc, PoisonError};

use coffer_provider_core::fault::{Fault, Phase, Reason};
use coffer_provider_core::refresh::{Freshness, freshness, joinable};
use coffer_provider_core::request::Request;
use coffer_provider_core::response::{Head, Response};
use coffer_provider_core::secret::SecretBytes;
use tokio::time::Instant;

use super::remark::hinted;
use super::{Asker, Fetched, MAX_LEASED_PATHS, Reads, kept_key};
use crate::metrics::StoreOp;
use crate::vault::endpoint;
use crate::vault::flights::Seat;
use crate::vault::http::{Call, NoAnswer};
use crate::vault::memory::{Read, SessionId};
use crate::vault::retry::{Repeat, repeat};
use crate::vault::session::{Lent, StoreToken};

/// What a flight carries: everything that makes two answers different.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    session: SessionId,
    /// The token's number: after a new login an old flight must not answer.
    token: u64,
    request: Arc<Request>,
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

/// A token that the store takes for one more request, lent if it is not the Mount's own.
struct Usable {
    token: Arc<StoreToken>,
    _lent: Option<Lent>,
}

impl Reads {
    /// Asks the store, and remembers when it denies.
    pub(super) async fn asked(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Arc<Request>,
    ) -> Result<Fetched, NoAnswer> {
        let usable = self.usable(asker, token).await?;
        let outcome = self.asked_with(asker, &usable.token, request).await;
        if let Err(failed) = &outcome
            && failed.fault.reason == Reason::Denied
        {
            self.memory.deny(asker.session.id(), request, &failed.fault);
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

    /// The token, or that of a new login when the store takes no more requests with it.
    async fn usable(&self, asker: &Asker, token: &Arc<StoreToken>) -> Result<Usable, NoAnswer> {
        let mut usable = Usable {
            token: Arc::clone(token),
            _lent: None,
        };
        while !usable.token.take_use() {
            let newer = self
                .sessions
                .token(&asker.session, &asker.jwt, asker.deadline);
            let token = newer.await.map_err(NoAnswer::never_sent)?;
            usable = Usable {
                _lent: Some(self.sessions.lend(Arc::clone(&token))),
                token,
            };
        }
        Ok(usable)
    }

    async fn fly(
        self: &Arc<Self>,
        asker: &Asker,
        token: &Arc<StoreToken>,
        request: &Arc<Request>,
    ) -> Result<Fetched, NoAnswer> {
        let alone = request.generates() || self.is_per_pod(request);
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
            pod: alone.then(|| asker.pod.clone()),
        };
        let (phase, interval) = (asker.phase, asker.interval);
        let (this, asker, token, request) = (
            Arc::clone(self),
            asker.clone(),
            Arc::clone(token),
            Arc::clone(request),
        );
        let (seat, landed) = self
            .flights
            .fly(key, joinable(phase, interval), move || async move {
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
        let outcome = repeat(
            kind,
            self.stores.tries(),
            asker.deadline,
            || self.chance.random(),
            &self.metrics,
            attempt,
        );
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
                self.note_per_pod(request);
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
