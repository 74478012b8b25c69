//! The attribute keys of a MountRequest and the tokens among them: the only place these strings exist.
//!
//! What a class parameter means is not decided here.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Name of the pod, from kubelet.
pub const POD_NAME: &str = "csi.storage.k8s.io/pod.name";
/// Namespace of the pod, from kubelet.
pub const POD_NAMESPACE: &str = "csi.storage.k8s.io/pod.namespace";
/// UID of the pod, from kubelet.
pub const POD_UID: &str = "csi.storage.k8s.io/pod.uid";
/// Service account of the pod, from kubelet.
pub const SERVICE_ACCOUNT: &str = "csi.storage.k8s.io/serviceAccount.name";
/// JSON text of the tokens by audience; only when the CSIDriver has `tokenRequests`. On Kubernetes
/// 1.35 and later the same key stands among the secrets.
pub const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";
/// `"true"` for inline volumes.
pub const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";
/// Everything kubelet adds starts with this.
pub const KUBELET_PREFIX: &str = "csi.storage.k8s.io/";
/// Name of the class; absent on rotation calls of drivers up to 1.5.6.
pub const CLASS: &str = "secretProviderClass";
/// Legacy key that the driver passes through.
pub const PROVIDER_NAME: &str = "providerName";

/// The attributes of one MountRequest. Holds tokens, so it has no Debug and is wiped on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Attributes {
    #[zeroize(skip)]
    entries: BTreeMap<String, Wiped>,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Wiped(String);

/// Why the attributes could not be read. Never quotes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributesError {
    /// What is wrong, with line and column where that helps.
    pub what: String,
}

impl fmt::Display for AttributesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for AttributesError {}

impl Attributes {
    /// Reads the JSON map of strings that the driver sends in `attributes` (and in `secrets`).
    ///
    /// `null` and the empty string read as no attributes, because the driver sends `null` for absent secrets.
    ///
    /// # Errors
    /// When the text is not a JSON object of strings, or has a key twice.
    pub fn parse(text: &str) -> Result<Self, AttributesError> {
        if text.is_empty() || text == "null" {
            return Ok(Self::default());
        }
        serde_json::from_str::<StringMap>(text)
            .map(|map| Self { entries: map.0 })
            .map_err(|error| AttributesError {
                what: reduce(&error),
            })
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|value| value.0.as_str())
    }

    /// All entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value.0.as_str()))
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// One service account token as kubelet hands it over. No Debug: the token is a credential.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    token: String,
    #[serde(default)]
    expiration_timestamp: String,
}

impl Token {
    /// The JWT itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.token
    }

    /// RFC 3339 time at which kubelet says it expires; empty when unknown.
    #[must_use]
    pub fn expires(&self) -> &str {
        &self.expiration_timestamp
    }
}

/// The tokens of one MountRequest, by audience.
#[derive(Default)]
pub struct Tokens {
    by_audience: BTreeMap<String, Token>,
}

impl Tokens {
    /// Reads the JSON text `{"<audience>":{"token":"…","expirationTimestamp":"…"},…}`.
    ///
    /// # Errors
    /// When the text has another shape; the error never quotes it.
    pub fn parse(text: &str) -> Result<Self, AttributesError> {
        if text.is_empty() || text == "null" {
            return Ok(Self::default());
        }
        serde_json::from_str(text)
            .map(|by_audience| Self { by_audience })
            .map_err(|error| AttributesError {
                what: reduce(&error),
            })
    }

    /// The token for exactly this audience.
    #[must_use]
    pub fn for_audience(&self, audience: &str) -> Option<&Token> {
        self.by_audience.get(audience)
    }

    /// The audiences there are tokens for, sorted.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.by_audience.keys().map(String::as_str)
    }

    /// Takes the audiences of `other` that are not here yet.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for (audience, token) in other.by_audience {
            self.by_audience.entry(audience).or_insert(token);
        }
        self
    }
}

/// serde_json may quote the offending value, which here can be a token: keep position and category.
fn reduce(error: &serde_json::Error) -> String {
    let place = format!("line {} column {}", error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Syntax => format!("is not JSON ({place})"),
        serde_json::error::Category::Eof => format!("is cut off ({place})"),
        serde_json::error::Category::Io | serde_json::error::Category::Data => {
            if error.to_string().starts_with(TWICE) {
                format!("has a key twice ({place})")
            } else {
                format!("does not have the expected shape ({place})")
            }
        }
    }
}

const TWICE: &str = "key twice";

struct StringMap(BTreeMap<String, Wiped>);

impl<'de> Deserialize<'de> for StringMap {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = StringMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<StringMap, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = access.next_entry::<String, String>()? {
                    if map.insert(key, Wiped(value)).is_some() {
                        return Err(de::Error::custom(TWICE));
                    }
                }
                Ok(StringMap(map))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_strings_is_read_and_null_is_empty() {
        let attributes = Attributes::parse(r#"{"a":"1","b":"\u003c"}"#).unwrap();
        assert_eq!(attributes.get("b"), Some("<"));
        assert!(Attributes::parse("null").unwrap().is_empty());
        assert!(Attributes::parse("{}").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_a_map_of_strings_is_refused_without_quoting_it() {
        for (input, expected) in [
            ("[\"canary\"]", "does not have the expected shape"),
            (r#"{"a":"canary""#, "is cut off"),
            (r#"{"a":1}"#, "does not have the expected shape"),
            (r#"{"a":"canary","a":"x"}"#, "has a key twice"),
            ("canary", "is not JSON"),
        ] {
            let error = Attributes::parse(input).err().unwrap().to_string();
            assert!(error.contains(expected), "{input}: {error}");
            assert!(!error.contains("canary"), "{input}: {error}");
        }
    }

    #[test]
    fn tokens_are_found_by_exact_audience_only() {
        let text = r#"{"":{"token":"t0"},"vault":{"token":"t1","expirationTimestamp":"2026-01-01T00:00:00Z"}}"#;
        let tokens = Tokens::parse(text).unwrap();
        assert_eq!(tokens.for_audience("vault").unwrap().expose(), "t1");
        assert_eq!(tokens.for_audience("").unwrap().expose(), "t0");
        assert!(tokens.for_audience("Vault").is_none());
        assert_eq!(tokens.audiences().collect::<Vec<_>>(), ["", "vault"]);
    }
}
