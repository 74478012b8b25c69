//! One answer of a Mount, with where it came from.
//!
//! What is remembered is kept as it came and read again only where somebody looks into it.

use std::sync::Arc;

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::response::{Head, Response};
use coffer_provider_core::secret::SecretBytes;
use tokio::time::Instant;

use crate::vault::memory::{Known, ReadId};

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The store, just now.
    Store,
    /// Memory, fresh enough.
    Memory,
    /// Memory, because the store gave no usable answer, for this reason.
    Stale(Reason),
}

/// An answer's content.
#[derive(Clone)]
pub enum Document {
    /// Read.
    Open(Arc<Response>),
    /// As it came.
    Closed(SecretBytes),
}

/// An answer to one request of a Mount.
#[derive(Clone)]
pub struct Fetched {
    /// Its content.
    pub document: Document,
    /// Where it came from.
    pub origin: Origin,
    /// When a plain read was asked for; none for what was issued, which does not age.
    pub began: Option<Instant>,
    /// Number of the answer, where it came out of memory.
    pub id: Option<ReadId>,
    /// It was issued for the pod by this Mount, and is kept under its request.
    pub issued: bool,
}

impl Fetched {
    /// A plain read that the store has just answered.
    pub(super) fn read(response: Arc<Response>, began: Instant) -> Self {
        Self {
            document: Document::Open(response),
            origin: Origin::Store,
            began: Some(began),
            id: None,
            issued: false,
        }
    }

    /// A plain read out of memory.
    pub(super) fn recalled(known: Known, origin: Origin) -> Self {
        let Known { id, read } = known;
        Self {
            document: Document::Closed(read.body),
            origin,
            began: Some(read.began),
            id: Some(id),
            issued: false,
        }
    }

    /// What was just issued for the pod.
    pub(super) fn issued(response: Arc<Response>) -> Self {
        Self {
            issued: true,
            origin: Origin::Store,
            ..Self::kept(response)
        }
    }

    /// What was issued for the pod before.
    pub(super) fn kept(response: Arc<Response>) -> Self {
        Self {
            document: Document::Open(response),
            origin: Origin::Memory,
            began: None,
            id: None,
            issued: false,
        }
    }

    /// The answer, read.
    ///
    /// # Errors
    /// Never for what was read before; said as a fault all the same.
    pub fn response(&self) -> Result<Arc<Response>, Fault> {
        match &self.document {
            Document::Open(response) => Ok(Arc::clone(response)),
            Document::Closed(body) => {
                let head = Head {
                    status: 200,
                    content_type: "application/json",
                };
                Response::read(head, body.expose()).map(Arc::new)
            }
        }
    }
}
