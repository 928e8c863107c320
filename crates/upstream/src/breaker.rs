//! Limits the cost of a slow or unreachable service: a limit on the calls in flight (bulkhead), and
//! a pause after many failures in a row (circuit breaker). A breaker belongs to one worker thread
//! and takes the time as an argument.
//!
//! The calls are made for several apps, and one app's failures do not affect the others. An app
//! pauses by itself. All apps pause only after many apps in a row got no answer. An app whose calls
//! hang leaves slots for the others.

use std::time::{Duration, Instant};
use std::{cell::RefCell, collections::HashMap, hash::Hash, rc::Rc};

/// How many failures in a row mean an outage and not bad luck: failures of one app's calls, or apps
/// without an answer.
const FAILURES_TO_OPEN: u32 = 10;
/// How long nothing is sent during an outage, before one call tries again. The service is back in use within this time
/// and one round trip.
pub const PAUSE: Duration = Duration::from_secs(1);
/// How long after its end a pause still affects calls: until then, a call is a trial. Later, the
/// pause says nothing about the service any more.
const STALE: Duration = Duration::from_secs(5);
/// How many calls an app may have in flight for each free slot. So a single app takes at most 7 of
/// 8 slots. Two apps whose calls all hang take at most 7 of 15 slots each, and a further app still
/// finds a slot.
const CALLS_PER_FREE_PLACE: u32 = 7;
/// How many apps are remembered. Beyond that, apps without a call in flight are dropped.
const MOST_REMEMBERED: usize = 10_000;

/// The record of the calls to one service, by app.
#[derive(Debug)]
pub struct Breaker<App: Eq + Hash> {
    max_in_flight: u32,
    /// The record of all apps together. Its failures are the apps that got no answer.
    all: RefCell<Record>,
    /// The record of each app that has calls in flight, or whose last call failed.
    each: RefCell<HashMap<App, Record>>,
}

#[derive(Debug, Default)]
struct Record {
    in_flight: u32,
    /// The failures since the last success.
    failures: u32,
    /// When the pause ends.
    open_until: Option<Instant>,
    /// How many calls have succeeded. Shows which calls began before the last success.
    successes: u64,
    /// [`Record::successes`] of all apps when this app was last counted as an app without an
    /// answer.
    unanswered_at: Option<u64>,
}

/// The reason why a call is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error("the last calls all failed, so none is sent for a second")]
    Pausing,
    #[error("the last calls of all apps failed, so none is sent for a second")]
    AllPausing,
    #[error("too many calls are waiting for an answer")]
    Full,
}

impl<App: Eq + Hash + Clone> Breaker<App> {
    /// A breaker for one of `workers` threads. It admits its share of `most` calls in flight, but
    /// at least an eighth of `most`. A single app gets seven eighths of that.
    pub fn new(most: u32, workers: u32) -> Rc<Self> {
        let max_in_flight = (most / workers.max(1)).max(most / 8);
        Rc::new(Self {
            max_in_flight,
            all: RefCell::default(),
            each: RefCell::default(),
        })
    }

    /// Admits a call for `app`, or says why not. During an outage, one call is admitted as a trial every second.
    pub fn admit(self: &Rc<Self>, app: &App, now: Instant) -> Result<Permit<App>, Closed> {
        let mut all = self.all.borrow_mut();
        let mut each = self.each.borrow_mut();
        if each.len() >= MOST_REMEMBERED {
            each.retain(|_, own| own.in_flight > 0);
        }
        let free = self.max_in_flight - all.in_flight;
        match each.get(app) {
            Some(own) if own.is_open(now) => return Err(Closed::Pausing),
            _ if all.is_open(now) => return Err(Closed::AllPausing),
            own if own.map_or(0, |own| own.in_flight) >= CALLS_PER_FREE_PLACE * free => {
                return Err(Closed::Full);
            }
            _ => {}
        }
        let since = (
            each.entry(app.clone()).or_default().begin(now),
            all.begin(now),
        );
        Ok(Permit {
            breaker: Rc::clone(self),
            app: app.clone(),
            since,
        })
    }
}

impl Record {
    fn is_open(&self, now: Instant) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }

    /// Begins a call. During an outage, the call is the trial, and the pause starts again. Returns
    /// how many calls have succeeded so far.
    fn begin(&mut self, now: Instant) -> u64 {
        self.open_until = self
            .open_until
            .filter(|until| now < *until + STALE)
            .map(|_| now + PAUSE);
        self.in_flight += 1;
        self.successes
    }

    fn succeeded(&mut self) {
        (self.failures, self.open_until) = (0, None);
        self.successes += 1;
    }

    fn failed(&mut self, now: Instant) {
        self.failures += 1;
        if self.failures >= FAILURES_TO_OPEN {
            self.open_until.get_or_insert(now + PAUSE);
        }
    }
}

