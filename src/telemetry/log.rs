//! The log: its levels, its outputs, and the audit events in it.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
};

use tracing::Level;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets, filter_fn},
    fmt::writer::MakeWriterExt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::json_lines::{AuditFields, JsonLines};
use crate::ids::{AppId, UserId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

/// Where audit events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audit {
    /// Into the log, with the target `audit`.
    Log,
    /// Into this file, which they are appended to as JSON lines.
    File(PathBuf),
    Off,
}

/// Writes log lines to standard error, at the levels that `RUST_LOG` gives (default `info`; `debug`, or
/// `info,wxmint::store=trace`).
///
/// Other crates log at `warn` at most, whatever `RUST_LOG` says: at `trace` some of them print requests, and a request
/// to WeChat holds the AppSecret. `RUST_LOG` does not silence audit events, but `audit` says where they go.
pub fn init(format: LogFormat, audit: &Audit) -> io::Result<()> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let levels = wanted.as_deref().and_then(levels);
    let misread = wanted.is_some() && levels.is_none();
    let audit_level = if *audit == Audit::Off { LevelFilter::OFF } else { LevelFilter::INFO };
    let levels = levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let levels = levels.with_target(AUDIT, audit_level);
    let ours = filter_fn(|event| {
        let target = event.target();
        // actix-http reports each client that goes away as an error.
        target.starts_with("wxmint")
            || target == AUDIT
            || *event.level() <= Level::WARN && !target.starts_with("actix_http")
    });
    let audit_file = match audit {
        Audit::File(path) => Some(Arc::new(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)),
        Audit::Log | Audit::Off => None,
    };
    let is_elsewhere = audit_file.is_some();
    widen_stderr();
    let stderr = io::stderr.with_filter(move |event| !(is_elsewhere && event.target() == AUDIT));
    // There is no place left to say that standard error cannot be written.
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_target(false).log_internal_errors(false);
    let lines = match format {
        LogFormat::Json => lines.event_format(JsonLines).fmt_fields(JsonLines).boxed(),
        LogFormat::Text => lines.compact().with_ansi(io::stderr().is_terminal()).boxed(),
    };
    let audit_lines = audit_file.map(|file| {
        let lines = tracing_subscriber::fmt::layer().with_writer(file).event_format(JsonLines).fmt_fields(AuditFields);
        // The spans hold the request ids.
        lines.with_filter(filter_fn(|event| event.is_span() || event.target() == AUDIT))
    });
    // Fails only if a subscriber is already set, for example when tests share a process.
    let _ = tracing_subscriber::registry().with(lines).with(audit_lines).with(ours).with(levels).try_init();
    if misread {
        tracing::warn!(variable = "RUST_LOG", "not understood, so that the level is info; wanted: {LEVELS}");
    }
    Ok(())
}

/// If standard error is a pipe, lets 1 MiB of lines wait for its reader instead of 64 KiB, so that a container's log driver
/// that pauses does not hold up logins. Another kind of file refuses, and needs no such room.
fn widen_stderr() {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(io::stderr(), 1024 * 1024);
}

const LEVELS: &str = "a level (error, warn, info, debug, trace, off), or more exactly such as info,wxmint::store=debug";

/// Returns `None` if `text` cannot be parsed or sets no level for wxmint. `RUST_LOG=warning` is parsed as the name of
/// another program's module, and would silence every line.
pub(super) fn levels(text: &str) -> Option<Targets> {
    let levels: Targets = text.parse().ok()?;
    let concerns_us = |target: &str| "wxmint".starts_with(target) || target.starts_with("wxmint");
    (levels.default_level().is_some() || levels.iter().any(|(target, _)| concerns_us(target))).then_some(levels)
}

/// The target of audit events, by which they are told from other events.
pub(super) const AUDIT: &str = "audit";

/// Whom or what an act is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Audited<'a> {
    pub user: Option<&'a UserId>,
    pub app: Option<&'a AppId>,
}

/// Writes an audit event: `by` did `action`; nobody is named whose secret is none. `outcome` is `ok` or why it failed.
pub fn audit(action: &str, by: Option<&str>, about: Audited<'_>, outcome: &str) {
    let (user, app) = (about.user.map(UserId::as_str), about.app.map(AppId::as_str));
    tracing::info!(target: AUDIT, action, by, user, app, outcome, "an operator's act");
}

/// Writes the audit event of logins of `client` that a limit refuses.
pub fn audit_limited(limit: &str, client: &str) {
    tracing::info!(target: AUDIT, action = "login", limit, client, outcome = "rate_limited", "a limit refuses logins");
}
