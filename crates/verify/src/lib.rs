//! Verifies the tokens of wxmint in a service of your own, without a request to the issuer for each
//! token.
//!
//! - [`Verifier`] verifies a token by an issuer's public keys ([`PublishedKeys`]) and a
//!   [`VerifierPolicy`]; [`bearer`] finds the token in a request's headers.
//! - [`revocations`] has the tokens that an issuer has revoked before they expire: after a logout, an
//!   unbinding, the block of a user, or the emergency retirement of a key.
//! - With the feature `fetch`, `peer` fetches keys and revocations by itself and keeps them fresh;
//!   with `gate`, it judges the requests of a proxy; with `actix`, it has an extractor for the
//!   handlers of actix-web.
//!
//! The crate knows nothing of private keys, Redis or WeChat.

#![warn(missing_docs)]

mod algorithm;
mod bearer_token;
pub mod ids;
pub mod json;
mod jws;
mod key_error;
#[cfg(feature = "fetch")]
pub mod peer;
mod public_key;
mod published_keys;
mod refused;
pub mod revocations;
mod token_typ;
mod verifier;

pub use self::algorithm::Algorithm;
pub use self::bearer_token::{NoBearer, bearer};
pub use self::key_error::KeyError;
pub use self::public_key::{KeySource, PublicKey, PublicKeySet};
pub use self::published_keys::PublishedKeys;
pub use self::refused::{Part, Refused};
pub use self::token_typ::TokenTyp;
pub use self::verifier::{
    Claims, Identity, LONGEST_LIFE, MAX_LEEWAY, MAX_TOKEN, PolicyError, REGISTERED_CLAIMS,
    UnverifiedIssuer, Verified, Verifier, VerifierPolicy,
};
