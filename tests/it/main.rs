//! Black-box tests: over HTTP, against a real Redis and the simulator.

mod account_service;
mod alerts;
mod apps;
mod bad_input;
mod demo_page;
mod key_files;
#[cfg(feature = "kubernetes")]
mod keys_in_a_secret;
mod limits;
mod login;
mod mini_program;
mod old_pages;
mod one_exchange;
mod phone;
mod readme;
mod redis_faults;
mod reload;
mod rotation;
mod secrets;
mod settings;
mod stopping;
mod support;
mod users_command;
mod users_file;
mod verifiers;
mod wechat_faults;
