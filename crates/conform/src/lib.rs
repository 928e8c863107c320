//! Checks a verifier of access tokens against the specification of the revocation feed
//! (`docs/revocation-feed`).
//!
//! [`Issuer`] publishes keys and a feed on an address of its own, and misbehaves when a check tells
//! it to. The verifier under test is any service with one protected path: 200 lets a token in, 401
//! refuses it, and 503 says that the verifier cannot judge it now.

mod checks;
mod issuer;
mod key;
mod report;
mod subject;

use std::time::Duration;

use chrono::Utc;
use reqwest::Url;

pub use self::checks::{Level, run};
pub use self::issuer::Issuer;
pub use self::report::{Outcome, Report};

/// The verifier under test, and what it was set to.
#[derive(Debug, Clone)]
pub struct Options {
    /// A protected path of the verifier.
    pub verifier: Url,
    /// The audience that the verifier accepts.
    pub audience: String,
    /// Whether the verifier answers 503 while its knowledge is too old, or goes on.
    pub is_closed: bool,
    /// The age of its knowledge from which a closed verifier answers 503.
    pub max_age: Duration,
    /// How long the verifier may take to obey a page.
    pub within: Duration,
    /// The levels to check, in their order.
    pub levels: Vec<Level>,
}

/// The time of this machine, in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place that reads the clock"
)]
fn now() -> i64 {
    Utc::now().timestamp()
}
