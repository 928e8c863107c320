//! The time by which a peer judges what it fetches.

use chrono::{DateTime, Utc};

#[expect(clippy::disallowed_methods, reason = "what fetches by itself has no caller who could pass the time")]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}
