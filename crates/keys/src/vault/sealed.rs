//! A sealed value as it is stored.

use std::fmt;

use aws_lc_rs::{aead::NONCE_LEN, digest};
use zeroize::Zeroizing;

/// Layout of a sealed value: version, key id, nonce, ciphertext and tag.
pub(super) const VERSION: u8 = 1;
/// The version of a session key that WeChat no longer accepts. Only what the person's phone encrypted before is decrypted with it.
const STALE: u8 = 2;
pub(super) const KEY_ID_LEN: usize = 4;
pub(super) const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// A secret that can only be opened with the vault key, and only for one person or app.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub(super) Vec<u8>);

impl Sealed {
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Of the vault key that sealed it; `None` for a layout that this version does not know.
    pub(super) fn key_id(&self) -> Option<KeyId> {
        let (version, rest) = self.0.split_first()?;
        rest.first_chunk().filter(|_| [VERSION, STALE].contains(version)).copied().map(KeyId)
    }

    /// Whether WeChat has refused this session key.
    pub fn is_stale(&self) -> bool {
        self.0.first() == Some(&STALE)
    }

    /// The same session key, marked as one that WeChat has refused.
    pub fn stale(&self) -> Self {
        let mut marked = self.clone();
        marked.0.iter_mut().take(1).for_each(|version| *version = STALE);
        marked
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Identifies a vault key without revealing it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId(pub(super) [u8; KEY_ID_LEN]);

impl KeyId {
    pub(super) fn of(key: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, &Zeroizing::new([b"wxmint vault key id", key].concat()));
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&hash.as_ref()[..KEY_ID_LEN]);
        Self(id)
    }
}
