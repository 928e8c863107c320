//! What a service needs to verify tokens by itself, and nothing more: an issuer's public keys, the bearer token of a
//! request, and the verifier. With the feature `fetch`, [`peer`] also fetches the keys and keeps them fresh.
//!
//! This module knows nothing of private keys, servers, Redis or WeChat. Without default features, the crate consists of
//! this module and `ids`.

#![warn(missing_docs)]

mod algorithm;
mod bearer_token;
pub mod ends;
mod json;
mod jws;
mod key_error;
#[cfg(feature = "fetch")]
pub mod peer;
mod public_key;
mod published_keys;
mod refused;
mod token_typ;
mod verifier;

pub use self::{
    algorithm::Algorithm,
    bearer_token::{NoBearer, bearer},
    key_error::KeyError,
    public_key::{KeySource, PublicKey, PublicKeySet},
    published_keys::PublishedKeys,
    refused::{Part, Refused},
    token_typ::TokenTyp,
    verifier::{
        Claims, LONGEST_LIFE, MAX_LEEWAY, MAX_TOKEN, PolicyError, REGISTERED_CLAIMS, UnverifiedHeader,
        UnverifiedIssuer, Verified, Verifier, VerifierPolicy,
    },
};
