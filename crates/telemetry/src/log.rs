//! The log: its levels, its output, and how many lines a minute an outage or strangers can write to it.

use std::io::{self, IsTerminal};
use std::{collections::HashMap, sync::LazyLock};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::{audit::now, json_lines::JsonLines};

/// The format of log lines (`WXMINT_LOG_FORMAT`).
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
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let levels = wanted.as_deref().and_then(levels);
    let misread = wanted.is_some() && levels.is_none();
    let levels = levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let ours = filter_fn(|event| {
        let target = event.target();
        // actix-http reports each client that disconnects as an error.
        target.starts_with("wxmint")
            || *event.level() <= Level::WARN && !target.starts_with("actix_http")
    });
    // If standard error is a pipe, 1 MiB of lines may wait for its reader instead of 64 KiB, so
    // that a pause of a container's log driver does not hold up logins. The call fails for other
    // kinds of files, which need no such buffer.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(io::stderr(), 1024 * 1024);
    // If standard error fails, there is nowhere left to log it.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Json => lines.event_format(JsonLines).fmt_fields(JsonLines).boxed(),
        LogFormat::Text => lines
            .compact()
            .with_ansi(io::stderr().is_terminal())
            .boxed(),
    };
    // Fails only if a subscriber is already set, for example when tests share a process.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(ours)
        .with(levels)
        .try_init();
    if misread {
        tracing::warn!(
            variable = "RUST_LOG",
            "not understood, so that the level is info; wanted: {LEVELS}"
        );
    }
}

const LEVELS: &str = "a level (error, warn, info, debug, trace, off), or more exactly such as info,wxmint_store=debug; \
                      no quotation marks, which `docker --env-file` keeps";

/// Parses the value of `RUST_LOG`. `None` if it cannot be parsed, or sets no level for wxmint. For
/// example, `RUST_LOG=warning` parses as the name of another program's module, and would silence
/// every line.
pub(super) fn levels(text: &str) -> Option<Targets> {
    let levels: Targets = text.parse().ok()?;
    let concerns_us = levels.default_level().is_some()
        || levels
            .iter()
            .any(|(target, _)| "wxmint".starts_with(target) || target.starts_with("wxmint"));
    concerns_us.then_some(levels)
}

/// How many lines of the same kind are logged in a minute. An outage fails thousands of logins a
/// second, and strangers can send refused requests without limit. Metrics count them all.
const MOST_LINES: u32 = 100;
/// How many kinds are remembered. If there are more, all are dropped at once. They take about 1 MB.
const MOST_TEXTS: usize = 10_000;
static LINES: LazyLock<Mutex<Texts>> = LazyLock::new(Mutex::default);
/// For each kind, when its minute began and how many lines have come since.
type Texts = HashMap<String, (DateTime<Utc>, u32)>;

/// Returns how many lines of this kind were left out since the last logged line; `None` if this
/// line must be left out, too. Causes that the operator must know separately are different kinds,
/// so that strangers who bring about one cause cannot hide another.
pub fn admit_line(kind: &str) -> Option<u32> {
    admit(&mut LINES.lock(), kind, now())
}

/// Logs a line if [`admit_line`] admits its kind, with the number of lines that were left out.
#[macro_export]
macro_rules! bounded {
    ($level:ident, $kind:expr, $($line:tt)+) => {
        if let Some(silent) = $crate::admit_line($kind) {
            tracing::$level!(not_logged = (silent > 0).then_some(silent), $($line)+);
        }
    };
}

/// Returns how many lines of this kind were left out in the minute before, if this line may be
/// logged.
fn admit(texts: &mut Texts, text: &str, now: DateTime<Utc>) -> Option<u32> {
    if texts.len() >= MOST_TEXTS {
        texts.clear();
    }
    let (begun, count) = texts.entry(text.to_owned()).or_insert((now, 0));
    let mut silent = 0;
    if (now - *begun).abs() >= TimeDelta::minutes(1) {
        silent = count.saturating_sub(MOST_LINES);
        (*begun, *count) = (now, 0);
    }
    *count = count.saturating_add(1);
    (*count <= MOST_LINES).then_some(silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_its_own_minute_and_clients_without_number_take_bounded_memory() {
        let (mut texts, at) = (Texts::new(), |seconds| {
            DateTime::from_timestamp(seconds, 0).expect("a date")
        });
        let mut admitted = |text, now| {
            (0..110)
                .filter_map(|_| admit(&mut texts, text, now))
                .collect::<Vec<_>>()
        };
        let told = [
            admitted("a", at(0)),
            admitted("b", at(30)),
            admitted("a", at(59)),
            admitted("a", at(60)),
        ];
        assert_eq!(told.each_ref().map(Vec::len), [100, 100, 0, 100]);
        assert_eq!(told[3][..2], [120, 0], "and how many were not told");
        assert_eq!(
            admitted("a", at(-3600)).len(),
            100,
            "the clock was set back"
        );
        for client in 0..=MOST_TEXTS {
            assert!(admit(&mut texts, &format!("client {client}"), at(60)).is_some());
        }
        assert!(texts.len() <= MOST_TEXTS);
    }
}
