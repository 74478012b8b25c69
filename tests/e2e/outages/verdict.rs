//! What must be true of all publishes of a case, and of the requests that the store saw.
//!
//! Each function says what went wrong first; nothing here waits.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use coffer_tests::driver::Published;
use coffer_tests::proxy::Passed;
use tokio::time::Instant;

use super::load::Event;
use super::scene::{DENIED, Generation, IDENTITIES, PATHS};

/// Each first mount has ended within kubelet's deadline with files or with a final code.
pub(super) fn every_publish_was_answered(events: &[Event]) -> Result<()> {
    for event in events {
        let (account, published) = (event.account, &event.published);
        let fine = match published {
            Ok(Published::Written | Published::Refused(_)) => true,
            Ok(Published::Unchanged) => !event.first,
            Ok(Published::Masked(_)) => account == DENIED,
            _ => false,
        };
        ensure!(fine, "{account}, first {}: {published:?}", event.first);
    }
    Ok(())
}

/// The provider itself has answered, with the same bytes: kubelet had no failure to mask.
pub(super) fn running_pods_kept_their_files(
    events: &[Event],
    lost: Instant,
    restored: Instant,
) -> Result<()> {
    for event in events {
        if event.first || event.account == DENIED || !event.is_within(lost, restored) {
            continue;
        }
        let (account, published) = (event.account, &event.published);
        let kept = matches!(published, Ok(Published::Unchanged)) && event.shows(Generation::Good);
        ensure!(kept, "{account} in the outage: {published:?}");
    }
    Ok(())
}

/// What was good before the denial does not come back, whoever cannot be asked.
pub(super) fn the_denial_was_told(
    events: &[Event],
    lost: Instant,
    restored: Instant,
) -> Result<()> {
    let denied = events
        .iter()
        .filter(|event| event.account == DENIED && event.is_within(lost, restored));
    let mut told = 0;
    for event in denied {
        let published = &event.published;
        ensure!(
            matches!(published, Ok(Published::Masked(_))),
            "{published:?}"
        );
        told += 1;
    }
    ensure!(told > 0, "the denied pod was not republished");
    Ok(())
}

/// Of the republishes that began after the return the second at the latest shows what was rotated.
pub(super) fn second_republishes_were_fresh(events: &[Event], restored: Instant) -> Result<()> {
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for event in events {
        if event.first || event.account == DENIED || event.began < restored {
            continue;
        }
        let count = seen.entry(event.pod).or_default();
        *count += 1;
        ensure!(
            *count < 2 || event.shows(Generation::Rotated),
            "{} still sees old bytes at republish {count}",
            event.account
        );
    }
    Ok(())
}

/// What reached the store after its return, of which first mounts may read anew.
pub(super) fn there_was_no_herd(requests: &[Passed], started: usize) -> Result<()> {
    let mut by_path: BTreeMap<&str, usize> = BTreeMap::new();
    for passed in requests {
        *by_path.entry(&passed.target).or_default() += 1;
    }
    let probes = by_path.remove("/v1/sys/health").unwrap_or_default();
    ensure!(probes <= 2, "{probes} probes");
    let logins = logins(requests);
    ensure!(logins <= IDENTITIES, "{logins} logins");
    let most = 2 * IDENTITIES * PATHS + started * PATHS;
    let asked = requests.len() - probes - logins;
    ensure!(asked <= most, "{asked} of {most}: {by_path:?}");
    Ok(())
}

/// How many of the requests are logins.
pub(super) fn logins(requests: &[Passed]) -> usize {
    let is_login = |passed: &&Passed| passed.target == "/v1/auth/jwt/login";
    requests.iter().filter(is_login).count()
}
