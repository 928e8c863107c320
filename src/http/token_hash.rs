//! The hashes by which verified tokens are found again.

use aws_lc_rs::{hmac, rand::SystemRandom};

use crate::verify::KeyError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

/// HMAC-SHA-256 under a key of this process, so that nobody outside can construct tokens whose hashes collide.
pub struct TokenHasher(hmac::Key);

impl TokenHasher {
    /// With a new random key.
    pub fn new() -> Result<Self, KeyError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        key.map(Self).map_err(|_| KeyError::Crypto("draw a key for remembering tokens"))
    }

    /// The hash of parts, each with its length, as else a byte could go over from one part to the next. It reveals nothing about
    /// them without the key.
    pub fn hash(&self, parts: &[&[u8]]) -> TokenHash {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        TokenHash(hash)
    }
}
