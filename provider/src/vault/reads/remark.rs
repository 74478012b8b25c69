//! What is added to the fault of an object's request, for the person who reads it. Pure.

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::request::Request;

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
