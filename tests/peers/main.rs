//! The examples of examples/peers, each as a reader copies it, started with the real program and asked what a stranger
//! would ask: tokens that must be refused, identity headers of the client's own, paths that mean another path, a
//! sidecar that is away. `checks` holds the questions, `scene` what stands around an example, and `checked` proves that
//! the questions find fault with an example that deserves it. `sites` and `otel_collector` are products beside wxmint.

pub(crate) mod back_end;
pub(crate) mod canary;
mod checked;
pub(crate) mod checks;
mod conform;
pub(crate) mod envoy;
pub(crate) mod envoy_jwt;
pub(crate) mod envoy_module;
pub(crate) mod envoy_sidecar;
pub(crate) mod example;
pub(crate) mod forge;
pub(crate) mod forward_auth;
mod gateways;
pub(crate) mod go;
mod istio;
mod java_accounts;
mod java_spring;
mod java_spring_site;
mod java_users;
mod java_wxjava;
pub(crate) mod key_source;
pub(crate) mod openresty;
mod otel_collector;
pub(crate) mod php;
pub(crate) mod raw;
mod revoked;
pub(crate) mod routers;
pub(crate) mod rust;
pub(crate) mod scene;
pub(crate) mod scripts;
mod services;
mod sites;
pub(crate) mod stand_in;
#[expect(
    dead_code,
    unused_imports,
    reason = "the harness of all black-box tests; here a part of it is needed"
)]
#[path = "../it/support/mod.rs"]
pub(crate) mod support;
pub(crate) mod traefik;
mod vectors;
