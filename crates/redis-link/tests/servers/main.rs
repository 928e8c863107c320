//! The promises of the link, on real servers: one, a Cluster of three primaries with a replica each, Sentinels, TLS.
//!
//! `cargo test -p wxmint-redis-link` runs them; `redis-server` is on the path. The servers, and the proxy between, are
//! started by files of the service's tests, which know nothing of the service.

mod cluster;
mod confirmed;
mod one;
mod sentinel;
mod support;
mod tls;
