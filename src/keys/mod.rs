//! The signing keys: JWK sets, and which key signs when.
//!
//! States follow from the set and the clock alone, so that all replicas agree without speaking: a key is
//! **published** before its `nbf`, **signing** while it has the greatest `nbf` not after now, **retired** until its
//! `exp`, and then gone. Knows nothing of HTTP servers, Redis or WeChat.

mod document;
mod private_jwk;
pub(crate) mod provider;
mod ring;
pub mod rotation;
mod set;
mod signing_key;
mod stored;
#[cfg(test)]
mod vectors;

pub use document::JwksDocument;
pub use private_jwk::PrivateJwk;
pub use ring::{KeyRing, PreparedKey, Ring};
pub use set::KeySet;
pub use signing_key::SigningKey;
pub use stored::StoredKeys;
