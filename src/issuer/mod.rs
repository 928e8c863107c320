//! `wxmint serve`: build, run, routes, and a thin handler for each.

mod admin;
mod admin_tokens;
mod api;
mod body_fields;
mod build;
mod caller;
mod leave_routes;
mod login_fields;
mod login_route;
mod metadata;
mod redis_status;
mod refusals;
mod reload;
mod retired_keys;
mod revocations;
mod routes;
mod run;
mod session_key_routes;
mod to_the_end;

use actix_web::{HttpResponse, http::header::CACHE_CONTROL};
use serde::Serialize;

pub use api::{LoginExamples, openapi_json};
pub use body_fields::RefusedBody;
pub use build::{Issuer, IssuerStartError};
pub use login_fields::{LoginFields, RefusedLogin};
pub use routes::Routes;
pub use run::{IssuerListeners, run};

/// An answer for one person, which no cache may keep.
fn private(answer: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer)
}
