//! From a failed exchange to a fault that names the phase, the place and what helps.
//!
//! Only the kinds of errors are told, never their URL: it holds the query.

use std::error::Error;
use std::time::Duration;

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::problem::one_line;
use coffer_provider_core::target::Address;

use super::NoAnswer;
use super::exchange::Server;

/// What helps when the store's side ends the handshake.
const REFUSED: &str = "the store refuses us: does it demand a client certificate?";

/// The fault of a request that failed before or inside its answer.
pub(super) fn of_request(error: &reqwest::Error, server: &Server) -> NoAnswer {
    let place = server.address.place();
    let maybe_sent = !error.is_connect() && !error.is_builder();
    if let Some(tls) = find::<rustls::Error>(error) {
        return NoAnswer::never_sent(tls_fault(tls, server));
    }
    let text = innermost(error);
    let fault = if chain(error).any(|part| part.to_string().contains("dns error")) {
        Fault::new(
            Reason::StoreUnreachable,
            format!(
                "store {place} cannot be reached: its name does not resolve (phase dns, {text})"
            ),
            "check the host in vaultAddress and the cluster's DNS",
        )
    } else if text.contains("received fatal alert") {
        // HTTP/2 hands on only the text of what TLS said after our side of the handshake was done.
        Fault::new(
            Reason::StoreTls,
            format!("TLS with store {place} failed: {text}"),
            REFUSED,
        )
    } else if error.is_timeout() {
        Fault::new(
            Reason::StoreTimeout,
            format!("store {place} cannot be reached: no connection in time (phase connect)"),
            "check address, port and network policies",
        )
    } else if error.is_connect() {
        Fault::new(
            Reason::StoreUnreachable,
            format!("store {place} cannot be reached: {text} (phase connect)"),
            "check that it runs, the port, network policies and proxy settings",
        )
    } else {
        Fault::new(
            Reason::StoreUnreachable,
            format!("store {place} broke off: {text} (phase answer)"),
            // In TLS 1.3 a refusal comes after our side's handshake, and may be lost with the connection.
            match server.address {
                Address::Tcp { https: true, .. } if server.tls.client.is_none() => {
                    "see the store's log and what stands between; does it demand a client certificate?"
                }
                _ => "see the store's log and what stands between",
            },
        )
    };
    if maybe_sent {
        NoAnswer::maybe_sent(fault)
    } else {
        NoAnswer::never_sent(fault)
    }
}

/// The fault of a phase that took too long. The store may be working on the request.
pub(super) fn timed_out(phase: &str, limit: Duration, server: &Server) -> NoAnswer {
    let place = server.address.place();
    NoAnswer::maybe_sent(Fault::new(
        Reason::StoreTimeout,
        format!(
            "store {place} gave no complete answer within {} s (phase {phase})",
            limit.as_secs()
        ),
        "check the store's load and what stands between",
    ))
}

/// The fault of a body above the cap.
pub(super) fn too_large(cap: usize, status: u16, content_type: &str) -> NoAnswer {
    let kind = one_line(content_type);
    NoAnswer::maybe_sent(Fault::new(
        Reason::BadAnswer,
        format!(
            "the store answered with more than {} MiB (status {status}, {kind})",
            cap >> 20
        ),
        "split the secret, or raise --store-body-bytes (limits.storeBodyBytes)",
    ))
}

/// The fault of a body that had to wait too long for others.
pub(super) fn no_room(server: &Server) -> NoAnswer {
    let place = server.address.place();
    NoAnswer::maybe_sent(Fault::new(
        Reason::Busy,
        format!("our own buffers had no room for an answer of store {place}"),
        "split large secrets, or raise --buffered-bytes",
    ))
}

fn tls_fault(error: &rustls::Error, server: &Server) -> Fault {
    let place = server.address.place();
    let name = match (&server.tls.server_name, &server.address) {
        (Some(name), _) | (None, Address::Tcp { host: name, .. }) => name,
        (None, Address::Unix(_)) => &place,
    };
    let hint = match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "give the CA that signed it: vaultCACertPath, or the operator's CA bundle"
        }
        rustls::Error::InvalidCertificate(
            rustls::CertificateError::NotValidForName
            | rustls::CertificateError::NotValidForNameContext { .. },
        ) => {
            "set vaultTLSServerName to a name of the certificate, or use that name in vaultAddress"
        }
        rustls::Error::InvalidCertificate(
            rustls::CertificateError::InvalidPurpose
            | rustls::CertificateError::InvalidPurposeContext { .. },
        ) => "give the store a certificate that is meant for servers",
        rustls::Error::InvalidCertificate(
            rustls::CertificateError::Expired
            | rustls::CertificateError::ExpiredContext { .. }
            | rustls::CertificateError::NotValidYet
            | rustls::CertificateError::NotValidYetContext { .. },
        ) => "renew the store's certificate, or check the clock",
        rustls::Error::InvalidCertificate(_) => {
            "give the store a certificate for servers, signed by the trusted CA and not the CA itself"
        }
        rustls::Error::InvalidMessage(_) => "does the store speak TLS on this port?",
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion) => {
            "the store must speak TLS 1.2 or 1.3"
        }
        rustls::Error::AlertReceived(_) => REFUSED,
        _ => "check the TLS settings of both sides",
    };
    Fault::new(
        Reason::StoreTls,
        format!(
            "TLS with store {place} failed (name {name}): {}",
            one_line(&cause(error))
        ),
        hint,
    )
}

/// What TLS says, without the time of the attempt: the same fault must read the same, or it is told anew at
/// each attempt.
fn cause(error: &rustls::Error) -> String {
    let date = |time: &rustls_pki_types::UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |at| at.to_string())
    };
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::ExpiredContext {
            not_after,
            ..
        }) => format!("certificate expired at {}", date(not_after)),
        rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidYetContext {
            not_before,
            ..
        }) => format!("certificate not valid before {}", date(not_before)),
        _ => error.to_string(),
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
}

/// Finds an error in the chain, also one that I/O errors wrap without naming it as their source.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(unwrapped)
}

fn unwrapped<'a, E: Error + 'static>(part: &'a (dyn Error + 'static)) -> Option<&'a E> {
    part.downcast_ref::<E>()
        .or_else(|| unwrapped(part.downcast_ref::<std::io::Error>()?.get_ref()?))
}

/// The last cause says what happened; those before it repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    let last = chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default();
    let short: String = one_line(&last).chars().take(120).collect();
    if short.contains("://") {
        "the connection failed".to_owned()
    } else {
        short
    }
}
