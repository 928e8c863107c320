//! The time of this machine. Whatever decides takes the time as an argument.

use chrono::{DateTime, Utc};

#[expect(clippy::disallowed_methods, reason = "whoever takes a request, runs a command or writes a line begins here")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
