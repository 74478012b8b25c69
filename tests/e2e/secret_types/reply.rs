//! What the server answered, and whether it agrees with what we found.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_sync_core::answer::{Answer, Kind};
use coffer_sync_core::validate::{Check, Class, Finding, Findings};
use http::Response;
use http::header::WARNING;
use kube::client::Body;
use serde_json::Value;

use crate::stage::has;

/// What the server answered.
pub(super) struct Reply {
    pub(super) code: u16,
    /// The Secret or the Status.
    pub(super) document: Value,
    /// `message` of the Status.
    pub(super) message: String,
    pub(super) causes: Vec<Cause>,
    /// The texts of the Warning headers.
    pub(super) warnings: Vec<String>,
}

/// One thing that the server refused.
pub(super) struct Cause {
    pub(super) reason: String,
    pub(super) field: String,
    pub(super) message: String,
}

impl Reply {
    pub(super) async fn read(response: Response<Body>) -> Result<Self> {
        let (parts, body) = response.into_parts();
        let body = body.collect_bytes().await?;
        let document: Value = serde_json::from_slice(&body)
            .with_context(|| format!("{}: {}", parts.status, String::from_utf8_lossy(&body)))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let causes = document["details"]["causes"].as_array();
        Ok(Self {
            code: parts.status.as_u16(),
            message: text(&document["message"]),
            causes: causes
                .into_iter()
                .flatten()
                .map(|cause| Cause {
                    reason: text(&cause["reason"]),
                    field: text(&cause["field"]),
                    message: text(&cause["message"]),
                })
                .collect(),
            warnings: parts
                .headers
                .get_all(WARNING)
                .iter()
                .map(|header| warning(&String::from_utf8_lossy(header.as_bytes())))
                .collect(),
            document,
        })
    }

    pub(super) fn accepted(&self) -> bool {
        matches!(self.code, 200 | 201)
    }

    pub(super) fn taken(&self) -> Result<()> {
        let Self { code, message, .. } = self;
        ensure!(self.accepted(), "refused: {code} {message}");
        Ok(())
    }

    /// Fails unless the server refused with this code and these words.
    pub(super) fn says(&self, code: u16, words: &[&str]) -> Result<()> {
        ensure!(
            self.code == code,
            "{code} was expected: {} {}",
            self.code,
            self.message
        );
        has(&self.message, words)
    }

    /// As our core takes it.
    pub(super) fn answer(&self) -> Answer {
        Answer {
            code: self.code,
            message: self.message.clone(),
            causes: self
                .causes
                .iter()
                .map(|cause| cause.reason.clone())
                .collect(),
            retry_after: None,
        }
    }

    /// The refused fields, with keys as our findings show them.
    pub(super) fn fields(&self) -> BTreeSet<String> {
        let field = |cause: &Cause| {
            let key = cause.field.strip_prefix("data[");
            match key.and_then(|key| key.strip_suffix(']')) {
                Some(key) => format!("data[{}]", shown(key)),
                None => cause.field.clone(),
            }
        };
        self.causes.iter().map(field).collect()
    }

    /// Whether the server refused this text at this field.
    pub(super) fn refuses(&self, field: &str, text: &str) -> bool {
        let start = format!("Invalid value: {text:?}: ");
        self.causes
            .iter()
            .any(|cause| cause.field == field && cause.message.starts_with(&start))
    }

    /// The bytes of a key, if it is there.
    pub(super) fn value(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let text = self.document["data"][key].as_str();
        Ok(text.map(|text| BASE64_STANDARD.decode(text)).transpose()?)
    }
}

/// The text of a Warning header: `299 - "text"`.
fn warning(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, text)| text);
    let text = text.strip_suffix('"').unwrap_or(text);
    text.replace("\\\"", "\"")
}

/// A key as findings show it: on one line, and cut after 80 characters.
fn shown(key: &str) -> String {
    let start: String = key.chars().take(80).flat_map(char::escape_debug).collect();
    let more = key.chars().nth(80).map_or("", |_| "…");
    format!("{start}{more}")
}

/// What both sides said.
pub(super) struct Judged {
    pub(super) reply: Reply,
    pub(super) findings: Findings,
}

impl Judged {
    pub(super) fn agree(&self) -> Result<()> {
        let Self { reply, findings } = self;
        let (code, message) = (reply.code, &reply.message);
        ensure!(
            reply.accepted() != findings.refused(),
            "the server answers {code} {message}, we find {:?}",
            findings.list()
        );
        if reply.accepted() {
            return Ok(());
        }
        let ours: BTreeSet<String> = findings.of(Class::Structure).map(coarse).collect();
        let theirs = if reply.causes.is_empty() {
            // A name that is no part of a path is refused before the object is looked at.
            BTreeSet::from(["metadata.name".to_owned()])
        } else {
            ensure!(reply.answer().kind() == Kind::Content, "{code} {message}");
            reply.fields()
        };
        ensure!(
            ours == theirs,
            "the server names {theirs:?}, we name {ours:?}"
        );
        Ok(())
    }

    pub(super) fn taken(&self) -> Result<()> {
        self.reply.taken()
    }

    /// Fails unless both sides refused, the server with this code and these words.
    pub(super) fn says(&self, code: u16, words: &[&str]) -> Result<()> {
        self.reply.says(code, words)
    }

    /// Whether our side told this check.
    pub(super) fn finds(&self, check: Check) -> bool {
        self.findings.checks().contains(&check)
    }
}

/// The field of a finding as far as the server names it: of labels and annotations it names the text instead.
fn coarse(finding: &Finding) -> String {
    match finding.check {
        Check::MetadataLabel => "metadata.labels".to_owned(),
        Check::MetadataAnnotation => "metadata.annotations".to_owned(),
        _ => finding.field.clone(),
    }
}
