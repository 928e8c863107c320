//! Logs, metrics, traces and audit events. Each module says what these may contain.

pub mod audit;
mod json_lines;
mod log;
mod metrics;
#[cfg(test)]
mod tests;
mod traces;

use std::io;

pub use self::audit::Audit;
pub use self::log::{LogFormat, admit_line};
pub use self::metrics::{
    LastHour, LoginInFlight, Metrics, RedisState, RouteMetrics, ShownKey, WeChatOutcome,
};
pub use self::traces::{Step, Trace, Traces};

/// Starts the log and the audit log. Fails if the file of audit events cannot be opened.
pub fn init(format: LogFormat, audit: &Audit) -> io::Result<()> {
    log::init(format);
    audit::init(audit)
}
