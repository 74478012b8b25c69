//! The closed sets that label values are taken from. A label never holds text that came from outside.
//!
//! `Reason` and `Phase` live in the core; the rest stand here, each with the text it has on a scrape.

use coffer_provider_core::policy::Rule;
use tonic::Code;

/// Declares an enum whose variants are the only values of one label.
macro_rules! closed_label {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$what])* $variant,)+
        }

        impl $name {
            /// Every value of the label.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The text on a scrape.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

closed_label! {
    /// What a request to the store is for.
    StoreOp {
        /// Exchanges a service account token for a store token.
        Login = "login",
        /// Fetches a secret, by whatever method.
        Read = "read",
        /// Changes something in the store beyond what a read may cause.
        Write = "write",
        /// Prolongs a token or lease.
        Renew = "renew",
        /// Ends a token or lease.
        Revoke = "revoke",
        /// Looks whether a failing address is well again.
        Probe = "probe",
    }
}

closed_label! {
    /// How the store answered: the statuses that mean something of their own, else the class.
    StoreStatus {
        /// Success.
        Success = "2xx",
        /// A redirect.
        Redirect = "3xx",
        /// The store cannot read the request.
        BadRequest = "400",
        /// Denied.
        Forbidden = "403",
        /// Nothing there.
        NotFound = "404",
        /// A replica that has not caught up.
        PreconditionFailed = "412",
        /// A rate limit.
        TooManyRequests = "429",
        /// Any other client error.
        ClientError = "4xx",
        /// Sealed, standby or overloaded.
        Unavailable = "503",
        /// Any other server error.
        ServerError = "5xx",
        /// No usable status: connect, TLS, time-out, or a number outside of 200 to 599.
        Error = "error",
    }
}

impl StoreStatus {
    /// The value for an HTTP status.
    #[must_use]
    pub const fn from_http(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400 => Self::BadRequest,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            412 => Self::PreconditionFailed,
            429 => Self::TooManyRequests,
            401..=499 => Self::ClientError,
            503 => Self::Unavailable,
            500..=599 => Self::ServerError,
            _ => Self::Error,
        }
    }
}

closed_label! {
    /// Auth method of a login.
    LoginMethod {
        /// The kubernetes method.
        Kubernetes = "kubernetes",
        /// The jwt method.
        Jwt = "jwt",
        /// Anything else.
        Other = "other",
    }
}

closed_label! {
    /// How a login ended.
    LoginResult {
        /// A token was issued.
        Ok = "ok",
        /// The store said no.
        Refused = "refused",
        /// There was no usable answer.
        Error = "error",
    }
}

closed_label! {
    /// What is renewed or revoked.
    RenewKind {
        /// A store token.
        Token = "token",
        /// A lease.
        Lease = "lease",
    }
}

closed_label! {
    /// Which memory was asked.
    CacheName {
        /// Store tokens by identity.
        Login = "login",
        /// Parsed classes by their text.
        Params = "params",
        /// Last good bytes of a volume.
        Memory = "memory",
        /// Denials that were remembered for some seconds.
        Denied = "denied",
    }
}

closed_label! {
    /// What the strict policy profile would refuse.
    PolicyRule {
        /// An address outside of the allowed ones.
        Address = "address",
        /// Plain http.
        Http = "http",
        /// TLS verification switched off.
        SkipVerify = "skip_verify",
        /// The API server's own audience.
        Audience = "audience",
        /// A TLS file outside of the allowed directories.
        TlsPath = "tls_path",
        /// A method that is not allowed.
        Method = "method",
    }
}

impl From<Rule> for PolicyRule {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Address => Self::Address,
            Rule::Http => Self::Http,
            Rule::SkipVerify => Self::SkipVerify,
            Rule::Audience => Self::Audience,
            Rule::TlsPath => Self::TlsPath,
            Rule::Method => Self::Method,
        }
    }
}

