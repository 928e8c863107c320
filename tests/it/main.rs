//! Black-box tests: over HTTP, against a real Redis and the simulator.

mod account_service;
mod admin_lookup;
mod alerts;
mod apps;
mod bad_input;
mod binding;
mod bindings_command;
mod demo_page;
mod key_files;
#[cfg(feature = "kubernetes")]
mod keys_in_a_secret;
mod limits;
mod login;
mod memory;
mod mini_program;
mod old_pages;
mod one_exchange;
mod password_load;
mod password_timing;
mod phone;
mod races;
mod readme;
mod redis_faults;
mod reload;
mod rotation;
mod secrets;
mod settings;
mod sidecar;
mod stopping;
mod support;
mod user_data;
mod users_command;
mod users_file;
mod vault_command;
mod verifiers;
mod wechat_faults;
