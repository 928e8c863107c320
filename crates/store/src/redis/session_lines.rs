//! A person's session as it is stored: a line for each exchange, as `session.lua` describes it.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD};
use redis::{FromRedisValue, ParsingError, Value};

use super::{
    super::{ExchangeOrder, ExchangedKey, PREVIOUS_KEY_TTL, Result, Sealed},
    sortable,
};

/// The lines of a session. Sorted, so that the latest exchange is the last one.
#[derive(Default)]
pub(super) struct SessionLines(pub(super) Vec<String>);

impl SessionLines {
    pub(super) fn has(&self, line: &str) -> bool {
        self.0.iter().any(|other| other == line)
    }

    /// Whether the latest exchange is another one that began after `now`: the clock of Redis has stepped back since.
    pub(super) fn have_later(&self, line: &str, now: u64) -> bool {
        self.0.last().is_some_and(|last| last != line && *last > sortable(now).to_string())
    }

    /// How many logins count at `now`, in microseconds since 1970.
    pub(super) fn logins(&self, now: u64) -> u64 {
        let now = sortable(now).to_string();
        let counted = |line: &String| match parts(line) {
            Some((_, until, _)) => u64::from(until > now.as_str()),
            None => line
                .split_whitespace()
                .filter_map(|part| part.split_once(':'))
                .filter(|(until, _)| *until > now.as_str())
                .filter_map(|(_, logins)| logins.parse::<u64>().ok())
                .sum(),
        };
        self.0.iter().map(counted).sum()
    }

    /// The session keys, the latest exchange first.
    pub(super) fn latest(&self) -> impl Iterator<Item = ExchangedKey> {
        let opened = |(order, text)| Some((order, Sealed::from_stored(STANDARD_NO_PAD.decode(text).ok()?)));
        self.orders().filter_map(opened)
    }

    /// Each exchange with its sealed key as it is stored, the latest first.
    pub(super) fn orders(&self) -> impl Iterator<Item = (ExchangeOrder, &str)> {
        self.0.iter().rev().filter_map(|line| {
            let (order, _, sealed) = parts(line)?;
            Some((order.parse().ok()?, sealed))
        })
    }

    /// The lines that do not count at `now`, but for those of the two latest exchanges.
    pub(super) fn unneeded(&self, now: u64) -> Vec<&str> {
        let now = sortable(now).to_string();
        let is_over = |line: &&String| match parts(line) {
            Some((_, until, _)) => until <= now.as_str(),
            None => line.split_whitespace().all(|part| part <= now.as_str()),
        };
        self.0.iter().rev().skip(2).filter(is_over).map(String::as_str).collect()
    }

    /// The keys that may still be used, newest first: the one before for a while after it was replaced. `now`: since 1970.
    pub(super) fn usable(&self, now: Duration) -> Vec<Sealed> {
        let mut latest = self.latest();
        let Some((order, current)) = latest.next() else { return Vec::new() };
        let is_recent = now.saturating_sub(Duration::from_micros(order.micros)) < PREVIOUS_KEY_TTL;
        let previous = latest.next().filter(|_| is_recent).map(|(_, previous)| previous);
        [Some(current), previous].into_iter().flatten().collect()
    }
}

impl FromRedisValue for SessionLines {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut lines: Vec<String> = FromRedisValue::from_redis_value(value)?;
        lines.sort_unstable();
        // A line may have been sent twice.
        lines.dedup_by(|line, before| match (parts(line), parts(before)) {
            (Some((order, ..)), Some((other, ..))) => order == other,
            _ => false,
        });
        Ok(Self(lines))
    }
}

/// An exchange as a line of a session. `until` when the login counts, in microseconds since 1970, or 0.
pub(super) fn line(order: &ExchangeOrder, until: u64, sealed: &Sealed) -> String {
    // 32 of the random bits tell two exchanges of a microsecond apart. All of them would cost a person 50 bytes.
    format!("{:.25} {} {}", order.to_string(), sortable(until), as_text(sealed))
}

pub(super) fn as_text(sealed: &Sealed) -> String {
    STANDARD_NO_PAD.encode(sealed.as_bytes())
}

/// The order of a line's exchange, until when its login counts, and the sealed key. `None` for the line that counts others.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let (order, rest) = line.split_once(' ')?;
    let (until, sealed) = rest.split_once(' ')?;
    (!order.is_empty()).then_some((order, until, sealed))
}
