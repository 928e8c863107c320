//! `wxmint serve`: build, run, routes, and a thin handler for each.

mod build;
mod caller;
mod device;
mod ended_keys;
mod examine;
mod leave_routes;
mod login_fields;
mod login_route;
mod metadata;
mod reload;
mod revocations;
mod routes;
mod run;
mod session_key_routes;

pub use build::{Issuer, IssuerStartError, open_redis};
pub use login_fields::{LoginBody, RefusedLogin};
pub use routes::openapi_json;
pub use run::{Routes, run};

pub use crate::http::viewer::InDemo;
