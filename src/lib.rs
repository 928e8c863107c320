//! wxmint turns a WeChat mini-program login into a signed JWT that every service can verify by itself.
//!
//! The rooms, in the order in which they may import each other (left may use right, never the reverse):
//!
//! `issuer`, `sidecar`, `simulator`, `commands` → [`session`], [`peer`] → [`login`] → [`wechat`], [`accounts`], [`store`], [`token`] → [`upstream`],
//! [`keys`] → [`ids`]
//!
//! - [`login`]: code to token, the one screen to read first;
//! - [`session`]: what is done with a session key after its login;
//! - [`wechat`]: all that is known of WeChat; nothing else speaks to it;
//! - [`accounts`]: who the business user is;
//! - [`upstream`]: HTTP clients, as those of WeChat and of an account service share them;
//! - [`store`]: what outlives a request, in Redis or in memory;
//! - [`token`], [`keys`]: claims and signing, JWK sets; they know nothing of HTTP, Redis or WeChat, and are
//!   all that is left with `default-features = false`;
//! - [`peer`]: the verifier with keys that it fetches and refreshes by itself (`features = ["fetch"]`);
//! - [`issuer`]: `wxmint serve`; [`sidecar`]: `wxmint sidecar`, which verifies for a peer; [`http`]: what every listener shares; [`simulator`]: the stand-in WeChat.

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
