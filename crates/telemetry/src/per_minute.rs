//! Bounds how many lines a minute an outage or strangers can write to the log.

use std::{collections::HashMap, sync::LazyLock};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::audit::now;

/// An outage fails thousands of logins a second, and strangers send what is refused. Metrics count all of it.
const MOST_LINES: u32 = 100;
static LINES: LazyLock<PerMinute> = LazyLock::new(PerMinute::default);
/// More texts than this are forgotten, all at once. They take about 1 MB.
const MOST_TEXTS: usize = 10_000;

/// If a line of this kind may be written: how many were not written since the last one. Causes of which the
/// operator must know each are different kinds, so that strangers who bring about one cannot hide another.
pub fn admit_line(kind: &str) -> Option<u32> {
    LINES.admits(kind, now())
}

/// Writes a line to the log, if [`admit_line`] admits its kind, with the number of those that were not written.
#[macro_export]
macro_rules! bounded {
    ($level:ident, $kind:expr, $($line:tt)+) => {
        if let Some(silent) = $crate::admit_line($kind) {
            tracing::$level!(not_logged = (silent > 0).then_some(silent), $($line)+);
        }
    };
}

/// When each text's minute began, and how often the text has come since.
#[derive(Default)]
struct PerMinute(Mutex<HashMap<String, (DateTime<Utc>, u32)>>);

impl PerMinute {
    /// Returns how many were not written in the minute before, if this one may be written.
    fn admits(&self, text: &str, now: DateTime<Utc>) -> Option<u32> {
        let mut counts = self.0.lock();
        if counts.len() >= MOST_TEXTS {
            counts.clear();
        }
        let (begun, count) = counts.entry(text.to_owned()).or_insert((now, 0));
        let mut silent = 0;
        if (now - *begun).abs() >= TimeDelta::minutes(1) {
            silent = count.saturating_sub(MOST_LINES);
            (*begun, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        (*count <= MOST_LINES).then_some(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_its_own_minute_and_clients_without_number_take_bounded_memory() {
        let (limit, at) = (PerMinute::default(), |seconds| DateTime::from_timestamp(seconds, 0).expect("a date"));
        let admitted = |text, now| (0..110).filter_map(|_| limit.admits(text, now)).collect::<Vec<_>>();
        let told = [admitted("a", at(0)), admitted("b", at(30)), admitted("a", at(59)), admitted("a", at(60))];
        assert_eq!(told.each_ref().map(Vec::len), [100, 100, 0, 100]);
        assert_eq!(told[3][..2], [120, 0], "and how many were not told");
        assert_eq!(admitted("a", at(-3600)).len(), 100, "the clock was set back");
        for client in 0..=MOST_TEXTS {
            assert!(limit.admits(&format!("client {client}"), at(60)).is_some());
        }
        assert!(limit.0.lock().len() <= MOST_TEXTS);
    }
}
