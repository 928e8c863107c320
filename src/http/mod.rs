//! What every listener shares: one way to run a server, its bounds, problems, request ids, bearer tokens and their
//! hashes, the client's address, probes, pages for browsers, and the clock.

mod answer_body;
mod bearer;
mod body;
mod client_address;
mod client_stream;
mod connection;
mod head;
mod hosts;
pub mod page;
mod probes;
mod problem;
mod process;
mod server;
mod trace;

use chrono::{DateTime, Utc};

pub use bearer::{bearer_token, no_token, no_valid_token, unreadable_token};
pub use body::{SMALL_BODY, read_body};
pub use client_address::{ClientAddress, TrustedProxies};
pub use connection::Connection;
pub use head::pairs;
pub use probes::{Readiness, livez, readable, readyz};
pub(crate) use problem::ProblemDocument;
pub use problem::{Answer, OrProblem, Problem, ProblemCode, not_allowed, not_found, request_id};
pub use process::{listen, raise_file_limit, run_to_end, stop_signal};
pub use server::{ServerLimits, serve, serve_admin};
pub use trace::{RequestSpan, enter, with_request_id};

/// The clock at the border. Everything inside takes the time as an argument.
#[expect(clippy::disallowed_methods, reason = "this is the border")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
