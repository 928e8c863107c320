//! wxmint turns a WeChat mini-program login into a signed JWT that every service can verify by
//! itself.
//!
//! Read [`login`] first: code to token, on one screen. The tables in CONTRIBUTING.md say what each
//! crate and each module knows and imports; a test compares them with the code.
//!
//! A peer written in Rust needs only the crate `wxmint-verify`.

#[macro_use]
extern crate wxmint_telemetry;

// First, because the other rooms use its macro `message!`.
#[macro_use]
pub mod findings;

pub mod accounts;
pub mod admin;
pub mod apps;
pub mod cli;
pub mod clock;
pub mod doors;
pub mod identities;
pub mod issuer;
pub mod login;
mod oauth;
mod observers;
pub mod redis_checks;
mod refusals;
mod revocation;
pub mod secret_files;
pub mod settings;
pub mod sidecar;
#[cfg(test)]
#[path = "../tests/it/support/limit.rs"]
mod test_limit;
