//! Names of immutable versions, and which old ones may go.
//!
//! Which workloads name a version is found out in `restart`.

use std::time::Duration;

use jiff::Timestamp;

use crate::fingerprint::{Fingerprint, is_short};
use crate::instant::age;

/// A Pod that was created from yesterday's template may still start.
const YOUNG: Duration = Duration::from_secs(24 * 3600);

/// A version that is there and ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSeen {
    /// Name of the Secret.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether a workload of the namespace names it.
    pub named: bool,
}

/// `<name>-<ten digits of the fingerprint>`.
#[must_use]
pub fn version_name(secret: &str, fingerprint: &Fingerprint) -> String {
    format!("{secret}-{}", fingerprint.short())
}

/// Whether the name is one that a version of this Secret gets.
#[must_use]
pub fn is_version(secret: &str, name: &str) -> bool {
    let digits = name
        .strip_prefix(secret)
        .and_then(|rest| rest.strip_prefix('-'));
    digits.is_some_and(is_short)
}

/// The versions to delete, oldest first: those beyond `keep`, but none younger than a day, none that a workload
/// names, and never the current one.
#[must_use]
pub fn prunable<'v>(
    versions: &'v [VersionSeen],
    current: &str,
    keep: usize,
    now: Timestamp,
) -> Vec<&'v str> {
    let mut others: Vec<&VersionSeen> = versions
        .iter()
        .filter(|version| version.name != current)
        .collect();
    others.sort_by_key(|version| version.created);
    let surplus = versions.len().saturating_sub(keep.max(1));
    let idle = others
        .into_iter()
        .filter(|version| !version.named && age(now, version.created) >= YOUNG);
    idle.take(surplus)
        .map(|version| version.name.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_by_ten_digits() {
        for (name, expected) in [
            ("db-0123456789", true),
            ("db-0123456789a", false),
            ("db-012345678", false),
            ("db-012345678G", false),
            ("db", false),
            ("other-0123456789", false),
        ] {
            assert_eq!(is_version("db", name), expected, "{name}");
        }
    }
}
