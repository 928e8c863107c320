//! The examples of examples/peers, each as a reader copies it, started with the real program and asked what a stranger
//! would ask: tokens that must be refused, identity headers of the client's own, paths that mean another path, a sidecar
//! that is away. `checks` holds the questions, `scene` what stands around an example, and `checked` proves that the
//! questions find fault with an example that deserves it.

mod apache;
mod back_end;
mod caddy;
mod canary;
mod checked;
mod checks;
mod envoy;
mod envoy_jwt;
mod envoy_sidecar;
mod example;
mod forge;
mod forward_auth;
mod go;
mod haproxy;
mod key_source;
mod nginx;
mod nginx_njs;
mod node;
mod python;
mod raw;
mod rust;
mod scene;
mod sidecar;
mod stand_in;
#[expect(dead_code, unused_imports, reason = "the harness of all black-box tests; here a part of it is needed")]
#[path = "../it/support/mod.rs"]
mod support;
mod traefik;
