//! Every check by its id and class. The ids are public: metrics, conditions and records name them.

/// How much a failing check weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The API server refuses the object, or Coffer does under every policy. Nothing is written.
    Structure,
    /// The API server stores it although no consumer can use it: the policy decides.
    Holdable,
    /// Worth telling; never stops a write.
    Advisory,
}

macro_rules! checks {
    ($($variant:ident $id:literal $class:ident $doc:literal)*) => {
        /// A check, by what it looks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check {
            $(#[doc = $doc] $variant,)*
        }

        impl Check {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable id, `area.name`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// How much it weighs.
            #[must_use]
            pub fn class(self) -> Class {
                match self {
                    $(Self::$variant => Class::$class,)*
                }
            }
        }
    };
}

checks! {
    MetadataName "metadata.name" Structure "The name is no DNS subdomain."
    MetadataLabel "metadata.label" Structure "A label's key or value is refused."
    MetadataAnnotation "metadata.annotation" Structure "An annotation's key is refused, or they are too large."
    DataKey "data.key" Structure "A key of the data is refused."
    DataSize "data.size" Structure "The values have more than 1 MiB."
    DataRequired "data.required" Structure "What the type requires is missing."
    DockerJson "docker.json" Structure "Not what the API server reads as a JSON object."
    SaReservedKey "sa.reserved-key" Structure "A key that the token controller fills."

    CustomRequired "custom.required" Holdable "A key of the user's own list is missing."
    SaMissing "sa.missing" Holdable "The service account does not exist."
    DockerShape "docker.shape" Holdable "Not the shape of the docker file."
    DockerAuth "docker.auth" Holdable "An `auth` that makes kubelet drop all credentials of a pod."
    DockerAuthMismatch "docker.auth-mismatch" Holdable "`auth` disagrees with username and password."
    DockerEmpty "docker.empty" Holdable "No entry has usable credentials."
    BasicEmpty "basic.empty" Holdable "Every value is empty."
    BasicColon "basic.colon" Holdable "A `:` in the user name."
    BasicControl "basic.control" Holdable "A control character inside."
    SshParse "ssh.parse" Holdable "No private key of a known form."
    SshPublic "ssh.public" Holdable "A public key in the place of the private one."
    SshEncrypted "ssh.encrypted" Holdable "The key needs a passphrase."
    SshNewline "ssh.newline" Holdable "Line ends that OpenSSH does not read."
    TlsPem "tls.pem" Holdable "No certificate in PEM."
    TlsKeyFormat "tls.key-format" Holdable "No private key that a server can use."
    TlsCertParse "tls.cert-parse" Holdable "The first certificate does not parse."
    TlsPair "tls.pair" Holdable "Certificate and key do not belong together."
    TlsExpired "tls.expired" Holdable "The certificate has expired."
    TlsNotYetValid "tls.not-yet-valid" Holdable "The certificate is not valid yet."
    TlsChain "tls.chain" Holdable "The chain is broken or out of order."
    TlsKeyInCrt "tls.key-in-crt" Holdable "A private key inside `tls.crt`."
    TlsCa "tls.ca" Holdable "`ca.crt` holds no certificate."
    BootstrapNamespace "bootstrap.namespace" Holdable "Not in `kube-system`."
    BootstrapName "bootstrap.name" Holdable "Not named after the token's id."
    BootstrapId "bootstrap.id" Holdable "The token's id has another form."
    BootstrapSecret "bootstrap.secret" Holdable "The token's secret has another form."
    BootstrapUsage "bootstrap.usage" Holdable "No usage is `true`, or one is something else."
    BootstrapGroups "bootstrap.groups" Holdable "A group that disables the token."
    BootstrapExpiration "bootstrap.expiration" Holdable "The expiration is no RFC 3339 time."
    BootstrapExpired "bootstrap.expired" Holdable "The token has expired."

    SizeNearLimit "size.near-limit" Advisory "More than 90 % of a limit."
    ValueNewline "value.newline" Advisory "A password or token that ends in a line end."
    ValueBom "value.bom" Advisory "A value that starts with a byte order mark."
    EnvName "env.name" Advisory "A key that no shell can expand."
    DataEmpty "data.empty" Advisory "The Secret would hold no key."
    TypeLookalike "type.lookalike" Advisory "A type that resembles a built-in one and gets none of its rules."
    SaLegacy "sa.legacy" Advisory "A token without an end, where short-lived ones exist."
    DockerHost "docker.host" Advisory "A host that no image will match."
    DockerIgnored "docker.ignored" Advisory "Members that kubelet ignores."
    BasicSingle "basic.single" Advisory "One of the two keys only."
    SshWeak "ssh.weak" Advisory "DSA, or RSA below 2048 bits."
    SshKnownHosts "ssh.known-hosts" Advisory "No `known_hosts` beside the key."
    TlsCaUnrelated "tls.ca-unrelated" Advisory "The chain does not end at `ca.crt`."
    TlsLeafIsCa "tls.leaf-is-ca" Advisory "The first certificate is an authority's."
    TlsNoSan "tls.no-san" Advisory "No subject alternative name."
    TlsWeak "tls.weak" Advisory "RSA below 2048 bits, SHA-1, MD5, or X.509 version 1."
    TlsExpiring "tls.expiring" Advisory "Less than a third of its life or seven days left."
    BootstrapNoExpiration "bootstrap.no-expiration" Advisory "The token never expires."
}

impl Check {
    /// The check of this id, as it stands in a record. None for ids of other versions.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|check| check.as_str() == id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Check;

    #[test]
    fn every_id_is_unique_and_read_back() {
        let ids: BTreeSet<&str> = Check::ALL.iter().map(|check| check.as_str()).collect();
        assert_eq!(ids.len(), Check::ALL.len());
        for check in Check::ALL {
            assert_eq!(Check::parse(check.as_str()), Some(*check));
        }
        assert_eq!(Check::parse("tls.unheard-of"), None);
    }
}
