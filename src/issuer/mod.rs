//! `wxmint serve`: build, run, routes, and a thin handler for each.

mod admin;
mod api;
mod bearer;
mod binding;
mod handlers;
mod login_fields;
mod members;
mod metadata;
mod refusals;
mod reload;
mod routes;
mod run;
mod session;
mod to_the_end;
mod worker;

pub use api::{LoginExamples, openapi_json};
pub use login_fields::{LoginFields, RefusedLogin};
pub use members::{RefusedBody, RefusedMember};
pub use routes::Routes;
pub use run::{Listeners, run};
pub use worker::{Issuer, StartError};
