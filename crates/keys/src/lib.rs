//! The keys of wxmint: [signing keys](KeySet) and their [rotation], the [tokens](token) that they
//! sign, and the [vault] that encrypts secrets in Redis.
//!
//! The state of a signing key follows from the set and the clock alone, so all replicas agree
//! without talking to each other, as far as their clocks agree. A key is **published** before its
//! `nbf`, **signing** while its `nbf` is the latest one that is not in the future, **retired**
//! until its `exp`, and then gone.

mod private_jwk;
pub mod rotation;
mod set;
mod signing;
mod signing_key;
mod stored;
pub mod token;
pub mod vault;
#[cfg(test)]
mod vectors;

pub use private_jwk::{PrivateJwk, SIGNED_WITH};
pub use set::KeySet;
pub use signing::KeyRing;
pub use signing_key::SigningKey;
pub use stored::{RevokedKey, StoredKeys};
pub use wxmint_verify::KeyError;
use zeroize::Zeroizing;

/// Random bytes of the operating system. If it has none, AWS-LC's `RAND_bytes` aborts the process.
pub fn random<const LENGTH: usize>() -> Zeroizing<[u8; LENGTH]> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    aws_lc_rs::rand::fill(&mut *bytes).expect("the process would have ended");
    bytes
}
