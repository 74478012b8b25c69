//! One thing that was issued, with its term and the token that it hangs on.

use std::sync::Arc;

use coffer_provider_core::issued::{Bearer, Decision, Moment, Term};
use coffer_provider_core::response::Response;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Issued, moment};
use crate::vault::session::{LeaseGuard, Proof, StoreToken};

/// The token that something hangs on, counted at the token while this lives.
pub(super) struct Hold {
    pub(super) token: Arc<StoreToken>,
    _guard: LeaseGuard,
}

/// An entry of the memory.
pub(super) struct Entry {
    /// Tells it from an older one under the same key.
    pub(super) number: u64,
    /// Who may use the login that it was issued to.
    pub(super) proof: Proof,
    pub(super) response: Arc<Response>,
    pub(super) hold: Option<Arc<Hold>>,
    pub(super) term: Term,
    pub(super) made: Moment,
    pub(super) used: Moment,
    /// Another Mount than the one that caused it was given it.
    pub(super) shared: bool,
}

impl Hold {
    /// Holds a token; `changed` hears of its renewals.
    pub(super) fn new(token: Arc<StoreToken>, changed: &Arc<Notify>) -> Self {
        let guard = token.hold_lease(changed);
        Self {
            token,
            _guard: guard,
        }
    }

    fn bearer(&self, start: Instant) -> Option<Bearer> {
        let life = self.token.life()?;
        Some(Bearer {
            began: moment(life.began, start),
            ends: moment(life.ends, start),
            renewable: life.renewable,
        })
    }

    pub(super) fn has_ended(&self, now: Moment, start: Instant) -> bool {
        self.bearer(start).is_some_and(|bearer| now >= bearer.ends)
    }
}

impl Entry {
    pub(super) fn decide(&self, now: Moment, start: Instant) -> Decision {
        let bearer = self.hold.as_ref().and_then(|hold| hold.bearer(start));
        self.term.decide(now, bearer.as_ref())
    }

    pub(super) fn has_ended(&self, now: Moment, start: Instant) -> bool {
        self.decide(now, start) == Decision::Gone
    }

    /// A lease hangs on it.
    pub(super) fn has_lease(&self) -> bool {
        self.hold.is_some() && self.response.lease().is_some()
    }

    /// Gives it to a Mount.
    pub(super) fn answer(&mut self, now: Moment) -> Issued {
        self.used = now;
        self.shared = true;
        Issued {
            response: Arc::clone(&self.response),
            hold: self.hold.clone(),
        }
    }
}
