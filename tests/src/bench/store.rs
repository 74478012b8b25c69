//! The answers of a store under load: every login gets a token, every path holds a small secret.
//!
//! It judges no token and keeps none. What a store refuses is for `it` and `e2e`.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::counter::{Answers, Counter};

/// Life of a token, in seconds: what roles of such stores usually say.
const TOKEN_LIFE: u64 = 3600;

/// The running store.
pub(super) type Store = Counter<Secrets>;

/// Counts logins and reads apart.
pub(super) struct Secrets {
    secret: Bytes,
    logins: AtomicU64,
    reads: AtomicU64,
}

impl Secrets {
    pub(super) fn new() -> Self {
        let metadata = json!({
            "created_time": "2026-01-01T00:00:00.000000000Z", "custom_metadata": null, "deletion_time": "",
            "destroyed": false, "version": 1,
        });
        let data =
            json!({"data": {"password": "correct horse battery staple"}, "metadata": metadata});
        Self {
            secret: envelope(&data, &Value::Null),
            logins: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        }
    }

    pub(super) fn logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl Answers for Secrets {
    fn answer(&self, _: &str, path: &str, _: &Bytes) -> (StatusCode, Bytes) {
        if path.starts_with("/v1/auth/") && path.ends_with("/login") {
            let number = self.logins.fetch_add(1, Ordering::Relaxed);
            return (StatusCode::OK, login(number));
        }
        if path.starts_with("/v1/secret/data/") {
            self.reads.fetch_add(1, Ordering::Relaxed);
            return (StatusCode::OK, self.secret.clone());
        }
        match path {
            "/v1/auth/token/renew-self" => (StatusCode::OK, login(0)),
            "/v1/auth/token/revoke-self" => (StatusCode::NO_CONTENT, Bytes::new()),
            _ => (
                StatusCode::NOT_FOUND,
                Bytes::from_static(br#"{"errors":[]}"#),
            ),
        }
    }
}

fn login(number: u64) -> Bytes {
    let token = format!("hvs.load-{number}");
    let auth = json!({
        "client_token": token, "accessor": format!("accessor-{number}"), "policies": ["default"],
        "token_policies": ["default"], "metadata": {}, "lease_duration": TOKEN_LIFE, "renewable": true,
        "entity_id": "", "token_type": "service", "orphan": true,
    });
    envelope(&Value::Null, &auth)
}

fn envelope(data: &Value, auth: &Value) -> Bytes {
    let document = json!({
        "request_id": "3d0c9b1e-0000-4000-8000-000000000000", "lease_id": "", "renewable": false,
        "lease_duration": 0, "data": data, "wrap_info": null, "warnings": null, "auth": auth,
    });
    document.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_give_different_tokens_and_are_counted_apart_from_reads() {
        let store = Secrets::new();
        let ask = |path| store.answer("POST", path, &Bytes::new());
        assert_ne!(ask("/v1/auth/jwt/login").1, ask("/v1/auth/jwt/login").1);
        let (status, secret) = ask("/v1/secret/data/load/7");
        assert!(status.is_success() && String::from_utf8_lossy(&secret).contains("password"));
        assert_eq!(ask("/v1/elsewhere").0, StatusCode::NOT_FOUND);
        assert_eq!((store.logins(), store.reads()), (2, 1));
    }
}
