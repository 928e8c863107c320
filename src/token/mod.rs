//! The token: its claims, and the minter that signs it. Also what signs our own requests to other services.
//!
//! A JWT as RFC 9068 has it. Holds no openid, unionid, phone number or session_key: only what a peer needs to know
//! who is asking and whether to believe it.

mod claims;
mod mark;
mod minter;
mod request_signer;

pub use minter::{AccessToken, MintError, Minter};
pub use request_signer::{OutgoingRequest, RequestSigner, RequestToken};
