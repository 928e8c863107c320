//! Rate limits by the generic cell rate algorithm (GCRA). The state of one limit is a cell, which is one point in time.
//!
//! The cell holds its theoretical arrival time (TAT): the time at which the limit is completely unused again. Each
//! event moves it one interval into the future, and is refused if the cell would then lie more than one period ahead.
//! So a full burst is admitted at once, and after that one event per interval. (ITU-T I.371, annex A.)

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// At most `burst` events at once, and as many in each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub burst: u32,
    /// At least a second.
    pub period: Duration,
}

/// The configured limits (`WXMINT_LIMIT_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginLimits {
    /// Logins per IP address.
    pub ip: Rate,
    /// Logins per person.
    pub openid: Rate,
    /// Failed passwords per person and user name.
    pub username: Rate,
}

/// The limit is reached. The refused event was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// The event is admitted after this time, if no other event comes first.
    pub retry_after: Duration,
}

impl Rate {
    /// The time between two events at a steady rate, in microseconds.
    pub fn interval_micros(self) -> u64 {
        self.period_micros() / u64::from(self.burst.max(1))
    }

    pub fn period_micros(self) -> u64 {
        self.period.as_micros() as u64
    }

    /// Returns the cell after an event at `now`, or refuses the event. A cell that was never used is `None`.
    pub fn admit(self, cell: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<DateTime<Utc>, TooMany> {
        let micros = |micros: u64| TimeDelta::microseconds(micros as i64);
        let next = cell.unwrap_or(now).max(now) + micros(self.interval_micros());
        let over = next - (now + micros(self.period_micros()));
        if over > TimeDelta::zero() {
            return Err(TooMany { retry_after: over.to_std().unwrap_or_default() });
        }
        Ok(next)
    }

    /// The cell without one of its events.
    pub fn give_back(self, cell: DateTime<Utc>) -> DateTime<Utc> {
        cell - TimeDelta::microseconds(self.interval_micros() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + millis).expect("a time")
    }

    #[test]
    fn a_burst_is_admitted_and_then_one_event_per_interval() {
        let rate = Rate { burst: 10, period: Duration::from_secs(300) };
        let mut cell = None;
        for _ in 0..10 {
            cell = Some(rate.admit(cell, at(0)).expect("within the burst"));
        }
        let retry = |now| rate.admit(cell, at(now)).map_err(|refused| refused.retry_after);
        assert_eq!(retry(0), Err(Duration::from_secs(30)));
        assert_eq!(retry(29_999), Err(Duration::from_millis(1)));
        let next = retry(30_000).expect("exactly when it was said");
        assert_eq!(rate.admit(Some(next), at(30_000)).expect_err("one").retry_after, Duration::from_secs(30));
        assert!(rate.admit(Some(rate.give_back(next)), at(30_000)).is_ok());
    }

    #[test]
    fn after_an_idle_period_a_full_burst_is_admitted_again() {
        let rate = Rate { burst: 3, period: Duration::from_secs(1) };
        let mut cell = Some(at(0));
        for _ in 0..3 {
            cell = Some(rate.admit(cell, at(5_000)).expect("within the burst"));
        }
        assert!(rate.admit(cell, at(5_000)).is_err());
    }
}
