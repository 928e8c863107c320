//! What a service needs in order to believe tokens by itself, and nothing more: the public keys of an issuer, the one bearer
//! token of a request, and the verifier. With the feature `fetch`, [`peer`] fetches the keys and keeps them fresh.
//!
//! Knows nothing of private keys, servers, Redis or WeChat. Without default features, the crate is this room and `ids`.

mod algorithm;
mod bearer_token;
mod key_error;
#[cfg(feature = "fetch")]
pub mod peer;
mod public_key;
mod published_keys;
mod token_typ;
mod verifier;

pub use self::{
    algorithm::Algorithm,
    bearer_token::{NoBearer, bearer},
    key_error::KeyError,
    public_key::{KeySource, PublicKey, PublicKeySet},
    published_keys::PublishedKeys,
    token_typ::TokenTyp,
    verifier::{
        Claims, LONGEST_LIFE, MAX_LEEWAY, MAX_TOKEN, Part, PolicyError, Refused, StatusReference, UnverifiedHeader,
        UnverifiedIssuer, Verified, Verifier, VerifierPolicy,
    },
};
