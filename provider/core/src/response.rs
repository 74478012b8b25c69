//! A store's reply: read leniently, kept verbatim, and never trusted.
//!
//! Judges status and body of a read or a write; sending is the shell's. Nothing of a body reaches a
//! fault but the store's own `errors`, shortened and on one line.

mod whole;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::fault::{Fault, Reason};
use crate::gojson::Json;
use crate::problem::one_line;
use crate::secret::SecretBytes;

/// The usable answer to one request.
///
/// No Debug: it is secret.
pub struct Response {
    fields: Json,
}

/// What is known of an answer before its body is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, empty if absent.
    pub content_type: &'a str,
}

/// How much of a store's error text is told.
const MAX_ERROR_TEXT: usize = 200;

/// The fields that make an object a reply; without any of them the whole object is the data.
const ENVELOPE: [&str; 8] = [
    "request_id",
    "lease_id",
    "lease_duration",
    "renewable",
    "data",
    "warnings",
    "auth",
    "wrap_info",
];

impl Response {
    /// Reads an answer.
    ///
    /// # Errors
    /// What the store refuses, and every body that is no usable reply.
    pub fn read(head: Head<'_>, body: &[u8]) -> Result<Self, Fault> {
        if !(200..300).contains(&head.status) {
            return Err(refusal(head, body));
        }
        if head.status == 204 || body.is_empty() {
            return Err(bad_answer(head, body, "an empty body"));
        }
        let json = Json::parse(body).map_err(|error| {
            bad_answer(head, body, &format!("a body that is no JSON ({error})"))
        })?;
        let Json::Object(members) = &json else {
            return Err(bad_answer(head, body, "JSON that is no object"));
        };
        if members.is_empty() || (members.len() == 1 && members.contains_key("errors")) {
            return Err(bad_answer(head, body, "a reply without data"));
        }
        if ENVELOPE.iter().any(|field| members.contains_key(*field)) {
            return Ok(Self { fields: json });
        }
        Ok(Self {
            fields: Json::Object([("data".to_owned(), json)].into()),
        })
    }

    /// The whole reply as JSON, from which [`Self::read`] makes an equal one.
    #[must_use]
    pub fn to_document(&self) -> SecretBytes {
        SecretBytes::new(self.fields.to_bytes())
    }

    /// The data; none when absent or null.
    #[must_use]
    pub fn data(&self) -> Option<&Json> {
        self.field("data")
    }

    /// A field of the envelope; none when absent or null.
    fn field(&self, name: &str) -> Option<&Json> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// The login that the reply brings; none if it brings none.
    #[must_use]
    pub fn auth(&self) -> Option<&Json> {
        self.field("auth")
    }

    /// The lease that hangs on the answer; none when there is none.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        let id = self
            .field("lease_id")
            .and_then(Json::as_str)
            .filter(|id| !id.is_empty())?;
        Some(Lease {
            id: id.to_owned(),
            life: self.lease_duration(),
            renewable: self
                .field("renewable")
                .and_then(Json::as_bool)
                .unwrap_or(false),
        })
    }

    fn lease_duration(&self) -> Duration {
        let seconds = self
            .field("lease_duration")
            .and_then(Json::as_i64)
            .unwrap_or(0);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    /// The store's warnings, for an error text; they hold no values.
    #[must_use]
    pub fn warnings(&self) -> String {
        let texts = self
            .field("warnings")
            .and_then(Json::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let texts: Vec<String> = texts.iter().filter_map(Json::as_str).map(short).collect();
        texts.join(", ")
    }
}

/// A lease as the store issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its id; allows revoking, not reading.
    pub id: String,
    /// How long it lives from the moment of the answer.
    pub life: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
}

/// Whether a refusal proves that nothing of the request was carried out, so that even one that writes
/// may be sent to another node. Proxies answer 503 too, after who knows what, so it counts only where the
/// store itself says that it is sealed.
#[must_use]
pub fn is_unexecuted(head: Head<'_>, body: &[u8]) -> bool {
    match head.status {
        472 | 473 | 501 => true,
        503 => says_sealed(&store_texts(body).0),
        _ => false,
    }
}

fn says_sealed(text: &str) -> bool {
    text.to_ascii_lowercase().contains("sealed")
}

/// The fault of an answer outside 200-299.
fn refusal(head: Head<'_>, body: &[u8]) -> Fault {
    let (errors, warnings) = store_texts(body);
    let status = head.status;
    let text = if errors.is_empty() { warnings } else { errors };
    let said = if text.is_empty() {
        String::new()
    } else {
        format!("{text}, ")
    };
    let what = format!("{said}Code: {status}");
    match status {
        300..=399 => Fault::new(
            Reason::BadAnswer,
            format!("the store redirects where it must not be followed, Code: {status}"),
            "set vaultAddress to the address that it redirects to",
        ),
        403 => Fault::new(
            Reason::Denied,
            what,
            "the role's policy needs read on this path",
        ),
        404 => Fault::new(
            Reason::NotFound,
            format!("not found: {what}"),
            "check path and version",
        ),
        412 => Fault::new(
            Reason::StoreError,
            what,
            "the replica lags behind; it is tried again",
        ),
        429 => Fault::new(
            Reason::StoreBusy,
            what,
            "raise the store's quota or lower refreshes",
        ),
        472..=474 => Fault::new(
            Reason::StoreState,
            format!("store is a standby without a leader to ask, Code: {status}"),
            "check the store's cluster",
        ),
        501 => Fault::new(
            Reason::StoreState,
            format!("store is not initialised, {what}"),
            "initialise it",
        ),
        503 if says_sealed(&text) || text.is_empty() => Fault::new(
            Reason::StoreState,
            format!("store is sealed, {what}"),
            "unseal it",
        ),
        503 => Fault::new(Reason::StoreBusy, what, "it is tried again"),
        500..=599 => Fault::new(Reason::StoreError, what, "see the store's own log"),
        _ => Fault::new(
            Reason::BadRequest,
            what,
            "check method, path and secretArgs against the engine's API",
        ),
    }
}

/// The store's errors and warnings, each on one line and short; empty if the body holds none.
fn store_texts(body: &[u8]) -> (String, String) {
    let Ok(json) = Json::parse(body) else {
        return (String::new(), String::new());
    };
    let texts = |field: &str| {
        let texts = json
            .get(field)
            .and_then(Json::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let joined: Vec<&str> = texts
            .iter()
            .filter_map(Json::as_str)
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .collect();
        short(&joined.join("; "))
    };
    (texts("errors"), texts("warnings"))
}

/// Vault writes several errors as an indented list over many lines; white space is folded.
fn short(text: &str) -> String {
    let folded: Vec<&str> = text.split_whitespace().collect();
    let line = one_line(&folded.join(" "));
    match line.char_indices().nth(MAX_ERROR_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn bad_answer(head: Head<'_>, body: &[u8], what: &str) -> Fault {
    let kind = match head
        .content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
    {
        "" => "no content type".to_owned(),
        kind => short(kind),
    };
    Fault::new(
        Reason::BadAnswer,
        format!(
            "the store answered with {what} (status {}, {kind}, {} bytes)",
            head.status,
            body.len()
        ),
        "check that vaultAddress points at the store and not at a proxy or another server",
    )
}
