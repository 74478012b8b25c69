//! The types a Secret can have, and what the API server requires of each, as data.
//!
//! Whether values make sense is judged in `validate`; who may use a type is decided in `gate`.

/// Types that hand out credentials are written only where the operator allows them.
pub mod gate;

/// The key of a `kubernetes.io/dockercfg` Secret.
pub const DOCKERCFG: &str = ".dockercfg";
/// The key of a `kubernetes.io/dockerconfigjson` Secret.
pub const DOCKERCONFIGJSON: &str = ".dockerconfigjson";
/// A key of a `kubernetes.io/basic-auth` Secret.
pub const USERNAME: &str = "username";
/// The other key of a `kubernetes.io/basic-auth` Secret.
pub const PASSWORD: &str = "password";
/// The key of a `kubernetes.io/ssh-auth` Secret.
pub const SSH_PRIVATEKEY: &str = "ssh-privatekey";
/// Hosts whose keys a client trusts; a convention of `kubernetes.io/ssh-auth`.
pub const KNOWN_HOSTS: &str = "known_hosts";
/// The certificate chain of a `kubernetes.io/tls` Secret.
pub const TLS_CRT: &str = "tls.crt";
/// The private key of a `kubernetes.io/tls` Secret.
pub const TLS_KEY: &str = "tls.key";
/// The authority of a `kubernetes.io/tls` Secret; optional by convention.
pub const CA_CRT: &str = "ca.crt";
/// The annotation that names the account of a service account token.
pub const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// The type of a Secret. Compared as text, letter by letter: the API server neither trims nor folds case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretType {
    /// `Opaque`, and what an empty type becomes: any keys.
    Opaque,
    /// `kubernetes.io/service-account-token`.
    ServiceAccountToken,
    /// `kubernetes.io/dockercfg`.
    DockerCfg,
    /// `kubernetes.io/dockerconfigjson`.
    DockerConfigJson,
    /// `kubernetes.io/basic-auth`.
    BasicAuth,
    /// `kubernetes.io/ssh-auth`.
    SshAuth,
    /// `kubernetes.io/tls`.
    Tls,
    /// `bootstrap.kubernetes.io/token`.
    BootstrapToken,
    /// Any other text, by convention `domain/name`: the API server has no rules for it.
    Custom(String),
}

/// What the API server requires of the data of a type. It may hold more keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// Nothing.
    Nothing,
    /// Every one of these keys, the value may be empty.
    All(&'static [&'static str]),
    /// At least one of these keys, the value may be empty.
    Any(&'static [&'static str]),
    /// This key, with at least one byte.
    NotEmpty(&'static str),
    /// This key, holding a JSON object or `null`.
    JsonObject(&'static str),
    /// This annotation, not empty.
    Annotation(&'static str),
}

impl SecretType {
    /// The built-in types, in the order of the Kubernetes documentation.
    pub const BUILT_IN: [Self; 8] = [
        Self::Opaque,
        Self::ServiceAccountToken,
        Self::DockerCfg,
        Self::DockerConfigJson,
        Self::BasicAuth,
        Self::SshAuth,
        Self::Tls,
        Self::BootstrapToken,
    ];

    /// The type that the API server sees in this text. Empty is `Opaque`; nothing is refused.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.is_empty() {
            return Self::Opaque;
        }
        Self::BUILT_IN
            .into_iter()
            .find(|built_in| built_in.as_str() == text)
            .unwrap_or_else(|| Self::Custom(text.to_owned()))
    }

    /// The text for the field `type`. Always send it: an omitted type is taken for `Opaque`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Opaque => "Opaque",
            Self::ServiceAccountToken => "kubernetes.io/service-account-token",
            Self::DockerCfg => "kubernetes.io/dockercfg",
            Self::DockerConfigJson => "kubernetes.io/dockerconfigjson",
            Self::BasicAuth => "kubernetes.io/basic-auth",
            Self::SshAuth => "kubernetes.io/ssh-auth",
            Self::Tls => "kubernetes.io/tls",
            Self::BootstrapToken => "bootstrap.kubernetes.io/token",
            Self::Custom(text) => text,
        }
    }

    /// What the API server insists on.
    #[must_use]
    pub fn required(&self) -> Required {
        match self {
            Self::Opaque | Self::BootstrapToken | Self::Custom(_) => Required::Nothing,
            Self::ServiceAccountToken => Required::Annotation(SERVICE_ACCOUNT_NAME),
            Self::DockerCfg => Required::JsonObject(DOCKERCFG),
            Self::DockerConfigJson => Required::JsonObject(DOCKERCONFIGJSON),
            Self::BasicAuth => Required::Any(&[USERNAME, PASSWORD]),
            Self::SshAuth => Required::NotEmpty(SSH_PRIVATEKEY),
            Self::Tls => Required::All(&[TLS_CRT, TLS_KEY]),
        }
    }

    /// Whether this key must be there, so that it can never be optional. Of `username` and `password`
    /// each can be absent, not both.
    #[must_use]
    pub fn requires_key(&self, key: &str) -> bool {
        match self.required() {
            Required::Nothing | Required::Annotation(_) | Required::Any(_) => false,
            Required::All(keys) => keys.contains(&key),
            Required::NotEmpty(only) | Required::JsonObject(only) => only == key,
        }
    }

    /// Keys that may stand beside the required ones by convention.
    #[must_use]
    pub fn conventional_keys(&self) -> &'static [&'static str] {
        match self {
            Self::Opaque
            | Self::Custom(_)
            | Self::ServiceAccountToken
            | Self::DockerCfg
            | Self::DockerConfigJson
            | Self::BasicAuth => &[],
            Self::SshAuth => &["ssh-publickey", KNOWN_HOSTS],
            Self::Tls => &[CA_CRT],
            Self::BootstrapToken => &[
                "token-id",
                "token-secret",
                "description",
                "expiration",
                "usage-bootstrap-authentication",
                "usage-bootstrap-signing",
                "auth-extra-groups",
            ],
        }
    }

    /// Keys that a controller of the cluster fills: what is written there stays, and is never a real token.
    #[must_use]
    pub fn reserved_keys(&self) -> &'static [&'static str] {
        match self {
            Self::ServiceAccountToken => &["token", "ca.crt", "namespace"],
            _ => &[],
        }
    }

    /// Whether whoever has such a Secret written obtains a credential of the cluster by it.
    #[must_use]
    pub fn mints_credentials(&self) -> bool {
        matches!(self, Self::ServiceAccountToken | Self::BootstrapToken)
    }

    /// The built-in type that was probably meant: equal but for case and blanks.
    #[must_use]
    pub fn lookalike(&self) -> Option<Self> {
        let Self::Custom(text) = self else {
            return None;
        };
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        Self::BUILT_IN
            .into_iter()
            .find(|built_in| built_in.as_str().eq_ignore_ascii_case(&plain))
    }
}

