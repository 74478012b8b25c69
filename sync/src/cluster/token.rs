//! Tokens of ServiceAccounts by TokenRequest: one audience, ten minutes, bound to nothing.
//!
//! Whether one is needed, and how long it is kept, is decided elsewhere.

use coffer_sync_core::answer::Answer;
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Call, Cluster, unreadable};

/// The least that the API server grants.
const SECONDS: u32 = 600;

/// A token of a ServiceAccount. No Debug: it is a credential.
#[derive(Clone, Deserialize)]
pub struct Token {
    /// The JWT.
    pub(crate) token: Zeroizing<String>,
    /// When it ends, in RFC 3339 as the API server wrote it.
    #[serde(rename = "expirationTimestamp")]
    pub(crate) expires: String,
}

impl Token {
    /// When it ends; none if that cannot be read.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        self.expires.parse().ok()
    }
}

#[derive(Deserialize)]
struct Answered {
    status: Token,
}

impl Cluster {
    /// Requests a token. `audience` is never empty: without one the token would be for the API server itself.
    ///
    /// # Errors
    /// What the API server said instead.
    pub async fn token(
        &self,
        namespace: &str,
        account: &str,
        audience: &str,
    ) -> Result<Token, Answer> {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": SECONDS},
        })
        .to_string();
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let call = Call::new("create", Method::POST, path).body(super::JSON, body.as_bytes());
        let reply = self.send(call).await?;
        let answered: Answered = serde_json::from_slice(&reply.body).map_err(unreadable)?;
        Ok(answered.status)
    }
}
