//! Access tokens: their claims and the minter that signs them. Also the signer of our own requests
//! to other services.
//!
//! An access token is a JWT as in RFC 9068. It contains only what a peer needs to authenticate the
//! sender of a request, and the claims that the account backend adds. wxmint adds no openid,
//! unionid, phone number or `session_key`.

mod extra_claims;
mod minter;
mod others;
#[cfg(test)]
mod tests;

pub use extra_claims::{ExtraClaims, InvalidClaims, MAX_EXTRA_CLAIMS, unchecked_claims};
pub use minter::{Issued, Minter, SignedToken};
pub use others::new_token_id;
