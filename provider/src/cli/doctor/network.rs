//! The way to the store and its state: name, connection, certificate, clock, seal.

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::gojson::Json;
use coffer_provider_core::problem::shown;
use coffer_provider_core::target::{Address, Target};
use jiff::Timestamp;

use super::certificate::{self, Certificate};
use super::{State, Step, call};
use crate::vault::endpoint;
use crate::vault::http::{Answer, Stores};

/// From this many seconds on a fresh token may be refused: the leeway of the store's jwt method.
const MAX_SKEW: i64 = 60;

/// The layers that this module looks at, in their order.
const LAYERS: [&str; 5] = ["dns", "connection", "tls", "clock", "store"];

/// Looks at every layer up to the store's state, at the first address of a target; the name of the first
/// layer that is broken.
pub(super) async fn examine(
    stores: &Stores,
    target: &Target,
    proxied: bool,
    steps: &mut Vec<Step>,
) -> Result<(), &'static str> {
    let address = target.address.first();
    let dns = dns(address, proxied).await;
    let is_broken = dns.state == State::Failed;
    steps.push(dns);
    if is_broken {
        return Err(skip_rest("dns", steps));
    }
    let sought = target.clone();
    let look = tokio::task::spawn_blocking(move || {
        (!proxied).then(|| certificate::look(&sought)).flatten()
    });
    let certificate = look.await.ok().flatten();
    let answer = match endpoint::health(target) {
        Ok(prepared) => stores
            .send(target, prepared, call())
            .await
            .map_err(|failed| failed.fault),
        Err(fault) => Err(fault),
    };
    let place = address.to_string();
    let now = Timestamp::now();
    match answer {
        Err(fault) if fault.reason == Reason::StoreTls => {
            steps.push(Step::ok("connection", &place));
            steps.push(bad_tls(&fault, certificate.as_ref()));
            Err(skip_rest("tls", steps))
        }
        Err(fault) => {
            steps.push(Step::failed("connection", &fault.what, &fault.hint));
            Err(skip_rest("connection", steps))
        }
        Ok(answer) => {
            steps.push(Step::ok("connection", &place));
            steps.push(good_tls(target, certificate.as_ref(), now));
            steps.push(clock(answer.date.as_deref(), now));
            let store = store(&answer, address);
            let is_usable = store.state == State::Ok;
            steps.push(store);
            is_usable.then_some(()).ok_or("store")
        }
    }
}

