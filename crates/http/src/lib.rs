//! The parts that every listener shares: one way to run a server, its bounds, problems, request
//! ids, bearer tokens, the client's address, probes, and pages for browsers.

mod bearer;
mod body;
mod body_fields;
mod client_address;
mod client_stream;
mod connection;
pub mod described;
pub mod page;
mod probes;
mod problem;
mod process;
mod server;
mod speculative;
mod trace;
pub mod viewer;

pub use bearer::{ClientCredentials, bearer_token, denied, identified, read_form, unknown_client};
pub use bearer::{no_valid_token, refused_token};
pub use body::{SMALL_BODY, read_body};
pub use body_fields::{Fields, malformed, missing, pairs};
pub use client_address::TrustedProxies;
pub use connection::{ClientConnection, limit_key};
pub use probes::{Readiness, admin_app, readable, serve_admin};
pub use problem::{
    Answer, Done, Problem, ProblemCode, ProblemDocument, not_allowed, not_found, nothing_else,
};
pub use process::{Listeners, ServerLimits, listen, raise_file_limit, run_to_end, stop_signal};
pub use server::{ErrorReaders, allow_site, as_served, private, run_to_completion, serve};
pub use trace::{LogAddresses, RequestSpan, counted, origin, request_id, with_request_id};
