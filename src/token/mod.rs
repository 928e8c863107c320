//! The token: its claims, the minter that signs it, where it stands in a request, and the verifier that believes it. Also
//! what signs our own requests to other services.
//!
//! A JWT as RFC 9068 has it. Holds no openid, unionid, phone number or session_key: only what a peer needs to know
//! who is asking and whether to believe it.

mod bearer;
mod claims;
mod minter;
mod request_signer;
mod verifier;

pub use bearer::{NoBearer, bearer};
pub use claims::TokenTyp;
pub use minter::{AccessToken, MintError, Minter};
pub use request_signer::{OutgoingRequest, RequestSigner, RequestToken};
pub use verifier::{
    Claims, LONGEST_LIFE, MAX_LEEWAY, MAX_TOKEN, Part, PolicyError, Refused, StatusReference, UnverifiedHeader,
    UnverifiedIssuer, Verified, Verifier, VerifierPolicy,
};

pub use crate::ids::TokenId;
