//! Private keys in DER: PKCS#1, PKCS#8 and SEC1, as far as Go reads them, and the public keys they have.
//!
//! Keys are looked at, never written: a builder hands on the bytes it got.

use p256::elliptic_curve::sec1::ToSec1Point;
use ring::signature::{Ed25519KeyPair, KeyPair, RsaKeyPair};
use x509_parser::asn1_rs::{Any, FromDer, Oid};
use zeroize::Zeroizing;

use crate::certificate::{PublicKey, bits, strip};

/// A curve of the TLS standard that Go knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P224,
    P256,
    P384,
    P521,
}

/// A private key within the bytes it was read from. No Debug.
pub(crate) enum PrivateKey<'d> {
    Rsa {
        modulus: &'d [u8],
        exponent: &'d [u8],
    },
    Ec {
        curve: Curve,
        scalar: &'d [u8],
        point: Option<&'d [u8]>,
    },
    Ed25519 {
        seed: &'d [u8],
    },
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error("is neither PKCS#1, PKCS#8 nor SEC1")]
    Unreadable,
    #[error("is damaged: its numbers do not fit together")]
    Damaged,
    #[error("is a DSA key")]
    Dsa,
    #[error("has an algorithm other than RSA, ECDSA and Ed25519")]
    Algorithm,
    #[error("is for an elliptic curve other than P-224, P-256, P-384 and P-521")]
    Curve,
}

impl Curve {
    /// The curve of an object identifier.
    pub(crate) fn of(oid: &str) -> Option<Self> {
        match oid {
            "1.3.132.0.33" => Some(Self::P224),
            "1.2.840.10045.3.1.7" => Some(Self::P256),
            "1.3.132.0.34" => Some(Self::P384),
            "1.3.132.0.35" => Some(Self::P521),
            _ => None,
        }
    }

    /// How many bytes a coordinate has.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::P224 => 28,
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl<'d> PrivateKey<'d> {
    /// Reads a key in whichever of the three forms it is.
    pub(crate) fn parse(der: &'d [u8]) -> Result<Self, KeyFault> {
        let mut fields = Fields::at_start(der).ok_or(KeyFault::Unreadable)?;
        let version = fields.take(INTEGER).ok_or(KeyFault::Unreadable)?;
        match fields.next_tag() {
            Some(SEQUENCE) => pkcs8(fields),
            Some(OCTETS) if version == [1] => sec1(fields, None),
            Some(INTEGER) => pkcs1(der),
            _ => Err(KeyFault::Unreadable),
        }
    }

    /// How many bits an RSA key has.
    pub(crate) fn rsa_bits(&self) -> Option<usize> {
        match self {
            Self::Rsa { modulus, .. } => Some(bits(modulus)),
            Self::Ec { .. } | Self::Ed25519 { .. } => None,
        }
    }

    /// Whether a certificate for this public key goes with the private key. A P-224 key that does not
    /// say its own public half goes with none.
    pub(crate) fn belongs_to(&self, public: &PublicKey) -> bool {
        match (self, public) {
            (Self::Rsa { modulus, exponent }, PublicKey::Rsa(n, e)) => {
                strip(modulus) == n && strip(exponent) == e
            }
            (
                Self::Ec {
                    curve,
                    scalar,
                    point,
                },
                PublicKey::Ec(other, wanted),
            ) => {
                let own = public_point(*curve, scalar).or_else(|| point.map(<[u8]>::to_vec));
                curve == other && own.is_some_and(|own| own == *wanted)
            }
            (Self::Ed25519 { seed }, PublicKey::Ed25519(wanted)) => {
                Ed25519KeyPair::from_seed_unchecked(seed)
                    .is_ok_and(|pair| pair.public_key().as_ref() == wanted)
            }
            _ => false,
        }
    }
}

/// The uncompressed point that belongs to a scalar. Go computes it too, whatever the key says itself.
fn public_point(curve: Curve, scalar: &[u8]) -> Option<Vec<u8>> {
    let digits = strip(scalar);
    let missing = curve.bytes().checked_sub(digits.len())?;
    let padded = Zeroizing::new([&vec![0; missing], digits].concat());
    let point = match curve {
        Curve::P224 => return None,
        Curve::P256 => p256::SecretKey::from_slice(&padded)
            .ok()?
            .public_key()
            .to_sec1_point(false)
            .as_bytes()
            .to_vec(),
        Curve::P384 => p384::SecretKey::from_slice(&padded)
            .ok()?
            .public_key()
            .to_sec1_point(false)
            .as_bytes()
            .to_vec(),
        Curve::P521 => p521::SecretKey::from_slice(&padded)
            .ok()?
            .public_key()
            .to_sec1_point(false)
            .as_bytes()
            .to_vec(),
    };
    Some(point)
}

fn pkcs1(der: &[u8]) -> Result<PrivateKey<'_>, KeyFault> {
    let mut fields = Fields::of(der).ok_or(KeyFault::Unreadable)?;
    fields.take(INTEGER).ok_or(KeyFault::Unreadable)?;
    let mut numbers = Vec::new();
    while let Some(number) = fields.take(INTEGER) {
        numbers.push(number);
    }
    match numbers.as_slice() {
        [_, _, _, _, _, _, _, _] if is_damaged(der) => Err(KeyFault::Damaged),
        [modulus, exponent, _, _, _, _, _, _] => Ok(PrivateKey::Rsa { modulus, exponent }),
        // p, q, g, public, private: the old form of DSA.
        [_, _, _, _, _] => Err(KeyFault::Dsa),
        _ => Err(KeyFault::Unreadable),
    }
}

