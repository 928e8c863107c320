//! The time of this machine. Whatever decides takes the time as an argument.

use chrono::{DateTime, SecondsFormat, Utc};

pub use wxmint_telemetry::audit::now;

/// In whole seconds, as people read it.
pub fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
