//! `wxmint serve`: build, run, routes, and a thin handler for each.

mod build;
mod caller;
mod cross_origin;
pub(crate) mod declared;
mod device;
pub mod door;
mod ended_keys;
pub(crate) mod examine;
mod feed_pages;
mod held_ends;
mod leave_routes;
pub(crate) mod loaded;
mod login_fields;
mod login_route;
mod metadata;
mod named;
mod old_ends;
mod redis_health;
mod reload;
mod revocations;
mod routes;
mod run;
mod session_key_routes;
mod start_error;
pub(crate) mod state;

pub use login_fields::{LoginBody, RefusedLogin};
pub use named::open_redis;
pub use routes::openapi_json;
pub use run::{Routes, run};
pub use start_error::IssuerStartError;
pub use state::Issuer;

pub use crate::http::viewer::InDemo;
