//! wxmint turns a WeChat mini-program login into a signed JWT that every service can verify by itself.
//!
//! Read [`login`] first: code to token, on one screen. The table of rooms in CONTRIBUTING.md says what each room knows and
//! which rooms it imports; a test holds it against the code.
//!
//! A peer in Rust needs [`verify`] alone, which is the crate with `default-features = false`. With the feature `fetch`,
//! `verify::peer` fetches the keys and keeps them fresh.

pub mod ids;
pub mod verify;

#[cfg(feature = "fetch")]
pub mod upstream;

#[cfg(feature = "service")]
pub mod accounts;
#[cfg(feature = "service")]
pub mod commands;
#[cfg(feature = "service")]
pub mod http;
#[cfg(feature = "service")]
pub mod issuer;
#[cfg(feature = "service")]
pub mod keys;
#[cfg(feature = "service")]
pub mod limits;
#[cfg(feature = "service")]
pub mod login;
#[cfg(feature = "service")]
pub mod path_rules;
#[cfg(feature = "service")]
pub mod secret_files;
#[cfg(feature = "service")]
pub mod settings;
#[cfg(feature = "service")]
pub mod sidecar;
#[cfg(feature = "service")]
pub mod simulator;
#[cfg(feature = "service")]
pub mod store;
#[cfg(feature = "service")]
pub mod telemetry;
#[cfg(feature = "service")]
pub mod token;
#[cfg(feature = "service")]
pub mod vault;
#[cfg(feature = "service")]
pub mod wechat;
