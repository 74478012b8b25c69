//! What was written last, kept on the Secret itself: fingerprint and verdict, never a value.
//!
//! The old value is not read back to compare it with a new one; its record is.

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::validate::Verdict;

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
        let verdict = document.verdict.map(|text| text.parse()).transpose().ok()?;
        Some(Self {
            fingerprint: Fingerprint::parse(&document.hash)?,
            verdict,
        })
    }

    /// The annotation's text.
    #[must_use]
    pub fn render(&self) -> String {
        let document = Document {
            hash: self.fingerprint.to_string(),
            verdict: self.verdict.as_ref().map(ToString::to_string),
        };
        // A document of texts always becomes JSON; an empty text would read as no record.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
}
