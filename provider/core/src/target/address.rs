//! The address of a store: a URL, or the path of a unix socket.
//!
//! Two spellings of one address are equal, so that they share a login. Nothing is resolved here.

use std::fmt;

use url::{Host, Url};

/// The address of a store, normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `http` or `https`.
    Tcp {
        /// Whether TLS is spoken.
        https: bool,
        /// Host name or IP address as it stands in a URL, IPv6 in brackets.
        host: String,
        /// TCP port.
        port: u16,
        /// Path before `/v1/`, without a slash at its end; usually empty.
        prefix: String,
    },
    /// A unix socket that speaks plain HTTP.
    Unix(String),
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Neither `http`, `https` nor `unix`.
    #[error("does not start with https://, http:// or unix://")]
    Scheme,
    /// Not a URL with a host.
    #[error("is not a URL with a host")]
    Shape,
    /// User, password, query or fragment.
    #[error("holds a user, a query or a fragment, which are not sent to a store")]
    Extras,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with the text, without the text.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if let Some(path) = text.strip_prefix("unix://") {
            let usable = path.starts_with('/') && !path.chars().any(char::is_control);
            return usable
                .then(|| Self::Unix(path.to_owned()))
                .ok_or(BadAddress::Shape);
        }
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Err(BadAddress::Scheme);
        }
        let url = Url::parse(text).map_err(|_| BadAddress::Shape)?;
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(BadAddress::Extras);
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(BadAddress::Shape)?;
        Ok(Self::Tcp {
            https: url.scheme() == "https",
            host: host.to_owned(),
            port: url.port_or_known_default().ok_or(BadAddress::Shape)?,
            prefix: url.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Host and port, or the path of the socket: what a message shows.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
            Self::Unix(path) => path.clone(),
        }
    }

    /// Whether a token would travel unprotected. Loopback and sockets stay on the machine.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        match self {
            Self::Tcp { https, host, .. } => !https && !is_loopback(host),
            Self::Unix(_) => false,
        }
    }

    /// Whether both name the same server, whatever stands before `/v1/`.
    #[must_use]
    pub fn same_server(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Tcp {
                    https,
                    host,
                    port,
                    prefix: _,
                },
                Self::Tcp {
                    https: https2,
                    host: host2,
                    port: port2,
                    prefix: _,
                },
            ) => https == https2 && host == host2 && port == port2,
            _ => self == other,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Ipv4(ip)) => ip.is_loopback(),
        Ok(Host::Ipv6(ip)) => ip.is_loopback(),
        Ok(Host::Domain(name)) => name == "localhost",
        Err(_) => false,
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp {
                https,
                host,
                port,
                prefix,
            } => {
                let scheme = if *https { "https" } else { "http" };
                write!(f, "{scheme}://{host}:{port}{prefix}")
            }
            Self::Unix(path) => write!(f, "unix://{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, BadAddress};

    #[test]
    fn spellings_of_one_address_are_equal() {
        for (text, expected) in [
            ("https://Vault.Example:8200/", "https://vault.example:8200"),
            ("https://vault", "https://vault:443"),
            ("http://[::1]:8200", "http://[::1]:8200"),
            ("http://10.0.0.1", "http://10.0.0.1:80"),
            ("https://proxy/vault/", "https://proxy:443/vault"),
            ("unix:///run/vault.sock", "unix:///run/vault.sock"),
        ] {
            assert_eq!(
                Address::parse(text).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, expected) in [
            ("vault:8200", BadAddress::Scheme),
            ("ftp://vault", BadAddress::Scheme),
            ("HTTPS//x", BadAddress::Scheme),
            ("https://", BadAddress::Shape),
            ("https://user:pw@vault", BadAddress::Extras),
            ("https://vault?x=1", BadAddress::Extras),
            ("unix://relative", BadAddress::Shape),
        ] {
            assert_eq!(Address::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn plain_http_is_plain_unless_it_stays_on_the_machine() {
        for (text, expected) in [
            ("http://vault", true),
            ("https://vault", false),
            ("http://127.0.0.1:1", false),
            ("http://[::1]", false),
            ("unix:///s", false),
        ] {
            assert_eq!(
                Address::parse(text).unwrap().is_plain_http(),
                expected,
                "{text}"
            );
        }
    }
}
