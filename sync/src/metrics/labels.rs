//! The closed sets that label values are taken from, and the label sets that are made of them.
//!
//! A label never holds text that came from outside, but for names of providers (`metrics/providers.rs`) and, where the
//! operator asks for it, namespace and name of objects.

use std::sync::Arc;

use coffer_sync_core::condition::{Fine, Upstream};
use coffer_sync_core::validate::{Check, Class};
use prometheus_client::encoding::EncodeLabelSet;

/// States of objects.
pub(super) const STATES: [&str; 4] = ["ready", "failing", "held", "suspended"];

/// How a round of one object ends.
pub const RESULTS: [&str; 7] = [
    "created",
    "updated",
    "unchanged",
    "repaired",
    "held",
    "refused",
    "failed",
];

/// Why a Secret is not written: upstream's reasons where there is no finer one, and the finer ones.
pub const REASONS: [&str; 20] = [
    Upstream::Provider.as_str(),
    Upstream::Fetch.as_str(),
    Upstream::Class.as_str(),
    Upstream::Patch.as_str(),
    Upstream::ControllerSync.as_str(),
    Upstream::Label.as_str(),
    Upstream::Annotation.as_str(),
    Fine::InvalidOption.as_str(),
    Fine::TypeNotAllowed.as_str(),
    Fine::InvalidData.as_str(),
    Fine::AdoptionRefused.as_str(),
    Fine::DuplicateTarget.as_str(),
    Fine::Contested.as_str(),
    Fine::Vanished.as_str(),
    Fine::ImmutableConflict.as_str(),
    Fine::TypeChange.as_str(),
    Fine::QuotaExceeded.as_str(),
    Fine::TooLarge.as_str(),
    Fine::NoFiles.as_str(),
    Fine::TokenError.as_str(),
];

/// How an attempt ends that either works or does not.
pub const OUTCOMES: [&str; 2] = ["ok", "error"];

/// The built-in types of Secrets.
pub const TYPES: [&str; 8] = [
    "Opaque",
    "kubernetes.io/service-account-token",
    "kubernetes.io/dockercfg",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
    "bootstrap.kubernetes.io/token",
];

/// gRPC codes by their names in the protocol, in the order of their numbers.
pub const CODES: [&str; 17] = [
    "Ok",
    "Cancelled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Verbs of requests to the API server, as its RBAC names them.
pub const VERBS: [&str; 7] = [
    "create", "delete", "get", "list", "patch", "update", "watch",
];

/// How the API server answers: the statuses that mean something of their own, else the class.
pub(super) const STATUSES: [&str; 12] = [
    "2xx", "3xx", "401", "403", "404", "409", "410", "422", "429", "4xx", "5xx", "error",
];

/// The ids of checks that can fail in a Secret that is written.
pub(super) fn checks() -> impl Iterator<Item = &'static str> {
    let told = Check::ALL
        .iter()
        .filter(|check| check.class() != Class::Structure);
    told.map(|check| check.as_str())
}

/// The value for an HTTP status; none is 0.
pub(super) const fn status(code: u16) -> &'static str {
    match code {
        200..=299 => "2xx",
        300..=399 => "3xx",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        410 => "410",
        422 => "422",
        429 => "429",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "error",
    }
}

/// `version`, `revision`, `rustc`.
pub(super) type Build = [(&'static str, &'static str); 3];

macro_rules! label_sets {
    ($($(#[$about:meta])* $name:ident { $($label:ident: $kind:ty),+ })+) => {
        $(
            $(#[$about])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
            pub(super) struct $name {
                $(pub(super) $label: $kind,)+
            }
        )+
    };
}

label_sets! {
    /// Objects by state.
    State { state: &'static str }
    /// Rounds and attempts by how they ended.
    Outcome { result: &'static str }
    /// Failures by reason.
    Reason { reason: &'static str }
    /// Secrets by built-in type.
    Type { r#type: &'static str }
    /// Failed checks by id.
    Failed { check: &'static str }
    /// Requests to the API server.
    Kube { verb: &'static str, code: &'static str }
    /// Whatever concerns one provider.
    Provider { provider: Arc<str> }
    /// Calls of one provider.
    Call { provider: Arc<str>, code: &'static str }
    /// One object.
    Object { namespace: String, name: String }
}