/// The outcome of a call that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The service has done what it was asked, or has refused it by its own rules.
    Succeeded,
    /// The service has answered, and fails for this app.
    AppFailed,
    /// The service gave no usable answer.
    Unanswered,
}

/// The permit of a call in flight. If it is dropped without an outcome, the call counts as neither
/// success nor failure.
#[derive(Debug)]
pub struct Permit<App: Eq + Hash> {
    breaker: Rc<Breaker<App>>,
    app: App,
    /// [`Record::successes`] of the app and of all when the call was admitted.
    since: (u64, u64),
}

impl<App: Eq + Hash> Permit<App> {
    /// Counts the outcome. A failure counts unless another call has succeeded since this call
    /// began. So calls that time out after the service has recovered neither begin nor prolong a
    /// pause.
    pub fn ended(self, outcome: CallOutcome, now: Instant) {
        let mut all = self.breaker.all.borrow_mut();
        let mut each = self.breaker.each.borrow_mut();
        let Some(own) = each.get_mut(&self.app) else {
            return;
        };
        match outcome {
            CallOutcome::Succeeded => own.succeeded(),
            _ if self.since.0 == own.successes => own.failed(now),
            _ => {}
        }
        match outcome {
            CallOutcome::Succeeded | CallOutcome::AppFailed => all.succeeded(),
            CallOutcome::Unanswered
                if self.since.1 == all.successes && own.unanswered_at != Some(all.successes) =>
            {
                own.unanswered_at = Some(all.successes);
                all.failed(now);
            }
            CallOutcome::Unanswered => {}
        }
    }
}

