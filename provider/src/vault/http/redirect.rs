//! Where a redirect may lead, and what `Retry-After` says. Pure.
//!
//! A standby of Vault answers 307 with the address of the active node; anything else that redirects
//! stands in between and must never see a token.

use std::time::Duration;

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::problem::shown;
use coffer_provider_core::target::Address;
use http::Uri;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::vault::endpoint::origin;

/// A redirect that may be followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) address: Address,
    pub(super) uri: Uri,
}

/// The `Location` of an answer that redirects as Vault does; none for every other answer.
pub(super) fn location(response: &reqwest::Response) -> Option<String> {
    if ![301, 302, 307].contains(&response.status().as_u16()) {
        return None;
    }
    let value = response.headers().get(http::header::LOCATION)?;
    Some(value.to_str().unwrap_or_default().to_owned())
}

/// Decides where the one redirect goes: the same server, or one that the operator named; never from
/// https to http.
pub(super) fn follow(
    from: &Address,
    location: &str,
    known: impl Fn(&Address) -> bool,
) -> Result<Next, Fault> {
    let refuse = |why: &str| {
        Fault::new(
            Reason::BadAnswer,
            format!(
                "the store redirects to \"{}\", which is not followed: {why}",
                shown(location)
            ),
            "set vaultAddress to the store itself, or list the address in --allowed-addresses (policy.allowedAddresses)",
        )
    };
    if let Some(path) = location
        .strip_prefix('/')
        .filter(|path| !path.starts_with('/'))
    {
        let uri = format!("{}/{path}", origin(from))
            .parse()
            .map_err(|_| refuse("it is no URL"))?;
        return Ok(Next {
            address: from.clone(),
            uri,
        });
    }
    let uri: Uri = location.parse().map_err(|_| refuse("it is no URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(refuse("it is no URL with a host"));
    };
    let to = Address::parse(&format!("{scheme}://{authority}"))
        .map_err(|_| refuse("it is no store's address"))?;
    if is_https(from) && !is_https(&to) {
        return Err(refuse("it leads from https to http"));
    }
    if !to.same_server(from) && !known(&to) {
        return Err(refuse("the token is not meant for that host"));
    }
    Ok(Next { address: to, uri })
}

const fn is_https(address: &Address) -> bool {
    matches!(address, Address::Tcp { https: true, .. })
}

/// Nobody waits so long; more would overflow the clock.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How long a `Retry-After` asks to wait: whole seconds, or until a date. The store's own clock counts
/// where the answer has a `Date`, else ours. Garbage and a moment that has passed are none, and the usual
/// pause applies.
pub(super) fn retry_after(header: &str, date: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let read = |text: &str| rfc2822::parse(text).ok().map(|date| date.timestamp());
    let until = read(header)?;
    let wait = until.duration_since(read(date).unwrap_or(now));
    Duration::try_from(wait)
        .ok()
        .filter(|wait| !wait.is_zero())
        .map(|wait| wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{follow, retry_after};
    use coffer_provider_core::target::Address;

    fn to(from: &str, location: &str) -> Result<String, String> {
        let known = Address::parse("https://active:8200").unwrap();
        follow(&Address::parse(from).unwrap(), location, |address| {
            address.same_server(&known)
        })
        .map(|next| format!("{} {}", next.address, next.uri))
        .map_err(|fault| fault.what)
    }

    #[test]
    fn the_same_server_and_the_operators_are_followed() {
        assert_eq!(
            to("https://vault:8200", "/v1/a?b=c").unwrap(),
            "https://vault:8200 https://vault:8200/v1/a?b=c"
        );
        assert_eq!(
            to("https://vault:8200", "https://vault:8200/v1/a").unwrap(),
            "https://vault:8200 https://vault:8200/v1/a"
        );
        assert_eq!(
            to("https://vault:8200", "https://active:8200/v1/a").unwrap(),
            "https://active:8200 https://active:8200/v1/a"
        );
    }

    #[test]
    fn the_host_that_srv_records_led_to_is_the_one_that_the_token_is_meant_for() {
        let written = Address::parse_by_srv("https://vault").unwrap();
        let node = written.moved_to("node-1.", 8200).unwrap();
        for (location, expected) in [
            ("/v1/a", Some("https://node-1:8200/v1/a")),
            ("https://node-1:8200/v1/a", Some("https://node-1:8200/v1/a")),
            ("http://node-1:8200/v1/a", None),
            ("https://node-1/v1/a", None),
            ("https://node-2:8200/v1/a", None),
            ("https://vault/v1/a", None),
        ] {
            let next = follow(&node, location, |_| false).ok();
            let uri = next.map(|next| next.uri.to_string());
            assert_eq!(uri.as_deref(), expected, "{location}");
        }
        let known = follow(&node, "https://vault/v1/a", |to| to.same_server(&written));
        assert!(known.is_ok(), "an address of the operator's own");
    }

    #[test]
    fn foreign_downgrading_and_senseless_redirects_are_refused() {
        for (location, expected) in [
            ("https://evil/v1/a", "not meant for that host"),
            ("//evil/v1/a", "no URL"),
            ("https://vault:8201/v1/a", "not meant for that host"),
            ("http://vault:8200/v1/a", "from https to http"),
            ("http://active:8200/v1/a", "from https to http"),
            ("https://vault@evil/", "no store's address"),
            ("", "no URL"),
            ("relative", "no URL"),
        ] {
            let refused = to("https://vault:8200", location).unwrap_err();
            assert!(refused.contains(expected), "{location}: {refused}");
        }
    }

    #[test]
    fn seconds_and_dates_are_waited_for_and_nothing_else() {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let soon = "Sun, 01 Mar 2026 12:00:07 GMT";
        for (header, date, expected) in [
            ("1", "", Some(1)),
            (" 120 ", "", Some(120)),
            ("0", "", Some(0)),
            ("18446744073709551615", "", Some(86_400)),
            (soon, "", Some(7)),
            (soon, "Sun, 01 Mar 2026 12:00:04 GMT", Some(3)),
            (soon, "Sun, 01 Mar 2026 11:00:00 GMT", Some(3607)),
            (soon, "yesterday", Some(7)),
            (soon, soon, None),
            (soon, "Sun, 01 Mar 2026 12:00:08 GMT", None),
            ("Sun, 01 Mar 2026 11:59:59 GMT", "", None),
            ("", "", None),
            ("soon", "", None),
            ("-1", "", None),
            ("1.5", "", None),
        ] {
            assert_eq!(
                retry_after(header, date, now),
                expected.map(Duration::from_secs),
                "{header}, {date}"
            );
        }
    }
}
