//! The log: its levels and its output.

use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::json_lines::JsonLines;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

/// Writes log lines to standard error, at the levels that `RUST_LOG` gives (default `info`; `debug`, or
/// `info,wxmint_store=trace`).
///
/// Other crates log at `warn` at most, whatever `RUST_LOG` says: at `trace` some of them print requests, and a request
/// to WeChat holds the AppSecret.
pub(super) fn init(format: LogFormat) {
    let wanted = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let levels = wanted.as_deref().and_then(levels);
    let misread = wanted.is_some() && levels.is_none();
    let levels = levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let ours = filter_fn(|event| {
        let target = event.target();
        // actix-http reports each client that goes away as an error.
        target.starts_with("wxmint") || *event.level() <= Level::WARN && !target.starts_with("actix_http")
    });
    widen_stderr();
    // There is no place left to say that standard error cannot be written.
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false).log_internal_errors(false);
    let lines = match format {
        LogFormat::Json => lines.event_format(JsonLines).fmt_fields(JsonLines).boxed(),
        LogFormat::Text => lines.compact().with_ansi(io::stderr().is_terminal()).boxed(),
    };
    // Fails only if a subscriber is already set, for example when tests share a process.
    let _ = tracing_subscriber::registry().with(lines).with(ours).with(levels).try_init();
    if misread {
        tracing::warn!(variable = "RUST_LOG", "not understood, so that the level is info; wanted: {LEVELS}");
    }
}

/// If standard error is a pipe, lets 1 MiB of lines wait for its reader instead of 64 KiB, so that a container's log
/// driver that pauses does not hold up logins. Another kind of file refuses, and needs no such room.
fn widen_stderr() {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(io::stderr(), 1024 * 1024);
}

const LEVELS: &str = "a level (error, warn, info, debug, trace, off), or more exactly such as info,wxmint_store=debug; \
                      no quotation marks, which `docker --env-file` keeps";

/// Returns `None` if `text` cannot be parsed or sets no level for wxmint. `RUST_LOG=warning` is parsed as the name of
/// another program's module, and would silence every line.
pub(super) fn levels(text: &str) -> Option<Targets> {
    let levels: Targets = text.parse().ok()?;
    let concerns_us = |target: &str| "wxmint".starts_with(target) || target.starts_with("wxmint");
    (levels.default_level().is_some() || levels.iter().any(|(target, _)| concerns_us(target))).then_some(levels)
}
