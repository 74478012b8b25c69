//! The certificate that a store shows: who issued it and when it ends.
//!
//! Looked at before it is trusted, on a connection that carries nothing; the verified connection is the
//! real client's. Only these two fields are read, so a DER reader of a few lines will do.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::problem::shown;
use coffer_provider_core::target::{Address, Target, Tls};
use jiff::Timestamp;
use rustls::ClientConnection;
use rustls_pki_types::ServerName;

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
    } = &target.address
    else {
        return None;
    };
    let host = host.trim_matches(['[', ']']).to_owned();
    // No client certificate: who is there is not known yet.
    let anybody = Tls {
        skip_verify: true,
        ..Tls::default()
    };
    let config = tls::load(&anybody, &[]).ok()?;
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

const INTEGER: u8 = 0x02;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
/// 2.5.4.3 and 2.5.4.10: common name and organisation.
const NAMES: [[u8; 3]; 2] = [[0x55, 0x04, 0x03], [0x55, 0x04, 0x0a]];

/// RFC 5280, 4.1: Certificate { tbs { [0] version, serial, algorithm, issuer, validity, … } … }.
fn read(der: &[u8]) -> Option<Certificate> {
    let (mut certificate, _) = value(der, SEQUENCE)?;
    let mut tbs = take(&mut certificate, SEQUENCE)?;
    if tbs.first() == Some(&VERSION) {
        take(&mut tbs, VERSION)?;
    }
    take(&mut tbs, INTEGER)?;
    take(&mut tbs, SEQUENCE)?;
    let issuer = take(&mut tbs, SEQUENCE)?;
    let mut validity = take(&mut tbs, SEQUENCE)?;
    let _begins = element(&mut validity)?;
    let (_, ends) = element(&mut validity)?;
    Some(Certificate {
        issuer: name(issuer).unwrap_or_else(|| "a nameless authority".to_owned()),
        ends: time(std::str::from_utf8(ends).ok()?)?,
    })
}

/// The common name, else the organisation.
fn name(issuer: &[u8]) -> Option<String> {
    NAMES.iter().find_map(|wanted| {
        let mut rest = issuer;
        while let Some(mut set) = take(&mut rest, SET) {
            let mut pair = take(&mut set, SEQUENCE)?;
            if take(&mut pair, OBJECT_ID)? == wanted {
                let (_, text) = element(&mut pair)?;
                return Some(String::from_utf8_lossy(text).into_owned());
            }
        }
        None
    })
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` after.
fn time(text: &str) -> Option<Timestamp> {
    let century = match (text.len(), text.get(..2)?) {
        (15, _) => "",
        (13, year) if year < "50" => "20",
        (13, _) => "19",
        _ => return None,
    };
    let whole = format!("{century}{text}");
    let (date, clock) = whole.strip_suffix('Z')?.split_at_checked(8)?;
    format!("{date}T{clock}Z").parse().ok()
}

/// The next element if it has this tag, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let mut rest = der;
    let (found, content) = element(&mut rest)?;
    (found == tag).then_some((content, rest))
}

fn take<'a>(der: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (content, rest) = value(der, tag)?;
    *der = rest;
    Some(content)
}

/// Tag and content of the next element.
fn element<'a>(der: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (bytes, after) = rest.split_at_checked(length - 0x80)?;
        if bytes.len() > 3 {
            return None;
        }
        length = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    *der = after;
    Some((*tag, content))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair, date_time_ymd};

    use super::{Certificate, Timestamp, read, time};

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
        for text in [
            "",
            "2601010000",
            "26010100000Z0",
            "261301000000Z",
            "é2601010000Z",
        ] {
            assert_eq!(time(text), None, "{text}");
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
