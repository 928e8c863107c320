//! Tests the promises of this crate on real servers: one server, a Cluster of three primaries with
//! a replica each, Sentinels, TLS.
//!
//! `cargo test -p wxmint-redis-link` runs them; it needs `redis-server` on the PATH. Files of the
//! service's tests start the servers and the proxy; these files do not depend on the service.

mod cluster;
mod confirmed;
mod one;
mod sentinel;
mod support;
mod tls;