impl<App: Eq + Hash> Drop for Permit<App> {
    fn drop(&mut self) {
        self.breaker.all.borrow_mut().in_flight -= 1;
        let mut each = self.breaker.each.borrow_mut();
        let Some(own) = each.get_mut(&self.app) else {
            return;
        };
        own.in_flight -= 1;
        if own.in_flight == 0 && own.failures == 0 {
            each.remove(&self.app);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: u32 = 80;
    /// The share of [`FEW`] slots that one app may have, in percent.
    const OF_ONE: u32 = 70;

    fn called(breaker: &Rc<Breaker<u32>>, app: u32, outcome: CallOutcome, now: Instant) {
        breaker
            .admit(&app, now)
            .expect("admitted")
            .ended(outcome, now);
    }

    /// A breaker in which app 1 pauses.
    fn broken(now: Instant, outcome: CallOutcome) -> Rc<Breaker<u32>> {
        let breaker = Breaker::new(FEW, 1);
        (0..FAILURES_TO_OPEN).for_each(|_| called(&breaker, 1, outcome, now));
        breaker
    }

    fn refusal(breaker: &Rc<Breaker<u32>>, app: u32, now: Instant) -> Option<Closed> {
        breaker.admit(&app, now).err()
    }

    /// docs/accounts.md states these limits.
    #[test]
    fn each_worker_has_its_part_of_256_calls_in_flight_and_from_eight_workers_on_32() {
        let of_one = |workers| Breaker::<()>::new(256, workers).max_in_flight;
        assert_eq!([0, 1, 3, 8, 9, 300].map(of_one), [256, 256, 85, 32, 32, 32]);
    }

    #[test]
    fn ten_failures_in_a_row_start_a_pause_and_a_successful_trial_ends_it() {
        let now = Instant::now();
        let breaker = broken(now, CallOutcome::AppFailed);
        assert_eq!(refusal(&breaker, 1, now), Some(Closed::Pausing));
        let later = now + PAUSE;
        let trial = breaker.admit(&1, later).expect("one trial");
        assert_eq!(
            refusal(&breaker, 1, later),
            Some(Closed::Pausing),
            "one only"
        );
        trial.ended(CallOutcome::Succeeded, later);
        called(&breaker, 1, CallOutcome::Succeeded, later);
    }

    #[test]
    fn a_failed_or_abandoned_trial_is_followed_by_another() {
        let now = Instant::now();
        let breaker = broken(now, CallOutcome::Unanswered);
        called(&breaker, 1, CallOutcome::Unanswered, now + PAUSE);
        assert_eq!(refusal(&breaker, 1, now + PAUSE), Some(Closed::Pausing));
        drop(breaker.admit(&1, now + 2 * PAUSE).expect("a second trial"));
        called(&breaker, 1, CallOutcome::Succeeded, now + 3 * PAUSE);
    }

    #[test]
    fn a_pause_of_long_ago_makes_no_call_a_trial_and_the_next_failure_begins_another() {
        let now = Instant::now();
        for outcome in [CallOutcome::AppFailed, CallOutcome::Unanswered] {
            let (breaker, later) = (broken(now, outcome), now + PAUSE + STALE);
            let calls = [(); 9].map(|()| breaker.admit(&1, later).expect("admitted beside others"));
            for call in calls {
                call.ended(outcome, later);
            }
            assert_eq!(refusal(&breaker, 1, later), Some(Closed::Pausing));
        }
    }

    #[test]
    fn a_success_between_failures_prevents_the_pause() {
        let now = Instant::now();
        let breaker = Breaker::new(FEW, 1);
        for _ in 0..3 {
            (1..FAILURES_TO_OPEN).for_each(|_| called(&breaker, 1, CallOutcome::Unanswered, now));
            called(&breaker, 1, CallOutcome::Succeeded, now);
        }
    }

    #[test]
    fn calls_that_began_before_the_service_came_back_neither_prolong_a_pause_nor_begin_one() {
        let now = Instant::now();
        let breaker = Breaker::new(FEW, 1);
        let mut waiting: Vec<_> = (0..OF_ONE)
            .map(|_| breaker.admit(&1, now).expect("room"))
            .collect();
        let mut fail = |at| {
            waiting
                .drain(..FAILURES_TO_OPEN as usize)
                .for_each(|it| it.ended(CallOutcome::Unanswered, at));
        };
        fail(now);
        fail(now + PAUSE.saturating_sub(Duration::from_millis(1)));
        called(&breaker, 1, CallOutcome::Succeeded, now + PAUSE);
        fail(now + PAUSE);
        called(&breaker, 1, CallOutcome::Succeeded, now + PAUSE);
    }

    #[test]
    fn one_app_fails_for_itself_and_ten_apps_without_an_answer_for_all() {
        let now = Instant::now();
        for outcome in [CallOutcome::AppFailed, CallOutcome::Unanswered] {
            let breaker = broken(now, outcome);
            let others = 2..=FAILURES_TO_OPEN;
            others.for_each(|app| called(&breaker, app, outcome, now));
            let expected = (outcome == CallOutcome::Unanswered).then_some(Closed::AllPausing);
            assert_eq!(refusal(&breaker, 99, now), expected, "{outcome:?}");
            // Any answer ends the pause of all apps. The app's own pause continues.
            called(&breaker, 2, CallOutcome::AppFailed, now + PAUSE);
            assert_eq!(refusal(&breaker, 99, now + PAUSE), None);
            called(&breaker, 1, outcome, now + PAUSE);
            assert_eq!(refusal(&breaker, 1, now + PAUSE), Some(Closed::Pausing));
        }
    }

    #[test]
    fn an_answer_to_one_app_lets_the_others_be_counted_anew() {
        let now = Instant::now();
        let breaker = Breaker::new(FEW, 1);
        for _ in 0..3 {
            (1..FAILURES_TO_OPEN)
                .for_each(|app| called(&breaker, app, CallOutcome::Unanswered, now));
            called(&breaker, 99, CallOutcome::Succeeded, now);
        }
        (0..FAILURES_TO_OPEN)
            .for_each(|app| called(&breaker, app + 50, CallOutcome::Unanswered, now));
        assert_eq!(refusal(&breaker, 99, now), Some(Closed::AllPausing));
    }

    #[test]
    fn calls_in_flight_are_limited_and_an_app_whose_calls_hang_leaves_room_for_another() {
        let now = Instant::now();
        let breaker = Breaker::new(FEW, 1);
        let mut hanging: Vec<_> = (0..OF_ONE)
            .map(|_| breaker.admit(&1, now).expect("room"))
            .collect();
        assert_eq!(refusal(&breaker, 1, now), Some(Closed::Full));
        let others: Vec<_> = (2..12)
            .map(|app| breaker.admit(&app, now).expect("room for each"))
            .collect();
        assert_eq!(refusal(&breaker, 12, now), Some(Closed::Full));
        drop(others);
        hanging.pop();
        called(&breaker, 1, CallOutcome::Succeeded, now);
    }

    #[test]
    fn only_apps_that_fail_or_wait_are_remembered_and_not_too_many() {
        let now = Instant::now();
        let breaker = Breaker::new(FEW, 1);
        (0..100).for_each(|app| called(&breaker, app, CallOutcome::Succeeded, now));
        assert_eq!(breaker.each.borrow().len(), 0);
        let waiting = breaker.admit(&1, now).expect("room");
        (2..3 * MOST_REMEMBERED as u32)
            .for_each(|app| called(&breaker, app, CallOutcome::AppFailed, now));
        assert!(breaker.each.borrow().len() <= MOST_REMEMBERED);
        waiting.ended(CallOutcome::Succeeded, now);
        assert_eq!(breaker.all.borrow().in_flight, 0);
    }
}
