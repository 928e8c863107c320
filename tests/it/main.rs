//! Black-box tests: over HTTP, against a real Redis and the simulator.

mod login;
mod one_exchange;
mod redis_faults;
mod settings;
mod stopping;
mod support;
mod wechat_faults;
