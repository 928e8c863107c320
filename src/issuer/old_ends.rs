//! Forgets the ends of which no token can be left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use wxmint_store::Redis;

use super::Issuer;
use crate::clock::now;

const INTERVAL: Duration = Duration::from_secs(2);
/// Ends are forgotten this often, if the clock has gone evenly since the last time.
const FORGOTTEN_EVERY: Duration = Duration::from_secs(60);
/// By how much this machine's clock may be corrected in between.
const CORRECTED: TimeDelta = TimeDelta::seconds(5);
/// One page takes Redis a few milliseconds.
const PAGE: usize = 500;
/// In a minute: more than a day of ten million logouts has.
const PAGES: usize = 20;

/// Forgets them for as long as the process runs.
pub(super) async fn forget(issuer: Arc<Issuer>) {
    let store = issuer.store();
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let mut clock = EvenClock::begin(now());
    loop {
        interval.tick().await;
        if clock.has_run_for(FORGOTTEN_EVERY, now()) {
            forget_old(&store).await;
        }
    }
}

async fn forget_old(store: &Redis) {
    for _ in 0..PAGES {
        match store.forget_ends(PAGE).await {
            Ok(PAGE) => {}
            Ok(_) => return,
            Err(error) => {
                return tracing::warn!(%error, "old revocations could not be deleted; tried again in a minute");
            }
        }
    }
}

/// Tells whether this machine's clock has gone as fast as time passes. A clock that was set ahead must not make ends
/// look old.
struct EvenClock {
    since: (Instant, DateTime<Utc>),
}

impl EvenClock {
    fn begin(now: DateTime<Utc>) -> Self {
        Self { since: (Instant::now(), now) }
    }

    /// True once in such a period; a clock that was set begins a new one.
    fn has_run_for(&mut self, period: Duration, now: DateTime<Utc>) -> bool {
        let (at, then) = self.since;
        let passed = at.elapsed();
        let was_set = (now - then - TimeDelta::from_std(passed).unwrap_or_default()).abs() > CORRECTED;
        if was_set || passed >= period {
            *self = Self::begin(now);
        }
        passed >= period && !was_set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_begins_a_new_period() {
        let begun = DateTime::UNIX_EPOCH;
        let mut clock = EvenClock::begin(begun);
        assert!(!clock.has_run_for(Duration::from_secs(3600), begun));
        assert!(clock.has_run_for(Duration::ZERO, begun), "the period is over");
        for moved in [TimeDelta::hours(8), TimeDelta::hours(-8)] {
            let mut clock = EvenClock::begin(begun);
            assert!(!clock.has_run_for(Duration::ZERO, begun + moved));
            assert!(clock.has_run_for(Duration::ZERO, begun + moved), "and from then on it goes evenly");
        }
    }
}
