//! Tokens whose signature was checked before, by their digest: the same one comes at every republish.
//!
//! Only what they claim is kept, never a token. Time, audience and subject are judged at each use.

use std::collections::HashMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::Claims;

/// The most tokens that are known. A node runs some hundred pods; one more means that all are checked
/// again once.
const MOST: usize = 4096;

/// SHA-256 of a token.
pub(crate) type Digest = [u8; 32];

/// What checked tokens claim.
#[derive(Default)]
pub(super) struct Seen(HashMap<Digest, Arc<Claims>>);

impl Seen {
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Claims>> {
        self.0.get(digest).cloned()
    }

    pub(super) fn put(&mut self, digest: Digest, claims: Arc<Claims>) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(digest, claims);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The digest of a token. Finding another one with the same digest is as hard as forging a signature.
pub(crate) fn digest(token: &SecretString) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.expose_secret().as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}