#[cfg(test)]
mod tests {
    use super::{Required, SecretType};

    #[test]
    fn the_types_of_the_documentation_are_known_by_their_exact_text() {
        for text in [
            "Opaque",
            "kubernetes.io/service-account-token",
            "kubernetes.io/dockercfg",
            "kubernetes.io/dockerconfigjson",
            "kubernetes.io/basic-auth",
            "kubernetes.io/ssh-auth",
            "kubernetes.io/tls",
            "bootstrap.kubernetes.io/token",
        ] {
            let known = SecretType::parse(text);
            assert!(!matches!(known, SecretType::Custom(_)), "{text}");
            assert_eq!(known.as_str(), text);
        }
    }

    #[test]
    fn an_empty_type_is_opaque() {
        assert_eq!(SecretType::parse(""), SecretType::Opaque);
    }

    #[test]
    fn any_other_text_is_a_custom_type_without_rules() {
        let long = "x".repeat(2000);
        for text in [
            "opaque",
            "kubernetes.io/TLS",
            "kubernetes.io/tls ",
            "kubernetes.io/unknown",
            "with space",
            "cloud-hosting.example.net/cloud-api-credentials",
            long.as_str(),
        ] {
            let custom = SecretType::parse(text);
            assert_eq!(custom, SecretType::Custom(text.to_owned()));
            assert_eq!(custom.required(), Required::Nothing, "{text}");
            assert_eq!(custom.as_str(), text);
        }
    }

    #[test]
    fn a_lookalike_differs_by_case_or_blanks_only() {
        for (text, meant) in [
            ("opaque", Some(SecretType::Opaque)),
            ("kubernetes.io/TLS", Some(SecretType::Tls)),
            (" kubernetes.io/tls ", Some(SecretType::Tls)),
            ("kubernetes.io/unknown", None),
            ("kubernetes.io/tls", None),
            ("example.net/tls", None),
        ] {
            assert_eq!(SecretType::parse(text).lookalike(), meant, "{text:?}");
        }
    }

    #[test]
    fn a_required_key_is_known_by_its_type() {
        for (secret_type, key, required) in [
            (SecretType::Tls, "tls.crt", true),
            (SecretType::Tls, "tls.key", true),
            (SecretType::Tls, "ca.crt", false),
            (SecretType::SshAuth, "ssh-privatekey", true),
            (SecretType::DockerCfg, ".dockercfg", true),
            (SecretType::DockerConfigJson, ".dockerconfigjson", true),
            (SecretType::DockerConfigJson, ".dockercfg", false),
            (SecretType::BasicAuth, "username", false),
            (SecretType::BootstrapToken, "token-id", false),
            (SecretType::Opaque, "a", false),
        ] {
            assert_eq!(
                secret_type.requires_key(key),
                required,
                "{secret_type:?} {key}"
            );
        }
    }
}
