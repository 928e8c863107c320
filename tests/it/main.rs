//! Black-box tests: over HTTP, against a real Redis and the simulator.

mod login;
mod support;
