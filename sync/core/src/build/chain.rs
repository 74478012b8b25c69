//! Which certificate of a bundle goes where, once its private key is known.

use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::private_key::PrivateKey;

/// Longer chains are refused by clients (OpenSSL follows 100, browsers about 10); each step costs a search.
const MAX_LENGTH: usize = 20;

/// A certificate and the text it is written as.
pub(super) struct Pem {
    pub(super) der: Vec<u8>,
    pub(super) text: Vec<u8>,
}

/// The texts for `tls.crt` and `ca.crt`.
pub(super) struct Arranged {
    pub(super) crt: Vec<u8>,
    pub(super) root: Option<Vec<u8>>,
}

/// Why there is no chain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChainFault {
    #[error("a certificate in it does not parse")]
    Certificate,
    #[error("the private key in it {0}")]
    Key(crate::private_key::KeyFault),
    #[error("the way from its certificate to a root takes more than {MAX_LENGTH} certificates")]
    TooLong,
    #[error("none of its certificates belongs to its private key")]
    NoLeaf,
}

/// The certificate of the key first, then the issuer of each, up to a root that is left out. What is not
/// on this way is left out too.
pub(super) fn arrange(pems: &[Pem], key_der: &Zeroizing<Vec<u8>>) -> Result<Arranged, ChainFault> {
    let key = PrivateKey::parse(key_der).map_err(ChainFault::Key)?;
    let mut rest: Vec<(Certificate<'_>, &Pem)> = Vec::new();
    for pem in pems {
        let certificate = Certificate::parse(&pem.der).map_err(|_| ChainFault::Certificate)?;
        if rest
            .iter()
            .all(|(known, _)| known.der() != certificate.der())
        {
            rest.push((certificate, pem));
        }
    }
    let leaf = rest
        .iter()
        .position(|(certificate, _)| key.belongs_to(&certificate.public_key()))
        .ok_or(ChainFault::NoLeaf)?;
    let mut way = vec![rest.remove(leaf)];
    let mut root = None;
    while let Some((last, _)) = way.last().filter(|(last, _)| !last.is_self_issued()) {
        let Some(at) = rest.iter().position(|(issuer, _)| last.issued_by(issuer)) else {
            break;
        };
        let (issuer, pem) = rest.remove(at);
        if issuer.is_self_issued() {
            root = Some(lines([pem]));
            break;
        }
        if way.len() == MAX_LENGTH {
            return Err(ChainFault::TooLong);
        }
        way.push((issuer, pem));
    }
    let crt = lines(way.iter().map(|(_, pem)| *pem));
    Ok(Arranged { crt, root })
}

/// Blocks with a line end behind each.
pub(super) fn lines<'p>(pems: impl IntoIterator<Item = &'p Pem>) -> Vec<u8> {
    let mut out = Vec::new();
    for pem in pems {
        out.extend_from_slice(pem.text.trim_ascii_end());
        out.push(b'\n');
    }
    out
}
