//! What was written last, kept on the Secret itself: fingerprint and verdict, never a value.
//!
//! The old value is not read back to compare it with a new one; its record is.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::instant::{after, age};

/// Checks that turn with time alone: they are judged anew from the dates.
const EXPIRED: &str = "tls.expired";
const NOT_YET_VALID: &str = "tls.not-yet-valid";
const TOKEN_EXPIRED: &str = "bootstrap.expired";

/// Clocks of two machines differ by so much.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Which checks a value fails that keep consumers from using it, and the dates behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Ids of failing checks, such as `tls.pair`.
    pub failing: BTreeSet<String>,
    /// The certificate's notBefore.
    pub not_before: Option<Timestamp>,
    /// The certificate's notAfter.
    pub not_after: Option<Timestamp>,
    /// Expiration of a bootstrap token.
    pub expiration: Option<Timestamp>,
}

impl Verdict {
    /// The checks that fail at that time.
    #[must_use]
    pub fn failing_at(&self, now: Timestamp) -> BTreeSet<String> {
        let mut failing = self.failing.clone();
        let mut timed = |id: &str, known: bool, fails: bool| {
            if known && fails {
                failing.insert(id.to_owned());
            } else if known {
                failing.remove(id);
            }
        };
        let passed = |end: Option<Timestamp>| end.is_some_and(|end| after(end, TOLERANCE) < now);
        let ahead = self
            .not_before
            .is_some_and(|start| age(start, now) > TOLERANCE);
        timed(EXPIRED, self.not_after.is_some(), passed(self.not_after));
        timed(NOT_YET_VALID, self.not_before.is_some(), ahead);
        timed(
            TOKEN_EXPIRED,
            self.expiration.is_some(),
            self.expiration.is_some_and(|end| end <= now),
        );
        failing
    }

    /// When the value stops being usable, if it says so.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.not_after.into_iter().chain(self.expiration).min()
    }
}

/// The record of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was written.
    pub fingerprint: Fingerprint,
    /// How it was judged; none where it was not, under `validation: Off`.
    pub verdict: Option<Verdict>,
}

impl Record {
    /// Reads the annotation; everything that is no record counts as none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let document: Document = serde_json::from_str(text).ok()?;
        let verdict = document.failing.map(|failing| Verdict {
            failing,
            not_before: document.not_before,
            not_after: document.not_after,
            expiration: document.expiration,
        });
        Some(Self {
            fingerprint: Fingerprint::parse(&document.hash)?,
            verdict,
        })
    }

    /// The annotation's text.
    #[must_use]
    pub fn render(&self) -> String {
        let verdict = self.verdict.as_ref();
        let document = Document {
            hash: self.fingerprint.to_string(),
            failing: verdict.map(|verdict| verdict.failing.clone()),
            not_before: verdict.and_then(|verdict| verdict.not_before),
            not_after: verdict.and_then(|verdict| verdict.not_after),
            expiration: verdict.and_then(|verdict| verdict.expiration),
        };
        // A document of texts always becomes JSON; an empty text would read as no record.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing: Option<BTreeSet<String>>,
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    expiration: Option<Timestamp>,
}

/// RFC 3339 texts.
mod instant {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| {
            text.parse()
                .map_err(|_| D::Error::custom("no RFC 3339 time"))
        })
        .transpose()
    }
}
