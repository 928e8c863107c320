//! What every listener shares: problems, request ids, bearer tokens, bounded bodies, who the client is, probes, and the
//! clock.

mod bearer;
mod body;
mod client_address;
mod head;
mod probes;
mod problem;
mod process;
mod trace;

use chrono::{DateTime, Utc};

pub use bearer::{bearer_token, no_token, no_valid_token, unreadable_token};
pub use body::{BodyError, SMALL_BODY, read_body};
pub use client_address::{ClientAddress, TrustedProxies};
pub use head::{limit_head, own_headers};
pub use probes::{Readiness, livez, readable, readyz};
pub(crate) use problem::ProblemDocument;
pub use problem::{Problem, ProblemCode, not_allowed, not_found, request_id};
pub use process::{listen, run_to_end, stop_signal};
pub use trace::{RequestSpan, with_request_id};

/// The clock at the border. Everything inside takes the time as an argument.
#[expect(clippy::disallowed_methods, reason = "this is the border")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
