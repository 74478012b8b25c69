//! An answer of the scripted store: what is said, and how badly.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// What to answer and how. Clones share the gate.
#[derive(Clone, Default)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) verbatim: bool,
    pub(super) gate: Option<Arc<Notify>>,
    pub(super) delay: Duration,
    pub(super) pace: Option<(usize, Duration)>,
    pub(super) cut_after: Option<usize>,
    pub(super) never: bool,
    pub(super) endless: bool,
    pub(super) reset: bool,
}

impl Reply {
    /// A JSON document.
    #[must_use]
    pub fn json(status: u16, document: &Value) -> Self {
        Self::text(status, document.to_string()).header("content-type", "application/json")
    }

    /// Any body, without a content type.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
    }

    /// Vault's form of an error.
    #[must_use]
    pub fn errors(status: u16, errors: &[&str]) -> Self {
        Self::json(status, &json!({ "errors": errors }))
    }

    /// Vault's form of a reply with data.
    #[must_use]
    pub fn data(data: &Value) -> Self {
        Self::json(200, &super::healthy::envelope(data))
    }

    /// Exactly these bytes on the wire, then the end of the connection.
    #[must_use]
    pub fn verbatim(bytes: impl Into<Bytes>) -> Self {
        Self {
            body: bytes.into(),
            verbatim: true,
            ..Self::default()
        }
    }

    /// No answer ever; the connection stays open.
    #[must_use]
    pub fn silence() -> Self {
        Self {
            never: true,
            ..Self::default()
        }
    }

    /// The connection ends without a byte of an answer.
    #[must_use]
    pub fn hang_up() -> Self {
        Self::verbatim(Bytes::new())
    }

    /// The connection ends without a byte of an answer and with a RST instead of a FIN.
    #[must_use]
    pub fn reset() -> Self {
        Self {
            reset: true,
            ..Self::hang_up()
        }
    }

    /// A body of chunks that ends only when the client goes away.
    #[must_use]
    pub fn endless() -> Self {
        Self {
            endless: true,
            ..Self::text(200, vec![b' '; 64 << 10]).header("content-type", "application/json")
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Holds the answer back until the gate is notified, once for each answer.
    #[must_use]
    pub fn behind(mut self, gate: &Arc<Notify>) -> Self {
        self.gate = Some(Arc::clone(gate));
        self
    }

    /// Holds the answer back for a while.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends the body a piece at a time.
    #[must_use]
    pub const fn slowly(mut self, bytes: usize, pause: Duration) -> Self {
        self.pace = Some((bytes, pause));
        self
    }

    /// Announces the whole body and ends the connection after this much of it.
    #[must_use]
    pub const fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }
}
