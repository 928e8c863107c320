//! Decides when to fetch the keys, as a function of past events and the time.

use std::time::{Duration, Instant};

/// The `max-age` that is assumed if the response has none.
const USUAL_MAX_AGE: Duration = Duration::from_mins(5);
/// The shortest `max-age` that is obeyed. An issuer sends `max-age=1` when its next key is about to
/// sign, but that key is already in the set.
const SOONEST: Duration = Duration::from_secs(10);
/// The longest `max-age` that is obeyed, so that a key that was retired in an emergency disappears
/// within this time.
const LATEST: Duration = Duration::from_mins(10);
/// The wait after the first failure. It doubles with each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after a failure. With this wait and the timeout of a fetch, an issuer that has
/// recovered is found within a minute.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Tokens with unknown `kid`s cause at most one fetch in this time, however many there are.
pub(crate) const STRANGER_INTERVAL: Duration = Duration::from_secs(10);

/// How to proceed with an unknown `kid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// Fetch now.
    Fetch,
    /// A fetch is in flight; wait for it.
    Wait,
    /// Refuse the token, because keys were fetched a moment ago and this key was not among them.
    Refuse,
}

/// The schedule of fetches for one set of keys, at most one at a time.
#[derive(Debug)]
pub(crate) struct Schedule {
    due: Instant,
    begun: Option<Instant>,
    in_flight: bool,
    failures: u32,
}

impl Schedule {
    /// The first fetch is due at once.
    pub(crate) fn starting(now: Instant) -> Self {
        Self {
            due: now,
            begun: None,
            in_flight: false,
            failures: 0,
        }
    }

    /// When the next fetch is due, unless an unknown `kid` causes one sooner.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Records that a fetch begins.
    pub(crate) fn begins(&mut self, now: Instant) {
        self.begun = Some(now);
        self.in_flight = true;
    }

    /// Whether a fetch has begun or was promised to a request.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// Records that a fetch brought keys that may be cached for `max_age`. The next fetch is due at
    /// 70 to 90 % of that time, depending on `jitter` (0 to 1), so that replicas that started
    /// together do not fetch together.
    pub(crate) fn succeeded(&mut self, now: Instant, max_age: Option<Duration>, jitter: f64) {
        let held = max_age.unwrap_or(USUAL_MAX_AGE).clamp(SOONEST, LATEST);
        (self.in_flight, self.failures) = (false, 0);
        self.due = now + held.mul_f64(0.7 + 0.2 * jitter);
    }

    /// Records that a fetch failed. Returns the wait before the next one.
    pub(crate) fn failed(&mut self, now: Instant, jitter: f64) -> Duration {
        let wait = FIRST_RETRY
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(LONGEST_RETRY);
        (self.in_flight, self.failures) = (false, self.failures.saturating_add(1));
        let wait = wait.mul_f64(0.5 + 0.5 * jitter);
        self.due = now + wait;
        wait
    }

    /// Decides about a token or page that names an unknown key. `interval` counts from the last
    /// fetch of any cause.
    pub(crate) fn stranger(&mut self, now: Instant, interval: Duration) -> Stranger {
        let recent = self
            .begun
            .is_some_and(|begun| now.saturating_duration_since(begun) < interval);
        match (self.in_flight, recent) {
            (true, _) => Stranger::Wait,
            (false, true) => Stranger::Refuse,
            (false, false) => {
                self.begins(now);
                Stranger::Fetch
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn keys_are_fetched_again_before_their_max_age_ends_and_not_by_all_replicas_at_once() {
        let now = Instant::now();
        for (max_age, jitter, due) in [
            (Some(300), 0.0, 210.0),
            (Some(300), 1.0, 270.0),
            (Some(300), 0.5, 240.0),
            (Some(100_000), 0.0, 420.0),
            (Some(100_000), 1.0, 540.0),
            (Some(0), 0.0, 7.0),
            (Some(1), 1.0, 9.0),
            (None, 0.0, 210.0),
        ] {
            let mut schedule = Schedule::starting(now);
            assert_eq!(schedule.due(), now);
            schedule.begins(now);
            schedule.succeeded(now, max_age.map(seconds), jitter);
            let wait = (schedule.due() - now).as_secs_f64();
            assert!((wait - due).abs() < 0.001, "{max_age:?}, {jitter}: {wait}");
        }
    }

    #[test]
    fn after_failures_the_wait_doubles_up_to_thirty_seconds() {
        let now = Instant::now();
        let mut schedule = Schedule::starting(now);
        let waits: Vec<_> = (0..8)
            .map(|_| schedule.failed(now, 1.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(schedule.failed(now, 0.0), seconds(15));
        for _ in 0..100 {
            assert!(schedule.failed(now, 1.0) <= seconds(30));
        }
        schedule.succeeded(now, None, 0.0);
        assert_eq!(
            schedule.failed(now, 1.0),
            seconds(1),
            "a success forgets them"
        );
    }

    #[test]
    fn ten_thousand_unknown_kids_in_a_minute_cause_at_most_one_fetch_in_ten_seconds() {
        let start = Instant::now();
        let mut schedule = Schedule::starting(start);
        schedule.begins(start);
        schedule.succeeded(start, None, 0.0);
        let mut fetches = Vec::new();
        for step in 0..10_000 {
            let now = start + Duration::from_millis(step * 6);
            if schedule.stranger(now, STRANGER_INTERVAL) == Stranger::Fetch {
                fetches.push(now);
                schedule.failed(now, 0.0);
            }
        }
        assert_eq!(fetches.len(), 5);
        assert!(
            fetches
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= STRANGER_INTERVAL)
        );
        assert!(fetches[0] - start >= STRANGER_INTERVAL);
    }

    #[test]
    fn an_unknown_kid_waits_for_a_fetch_in_flight() {
        let now = Instant::now();
        let mut schedule = Schedule::starting(now);
        assert_eq!(schedule.stranger(now, STRANGER_INTERVAL), Stranger::Fetch);
        assert_eq!(schedule.stranger(now, STRANGER_INTERVAL), Stranger::Wait);
        assert_eq!(
            schedule.stranger(now + seconds(60), STRANGER_INTERVAL),
            Stranger::Wait,
            "however long it takes"
        );
        schedule.succeeded(now + seconds(60), None, 0.0);
        assert_eq!(
            schedule.stranger(now + seconds(60), STRANGER_INTERVAL),
            Stranger::Fetch,
            "the last began a minute ago"
        );
        schedule.succeeded(now + seconds(61), None, 0.0);
        assert_eq!(
            schedule.stranger(now + seconds(69), STRANGER_INTERVAL),
            Stranger::Refuse
        );
        assert_eq!(
            schedule.stranger(now + seconds(70), STRANGER_INTERVAL),
            Stranger::Fetch,
            "10 s after the last began"
        );
        assert_eq!(
            schedule.stranger(now + seconds(70), Duration::ZERO),
            Stranger::Wait,
            "a page waits too"
        );
        schedule.succeeded(now + seconds(71), None, 0.0);
        assert_eq!(
            schedule.stranger(now + seconds(71), STRANGER_INTERVAL),
            Stranger::Refuse
        );
        assert_eq!(
            schedule.stranger(now + seconds(71), Duration::ZERO),
            Stranger::Fetch,
            "a page is no stranger"
        );
    }
}
