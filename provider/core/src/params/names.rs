//! The names of class parameters, their prefixes, and which of several spellings counts.
//!
//! The only place these strings exist. What the values mean is not decided here.

use super::Parameters;

/// Role for the login.
pub(super) const ROLE: &str = "roleName";
/// Audience of the token.
pub(super) const AUDIENCE: &str = "audience";
/// How far the files of running pods may lag behind the store.
pub(super) const REFRESH_INTERVAL: &str = "refreshInterval";
/// The list of objects.
pub const OBJECTS: &str = "objects";

/// The parameters that take a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suffix {
    RoleName,
    Address,
    Namespace,
    CaCertPath,
    CaDirectory,
    TlsServerName,
    TlsClientCertPath,
    TlsClientKeyPath,
    KubernetesMountPath,
    AuthMountPath,
    SkipTlsVerify,
}

impl Suffix {
    pub(super) const ALL: [Self; 11] = [
        Self::RoleName,
        Self::Address,
        Self::Namespace,
        Self::CaCertPath,
        Self::CaDirectory,
        Self::TlsServerName,
        Self::TlsClientCertPath,
        Self::TlsClientKeyPath,
        Self::KubernetesMountPath,
        Self::AuthMountPath,
        Self::SkipTlsVerify,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::RoleName => "RoleName",
            Self::Address => "Address",
            Self::Namespace => "Namespace",
            Self::CaCertPath => "CACertPath",
            Self::CaDirectory => "CADirectory",
            Self::TlsServerName => "TLSServerName",
            Self::TlsClientCertPath => "TLSClientCertPath",
            Self::TlsClientKeyPath => "TLSClientKeyPath",
            Self::KubernetesMountPath => "KubernetesMountPath",
            Self::AuthMountPath => "AuthMountPath",
            Self::SkipTlsVerify => "SkipTLSVerify",
        }
    }
}

/// Which of the peers' habits decide where they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// vault-csi-provider.
    #[default]
    Vault,
    /// openbao-csi-provider.
    OpenBao,
}

impl Dialect {
    /// The dialect of a provider name: `openbao` speaks its own, every other name that of `vault`.
    #[must_use]
    pub fn of_provider(name: &str) -> Self {
        if name == "openbao" {
            Self::OpenBao
        } else {
            Self::Vault
        }
    }

    /// The prefixes in the order in which a present key wins. The fork looks for `bao` first; under
    /// `vault` the key that the peer knows wins, so that no existing class changes its meaning.
    #[must_use]
    pub const fn prefixes(self) -> [&'static str; 3] {
        match self {
            Self::Vault => ["vault", "bao", "openbao"],
            Self::OpenBao => ["bao", "openbao", "vault"],
        }
    }

    /// Every spelling of a parameter, the one that wins first.
    pub(super) fn spellings(self, suffix: Suffix) -> Vec<String> {
        let mut names: Vec<String> = self
            .prefixes()
            .iter()
            .map(|prefix| format!("{prefix}{}", suffix.as_str()))
            .collect();
        if suffix == Suffix::RoleName {
            // The fork lets prefixed roles beat the plain one; the peer knows only the plain one.
            match self {
                Self::Vault => names.insert(0, ROLE.to_owned()),
                Self::OpenBao => names.push(ROLE.to_owned()),
            }
        }
        names
    }

    /// The name to use in a message.
    pub(super) fn name(self, suffix: Suffix) -> String {
        if suffix == Suffix::RoleName {
            return ROLE.to_owned();
        }
        let prefix = match self {
            Self::Vault => "vault",
            Self::OpenBao => "openbao",
        };
        format!("{prefix}{}", suffix.as_str())
    }

    /// Every name that means something.
    pub(super) fn known(self) -> Vec<String> {
        let mut names: Vec<String> = Suffix::ALL
            .iter()
            .flat_map(|suffix| self.spellings(*suffix))
            .collect();
        names.extend([AUDIENCE, REFRESH_INTERVAL, OBJECTS].map(str::to_owned));
        names
    }
}

/// The spelling of a parameter that counts, and those that are present but ignored.
pub(super) struct Found<'a> {
    pub(super) name: String,
    pub(super) value: &'a str,
    pub(super) ignored: Vec<String>,
}

/// Looks a parameter up: the first present spelling wins, even if its value is empty.
pub(super) fn find(parameters: &Parameters, dialect: Dialect, suffix: Suffix) -> Option<Found<'_>> {
    let mut present = dialect
        .spellings(suffix)
        .into_iter()
        .filter_map(|name| parameters.get(&name).map(|value| (name, value.as_str())));
    let (name, value) = present.next()?;
    let ignored = present.map(|(name, _)| name).collect();
    Some(Found {
        name,
        value,
        ignored,
    })
}
