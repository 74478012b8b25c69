//! What is added to the fault of an object's request, for the person who reads it. Pure.

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::request::Request;

use super::Asker;
use crate::vault::http::NoAnswer;

/// A request that may have issued something says so: an operator may want to look for it.
pub(super) fn told(failed: NoAnswer, request: &Request) -> Fault {
    let NoAnswer {
        mut fault,
        maybe_sent,
        asked: _,
    } = failed;
    let is_unclear = fault.reason.heals() || fault.reason == Reason::Busy;
    if request.generates() && maybe_sent && is_unclear {
        fault.what += "; it may have been issued and is not asked for twice";
    }
    fault
}

/// The store let the Mount wait for as long as it can.
pub(super) fn out_of_time(asker: &Asker) -> NoAnswer {
    let place = asker.session.key().identity.target.address.place();
    let waited = asker.ask_until().saturating_duration_since(asker.started);
    NoAnswer::maybe_sent(Fault::new(
        Reason::StoreTimeout,
        format!(
            "store {place} did not answer everything within {:.1} s (phase mount)",
            waited.as_secs_f64()
        ),
        "check the store's load, and how many objects the class has",
    ))
}

/// Adds what most often is wrong with a path that is denied or not found.
pub(super) fn hinted(fault: Fault, request: &Request) -> Fault {
    if !matches!(fault.reason, Reason::Denied | Reason::NotFound) || request.generates() {
        return fault;
    }
    let mut parts = request.path.splitn(3, '/');
    let (Some(mount), Some(second)) = (parts.next(), parts.next()) else {
        return fault;
    };
    let rest = parts
        .next()
        .map(|rest| format!("/{rest}"))
        .unwrap_or_default();
    let versioned = fault.what.contains("versioned");
    let hint = match fault.reason {
        _ if versioned || !matches!(second, "data" | "metadata" | "creds" | "issue") => {
            format!(
                "{}; if {mount} is KV version 2, the path needs data/: {mount}/data/{second}{rest}",
                fault.hint
            )
        }
        Reason::NotFound if second == "data" => {
            format!(
                "{}; if {mount} is KV version 1, the path has no data/: {mount}{rest}",
                fault.hint
            )
        }
        _ => return fault,
    };
    fault.with_hint(hint)
}
