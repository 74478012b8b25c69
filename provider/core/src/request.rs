//! The distinct store requests that a list of objects needs.
//!
//! Two objects share a request if path, query, method and arguments are equal after normalising:
//! then a user name matches its password and a key its certificate. Sending is not done here.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use url::form_urlencoded;

use crate::gojson::Json;

/// What is asked of the store once, whichever objects use the answer.
///
/// No Debug: arguments may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The path below `/v1/`, without a leading slash, not percent-encoded.
    pub path: String,
    /// Query parameters, sorted by name, values of one name in their order.
    pub query: Vec<(String, String)>,
    /// The JSON body.
    pub body: Option<Json>,
}

/// The methods a store knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Lists keys.
    List,
    /// Writes or generates.
    Put,
    /// Writes or generates.
    Post,
    /// Changes in part.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// All of them, the usual ones first.
    pub const ALL: [Self; 6] = [
        Self::Get,
        Self::List,
        Self::Put,
        Self::Post,
        Self::Patch,
        Self::Delete,
    ];

    /// As it stands on the wire and in a class.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::List => "LIST",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether the request may be sent twice: it issues and changes nothing.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::List)
    }

    /// Reads the attribute as it is written; empty means GET. None for what no store knows, lower
    /// case included: HTTP methods are case-sensitive, and the peers send `put` as it stands.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Get);
        }
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a `secretPath` cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecretPath {
    /// Nothing is left of it.
    #[error("is empty")]
    Empty,
    /// It would leave `/v1/`, also when written as `%2e%2e`.
    #[error("contains `..`")]
    Parent,
    /// CR, LF or another control character.
    #[error("contains a control character")]
    Control,
    /// `#` starts a fragment, which is never sent.
    #[error("contains `#`, and nothing behind it would be sent")]
    Fragment,
    /// The text behind `?` does not decode. The peers' words are kept.
    #[error("failed to parse query parameters from secretPath")]
    Query,
}

/// Path below `/v1/` and query of a `secretPath` as it is written in a class.
///
/// `x`, `/x`, `v1/x` and `/v1/x` are one path; doubled and trailing slashes are dropped.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse_secret_path(text: &str) -> Result<(String, Vec<(String, String)>), BadSecretPath> {
    if text.chars().any(char::is_control) {
        return Err(BadSecretPath::Control);
    }
    if text.contains('#') {
        return Err(BadSecretPath::Fragment);
    }
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    Ok((clean_path(path)?, parse_query(query)?))
}

fn clean_path(path: &str) -> Result<String, BadSecretPath> {
    let decoded = path
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/");
    if decoded.split('/').any(|part| part == "..") {
        return Err(BadSecretPath::Parent);
    }
    // Only this exact start counts: `2*/v1/` and a later `/v1/` belong to the path.
    let below = path.strip_prefix('/').unwrap_or(path);
    let below = match below.strip_prefix("v1/") {
        Some(rest) => rest,
        None => below,
    };
    let parts: Vec<&str> = below
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.is_empty() {
        return Err(BadSecretPath::Empty);
    }
    Ok(parts.join("/"))
}

/// As Go's `url.ParseQuery`: a semicolon or a broken escape is a fault.
fn parse_query(query: &str) -> Result<Vec<(String, String)>, BadSecretPath> {
    if query.contains(';') || has_broken_escape(query) {
        return Err(BadSecretPath::Query);
    }
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    // Go sends `Values.Encode`, sorted by name; a stable sort keeps repeated values in order.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(pairs)
}

fn has_broken_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%'
            && !bytes
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

impl Request {
    /// The query as it stands in a URL; none if there is none.
    #[must_use]
    pub fn query_string(&self) -> Option<String> {
        if self.query.is_empty() {
            return None;
        }
        let mut out = form_urlencoded::Serializer::new(String::new());
        out.extend_pairs(&self.query);
        Some(out.finish())
    }

    /// The body as it is sent.
    #[must_use]
    pub fn body_bytes(&self) -> Option<Vec<u8>> {
        self.body.as_ref().map(Json::to_bytes)
    }

    /// Whether the answer was made for the asker: it must not be asked for again at each republish.
    #[must_use]
    pub const fn generates(&self) -> bool {
        !self.method.is_read()
    }
}

