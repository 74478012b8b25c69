//! The answers of an API server to a provider: the keys of its tokens, and the Secret of the version key.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::counter::{Answers, Counter};

/// The running API server.
pub(super) type Kubernetes = Counter<Api>;

/// What a provider asks at its start. Everything else is refused, and counted like the rest.
pub(super) struct Api {
    keys: Bytes,
    issuer: String,
}

impl Api {
    pub(super) fn new(keys: &Value, issuer: &str) -> Self {
        Self {
            keys: keys.to_string().into(),
            issuer: issuer.to_owned(),
        }
    }
}

impl Answers for Api {
    fn answer(&self, method: &str, path: &str, body: &Bytes) -> (StatusCode, Bytes) {
        match (method, path) {
            ("GET", "/openid/v1/jwks") => (StatusCode::OK, self.keys.clone()),
            ("GET", "/.well-known/openid-configuration") => {
                let document = json!({"issuer": self.issuer});
                (StatusCode::OK, document.to_string().into())
            }
            ("POST", path) if path.ends_with("/secrets") => (StatusCode::CREATED, body.clone()),
            ("GET", path) if path.contains("/secrets/") => status(StatusCode::NOT_FOUND),
            _ => status(StatusCode::FORBIDDEN),
        }
    }
}

fn status(code: StatusCode) -> (StatusCode, Bytes) {
    let document = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": code.to_string(),
        "reason": code.canonical_reason(), "code": code.as_u16(),
    });
    (code, document.to_string().into())
}

/// A kubeconfig for it, as text.
pub(super) fn kubeconfig(address: &str) -> String {
    // JSON is YAML too.
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "load",
        "clusters": [{"name": "load", "cluster": {"server": address}}],
        "users": [{"name": "load", "user": {}}],
        "contexts": [{"name": "load", "context": {"cluster": "load", "user": "load", "namespace": "default"}}],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_provider_is_answered_and_requests_for_tokens_are_refused() {
        let api = Api::new(&json!({"keys": []}), "https://load");
        let ask = |method: &str, path: &str| api.answer(method, path, &Bytes::from_static(b"{}"));
        assert_eq!(ask("GET", "/openid/v1/jwks").1, r#"{"keys":[]}"#);
        let secrets = "/api/v1/namespaces/default/secrets";
        assert_eq!(
            ask("GET", &format!("{secrets}/key")).0,
            StatusCode::NOT_FOUND
        );
        assert_eq!(ask("POST", secrets).0, StatusCode::CREATED);
        let token = "/api/v1/namespaces/default/serviceaccounts/a/token";
        assert_eq!(ask("POST", token).0, StatusCode::FORBIDDEN);
    }
}
