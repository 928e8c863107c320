//! The clock of Redis, which dates tokens and ends: whether this machine's clock is far from it, and which of the clocks of
//! several primaries is ahead.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant as Moment},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{super::Result, Redis, primaries::Primary, server::Server};
use crate::telemetry::Metrics;

/// Less than the 60 s of leeway that verifiers allow, and more than an answer of Redis may take.
pub(super) const FAR: TimeDelta = TimeDelta::seconds(5);
const WARNED_EVERY: TimeDelta = TimeDelta::minutes(1);
/// A primary that does not say its time by then is left out.
const TIME_WITHIN: Duration = Duration::from_millis(300);

#[derive(Clone)]
pub(super) struct Clocks {
    warned: Rc<Cell<Option<DateTime<Utc>>>>,
    /// An instant of this process, and which time Redis had then, in microseconds since 1970, as well as is known.
    known: Rc<Cell<Option<(Moment, u64)>>>,
    metrics: Metrics,
}

impl Clocks {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { warned: Rc::default(), known: Rc::default(), metrics }
    }

    /// Redis has just answered to what was `sent` then that this is its time, in seconds since 1970 and microseconds. It was so
    /// at some moment in between: what was known before stays as it is unless that contradicts it, because the answer may be
    /// read late. Returns the time in microseconds.
    pub(super) fn told(&self, sent: Moment, (seconds, micros): (u64, u64)) -> u64 {
        let micros = seconds * 1_000_000 + micros;
        let now = Moment::now();
        let latest = micros + now.duration_since(sent).as_micros() as u64;
        let known = self.known.get().map(|(at, time)| time + now.duration_since(at).as_micros() as u64);
        self.known.set(Some((now, known.unwrap_or(micros).clamp(micros, latest))));
        micros
    }

    /// About what Redis would answer now, in microseconds since 1970. Until it has told its time, `own` stands in.
    pub(super) fn estimate(&self, own: DateTime<Utc>) -> u64 {
        match self.known.get() {
            Some((at, micros)) => micros + at.elapsed().as_micros() as u64,
            None => own.timestamp_micros().max(0) as u64,
        }
    }

    /// `at` is the time of Redis, and `now` the time of this machine when the answer arrived.
    pub(super) fn compare(&self, now: DateTime<Utc>, at: DateTime<Utc>) {
        let ahead = now - at;
        if ahead.abs() <= FAR {
            return;
        }
        self.metrics.clock_is_distant();
        if self.warned.get().is_none_or(|warned| (now - warned).abs() >= WARNED_EVERY) {
            self.warned.set(Some(now));
            tracing::warn!(
                ahead_of_redis_s = ahead.num_seconds(),
                "the clock of this machine is far from the clock of Redis: set both by NTP, because verifiers compare \
                 tokens, which carry the time of Redis, with their own clocks"
            );
        }
    }
}

impl Redis {
    /// About the time by the clock of Redis, in microseconds since 1970.
    pub(super) fn now_micros(&self) -> u64 {
        self.clocks.estimate((self.clock)())
    }

    /// The greatest time of all primaries of a Cluster: each dates the tokens of its own people, and an end must cover all of
    /// them. Empty where one primary dates everything.
    pub(super) async fn latest_second(&self) -> Result<String> {
        let primaries = self.link.all_primaries().await?;
        if primaries.len() < 2 {
            return Ok(String::new());
        }
        let deadline = Instant::now() + TIME_WITHIN;
        let second = async |(_, server): &(Primary, Rc<Server>)| {
            let answer = server.send(redis::pipe().cmd("TIME"), deadline).await.ok()?.pop()?;
            let (second, _): (i64, u32) = redis::from_redis_value(answer).ok()?;
            Some(second)
        };
        let seconds = join_all(primaries.iter().map(second)).await;
        Ok(seconds.into_iter().flatten().max().map(|second| second.to_string()).unwrap_or_default())
    }
}
