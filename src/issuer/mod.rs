//! `wxmint serve`: build, run, routes, and a thin handler for each.

mod build;
pub(crate) mod caller;
mod check_files;
mod cross_origin;
pub mod door;
pub(crate) mod examine;
#[allow(dead_code, reason = "there may be no door with a grant")]
pub(crate) mod grants;
mod health;
mod leave_routes;
mod login_fields;
pub(crate) mod login_route;
mod metadata;
pub(crate) mod reload;
pub(crate) mod route_constants;
mod routes;
mod run;
pub(crate) mod session_key_routes;
pub(crate) mod state;
pub(crate) mod token_route;

pub use build::{IssuerStartError, open_redis};
pub use login_fields::LoginBody;
pub use routes::{is_free, openapi_json};
pub use run::{Routes, admin_app, admin_description, public_app, public_description, run};
pub use state::{Issuer, IssuerWorker};
