//! Black-box tests: over HTTP, against a real Redis and the simulator.

mod admin_lookup;
mod alerts;
mod bad_input;
mod bindings_command;
mod demo_page;
mod key_files;
#[cfg(feature = "kubernetes")]
mod keys_in_a_secret;
mod login;
mod one_exchange;
mod readme;
mod redis_faults;
mod reload;
mod rotation;
mod secrets;
mod settings;
mod stopping;
mod support;
mod verifiers;
mod wechat_faults;
