//! The certificate that a store shows: who issued it and when it ends.
//!
//! Looked at before it is trusted, on a connection that carries nothing; the verified connection is the
//! real client's.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::problem::shown;
use coffer_provider_core::target::{Address, Target, Tls};
use jiff::Timestamp;
use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Name;

use crate::vault::tls;

/// How long the look may wait at each step; the real client has its own limits.
const PATIENCE: Duration = Duration::from_secs(5);

/// When a certificate's end is near enough to be told.
const SOON: jiff::SignedDuration = jiff::SignedDuration::from_hours(14 * 24);

/// What is told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    issuer: String,
    pub(super) ends: Timestamp,
}

impl Certificate {
    /// For a sentence.
    pub(super) fn told(&self) -> String {
        format!(
            "certificate by \"{}\", ends {}",
            shown(&self.issuer),
            self.ends
        )
    }

    /// Whether it ends within two weeks.
    pub(super) fn ends_soon(&self, now: Timestamp) -> bool {
        self.ends.duration_since(now) < SOON
    }
}

/// Looks at the certificate of an https store; none when it cannot be had. Blocks.
pub(super) fn look(target: &Target) -> Option<Certificate> {
    let Address::Tcp {
        https: true,
        host,
        port,
        ..
    } = target.address.first()
    else {
        return None;
    };
    let host = host.trim_matches(['[', ']']).to_owned();
    // No client certificate: who is there is not known yet.
    let anybody = Tls {
        skip_verify: true,
        ..Tls::default()
    };
    let config = tls::load(&anybody, &[]).ok()?.config;
    let name = target
        .tls
        .server_name
        .clone()
        .unwrap_or_else(|| host.clone());
    let name = ServerName::try_from(name).ok()?;
    let shake = || -> io::Result<Option<Certificate>> {
        let mut stream = connect(&host, *port)?;
        let mut connection =
            ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let chain = connection.peer_certificates();
        Ok(chain.and_then(|chain| read(chain.first()?)))
    };
    shake().ok().flatten()
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    use std::net::ToSocketAddrs as _;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Issuer and end; none of what is no certificate.
fn read(der: &[u8]) -> Option<Certificate> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let ends = certificate.validity().not_after.timestamp();
    Some(Certificate {
        issuer: name(certificate.issuer()).unwrap_or_else(|| "a nameless authority".to_owned()),
        ends: Timestamp::from_second(ends).ok()?,
    })
}

/// The common name, else the organisation.
fn name(issuer: &X509Name<'_>) -> Option<String> {
    let mut names = issuer.iter_common_name().chain(issuer.iter_organization());
    names.find_map(|name| name.as_str().ok().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair, date_time_ymd};

    use super::{Certificate, Timestamp, read};

    #[test]
    fn issuer_and_end_are_read_from_a_certificate() {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name = rcgen::DistinguishedName::new();
        authority
            .distinguished_name
            .push(DnType::OrganizationName, "Org");
        authority
            .distinguished_name
            .push(DnType::CommonName, "Our authority");
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(authority, key);
        for (year, expected) in [
            (2040, "2040-02-03T00:00:00Z"),
            (2060, "2060-02-03T00:00:00Z"),
        ] {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 2, 3);
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            let read = read(certificate.der()).unwrap();
            assert_eq!(read.issuer, "Our authority");
            assert_eq!(read.ends.to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_certificate_is_nothing_and_no_panic() {
        let mut long = vec![0x30, 0x84];
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0xff, 0x01],
            &[0x30, 0x03, 0x30, 0x05, 0x00],
            &[0x30, 0x80],
        ] {
            assert_eq!(read(bytes), None, "{bytes:?}");
            long.extend(bytes);
            assert_eq!(read(&long), None);
        }
    }

    #[test]
    fn two_weeks_are_soon() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (ends, expected) in [
            ("2026-01-14T00:00:00Z", true),
            ("2026-01-16T00:00:00Z", false),
            ("2025-01-01T00:00:00Z", true),
        ] {
            let certificate = Certificate {
                issuer: String::new(),
                ends: ends.parse().unwrap(),
            };
            assert_eq!(certificate.ends_soon(now), expected, "{ends}");
        }
    }
}
