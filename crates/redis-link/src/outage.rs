//! Logs outages of Redis: when one begins, repeatedly while it lasts, and when it is over. Failures
//! are not logged one by one, because thousands of requests a second may fail, on all connections
//! of the process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often an outage is logged while it lasts.
const AGAIN: Duration = Duration::from_secs(30);
/// An outage is over after this time without a failure. Until then some calls may succeed and
/// others fail.
const OVER_AFTER: Duration = Duration::from_secs(2);
/// The outages of all connections of the process, by the address of the server.
static OUTAGES: Mutex<BTreeMap<String, Outage>> = Mutex::new(BTreeMap::new());

struct Outage {
    since: Instant,
    last: Instant,
    told: Option<Instant>,
    failed: u64,
}

/// Notes that a call failed because Redis cannot be used.
pub(crate) fn failed(redis: &str, reason: &str) {
    let mut outages = OUTAGES.lock();
    let now = Instant::now();
    let outage = outages.entry(redis.to_owned()).or_insert(Outage {
        since: now,
        last: now,
        told: None,
        failed: 0,
    });
    if outage.notes_failure(now) {
        let lasts_s = (now - outage.since).as_secs();
        let failed = outage.failed;
        tracing::warn!(
            redis,
            reason,
            lasts_s,
            failed,
            "Redis cannot be used; what needs it fails until it can"
        );
    }
}

/// Notes that Redis answered, and logs the end of an outage if it is over.
pub(crate) fn answered(redis: &str) {
    let mut outages = OUTAGES.lock();
    if outages
        .get(redis)
        .is_some_and(|outage| outage.is_over(Instant::now()))
        && let Some(Outage {
            since,
            last,
            failed,
            ..
        }) = outages.remove(redis)
    {
        tracing::info!(
            redis,
            lasted_s = (last - since).as_secs(),
            failed,
            "Redis can be used again"
        );
    }
}

/// Notes that a server is no primary any more, so that its outage no longer matters.
pub(crate) fn replaced(redis: &str) {
    if OUTAGES.lock().remove(redis).is_some() {
        tracing::info!(
            redis,
            "this Redis is no primary any more; others do its work"
        );
    }
}

impl Outage {
    /// Counts a failure. Returns whether to log it.
    fn notes_failure(&mut self, now: Instant) -> bool {
        (self.last, self.failed) = (now, self.failed + 1);
        let is_time = self.told.is_none_or(|told| now - told >= AGAIN);
        if is_time {
            self.told = Some(now);
        }
        is_time
    }

    fn is_over(&self, now: Instant) -> bool {
        now - self.last >= OVER_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_a_minute_is_said_three_times_whatever_the_load_and_ends_with_the_last_failure()
    {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let mut outage = Outage {
            since: began,
            last: began,
            told: None,
            failed: 0,
        };
        let told: Vec<u64> = (0..=60_000)
            .filter(|millis| outage.notes_failure(at(*millis)))
            .collect();
        assert_eq!((told, outage.failed), (vec![0, 30_000, 60_000], 60_001));
        assert!(!outage.is_over(at(61_999)), "others may fail still");
        assert!(outage.is_over(at(62_000)));
    }
}
