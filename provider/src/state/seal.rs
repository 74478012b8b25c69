//! Seals bytes with a key that is derived from the version key: AES-256-GCM, a new salt each time.
//!
//! Layout: magic and version (the associated data), salt, nonce, ciphertext with tag. What is inside is
//! not known here.

use coffer_provider_core::version::VersionKey;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// What every such file begins with, whatever its version.
const MAGIC: &[u8; 8] = b"COFFERLS";

/// The version of layout and contents.
const VERSION: u8 = 1;

const HEAD: usize = MAGIC.len() + 1;
const SALT: usize = 32;

/// How much longer sealed bytes are.
pub(super) const OVERHEAD: usize = HEAD + SALT + NONCE_LEN + 16;

/// Separates the key from others that may be derived from the version key.
const PURPOSE: &[u8] = b"coffer issued state 1";

/// Why sealed bytes cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// Too short, or another beginning.
    #[error("is no such file")]
    Foreign,
    /// Written by a newer program.
    #[error("has version {0}, which is too new")]
    Version(u8),
    /// Cut, changed, or sealed with another key.
    #[error("is damaged or was sealed with another version key")]
    Damaged,
}

/// Seals; none only if the system gives no randomness or the library fails.
pub(super) fn seal(key: &VersionKey, plain: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
    sealed.extend_from_slice(MAGIC);
    sealed.push(VERSION);
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE_LEN]);
    let random = SystemRandom::new();
    random.fill(&mut salt).ok()?;
    random.fill(&mut nonce).ok()?;
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(&nonce);
    let mut body = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
    body.extend_from_slice(plain);
    let (nonce, head) = (
        Nonce::assume_unique_for_key(nonce),
        Aad::from(head(VERSION)),
    );
    aead(key, &salt)?
        .seal_in_place_append_tag(nonce, head, &mut *body)
        .ok()?;
    sealed.extend_from_slice(&body);
    Some(sealed)
}

/// Opens what [`seal`] made.
pub(super) fn open(key: &VersionKey, sealed: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
    let mut sealed = Zeroizing::new(sealed);
    let rest = sealed.strip_prefix(MAGIC).ok_or(Unsealable::Foreign)?;
    let version = *rest.first().ok_or(Unsealable::Foreign)?;
    if version != VERSION {
        return Err(Unsealable::Version(version));
    }
    if sealed.len() < OVERHEAD {
        return Err(Unsealable::Damaged);
    }
    let (before, body) = sealed.split_at_mut(HEAD + SALT + NONCE_LEN);
    let (salt, nonce) = before[HEAD..].split_at(SALT);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable::Damaged)?;
    let plain = aead(key, salt)
        .ok_or(Unsealable::Damaged)?
        .open_in_place(nonce, Aad::from(head(version)), body)
        .map_err(|_| Unsealable::Damaged)?
        .len();
    let start = HEAD + SALT + NONCE_LEN;
    Ok(Zeroizing::new(sealed[start..start + plain].to_vec()))
}

fn head(version: u8) -> [u8; HEAD] {
    let mut head = [version; HEAD];
    head[..MAGIC.len()].copy_from_slice(MAGIC);
    head
}

fn aead(key: &VersionKey, salt: &[u8]) -> Option<LessSafeKey> {
    let derived = key.derive(salt, PURPOSE)?;
    let key = UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?;
    Some(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use coffer_provider_core::version::VersionKey;
    use proptest::prelude::*;

    use super::{HEAD, MAGIC, OVERHEAD, Unsealable, VERSION, open, seal};

    fn key(byte: u8) -> VersionKey {
        VersionKey::new(vec![byte; 32]).unwrap()
    }

    fn refusal(key: &VersionKey, sealed: Vec<u8>) -> Unsealable {
        open(key, sealed).map(|_| ()).unwrap_err()
    }

    #[test]
    fn a_byte_changed_anywhere_is_refused() {
        let sealed = seal(&key(1), b"made-up secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let expected = match at {
                _ if at < MAGIC.len() => Unsealable::Foreign,
                _ if at < HEAD => Unsealable::Version(VERSION ^ 1),
                _ => Unsealable::Damaged,
            };
            assert_eq!(refusal(&key(1), changed), expected, "byte {at}");
        }
    }

    #[test]
    fn a_cut_file_a_foreign_one_another_key_and_a_future_version_are_refused() {
        let sealed = seal(&key(1), b"made-up secret").unwrap();
        for length in 0..sealed.len() {
            let refused = refusal(&key(1), sealed[..length].to_vec());
            let expected = if length < HEAD {
                Unsealable::Foreign
            } else {
                Unsealable::Damaged
            };
            assert_eq!(refused, expected, "{length} bytes");
        }
        assert_eq!(refusal(&key(2), sealed.clone()), Unsealable::Damaged);
        assert_eq!(refusal(&key(1), vec![b'x'; 200]), Unsealable::Foreign);
        let mut future = sealed;
        future[HEAD - 1] = 2;
        assert_eq!(refusal(&key(1), future), Unsealable::Version(2));
    }

    #[test]
    fn nothing_of_the_secret_is_readable_and_no_two_files_are_equal() {
        let plain = b"made-up secret".repeat(10);
        let (one, two) = (
            seal(&key(1), &plain).unwrap(),
            seal(&key(1), &plain).unwrap(),
        );
        assert!(one[HEAD..] != two[HEAD..]);
        assert!(!one.windows(6).any(|bytes| bytes == b"secret"));
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened(plain in proptest::collection::vec(any::<u8>(), 0..2000), byte: u8) {
            let sealed = seal(&key(byte), &plain).unwrap();
            prop_assert_eq!(sealed.len(), plain.len() + OVERHEAD);
            prop_assert!(*open(&key(byte), sealed).unwrap() == plain);
        }
    }
}
