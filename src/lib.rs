//! wxmint turns a WeChat mini-program login into a signed JWT that every service can verify by itself.
//!
//! Read [`login`] first: code to token, on one screen. The table of rooms in CONTRIBUTING.md says what each room knows and
//! which rooms it imports; a test holds it against the code.
//!
//! A peer in Rust needs none of this, but the crate `wxmint-verify`.

pub mod accounts;
pub mod admin;
pub mod apps;
pub mod cli;
pub mod clock;
pub mod findings;
pub mod http;
pub mod issuer;
pub mod login;
pub mod path_rules;
pub mod redis_checks;
mod refusals;
pub mod secret_files;
pub mod settings;
pub mod sidecar;
pub mod telemetry;
#[cfg(test)]
#[path = "../tests/it/support/limit.rs"]
mod test_limit;
