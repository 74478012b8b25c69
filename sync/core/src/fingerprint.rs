//! Keyed fingerprints of content: equal content of one Secret has an equal one, and nobody without the key
//! can test a guess against it.
//!
//! Where they are kept is decided elsewhere. No unkeyed digest of a value exists anywhere.

use std::fmt;

use ring::{digest, hmac};

/// Form of a fingerprint; upstream's controller writes `v1:`, which is no fingerprint of ours.
const FORM: &str = "c1";
const KEY_ID_BYTES: usize = 4;
const TAG_BYTES: usize = 32;
const SHORT_DIGITS: usize = 10;

/// The key of all fingerprints of a cluster. No Debug, on purpose:
///
/// ```compile_fail,E0277
/// let key = coffer_sync_core::fingerprint::Key::new(&[7; 32]);
/// println!("{key:?}");
/// ```
pub struct Key {
    id: [u8; KEY_ID_BYTES],
    key: hmac::Key,
}

/// `c1:<key id>:<hex>`: says nothing about the content to those without the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    key_id: [u8; KEY_ID_BYTES],
    tag: [u8; TAG_BYTES],
}

/// What two fingerprints say about their contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal contents.
    Same,
    /// Different contents.
    Different,
    /// Nothing: they are of different keys, one of which was lost.
    Unknown,
}

impl Key {
    /// The key from 32 random bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let id = hmac::sign(&key, b"coffer-sync key id");
        Self {
            id: start_of(id.as_ref()),
            key,
        }
    }

    /// The fingerprint of a Secret's type and data. Namespace and name go in, so equal values in two Secrets
    /// cannot be told by their fingerprints. `data` comes in the order of its keys.
    pub fn content<'a>(
        &self,
        namespace: &str,
        name: &str,
        type_: &str,
        data: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.key);
        let mut add = |part: &[u8]| {
            context.update(&length(part.len()));
            context.update(part);
        };
        add(namespace.as_bytes());
        add(name.as_bytes());
        add(type_.as_bytes());
        for (key, value) in data {
            add(key.as_bytes());
            add(value);
        }
        let tag = context.sign();
        Fingerprint {
            key_id: self.id,
            tag: start_of(tag.as_ref()),
        }
    }
}

impl Fingerprint {
    /// Reads one; none for every other form, which counts as no record.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (form, key_id, hex) = (parts.next()?, parts.next()?, parts.next()?);
        if form != FORM || parts.next().is_some() {
            return None;
        }
        Some(Self {
            key_id: bytes(key_id)?,
            tag: bytes(hex)?,
        })
    }

    /// Compares the contents behind two fingerprints.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Comparison {
        match (self.key_id == other.key_id, self.tag == other.tag) {
            (false, _) => Comparison::Unknown,
            (true, true) => Comparison::Same,
            (true, false) => Comparison::Different,
        }
    }

    /// The first ten digits, for names of versions and marks of restarts.
    #[must_use]
    pub fn short(&self) -> String {
        hex(&self.tag, SHORT_DIGITS)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key_id = hex(&self.key_id, 2 * KEY_ID_BYTES);
        write!(f, "{FORM}:{key_id}:{}", hex(&self.tag, 2 * TAG_BYTES))
    }
}

/// Ten digits that stand for the name of a Secret where the name itself may be too long. Names are public.
#[must_use]
pub fn short_name(name: &str) -> String {
    hex(
        digest::digest(&digest::SHA256, name.as_bytes()).as_ref(),
        SHORT_DIGITS,
    )
}

/// The length of a part, so that parts cannot be shifted against each other.
pub(crate) fn length(bytes: usize) -> [u8; 8] {
    (bytes as u64).to_be_bytes()
}

/// Whether the text can be what [`Fingerprint::short`] gives.
pub(crate) fn is_short(text: &str) -> bool {
    is_hex(text, SHORT_DIGITS)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What the digits stand for: lower-case ones only, and exactly so many.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if !is_hex(text, 2 * N) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The first bytes of a digest, which has more.
fn start_of<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut start = [0; N];
    for (byte, of_digest) in start.iter_mut().zip(digest) {
        *byte = *of_digest;
    }
    start
}

fn hex(bytes: &[u8], digits: usize) -> String {
    let all = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    all.take(digits)
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests;
