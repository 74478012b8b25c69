//! Which types may be written at all.
//!
//! Whoever has a service account token or a bootstrap token written, without the right to write Secrets,
//! escalates: both are refused until the operator names them.

use super::SecretType;

/// The operator's list of types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedTypes {
    /// Every type but those that mint credentials.
    #[default]
    Harmless,
    /// Exactly these.
    Listed(Vec<SecretType>),
}

/// A type that the operator has not allowed. The text names it and what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("type {} is not allowed here; {remedy}", .secret_type.as_str().escape_debug())]
pub struct TypeNotAllowed {
    /// The type that was asked for.
    pub secret_type: SecretType,
    remedy: &'static str,
}

impl AllowedTypes {
    /// Reads a list of types. An empty list is the default, because a list that allows nothing is never meant.
    pub fn parse<'t>(types: impl IntoIterator<Item = &'t str>) -> Self {
        let listed: Vec<SecretType> = types.into_iter().map(SecretType::parse).collect();
        if listed.is_empty() {
            Self::Harmless
        } else {
            Self::Listed(listed)
        }
    }

    /// Whether a Secret of this type may be written.
    ///
    /// # Errors
    /// When the operator's list lacks it.
    pub fn admit(&self, secret_type: &SecretType) -> Result<(), TypeNotAllowed> {
        let allowed = match self {
            Self::Harmless => !secret_type.mints_credentials(),
            Self::Listed(types) => types.contains(secret_type),
        };
        if allowed {
            return Ok(());
        }
        Err(TypeNotAllowed {
            secret_type: secret_type.clone(),
            remedy: match secret_type {
                SecretType::ServiceAccountToken => {
                    "use TokenRequest or a projected volume for short-lived tokens, or have the operator list \
                     this type in --allowed-types (sync.allowedSecretTypes)"
                }
                SecretType::BootstrapToken => {
                    "it lets machines join the cluster; have the operator list it in --allowed-types \
                     (sync.allowedSecretTypes)"
                }
                _ => "have the operator list it in --allowed-types (sync.allowedSecretTypes)",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::AllowedTypes;
    use crate::secret_type::SecretType;

    #[test]
    fn types_that_mint_credentials_need_the_operators_word() {
        let gated = [SecretType::ServiceAccountToken, SecretType::BootstrapToken];
        let usual = AllowedTypes::parse([]);
        for secret_type in SecretType::BUILT_IN {
            let refused = gated.contains(&secret_type);
            assert_eq!(
                usual.admit(&secret_type).is_err(),
                refused,
                "{secret_type:?}"
            );
        }
        let listed = AllowedTypes::parse(gated.iter().map(SecretType::as_str));
        for secret_type in &gated {
            assert_eq!(listed.admit(secret_type), Ok(()), "{secret_type:?}");
        }
    }

    #[test]
    fn a_custom_type_is_allowed_unless_a_list_says_otherwise() {
        let custom = SecretType::parse("cloud-hosting.example.net/cloud-api-credentials");
        assert_eq!(AllowedTypes::default().admit(&custom), Ok(()));
        let list = AllowedTypes::parse(["Opaque", custom.as_str()]);
        assert_eq!(list.admit(&custom), Ok(()));
        assert!(list.admit(&SecretType::Tls).is_err());
    }

    #[test]
    fn a_refusal_names_the_type_and_the_flag() {
        let refused = AllowedTypes::default().admit(&SecretType::ServiceAccountToken);
        let text = refused.unwrap_err().to_string();
        for part in [
            "kubernetes.io/service-account-token",
            "--allowed-types",
            "TokenRequest",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
