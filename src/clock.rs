//! This machine's clock. Code that depends on the time takes it as an argument.

use chrono::{DateTime, SecondsFormat, Utc};

pub use wxmint_telemetry::audit::now;

/// `at` in RFC 3339 and UTC, to the whole second, for people to read.
pub fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
