//! An issuer of service account tokens, without a cluster: a key, tokens like Kubernetes', its JWKS.
//!
//! The store knows its public key (`jwt_validation_pubkeys` of the jwt auth method).

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::Vault;
use crate::driver::attributes::{Pod, ServiceToken, rfc3339};
use crate::fixture::{random_hex, uid};

/// An ES256 key that plays a cluster's service account issuer.
pub struct JwtAuth {
    key: KeyPair,
    id: String,
    issuer: String,
}

/// A role of the jwt auth method.
#[derive(Clone, Debug)]
pub struct JwtRole<'a> {
    pub name: &'a str,
    /// The audience that a token must have; none binds no audience.
    pub audience: Option<&'a str>,
    /// `system:serviceaccount:<namespace>:<name>`; none binds no subject.
    pub subject: Option<&'a str>,
    pub policies: &'a [&'a str],
    /// Life of the store's token, such as `20m`.
    pub ttl: &'a str,
}

impl JwtAuth {
    /// A new key under an issuer's name, such as `https://kubernetes.default.svc.cluster.local`.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn new(issuer: &str) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Self {
            key,
            id: random_hex(8)?,
            issuer: issuer.to_owned(),
        })
    }

    /// The issuer's name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public key as PEM.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.key.public_key_pem()
    }

    /// The public key as a JWKS document, as an API server's `/openid/v1/jwks`.
    #[must_use]
    pub fn jwks(&self) -> Value {
        // An uncompressed point: one byte, then x and y of 32 bytes each.
        let point = self.key.public_key_raw().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        let [x, y] = [x, y].map(|number| BASE64_URL_SAFE_NO_PAD.encode(number));
        json!({"keys": [{
            "use": "sig", "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": self.id, "x": x, "y": y,
        }]})
    }

    /// A token for the pod's service account that expires in `seconds`; a negative number is in the past.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn mint(&self, pod: &Pod, audience: &str, seconds: i64) -> Result<ServiceToken> {
        let now = jiff::Timestamp::now();
        let expires = now + jiff::SignedDuration::from_secs(seconds);
        // An expired token was issued an hour before it expired.
        let issued = now
            .min(expires - jiff::SignedDuration::from_hours(1))
            .min(now);
        let issued = if seconds > 0 { now } else { issued };
        let claims = json!({
            "iss": self.issuer,
            "sub": subject(&pod.namespace, &pod.service_account),
            "aud": [audience],
            "exp": expires.as_second(),
            "iat": issued.as_second(),
            "nbf": issued.as_second(),
            "jti": uid()?,
            "kubernetes.io": {
                "namespace": pod.namespace,
                "node": {"name": "node-1", "uid": uid()?},
                "pod": {"name": pod.name, "uid": pod.uid},
                "serviceaccount": {"name": pod.service_account, "uid": uid()?},
            },
        });
        let (audience, jwt) = (audience.to_owned(), self.sign(&claims)?);
        Ok(ServiceToken {
            audience,
            jwt,
            expires: rfc3339(expires),
        })
    }

    /// Signs any claims.
    ///
    /// # Errors
    /// When they cannot be signed.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        header.typ = None;
        let key = EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes())?;
        Ok(jsonwebtoken::encode(&header, claims, &key)?)
    }

    /// Mounts the jwt auth method at `mount`, trusting this key.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn enable(&self, vault: &Vault, mount: &str) -> Result<()> {
        vault.enable_auth(mount, "jwt").await?;
        let config =
            json!({"jwt_validation_pubkeys": [self.public_pem()], "bound_issuer": self.issuer});
        vault
            .write(&format!("auth/{mount}/config"), &config)
            .await
            .map(|_| ())
    }

    /// Adds a role to what [`Self::enable`] mounted.
    ///
    /// # Errors
    /// When the store refuses; it insists on at least one of audience and subject.
    pub async fn role(&self, vault: &Vault, mount: &str, role: &JwtRole<'_>) -> Result<()> {
        let mut body = json!({
            "role_type": "jwt",
            "user_claim": "sub",
            "token_policies": role.policies,
            "token_ttl": role.ttl,
        });
        if let Some(audience) = role.audience {
            body["bound_audiences"] = json!([audience]);
        }
        if let Some(subject) = role.subject {
            body["bound_subject"] = json!(subject);
        }
        vault
            .write(&format!("auth/{mount}/role/{}", role.name), &body)
            .await
            .map(|_| ())
    }
}

/// The subject of a service account's tokens.
#[must_use]
pub(super) fn subject(namespace: &str, service_account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{service_account}")
}