/// Whether the primes of an RSA key belong to its modulus and exponents. Of sizes that ring does not take
/// nothing is claimed.
fn is_damaged(pkcs1: &[u8]) -> bool {
    let reasons = ["InconsistentComponents", "InvalidComponent"];
    RsaKeyPair::from_der(pkcs1)
        .is_err_and(|rejected| reasons.contains(&rejected.to_string().as_str()))
}

fn pkcs8(mut fields: Fields<'_>) -> Result<PrivateKey<'_>, KeyFault> {
    let mut algorithm = Fields(fields.take(SEQUENCE).ok_or(KeyFault::Unreadable)?);
    let key = fields.take(OCTETS).ok_or(KeyFault::Unreadable)?;
    match algorithm.oid().as_deref() {
        Some("1.2.840.113549.1.1.1") => pkcs1(key),
        Some("1.2.840.10045.2.1") => {
            let curve = algorithm.oid();
            let mut inner = Fields::at_start(key).ok_or(KeyFault::Unreadable)?;
            inner.take(INTEGER).ok_or(KeyFault::Unreadable)?;
            sec1(inner, curve)
        }
        Some("1.3.101.112") => match Fields(key).take(OCTETS) {
            Some(seed) if seed.len() == 32 => Ok(PrivateKey::Ed25519 { seed }),
            _ => Err(KeyFault::Unreadable),
        },
        Some("1.2.840.10040.4.1") => Err(KeyFault::Dsa),
        Some(_) => Err(KeyFault::Algorithm),
        None => Err(KeyFault::Unreadable),
    }
}

/// The fields behind the version. The curve stands outside in PKCS#8, inside otherwise.
fn sec1(mut fields: Fields<'_>, curve: Option<String>) -> Result<PrivateKey<'_>, KeyFault> {
    let scalar = fields.take(OCTETS).ok_or(KeyFault::Unreadable)?;
    let named = fields
        .take(PARAMETERS)
        .and_then(|inner| Fields(inner).oid());
    let oid = curve.or(named).ok_or(KeyFault::Curve)?;
    let curve = Curve::of(&oid).ok_or(KeyFault::Curve)?;
    // The first byte of a bit string counts its unused bits.
    let public = fields
        .take(PUBLIC_KEY)
        .and_then(|inner| Fields(inner).take(BITS));
    let point = public.and_then(|bits| bits.get(1..));
    Ok(PrivateKey::Ec {
        curve,
        scalar,
        point,
    })
}

/// Identifier octets of DER.
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const PARAMETERS: u8 = 0xa0;
const PUBLIC_KEY: u8 = 0xa1;

/// The fields of a sequence that were not taken yet.
struct Fields<'d>(&'d [u8]);

impl<'d> Fields<'d> {
    /// The fields of the sequence that these bytes are, the whole of them.
    fn of(der: &'d [u8]) -> Option<Self> {
        let mut outer = Self(der);
        let fields = outer.take(SEQUENCE)?;
        outer.0.is_empty().then_some(Self(fields))
    }

    /// The fields of the sequence that these bytes start with. Go passes over what follows PKCS#8 and SEC1, and
    /// refuses it behind PKCS#1 (`crypto/x509/pkcs8.go`, `sec1.go`, `pkcs1.go`).
    fn at_start(der: &'d [u8]) -> Option<Self> {
        Self(der).take(SEQUENCE).map(Self)
    }

    fn next_tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The content of the next field, if it has this identifier.
    fn take(&mut self, identifier: u8) -> Option<&'d [u8]> {
        if self.next_tag()? != identifier {
            return None;
        }
        let (rest, field) = Any::from_der(self.0).ok()?;
        self.0 = rest;
        Some(field.data)
    }

    fn oid(&mut self) -> Option<String> {
        self.take(OID)
            .map(|content| Oid::new(content.into()).to_id_string())
    }
}
