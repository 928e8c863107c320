//! A sealed value as it is stored.

use std::array;

use aws_lc_rs::{aead::NONCE_LEN, digest};
use wxmint_ids::unprintable;
use zeroize::Zeroizing;

/// Layout of a sealed value: form, key id, nonce, ciphertext and tag. The form says how the secret is written: as it
/// is, or as the bytes of which it is the base64. Every session key is; each person has two, and 16 bytes are less than
/// 24.
pub(super) const TEXT: u8 = 1;
pub(super) const BASE64: u8 = 2;
/// Added to the form of a session key that WeChat no longer accepts. Only what the person's phone encrypted before is
/// decrypted with it.
const STALE: u8 = 0x80;
/// So much of the id is in a sealed value. It finds the key at once, unless two of 65,536 are alike.
pub(super) const MARK_LEN: usize = 2;
pub(super) const HEADER_LEN: usize = 1 + MARK_LEN + NONCE_LEN;

/// A secret that can only be opened with the vault key, and only for one person or app.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub(super) Vec<u8>);
unprintable!(Sealed);

impl Sealed {
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Stands in for the session key of an app that has none, where logins are counted by their session keys.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }

    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the same secret of the same owner was sealed. The scripts of the store compare the same bytes.
    #[cfg(test)]
    pub fn is_same_secret(&self, other: &Self) -> bool {
        let nonce = self.0.get(1 + MARK_LEN..HEADER_LEN);
        nonce.is_some() && nonce == other.0.get(1 + MARK_LEN..HEADER_LEN)
    }

    pub(super) fn form(&self) -> Option<u8> {
        Some(self.0.first()? & !STALE)
    }

    /// Whether the vault key of this id may have sealed it.
    pub(super) fn is_under(&self, id: KeyId) -> bool {
        self.0.get(1..=MARK_LEN) == id.get(..MARK_LEN)
    }

    /// Whether WeChat has refused this session key.
    pub fn is_stale(&self) -> bool {
        self.0.first().is_some_and(|form| form & STALE != 0)
    }

    /// The same session key, marked as one that WeChat has refused.
    pub fn stale(&self) -> Self {
        let mut marked = self.clone();
        marked.0.iter_mut().take(1).for_each(|form| *form |= STALE);
        marked
    }
}

/// Identifies a vault key without revealing it.
pub(super) type KeyId = [u8; 4];

pub(super) fn key_id(key: &[u8]) -> KeyId {
    let hash = digest::digest(&digest::SHA256, &Zeroizing::new([b"wxmint vault key id", key].concat()));
    array::from_fn(|index| hash.as_ref()[index])
}
