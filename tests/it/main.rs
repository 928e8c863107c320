//! Black-box tests: over HTTP, against a real Redis and the simulator.

mod key_files;
mod login;
mod one_exchange;
mod redis_faults;
mod reload;
mod rotation;
mod settings;
mod stopping;
mod support;
mod wechat_faults;
