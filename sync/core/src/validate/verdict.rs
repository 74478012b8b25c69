//! Whether a new value may take the place of an old one, from what is remembered of the old one.
//!
//! The old value itself is never read back. What is remembered is which checks it failed, and its dates,
//! so that checks that depend on time are made again for the present.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::check::{Check, Class};

/// How far clocks may be apart before a date counts.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// How much semantic checks decide. Structural rules hold under every policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Checks are not made.
    Off,
    /// Checks warn, and everything is written.
    Warn,
    /// A first value is written whatever its checks say; after that, a value is never replaced by one
    /// that fails a check which it passed.
    #[default]
    Hold,
    /// A value that fails a holdable check is never written.
    Strict,
}

/// A word that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of Off, Warn, Hold, Strict")]
pub struct UnknownPolicy;

/// What is remembered of a value: the checks it failed and the dates that decide others. No byte of it.
///
/// As text: ids and dates, separated by blanks, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    failing: BTreeSet<Check>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    expiration: Option<Timestamp>,
}

/// What the policy says about writing a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Write it; it fails these checks, which is told as a warning. Often none.
    Write(BTreeSet<Check>),
    /// Keep the last good value; the new one fails these checks.
    Hold(BTreeSet<Check>),
    /// Write nothing, there is no earlier value to keep; it fails these checks.
    Refuse(BTreeSet<Check>),
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text {
            "Off" => Ok(Self::Off),
            "Warn" => Ok(Self::Warn),
            "Hold" => Ok(Self::Hold),
            "Strict" => Ok(Self::Strict),
            _ => Err(UnknownPolicy),
        }
    }
}

impl Policy {
    /// Decides about a value, given what is remembered of the one that stands there.
    ///
    /// No memory (`old` is None: nothing written yet, adopted, or written under `Off`) makes it a first
    /// write. `new` comes from findings under the same policy: a value that was not judged fails nothing.
    #[must_use]
    pub fn rule(self, new: Option<&Verdict>, old: Option<&Verdict>, now: Timestamp) -> Ruling {
        let failing = new.map_or_else(BTreeSet::new, |new| new.failing(now));
        match (self, old) {
            (Self::Off, _) => Ruling::Write(BTreeSet::new()),
            (Self::Warn, _) | (Self::Hold, None) => Ruling::Write(failing),
            (Self::Hold, Some(old)) => {
                let regressed: BTreeSet<Check> =
                    failing.difference(&old.failing(now)).copied().collect();
                if regressed.is_empty() {
                    Ruling::Write(failing)
                } else {
                    Ruling::Hold(regressed)
                }
            }
            (Self::Strict, _) if failing.is_empty() => Ruling::Write(failing),
            (Self::Strict, Some(_)) => Ruling::Hold(failing),
            (Self::Strict, None) => Ruling::Refuse(failing),
        }
    }
}

impl Verdict {
    /// The holdable checks that the value fails at this moment.
    #[must_use]
    pub fn failing(&self, now: Timestamp) -> BTreeSet<Check> {
        let mut failing = self.failing.clone();
        if self.not_after.is_some_and(|end| expired(end, now)) {
            failing.insert(Check::TlsExpired);
        }
        if self.not_before.is_some_and(|start| premature(start, now)) {
            failing.insert(Check::TlsNotYetValid);
        }
        if self.expiration.is_some_and(|end| end <= now) {
            failing.insert(Check::BootstrapExpired);
        }
        failing
    }

    /// When the value stops being of use, for metrics and warnings.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.not_after.or(self.expiration)
    }

    pub(super) fn fail(&mut self, check: Check) {
        self.failing.insert(check);
    }

    pub(super) fn valid_between(&mut self, not_before: Timestamp, not_after: Timestamp) {
        self.not_before = Some(not_before);
        self.not_after = Some(not_after);
    }

    pub(super) fn expire_at(&mut self, expiration: Timestamp) {
        self.expiration = Some(expiration);
    }
}

/// Whether a certificate that ends then has ended, with tolerance.
pub(super) fn expired(not_after: Timestamp, now: Timestamp) -> bool {
    now.duration_since(not_after) > CLOCK_TOLERANCE
}

/// Whether a certificate that starts then has yet to start, with tolerance.
pub(super) fn premature(not_before: Timestamp, now: Timestamp) -> bool {
    not_before.duration_since(now) > CLOCK_TOLERANCE
}

/// Where the dates stand in the text.
const DATES: [&str; 3] = ["notBefore=", "notAfter=", "expiration="];

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.failing.iter().map(|check| check.as_str().to_owned());
        let dates = [self.not_before, self.not_after, self.expiration]
            .into_iter()
            .zip(DATES)
            .filter_map(|(date, name)| Some(format!("{name}{}", date?)));
        f.write_str(&ids.chain(dates).collect::<Vec<String>>().join(" "))
    }
}

/// Ids that this version does not know, or no longer holds by, are left out: they cannot be compared.
/// A date that cannot be read makes the whole text worthless.
impl FromStr for Verdict {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        let mut verdict = Self::default();
        for word in text.split_whitespace() {
            let date = DATES.iter().position(|name| word.starts_with(name));
            match (date, word.split_once('=')) {
                (Some(0), Some((_, date))) => verdict.not_before = Some(date.parse()?),
                (Some(1), Some((_, date))) => verdict.not_after = Some(date.parse()?),
                (Some(_), Some((_, date))) => verdict.expiration = Some(date.parse()?),
                _ => {
                    let known = Check::parse(word).filter(|check| check.class() == Class::Holdable);
                    verdict.failing.extend(known);
                }
            }
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests;
