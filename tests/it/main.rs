//! Black-box tests: over HTTP, against a real Redis and the simulator.

mod bad_input;
mod demo_page;
mod login;
mod one_exchange;
mod readme;
mod redis_faults;
mod secrets;
mod settings;
mod stopping;
mod support;
mod verifiers;
mod wechat_faults;
