//! Bytes that never reach a log: values of Secrets and what they are built from.
//!
//! The type must never gain Debug or Display.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The data of a Secret: keys as they were given, legal or not, and the bytes under them.
pub type Data = BTreeMap<String, SecretBytes>;

/// Secret bytes, shared without copying and wiped when the last owner drops them.
///
/// There is no way to print them by accident:
///
/// ```compile_fail,E0277
/// let secret = coffer_sync_core::bytes::SecretBytes::new(b"hunter2".to_vec());
/// println!("{secret:?}");
/// ```
///
/// ```compile_fail,E0277
/// let secret = coffer_sync_core::bytes::SecretBytes::new(b"hunter2".to_vec());
/// println!("{secret}");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Arc<Zeroizing<Vec<u8>>>);

impl SecretBytes {
    /// Takes the bytes over; they are not copied.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The bytes themselves. Every call site is a place where a secret leaves its wrapper.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

/// Mappings and bodies read values by it.
impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        self.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::SecretBytes;

    #[test]
    fn clones_share_the_bytes() {
        let first = SecretBytes::new(b"made-up".to_vec());
        let second = first.clone();
        assert_eq!(first.expose().as_ptr(), second.expose().as_ptr());
        assert!(first == second);
        assert_eq!((first.len(), first.is_empty()), (7, false));
    }
}
