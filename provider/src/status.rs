//! From the reason of a failed Mount to its gRPC code: the only place that decides it.
//!
//! Kubelet takes five codes for "may still be in progress" (Canceled, DeadlineExceeded, Unavailable,
//! ResourceExhausted, Aborted; kubernetes pkg/volume/csi/csi_client.go, `isFinalError`) and keeps the
//! volume's directory; driver 1.6 then reports success without mounting, and the pod runs with an empty
//! volume. Only a provider that is shutting down may answer one of them, because then the driver's own
//! retry reaches the next process.

use coffer_provider_core::fault::Reason;
use tonic::Code;

/// The gRPC code of a reason.
#[must_use]
pub const fn code(reason: Reason) -> Code {
    match reason {
        // A person must change the class.
        Reason::BadRequest => Code::InvalidArgument,
        // A person must change class or policy.
        Reason::NotAllowed | Reason::Denied => Code::PermissionDenied,
        Reason::LoginRefused => Code::Unauthenticated,
        Reason::NotFound => Code::NotFound,
        // Something around the class must change; kubelet tries again with a clean directory.
        Reason::NoToken
        | Reason::BadValue
        | Reason::TooLarge
        | Reason::StoreState
        | Reason::StoreTls => Code::FailedPrecondition,
        // The store may recover; kubelet tries again with a clean directory.
        Reason::StoreUnreachable
        | Reason::StoreTimeout
        | Reason::StoreError
        | Reason::StoreBusy
        | Reason::BadAnswer
        | Reason::Busy => Code::Unknown,
        Reason::Internal => Code::Internal,
        // The driver retries this code by itself and then meets our successor.
        Reason::Draining => Code::Unavailable,
        // Nobody reads it.
        Reason::Cancelled => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use coffer_provider_core::fault::Reason;
    use tonic::Code;

    use super::code;

    /// Whether kubelet takes the code as the end of the attempt.
    const fn is_final(code: Code) -> bool {
        !matches!(
            code,
            Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Unavailable
                | Code::ResourceExhausted
                | Code::Aborted
        )
    }

    #[test]
    fn every_reason_but_draining_ends_the_attempt() {
        for reason in Reason::ALL {
            assert_eq!(
                is_final(code(reason)),
                reason != Reason::Draining,
                "{reason:?}"
            );
        }
    }
}