/// Skips the layers behind a broken one.
pub(super) fn skip_rest(broken: &'static str, steps: &mut Vec<Step>) -> &'static str {
    let behind = LAYERS.iter().skip_while(|layer| **layer != broken).skip(1);
    steps.extend(behind.map(|layer| Step::skipped(layer, format!("needs {broken}"))));
    broken
}

/// Skips all layers.
pub(super) fn skip_all(why: &'static str, steps: &mut Vec<Step>) {
    steps.extend(LAYERS.map(|layer| Step::skipped(layer, why)));
}

async fn dns(address: &Address, proxied: bool) -> Step {
    let Address::Tcp { host, port, .. } = address else {
        return Step::skipped("dns", "a unix socket needs no name");
    };
    let host = host.trim_matches(['[', ']']);
    match tokio::net::lookup_host((host, *port)).await {
        Ok(found) => {
            let found: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            Step::ok("dns", format!("{host} is {}", found.join(", ")))
        }
        Err(error) if proxied => {
            Step::skipped("dns", format!("{host}: {error}; the proxy may know it"))
        }
        Err(error) => Step::failed(
            "dns",
            format!("{host}: {error}"),
            "check the host in vaultAddress or --vault-addr, and the DNS",
        ),
    }
}

fn bad_tls(fault: &Fault, certificate: Option<&Certificate>) -> Step {
    let seen = certificate.map(|certificate| format!(" ({})", certificate.told()));
    let detail = format!("{}{}", fault.what, seen.unwrap_or_default());
    Step::failed("tls", detail, &fault.hint)
}

fn good_tls(target: &Target, certificate: Option<&Certificate>, now: Timestamp) -> Step {
    if !matches!(target.address.first(), Address::Tcp { https: true, .. }) {
        return Step::skipped("tls", "this address does not use it");
    }
    let verified = if target.tls.skip_verify {
        "not verified"
    } else {
        "verified"
    };
    let Some(certificate) = certificate else {
        return Step::ok("tls", verified);
    };
    let step = Step::ok("tls", format!("{verified}, {}", certificate.told()));
    if certificate.ends_soon(now) {
        return step.with_hint("renew the store's certificate soon");
    }
    step
}

/// Compares the clocks; an answer took less than a second, or nobody is worried about one.
fn clock(date: Option<&str>, now: Timestamp) -> Step {
    let read = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let Some(date) = read else {
        return Step::skipped("clock", "the store tells no time");
    };
    let skew = date.timestamp().as_second() - now.as_second();
    let side = if skew < 0 { "behind" } else { "ahead of" };
    let detail = format!("the store is {} s {side} this machine", skew.abs());
    if skew.abs() > MAX_SKEW {
        return Step::failed(
            "clock",
            detail,
            "set the clocks of both sides by NTP: tokens are judged by time",
        );
    }
    Step::ok("clock", detail)
}

/// The statuses of sys/health: 200 active, 429 and 473 standby, 472 secondary, 501 not initialised, 503
/// sealed.
fn store(answer: &Answer, address: &Address) -> Step {
    state(answer.status, &answer.body, address)
}

fn state(status: u16, body: &[u8], address: &Address) -> Step {
    let body = Json::parse(body).ok();
    let is_store = body
        .as_ref()
        .is_some_and(|json| json.get("sealed").is_some());
    let version = body.as_ref().and_then(|json| json.get("version")?.as_str());
    let version = shown(version.unwrap_or("of unknown version"));
    match status {
        200 if is_store => Step::ok("store", format!("active, {version}")),
        429 | 473 if is_store => Step::ok("store", format!("standby, {version}")),
        472 => Step::failed("store", "disaster recovery secondary", "name the primary"),
        501 => Step::failed(
            "store",
            "not initialised",
            "initialise and unseal the store",
        ),
        503 if is_store => Step::failed("store", format!("sealed, {version}"), "unseal the store"),
        503 => Step::failed(
            "store",
            "answered 503",
            "a proxy answers: is a store behind it?",
        ),
        400 if matches!(address, Address::Tcp { https: false, .. }) => Step::failed(
            "store",
            "answered 400",
            "does it speak TLS on this port? write https:// in the address",
        ),
        status => Step::failed(
            "store",
            format!("answered {status}, not as a store does"),
            "is this a Vault or OpenBao server? check host, port and path of the address",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Json, State, Timestamp, clock, skip_rest, state};

    #[test]
    fn the_clocks_are_compared_by_the_date_of_an_answer() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (date, expected, detail) in [
            (
                Some("Sun, 01 Mar 2026 12:00:05 GMT"),
                State::Ok,
                "5 s ahead",
            ),
            (
                Some("Sun, 01 Mar 2026 11:59:00 GMT"),
                State::Ok,
                "60 s behind",
            ),
            (
                Some("Sun, 01 Mar 2026 11:58:59 GMT"),
                State::Failed,
                "61 s behind",
            ),
            (
                Some("Sun, 01 Mar 2026 13:00:00 GMT"),
                State::Failed,
                "3600 s ahead",
            ),
            (Some("yesterday"), State::Skipped, "no time"),
            (None, State::Skipped, "no time"),
        ] {
            let step = clock(date, now);
            assert_eq!(step.state, expected, "{date:?}");
            assert!(step.detail.contains(detail), "{step:?}");
        }
    }

    #[test]
    fn the_state_of_the_store_is_read_from_status_and_body() {
        let body = r#"{"sealed":false,"version":"2.4.0"}"#;
        assert!(Json::parse(body.as_bytes()).is_ok());
        for (status, body, address, expected) in [
            (200, body, "https://v", "active, 2.4.0"),
            (473, body, "https://v", "standby, 2.4.0"),
            (
                200,
                "<html>",
                "https://v",
                "answered 200, not as a store does",
            ),
            (503, body, "https://v", "sealed, 2.4.0"),
            (503, "<html>", "https://v", "answered 503"),
            (501, body, "https://v", "not initialised"),
            (400, "", "http://v", "answered 400"),
        ] {
            let step = state(status, body.as_bytes(), &Address::parse(address).unwrap());
            assert_eq!(step.detail, expected);
            let is_fine = expected.starts_with("active") || expected.starts_with("standby");
            assert_eq!(
                (step.state == State::Ok, step.hint.is_empty()),
                (is_fine, is_fine)
            );
        }
    }

    #[test]
    fn what_stands_behind_a_broken_layer_is_skipped() {
        let mut steps = Vec::new();
        assert_eq!(skip_rest("connection", &mut steps), "connection");
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        assert_eq!(names, ["tls", "clock", "store"]);
    }
}
