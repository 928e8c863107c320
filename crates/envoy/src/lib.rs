//! A dynamic module for Envoy that verifies the tokens of wxmint, and obeys revocations, inside the
//! proxy. It decides as `wxmint sidecar` does, by the same [`wxmint_verify::peer::Gate`].
//!
//! Envoy loads `libwxmint_envoy.so` and calls its hooks on its workers. One thread of the module,
//! `wxmint`, fetches keys and revocations for the whole process.

#[allow(unsafe_code)]
mod abi;
#[allow(unsafe_code)]
mod envoy;
mod filter;
#[allow(unsafe_code)]
mod hooks;
mod log;
mod metrics;
mod peers;
mod request;
mod settings;
#[cfg(test)]
#[allow(unsafe_code)]
mod stand_in;
