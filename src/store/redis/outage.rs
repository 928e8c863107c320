//! Says in the log that Redis cannot be used: when that begins, again while it lasts, and when it is over. Failed requests
//! come by the thousand a second, and each of a process' connections fails.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How often it is said while it lasts.
const AGAIN: Duration = Duration::from_secs(30);
/// No failure for this long, and it is over: until then some calls may succeed and others fail.
const OVER_AFTER: Duration = Duration::from_secs(2);

/// One for all connections of the process.
pub(super) static OUTAGE: Outage = Outage { lasts: AtomicBool::new(false), troubles: Mutex::new(BTreeMap::new()) };

pub(super) struct Outage {
    /// Whether there is trouble anywhere, for the many calls that succeed.
    lasts: AtomicBool,
    /// By the address of the server.
    troubles: Mutex<BTreeMap<String, Option<Trouble>>>,
}

struct Trouble {
    since: Instant,
    told: Instant,
    last: Instant,
    /// How many calls failed.
    failed: u64,
}

impl Outage {
    /// A call could not reach a Redis that serves it.
    pub(super) fn failed(&self, redis: &str, reason: &str) {
        let mut troubles = self.troubles();
        self.lasts.store(true, Ordering::Relaxed);
        if let Some((lasts, failed)) = note_failure(troubles.entry(redis.to_owned()).or_default(), Instant::now()) {
            let lasts_s = lasts.as_secs();
            tracing::warn!(redis, reason, lasts_s, failed, "Redis cannot be used; what needs it fails until it can");
        }
    }

    /// A call was answered.
    pub(super) fn answered(&self, redis: &str) {
        if !self.lasts.load(Ordering::Relaxed) {
            return;
        }
        let mut troubles = self.troubles();
        let over = troubles.get_mut(redis).and_then(|trouble| note_answer(trouble, Instant::now()));
        if let Some((lasted, failed)) = over {
            self.forget(&mut troubles, redis);
            tracing::info!(redis, lasted_s = lasted.as_secs(), failed, "Redis can be used again");
        }
    }

    /// A server is no primary any more, so that nobody asks it.
    pub(super) fn replaced(&self, redis: &str) {
        let mut troubles = self.troubles();
        if self.forget(&mut troubles, redis).is_some() {
            tracing::info!(redis, "this Redis is no primary any more; others do its work");
        }
    }

    fn forget(&self, troubles: &mut Troubles<'_>, redis: &str) -> Option<()> {
        let known = troubles.remove(redis).map(drop);
        self.lasts.store(!troubles.is_empty(), Ordering::Relaxed);
        known
    }

    fn troubles(&self) -> Troubles<'_> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Troubles<'a> = MutexGuard<'a, BTreeMap<String, Option<Trouble>>>;

/// How long it lasts and how many calls have failed, if it is time to say so.
fn note_failure(trouble: &mut Option<Trouble>, now: Instant) -> Option<(Duration, u64)> {
    let is_new = trouble.is_none();
    let trouble = trouble.get_or_insert(Trouble { since: now, told: now, last: now, failed: 0 });
    (trouble.last, trouble.failed) = (now, trouble.failed + 1);
    if !is_new && now - trouble.told < AGAIN {
        return None;
    }
    trouble.told = now;
    Some((now - trouble.since, trouble.failed))
}

/// How long it lasted and how many calls failed, if it is over.
fn note_answer(trouble: &mut Option<Trouble>, now: Instant) -> Option<(Duration, u64)> {
    let over = trouble.take_if(|trouble| now - trouble.last >= OVER_AFTER)?;
    Some((over.last - over.since, over.failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_a_minute_is_said_three_times_and_its_end_once_whatever_the_load() {
        let (began, mut trouble) = (Instant::now(), None);
        let at = |millis| began + Duration::from_millis(millis);
        let told: Vec<_> = (0..=60_000).filter_map(|millis| note_failure(&mut trouble, at(millis))).collect();
        let seconds: Vec<_> = told.iter().map(|(lasts, failed)| (lasts.as_secs(), *failed)).collect();
        assert_eq!(seconds, [(0, 1), (30, 30_001), (60, 60_001)]);
        assert_eq!(note_answer(&mut trouble, at(61_999)), None, "others may fail still");
        assert_eq!(note_answer(&mut trouble, at(62_000)), Some((Duration::from_secs(60), 60_001)));
        assert_eq!(note_answer(&mut trouble, at(62_001)), None);
        assert_eq!(note_failure(&mut trouble, at(63_000)), Some((Duration::ZERO, 1)), "the next one is said at once");
    }
}