closed_label! {
    /// Verb of a request to the Kubernetes API, as its RBAC names it.
    KubeVerb {
        /// One object.
        Get = "get",
        /// Many objects.
        List = "list",
        /// A stream of changes.
        Watch = "watch",
        /// A new object or a token request.
        Create = "create",
        /// A change of an object.
        Patch = "patch",
    }
}

closed_label! {
    /// How the Kubernetes API answered.
    KubeCode {
        /// Success.
        Success = "2xx",
        /// A redirect.
        Redirect = "3xx",
        /// Our account token was not accepted.
        Unauthorized = "401",
        /// A right is missing.
        Forbidden = "403",
        /// Nothing there.
        NotFound = "404",
        /// Somebody else was first.
        Conflict = "409",
        /// The watch is too old.
        Gone = "410",
        /// API priority and fairness.
        TooManyRequests = "429",
        /// Any other client error.
        ClientError = "4xx",
        /// Any server error.
        ServerError = "5xx",
        /// No usable status.
        Error = "error",
    }
}

impl KubeCode {
    /// The value for an HTTP status.
    #[must_use]
    pub const fn from_http(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            410 => Self::Gone,
            429 => Self::TooManyRequests,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::Error,
        }
    }
}

/// Which address of the store: its position in the operator's list, or `other` for one that a class
/// names itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target(usize);

/// Texts of the positions. Eight addresses are more than any cluster of the store has nodes worth
/// naming, and each costs dozens of series.
const POSITIONS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];

impl Target {
    /// An address that the operator's list does not hold.
    pub const OTHER: Self = Self(POSITIONS.len());

    /// The address at this position, from 0. Positions above 7 count as [`Target::OTHER`].
    #[must_use]
    pub const fn listed(position: usize) -> Self {
        if position < POSITIONS.len() {
            Self(position)
        } else {
            Self::OTHER
        }
    }

    /// The text on a scrape.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        POSITIONS.get(self.0).copied().unwrap_or("other")
    }
}

/// The name of a gRPC code, as tonic spells it.
#[must_use]
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "Ok",
        Code::Cancelled => "Cancelled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// Every gRPC code, in the order of its number.
pub(super) const CODES: [Code; 17] = [
    Code::Ok,
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

#[cfg(test)]
mod tests {
    use super::{CODES, KubeCode, StoreStatus, Target, code_name};

    #[test]
    fn store_statuses_fall_into_the_closed_set() {
        for (status, expected) in [
            (200, "2xx"),
            (204, "2xx"),
            (307, "3xx"),
            (400, "400"),
            (401, "4xx"),
            (403, "403"),
            (404, "404"),
            (412, "412"),
            (429, "429"),
            (473, "4xx"),
            (500, "5xx"),
            (503, "503"),
            (100, "error"),
            (600, "error"),
        ] {
            assert_eq!(
                StoreStatus::from_http(status).as_str(),
                expected,
                "status {status}"
            );
        }
    }

    #[test]
    fn kubernetes_statuses_fall_into_the_closed_set() {
        for (status, expected) in [
            (201, "2xx"),
            (302, "3xx"),
            (400, "4xx"),
            (401, "401"),
            (403, "403"),
            (404, "404"),
            (409, "409"),
            (410, "410"),
            (422, "4xx"),
            (429, "429"),
            (504, "5xx"),
            (0, "error"),
        ] {
            assert_eq!(
                KubeCode::from_http(status).as_str(),
                expected,
                "status {status}"
            );
        }
    }

    #[test]
    fn a_target_is_a_position_or_other() {
        for (target, expected) in [
            (Target::listed(0), "0"),
            (Target::listed(7), "7"),
            (Target::listed(8), "other"),
            (Target::OTHER, "other"),
        ] {
            assert_eq!(target.as_str(), expected);
        }
    }

    #[test]
    fn codes_are_named_as_tonic_names_them_and_complete() {
        for (number, code) in (0..).zip(CODES) {
            assert_eq!(code as i32, number);
            assert_eq!(code_name(code), format!("{code:?}"));
        }
    }
}
