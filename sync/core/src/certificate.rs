//! What a certificate says, as far as checks and builders ask: dates, keys, who signed it.
//!
//! Whether anybody trusts it is not decided here.

use jiff::Timestamp;
use x509_parser::der_parser::oid::Oid;
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::private_key::Curve;

/// A certificate that Go would parse too.
pub(crate) struct Certificate<'d> {
    der: &'d [u8],
    x509: X509Certificate<'d>,
}

/// The key that a certificate speaks for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// Modulus and exponent, without leading zeros.
    Rsa(Vec<u8>, Vec<u8>),
    /// The point, uncompressed.
    Ec(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
    /// Anything that a TLS server in Go cannot use.
    Other,
}

/// Why a certificate is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateFault {
    #[error("does not parse as X.509")]
    Malformed,
    #[error("is for an elliptic curve other than P-224, P-256, P-384 and P-521")]
    Curve,
}

impl<'d> Certificate<'d> {
    pub(crate) fn parse(der: &'d [u8]) -> Result<Self, CertificateFault> {
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|_| CertificateFault::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateFault::Malformed);
        }
        let certificate = Self { der, x509 };
        let is_ec = matches!(certificate.x509.public_key().parsed(), Ok(Parsed::EC(_)));
        if is_ec && certificate.public_key() == PublicKey::Other {
            return Err(CertificateFault::Curve);
        }
        Ok(certificate)
    }

    pub(crate) fn der(&self) -> &'d [u8] {
        self.der
    }

    /// From when to when it holds. Years beyond what can be represented are the last that can.
    pub(crate) fn validity(&self) -> (Timestamp, Timestamp) {
        let validity = self.x509.validity();
        (
            timestamp(validity.not_before),
            timestamp(validity.not_after),
        )
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        let info = self.x509.public_key();
        match info.parsed() {
            Ok(Parsed::RSA(key)) => {
                PublicKey::Rsa(strip(key.modulus).to_vec(), strip(key.exponent).to_vec())
            }
            Ok(Parsed::EC(point)) => curve(info)
                .filter(|curve| point.data().len() == 2 * curve.bytes() + 1)
                .map_or(PublicKey::Other, |curve| {
                    PublicKey::Ec(curve, point.data().to_vec())
                }),
            _ if info.algorithm.algorithm.to_id_string() == "1.3.101.112" => {
                PublicKey::Ed25519(info.subject_public_key.data.to_vec())
            }
            _ => PublicKey::Other,
        }
    }

    /// Whether this one was signed by that one: names, key identifiers where both have them, and the
    /// signature where its algorithm can be verified.
    pub(crate) fn issued_by(&self, other: &Self) -> bool {
        self.x509.issuer().as_raw() == other.x509.subject().as_raw()
            && self.key_identifiers_agree(other)
            && !self.signature_is_wrong(other)
    }

    fn key_identifiers_agree(&self, other: &Self) -> bool {
        use x509_parser::extensions::ParsedExtension;
        let wanted = self
            .x509
            .extensions()
            .iter()
            .find_map(|e| match e.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
                _ => None,
            });
        let had = other
            .x509
            .extensions()
            .iter()
            .find_map(|e| match e.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id),
                _ => None,
            });
        wanted
            .zip(had)
            .is_none_or(|(wanted, had)| wanted.0 == had.0)
    }

    fn signature_is_wrong(&self, other: &Self) -> bool {
        // ring refuses other keys and calls that a wrong signature.
        let verifiable = match other.public_key() {
            PublicKey::Rsa(modulus, _) => (256..=1024).contains(&modulus.len()),
            PublicKey::Ec(curve, _) => matches!(curve, Curve::P256 | Curve::P384),
            PublicKey::Ed25519(_) => true,
            PublicKey::Other => false,
        };
        let verified = self.x509.verify_signature(Some(other.x509.public_key()));
        verifiable && matches!(verified, Err(X509Error::SignatureVerificationError))
    }

    /// Issuer and subject are the same.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.x509.issuer().as_raw() == self.x509.subject().as_raw()
    }

    pub(crate) fn is_ca(&self) -> bool {
        self.x509.is_ca()
    }

    pub(crate) fn has_san(&self) -> bool {
        matches!(self.x509.subject_alternative_name(), Ok(Some(_)))
    }

    /// Each weakness that clients refuse by now.
    pub(crate) fn weaknesses(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Ok(Parsed::RSA(key)) = self.x509.public_key().parsed() {
            let bits = bits(key.modulus);
            if bits < 2048 {
                found.push(format!("an RSA key of {bits} bits"));
            }
        }
        let signature = self.x509.signature_algorithm.algorithm.to_id_string();
        found.extend(old_digest(&signature).map(|digest| format!("a signature over {digest}")));
        if self.x509.version() == X509Version::V1 {
            found.push("X.509 version 1".to_owned());
        }
        found
    }
}

/// The digest behind a signature algorithm that clients refuse.
fn old_digest(oid: &str) -> Option<&'static str> {
    match oid {
        "1.2.840.113549.1.1.4" => Some("MD5"),
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("SHA-1"),
        _ => None,
    }
}

fn curve(info: &SubjectPublicKeyInfo<'_>) -> Option<Curve> {
    let oid: Oid<'_> = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
    Curve::of(&oid.to_id_string())
}

fn timestamp(time: ASN1Time) -> Timestamp {
    let seconds = time.timestamp();
    let beyond = if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_second(seconds).unwrap_or(beyond)
}

/// A whole number without leading zeros.
pub(crate) fn strip(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0);
    start.map_or(&[], |start| &number[start..])
}

/// How many bits a whole number has.
pub(crate) fn bits(number: &[u8]) -> usize {
    let number = strip(number);
    let leading = number
        .first()
        .map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - leading
}
