//! Who logs in, with which token, and what makes two logins one.
//!
//! Tokens are chosen here by name only; checking a signature and asking for a token are the shell's.

use coffer_proto::attributes::{Token, Tokens};
use jiff::Timestamp;

use crate::target::Target;

/// Everything that one login serves. Equal identities share a token; different ones never do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The store and how it is reached.
    pub target: Target,
    /// Mount of the auth method, without slashes at its ends.
    pub auth_mount: String,
    /// Role for the login.
    pub role: String,
    /// Audience that the class names; none for the default.
    pub audience: Option<String>,
    /// Namespace of the pod.
    pub namespace: String,
    /// Service account of the pod.
    pub service_account: String,
}

impl Identity {
    /// The subject that Kubernetes writes into this service account's tokens.
    #[must_use]
    pub fn subject(&self) -> String {
        format!(
            "system:serviceaccount:{}:{}",
            self.namespace, self.service_account
        )
    }
}

/// Where the token for a login comes from.
pub enum TokenChoice<'a> {
    /// The driver sent it.
    Driver(&'a Token),
    /// It must be requested for this audience; none means the API server's own.
    Request {
        /// The audience to request.
        audience: Option<&'a str>,
        /// Why none of the driver's tokens will do.
        why: NoDriverToken,
    },
}

/// Why none of the driver's tokens will do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDriverToken {
    /// There is none for the audience.
    #[error("driver sent no token for audience \"{wanted}\"{}", other(.others))]
    Absent {
        /// The audience that was looked up.
        wanted: String,
        /// The audiences that there are tokens for.
        others: Vec<String>,
    },
    /// There is one, but its text is empty.
    #[error("driver sent an empty token for audience \"{0}\"")]
    Empty(String),
    /// There is one, but its time is over.
    #[error("driver sent a token for audience \"{0}\" that has expired")]
    Expired(String),
}

fn other(audiences: &[String]) -> String {
    if audiences.is_empty() {
        return String::new();
    }
    format!(" but only for \"{}\"", audiences.join("\", \""))
}

/// Chooses the token for a login: the driver's own for exactly the wanted audience, else a request.
///
/// `wanted` is the class's audience; `default` is looked up when it names none. An expired token is
/// never sent to a store, which could only refuse it.
#[must_use]
pub fn choose_token<'a>(
    tokens: &'a Tokens,
    wanted: Option<&'a str>,
    default: &str,
    now: Timestamp,
) -> TokenChoice<'a> {
    let audience = wanted.unwrap_or(default);
    let why = match tokens.for_audience(audience) {
        Some(token) if token.expose().is_empty() => NoDriverToken::Empty(audience.to_owned()),
        Some(token) if has_expired(token, now) => NoDriverToken::Expired(audience.to_owned()),
        Some(token) => return TokenChoice::Driver(token),
        None => NoDriverToken::Absent {
            wanted: audience.to_owned(),
            others: tokens.audiences().map(str::to_owned).collect(),
        },
    };
    TokenChoice::Request {
        audience: wanted,
        why,
    }
}

/// A time that cannot be read does not count: the store judges then.
fn has_expired(token: &Token, now: Timestamp) -> bool {
    token
        .expires()
        .parse::<Timestamp>()
        .is_ok_and(|expires| expires <= now)
}

#[cfg(test)]
mod tests {
    use super::{TokenChoice, choose_token};
    use coffer_proto::attributes::Tokens;
    use jiff::Timestamp;

    fn choice(tokens: &str, wanted: Option<&str>) -> String {
        let tokens = Tokens::parse(tokens).unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        match choose_token(&tokens, wanted, "vault", now) {
            TokenChoice::Driver(token) => token.expose().to_owned(),
            TokenChoice::Request { audience, why } => format!("request {audience:?}: {why}"),
        }
    }

    #[test]
    fn the_drivers_token_of_the_wanted_audience_is_used() {
        let tokens = r#"{"":{"token":"t0"},"other":{"token":"t2"},"vault":{"token":"t1"}}"#;
        assert_eq!(choice(tokens, None), "t1");
        assert_eq!(choice(tokens, Some("other")), "t2");
    }

    #[test]
    fn otherwise_a_token_is_requested_and_the_reason_is_kept() {
        for (tokens, wanted, expected) in [
            (
                "",
                None,
                r#"request None: driver sent no token for audience "vault""#,
            ),
            (
                "{}",
                Some("a"),
                r#"request Some("a"): driver sent no token for audience "a""#,
            ),
            (
                r#"{"Vault":{"token":"t"},"x":{"token":"t"}}"#,
                None,
                r#"request None: driver sent no token for audience "vault" but only for "Vault", "x""#,
            ),
            (
                r#"{"vault":{"token":""}}"#,
                None,
                r#"request None: driver sent an empty token for audience "vault""#,
            ),
            (
                r#"{"vault":{"token":"t","expirationTimestamp":"2025-12-31T23:59:59Z"}}"#,
                None,
                r#"request None: driver sent a token for audience "vault" that has expired"#,
            ),
        ] {
            assert_eq!(choice(tokens, wanted), expected, "{tokens}");
        }
    }

    #[test]
    fn an_unreadable_expiry_does_not_refuse_a_token() {
        let tokens = r#"{"vault":{"token":"t","expirationTimestamp":"soon"}}"#;
        assert_eq!(choice(tokens, None), "t");
    }
}
