//! Tells by which clock a revocation has expired: that of this machine or that of Redis may be ahead
//! for a while.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use wxmint_store::StoreClock;

use crate::clock::now;

/// Expired revocations are purged this often.
const PURGED_EVERY: Duration = Duration::from_mins(1);
/// The clock must have run steadily for this long first: a machine that starts with a wrong clock
/// has corrected it by then.
const STEADY_FOR: Duration = Duration::from_hours(1);
/// By how much this machine's clock may be corrected within that time.
const CORRECTED: TimeDelta = TimeDelta::seconds(5);

/// Whether this machine's clock has run steadily for [`STEADY_FOR`], because a clock that is ahead
/// for a while must not make revocations look expired. From then on this is true once every
/// [`PURGED_EVERY`]. After the clock was set, the time begins anew.
pub(super) fn has_run_steadily(
    began: &mut (Instant, DateTime<Utc>),
    now: (Instant, DateTime<Utc>),
) -> bool {
    let passed = now.0 - began.0;
    let by_clock = now.1 - began.1;
    if (by_clock - TimeDelta::from_std(passed).unwrap_or_default()).abs() > CORRECTED {
        *began = now;
    } else if passed >= STEADY_FOR {
        *began = (began.0 + PURGED_EVERY, began.1 + PURGED_EVERY);
        return true;
    }
    false
}

/// The present second by this machine's clock, and by that of Redis. Either may be ahead for a
/// while.
pub(super) fn seconds(clock: &StoreClock) -> [i64; 2] {
    [now().timestamp(), (clock.redis_micros() / 1_000_000) as i64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocations_are_purged_once_the_clock_has_run_steadily_for_an_hour_and_then_each_minute() {
        let (at, begun) = (Instant::now(), DateTime::UNIX_EPOCH);
        for moved in [TimeDelta::zero(), TimeDelta::hours(8), TimeDelta::hours(-8)] {
            let mut clock = (at, begun);
            let mut is_after = |seconds| {
                let passed = Duration::from_secs(seconds);
                has_run_steadily(&mut clock, (at + passed, begun + passed + moved))
            };
            assert_eq!(
                is_after(3600),
                moved.is_zero(),
                "a clock that was set begins anew"
            );
            assert!(!is_after(3659));
            assert_eq!(is_after(3660), moved.is_zero());
            assert_eq!(
                is_after(7199),
                moved.is_zero(),
                "it was not asked for an hour"
            );
            assert!(is_after(7200), "since then it has run steadily");
        }
    }
}
