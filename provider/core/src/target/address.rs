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
        /// TCP port; without a written one that of the scheme.
        port: u16,
        /// Path before `/v1/`, without a slash at its end; usually empty.
        prefix: String,
        /// Whether no port was written and SRV records of the host are to say where the store is. Part
        /// of what makes two addresses equal: they may lead to different servers.
        by_srv: bool,
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
        Self::read(text, false)
    }

    /// Reads an address whose host is looked up by its SRV records where the text names no port. An IP
    /// address and `localhost` are not: no record may lead a token that stays on the machine elsewhere.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_by_srv(text: &str) -> Result<Self, BadAddress> {
        Self::read(text, true)
    }

    fn read(text: &str, by_srv: bool) -> Result<Self, BadAddress> {
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
            by_srv: by_srv && is_name(host) && !names_port(text, &url),
        })
    }

    /// The name whose SRV records say where the store is; none where the address says it.
    #[must_use]
    pub fn srv_name(&self) -> Option<String> {
        match self {
            Self::Tcp {
                host, by_srv: true, ..
            } => Some(format!("_http._tcp.{host}")),
            Self::Tcp { .. } | Self::Unix(_) => None,
        }
    }

    /// Whether SRV records are asked.
    #[must_use]
    pub const fn is_by_srv(&self) -> bool {
        matches!(self, Self::Tcp { by_srv: true, .. })
    }

    /// The address when no SRV record says otherwise: the host itself, at the port of the scheme.
    #[must_use]
    pub fn without_srv(&self) -> Self {
        let mut plain = self.clone();
        if let Self::Tcp { by_srv, .. } = &mut plain {
            *by_srv = false;
        }
        plain
    }

    /// The address at the host and port of an SRV record; none if they are none that a URL can name,
    /// such as the root that stands for "no such service".
    #[must_use]
    pub fn moved_to(&self, host: &str, port: u16) -> Option<Self> {
        let Self::Tcp { https, prefix, .. } = self else {
            return None;
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        // A name on the wire may hold any byte, and some would be read as another part of the URL.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if port == 0 || host.is_empty() || !host.chars().all(is_plain) {
            return None;
        }
        Some(Self::Tcp {
            https: *https,
            host: Host::parse(host).ok()?.to_string(),
            port,
            prefix: prefix.clone(),
            by_srv: false,
        })
    }

    /// Host and port, or the path of the socket: what a message shows. Without the port where that is
    /// up to SRV records.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Tcp {
                host, by_srv: true, ..
            } => host.clone(),
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

    /// Whether both name the same server as written, whatever stands before `/v1/` and SRV records say.
    #[must_use]
    pub fn same_server(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Tcp {
                    https,
                    host,
                    port,
                    prefix: _,
                    by_srv: _,
                },
                Self::Tcp {
                    https: https2,
                    host: host2,
                    port: port2,
                    prefix: _,
                    by_srv: _,
                },
            ) => https == https2 && host == host2 && port == port2,
            _ => self == other,
        }
    }
}

/// Whether a host is a name of which DNS knows more than the machine does.
fn is_name(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name.trim_end_matches('.') != "localhost",
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => false,
    }
}

/// Whether a port was written, be it the scheme's own, which `Url` forgets. A bare colon is none, as in Go.
fn names_port(text: &str, url: &Url) -> bool {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '\\', '?', '#']).next();
    let port = authority.and_then(|authority| authority.rsplit_once(':'));
    url.port().is_some() || port.is_some_and(|(_, port)| !port.is_empty())
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
            // Read again in the same way it is the same address: so it is kept over restarts.
            Self::Tcp { https, prefix, .. } => {
                let scheme = if *https { "https" } else { "http" };
                write!(f, "{scheme}://{}{prefix}", self.place())
            }
            Self::Unix(path) => write!(f, "unix://{path}"),
        }
    }
}

#[cfg(test)]
mod tests;
