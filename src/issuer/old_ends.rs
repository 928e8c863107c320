//! Forgets the ends in the store of which no token can be left.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use wxmint_store::Redis;

/// Ends are forgotten this often,
const FORGOTTEN_EVERY: Duration = Duration::from_secs(60);
/// once the clock has gone evenly for so long: a machine that starts with a wrong clock has set it right by then.
pub(super) const EVEN_FOR: Duration = Duration::from_secs(60 * 60);
/// By how much this machine's clock may be corrected in between.
const CORRECTED: TimeDelta = TimeDelta::seconds(5);
/// One page takes Redis a few milliseconds.
const FORGOTTEN_PAGE: usize = 500;
/// In a minute: more than a day of ten million logouts has.
const FORGOTTEN_PAGES: usize = 20;

pub(super) async fn forget_pages(store: &Redis) {
    for _ in 0..FORGOTTEN_PAGES {
        match store.forget_ends(FORGOTTEN_PAGE).await {
            Ok(FORGOTTEN_PAGE) => {}
            Ok(_) => return,
            Err(error) => {
                return tracing::warn!(%error, "old revocations could not be deleted; tried again in a minute");
            }
        }
    }
}

/// Tells whether this machine's clock has gone as fast as time passes. A clock that is ahead for a while must not make
/// ends look old.
pub(super) struct EvenClock(pub(super) (Instant, DateTime<Utc>));

impl EvenClock {
    /// True once every [`FORGOTTEN_EVERY`], as soon as such a period is over; a clock that was set begins a new one.
    pub(super) fn has_run_for(&mut self, period: Duration, now: (Instant, DateTime<Utc>)) -> bool {
        let (passed, by_clock) = (now.0 - self.0.0, now.1 - self.0.1);
        if (by_clock - TimeDelta::from_std(passed).unwrap_or_default()).abs() > CORRECTED {
            self.0 = now;
        } else if passed >= period {
            self.0 = (self.0.0 + FORGOTTEN_EVERY, self.0.1 + FORGOTTEN_EVERY);
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_forgotten_once_the_clock_has_gone_evenly_for_an_hour_and_then_each_minute() {
        let (at, begun) = (Instant::now(), DateTime::UNIX_EPOCH);
        for moved in [TimeDelta::zero(), TimeDelta::hours(8), TimeDelta::hours(-8)] {
            let mut clock = EvenClock((at, begun));
            let mut has_run_for = |seconds| {
                let passed = Duration::from_secs(seconds);
                clock.has_run_for(EVEN_FOR, (at + passed, begun + passed + moved))
            };
            assert_eq!(has_run_for(3600), moved.is_zero(), "a clock that was set begins anew");
            assert!(!has_run_for(3659));
            assert_eq!(has_run_for(3660), moved.is_zero());
            assert_eq!(has_run_for(7199), moved.is_zero(), "it was not asked for an hour");
            assert!(has_run_for(7200), "since then it has gone evenly");
        }
    }
}
