//! The clock of Redis, which dates tokens and ends: whether this machine's clock is far from it, and which of the clocks of
//! several primaries is ahead.

use std::{cell::Cell, rc::Rc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{super::Result, Redis, primaries::Primary, server::Server};
use crate::telemetry::Metrics;

/// Less than the 60 s of leeway that verifiers allow, and more than an answer of Redis may take.
const FAR: TimeDelta = TimeDelta::seconds(5);
const WARNED_EVERY: TimeDelta = TimeDelta::minutes(1);
/// A primary that does not say its time by then is left out.
const TIME_WITHIN: Duration = Duration::from_millis(300);

#[derive(Clone)]
pub(super) struct Clocks {
    warned: Rc<Cell<Option<DateTime<Utc>>>>,
    metrics: Metrics,
}

impl Clocks {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { warned: Rc::default(), metrics }
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
    /// The greatest time of all primaries of a Cluster: each dates the tokens of its own people, and an end must cover all of
    /// them. Empty where one primary dates everything.
    pub(super) async fn latest_second(&self) -> Result<String> {
        let primaries = self.link.all_primaries().await?;
        if primaries.len() < 2 {
            return Ok(String::new());
        }
        let deadline = Instant::now() + TIME_WITHIN;
        let second = async |(_, server): &(Primary, Rc<Server>)| {
            let answer = server.exchange(redis::pipe().cmd("TIME"), deadline).await.ok()?.pop()?;
            let (second, _): (i64, u32) = redis::from_redis_value(answer).ok()?;
            Some(second)
        };
        let seconds = join_all(primaries.iter().map(second)).await;
        Ok(seconds.into_iter().flatten().max().map(|second| second.to_string()).unwrap_or_default())
    }
}
