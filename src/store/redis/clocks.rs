//! Tells the operator when this machine's clock is far from the clock of Redis, which dates tokens and ends.

use std::{cell::Cell, rc::Rc};

use chrono::{DateTime, TimeDelta, Utc};

use crate::telemetry::Metrics;

/// Less than the 60 s of leeway that verifiers allow, and more than an answer of Redis may take.
const FAR: TimeDelta = TimeDelta::seconds(5);
const WARNED_EVERY: TimeDelta = TimeDelta::minutes(1);

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
