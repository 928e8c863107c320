//! The signing keys: sets of private JWKs, and the rules for which key signs when.
//!
//! The state of a key follows from the set and the clock alone, so all replicas agree without talking to each other. A
//! key is **published** before its `nbf`, **signing** while its `nbf` is the latest one that is not in the future,
//! **retired** until its `exp`, and then gone. This module knows nothing of HTTP servers, Redis or WeChat.

mod private_jwk;
pub(crate) mod provider;
mod ring;
pub mod rotation;
mod set;
mod signing_key;
mod stored;
#[cfg(test)]
mod vectors;

pub use private_jwk::PrivateJwk;
pub use ring::{KeyRing, Ring};
pub use set::KeySet;
pub use signing_key::SigningKey;
pub use stored::{EndedKey, StoredKeys};
