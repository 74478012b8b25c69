//! Everything that can go wrong in a Mount, as a closed set of reasons, and the one line that tells it.
//!
//! A fault holds nouns (object, path, status), never secret bytes, bodies or query strings. Which gRPC
//! code a reason becomes is decided in the shell (`status.rs`).

mod causes;
mod line;

#[cfg(test)]
mod tests;

use crate::problem::Problem;

pub use causes::named;

/// One thing that went wrong, with its cause and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {hint} [{}]", reason.as_str())]
pub struct Fault {
    /// The kind.
    pub reason: Reason,
    /// What happened, as a fragment that ends without a full stop.
    pub what: String,
    /// What helps, as a fragment.
    pub hint: String,
    /// How long the store asks to wait before the request is sent again.
    pub retry_after: Option<std::time::Duration>,
}

impl Fault {
    /// A fault from its three parts.
    #[must_use]
    pub fn new(reason: Reason, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason,
            what: what.into(),
            hint: hint.into(),
            retry_after: None,
        }
    }

    /// The same fault with a more useful hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: hint.into(),
            ..self
        }
    }
}

/// Where a Mount was going when it failed: nouns for its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Role of the login.
    pub role: String,
    /// Host and port, or socket path, of the store.
    pub store: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Service account of the pod.
    pub service_account: String,
}

/// One object that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFault {
    /// Its `objectName`.
    pub name: String,
    /// Path that was asked for, without query.
    pub path: String,
    /// What went wrong.
    pub fault: Fault,
}

/// Why a Mount failed as a whole. Display is the one line that the pod's Event carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountFault {
    /// What was asked cannot be done as written, or must not be.
    Input {
        /// `BadRequest` or `NotAllowed`.
        reason: Reason,
        /// Every problem.
        problems: Vec<Problem>,
    },
    /// No login, so no object was asked for.
    Login {
        /// What went wrong.
        fault: Fault,
        /// Where.
        place: Box<Place>,
    },
    /// Objects failed; none is delivered.
    Objects {
        /// How many objects the class has.
        total: usize,
        /// Those that failed, in the order of the class; at least one.
        failed: Vec<ObjectFault>,
        /// Where.
        place: Box<Place>,
    },
    /// Nothing of the class's making: size of the reply, shutdown, a full queue, a bug.
    Whole(Fault),
}

impl MountFault {
    /// The reason that decides the gRPC code: that of the first failing object.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Input { reason, .. } => *reason,
            Self::Login { fault, .. } | Self::Whole(fault) => fault.reason,
            Self::Objects { failed, .. } => failed
                .first()
                .map_or(Reason::Internal, |first| first.fault.reason),
        }
    }
}

impl std::error::Error for MountFault {}

/// Why a Mount failed: a closed set, used as metric label, log field and page name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Attributes, objects, a path, a mode or an encoding name cannot be used as written.
    BadRequest,
    /// The operator's policy forbids what the class asks for.
    NotAllowed,
    /// No usable service account token for the wanted audience.
    NoToken,
    /// The store refuses the login.
    LoginRefused,
    /// 403 on a read with a fresh token.
    Denied,
    /// Path, version or key is absent, deleted or destroyed.
    NotFound,
    /// A value cannot be decoded.
    BadValue,
    /// The reply would be above the driver's limit.
    TooLarge,
    /// Sealed, not initialised, no active node.
    StoreState,
    /// TLS handshake or certificate.
    StoreTls,
    /// DNS, connect, reset, proxy.
    StoreUnreachable,
    /// A phase or the whole budget ran out.
    StoreTimeout,
    /// 5xx or 412 after the budget.
    StoreError,
    /// 429, or 503 overload, after the budget.
    StoreBusy,
    /// Not JSON, empty, cut off, or a login without a token.
    BadAnswer,
    /// Our own queue did not reach this Mount in its budget.
    Busy,
    /// A panic or broken invariant: always a bug in Coffer.
    Internal,
    /// Shutdown; the driver's retry reaches the next process.
    Draining,
    /// The caller went away; nobody reads the answer.
    Cancelled,
}

/// Whether this process has answered that volume with success before. The driver does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The first mount of a pod, as far as this process knows.
    First,
    /// A republish of a volume already served.
    Refresh,
}

impl Phase {
    /// Both phases.
    pub const ALL: [Self; 2] = [Self::First, Self::Refresh];

    /// The name used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Refresh => "refresh",
        }
    }
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 19] = [
        Self::BadRequest,
        Self::NotAllowed,
        Self::NoToken,
        Self::LoginRefused,
        Self::Denied,
        Self::NotFound,
        Self::BadValue,
        Self::TooLarge,
        Self::StoreState,
        Self::StoreTls,
        Self::StoreUnreachable,
        Self::StoreTimeout,
        Self::StoreError,
        Self::StoreBusy,
        Self::BadAnswer,
        Self::Busy,
        Self::Internal,
        Self::Draining,
        Self::Cancelled,
    ];

    /// Whether the same request may succeed a moment later without anybody doing anything.
    #[must_use]
    pub const fn heals(self) -> bool {
        match self {
            Self::StoreUnreachable
            | Self::StoreTimeout
            | Self::StoreError
            | Self::StoreBusy
            | Self::BadAnswer => true,
            Self::BadRequest
            | Self::NotAllowed
            | Self::NoToken
            | Self::LoginRefused
            | Self::Denied
            | Self::NotFound
            | Self::BadValue
            | Self::TooLarge
            | Self::StoreState
            | Self::StoreTls
            | Self::Busy
            | Self::Internal
            | Self::Draining
            | Self::Cancelled => false,
        }
    }

    /// Whether the store gave no answer that can be used: what was good before is still the best that is
    /// known. A denial, a missing secret or a refused login is an answer.
    #[must_use]
    pub const fn is_no_answer(self) -> bool {
        self.heals() || matches!(self, Self::StoreState | Self::StoreTls)
    }

    /// Whether it speaks of the store as a whole, so that its other objects fail in the same way.
    #[must_use]
    pub const fn is_whole_store(self) -> bool {
        matches!(
            self,
            Self::StoreState | Self::StoreTls | Self::StoreUnreachable | Self::StoreTimeout
        )
    }

    /// The name used in metrics, logs and documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NotAllowed => "not_allowed",
            Self::NoToken => "no_token",
            Self::LoginRefused => "login_refused",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::BadValue => "bad_value",
            Self::TooLarge => "too_large",
            Self::StoreState => "store_state",
            Self::StoreTls => "store_tls",
            Self::StoreUnreachable => "store_unreachable",
            Self::StoreTimeout => "store_timeout",
            Self::StoreError => "store_error",
            Self::StoreBusy => "store_busy",
            Self::BadAnswer => "bad_answer",
            Self::Busy => "busy",
            Self::Internal => "internal",
            Self::Draining => "draining",
            Self::Cancelled => "cancelled",
        }
    }
}