impl Hash for Request {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.method.hash(state);
        self.path.hash(state);
        self.query.hash(state);
        self.body_bytes().hash(state);
    }
}

/// The distinct requests, and which of them each object uses.
pub struct Plan {
    /// Each request once, in the order of the objects.
    pub requests: Vec<Arc<Request>>,
    /// For each object the place of its request.
    pub by_object: Vec<usize>,
}

/// Plans the requests of objects in their order.
#[must_use]
pub fn plan<'a>(requests: impl Iterator<Item = &'a Request>) -> Plan {
    let mut places: HashMap<&Request, usize> = HashMap::new();
    let mut plan = Plan {
        requests: Vec::new(),
        by_object: Vec::new(),
    };
    for request in requests {
        let place = *places.entry(request).or_insert_with(|| {
            plan.requests.push(Arc::new(request.clone()));
            plan.requests.len() - 1
        });
        plan.by_object.push(place);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::{BadSecretPath, Method, Request, parse_secret_path, plan};
    use crate::gojson::Json;

    fn request(path: &str, method: &str, body: Option<&str>) -> Request {
        let (path, query) = parse_secret_path(path).unwrap();
        Request {
            method: Method::parse(method).unwrap(),
            path,
            query,
            body: body.map(|text| Json::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e}"))),
        }
    }

    #[test]
    fn a_path_is_below_v1_however_it_is_written() {
        for (text, expected) in [
            ("secret/data/x", "secret/data/x"),
            ("/secret/data/x", "secret/data/x"),
            ("v1/secret/data/x", "secret/data/x"),
            ("/v1/secret/data/x", "secret/data/x"),
            ("2*/v1/x", "2*/v1/x"),
            ("1secret", "1secret"),
            ("v2/x", "v2/x"),
            ("/v1", "v1"),
            ("a//b/./c/", "a/b/c"),
        ] {
            assert_eq!(parse_secret_path(text).unwrap().0, expected, "{text}");
        }
    }

    #[test]
    fn a_path_that_would_leave_v1_or_break_a_request_is_refused() {
        for (text, expected) in [
            ("", BadSecretPath::Empty),
            ("/", BadSecretPath::Empty),
            ("v1/", BadSecretPath::Empty),
            ("/v1/", BadSecretPath::Empty),
            ("?a=b", BadSecretPath::Empty),
            ("secret/../sys/seal", BadSecretPath::Parent),
            ("secret/%2E%2e/sys", BadSecretPath::Parent),
            ("secret/..%2fsys", BadSecretPath::Parent),
            ("a\r\nX-Evil: 1", BadSecretPath::Control),
            ("a#b", BadSecretPath::Fragment),
            ("a?b=%zz", BadSecretPath::Query),
            ("a?b=1;c=2", BadSecretPath::Query),
            ("a?b=%4", BadSecretPath::Query),
        ] {
            assert_eq!(parse_secret_path(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn query_parameters_are_decoded_sorted_and_repeated() {
        let asked = request("a?z=1&a=%3C&z=0&e", "", None);
        assert_eq!(asked.query_string().unwrap(), "a=%3C&e=&z=1&z=0");
        assert_eq!(request("a?", "", None).query_string(), None);
    }

    #[test]
    fn methods_are_case_sensitive_and_empty_is_get() {
        for (text, expected) in [
            ("", Some(Method::Get)),
            ("GET", Some(Method::Get)),
            ("LIST", Some(Method::List)),
            ("put", None),
            ("FETCH", None),
        ] {
            assert_eq!(Method::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn equal_requests_are_one_and_different_arguments_are_two() {
        let asked = [
            request("/a", "", None),
            request("a", "GET", None),
            request("a?version=1", "", None),
            request("pki/issue/r", "PUT", Some(r#"{"common_name":"a"}"#)),
            request("pki/issue/r", "PUT", Some(r#"{"common_name":"b"}"#)),
            request("v1/pki/issue/r", "PUT", Some(r#"{"common_name": "a"}"#)),
            request("pki/issue/r", "POST", Some(r#"{"common_name":"a"}"#)),
            request("a", "GET", Some("{}")),
        ];
        let plan = plan(asked.iter());
        assert_eq!(plan.by_object, [0, 0, 1, 2, 3, 2, 4, 5]);
        assert_eq!(plan.requests.len(), 6);
    }
}
