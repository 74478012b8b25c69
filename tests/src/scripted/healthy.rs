//! The answers of a small healthy Vault, for every request that no rule of the test answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Arrived, Reply};

/// Secrets, and the tokens that were given.
pub(super) struct Healthy {
    secrets: BTreeMap<String, (Value, u64)>,
    tokens: BTreeSet<String>,
    given: usize,
    pub(super) token_ttl: u64,
}

impl Default for Healthy {
    fn default() -> Self {
        // Vault's usual first life of a token in examples; long enough that no test renews by accident.
        let (secrets, tokens) = (BTreeMap::new(), BTreeSet::new());
        Self {
            secrets,
            tokens,
            given: 0,
            token_ttl: 3600,
        }
    }
}

impl Healthy {
    pub(super) fn put(&mut self, path: &str, data: Value) {
        let version = self.secrets.get(path).map_or(1, |(_, version)| version + 1);
        self.secrets.insert(path.to_owned(), (data, version));
    }

    pub(super) fn delete(&mut self, path: &str) {
        self.secrets.remove(path);
    }

    pub(super) fn revoke_all(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn answer(&mut self, arrived: &Arrived) -> Reply {
        let path = arrived.path.strip_prefix("/v1/").unwrap_or_default();
        if arrived.is_login() {
            return self.login();
        }
        if path == "sys/health" {
            return Reply::json(
                200,
                &json!({"initialized": true, "sealed": false, "standby": false}),
            );
        }
        let Some(token) = arrived
            .header("x-vault-token")
            .filter(|token| self.tokens.contains(*token))
        else {
            return Reply::errors(403, &["permission denied"]);
        };
        match path {
            "auth/token/lookup-self" => {
                Reply::data(&json!({"ttl": self.token_ttl, "renewable": true}))
            }
            "auth/token/renew-self" => Reply::json(200, &self.auth(token)),
            "auth/token/revoke-self" => {
                let token = token.to_owned();
                self.tokens.remove(&token);
                Reply::text(204, "")
            }
            _ => self.read(path),
        }
    }

    fn login(&mut self) -> Reply {
        self.given += 1;
        let token = format!("hvs.scripted-{}", self.given);
        let document = self.auth(&token);
        self.tokens.insert(token);
        Reply::json(200, &document)
    }

    fn auth(&self, token: &str) -> Value {
        let mut document = envelope(&Value::Null);
        document["auth"] = json!({
            "client_token": token,
            "accessor": format!("accessor-of-{token}"),
            "policies": ["default"],
            "token_policies": ["default"],
            "metadata": {},
            "lease_duration": self.token_ttl,
            "renewable": true,
            "entity_id": "",
            "token_type": "service",
            "orphan": true,
        });
        document
    }

    fn read(&self, path: &str) -> Reply {
        match self.secrets.get(path) {
            None => Reply::errors(404, &[]),
            Some((data, version)) => Reply::data(&json!({
                "data": data,
                "metadata": {
                    "created_time": "2026-01-01T00:00:00.000000000Z",
                    "custom_metadata": null,
                    "deletion_time": "",
                    "destroyed": false,
                    "version": version,
                },
            })),
        }
    }
}

/// Vault's reply around some data, without lease.
pub(super) fn envelope(data: &Value) -> Value {
    json!({
        "request_id": "3d0c9b1e-0000-4000-8000-000000000000",
        "lease_id": "",
        "renewable": false,
        "lease_duration": 0,
        "data": data,
        "wrap_info": null,
        "warnings": null,
        "auth": null,
    })
}
