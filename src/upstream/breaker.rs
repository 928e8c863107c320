//! Limits what a slow or unreachable service can cost: a limit on the calls in flight (bulkhead), and a pause after
//! many failures in a row (circuit breaker). A breaker belongs to one worker thread and takes the time as an argument.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

/// This many failures in a row mean an outage, not bad luck.
const FAILURES_TO_OPEN: u32 = 10;
/// How long nothing is sent during an outage, before one call tries again. The service is back in use within this time
/// and one round trip.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Breaker {
    max_in_flight: u32,
    failures: Cell<u32>,
    open_until: Cell<Option<Instant>>,
    /// How often the service has answered, to tell which calls are older than its last answer.
    answers: Cell<u64>,
    in_flight: Cell<u32>,
}

/// Why the breaker rejects a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The service has failed too often in a row.
    Pausing,
    /// The limit of calls in flight is reached.
    Full,
}

impl Closed {
    pub(crate) const RETRY_AFTER: Duration = PAUSE;

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Pausing => "its last calls all failed, so no call is sent for a second",
            Self::Full => "too many calls are waiting for its answer",
        }
    }
}

impl Breaker {
    pub(crate) fn new(max_in_flight: u32) -> Rc<Self> {
        let (failures, open_until, answers, in_flight) = Default::default();
        Rc::new(Self { max_in_flight, failures, open_until, answers, in_flight })
    }

    /// Admits a call or says why not. During an outage, one call is admitted as a trial every [`PAUSE`].
    pub(crate) fn admit(self: &Rc<Self>, now: Instant) -> Result<Permit, Closed> {
        if self.open_until.get().is_some_and(|until| now < until) {
            return Err(Closed::Pausing);
        }
        if self.in_flight.get() >= self.max_in_flight {
            return Err(Closed::Full);
        }
        if self.open_until.get().is_some() {
            self.open_until.set(Some(now + PAUSE));
        }
        self.in_flight.set(self.in_flight.get() + 1);
        Ok(Permit { breaker: Rc::clone(self), answers: self.answers.get() })
    }
}

/// A call in flight. If it is dropped before its end, it counts as neither success nor failure.
#[derive(Debug)]
pub(crate) struct Permit {
    breaker: Rc<Breaker>,
    /// [`Breaker::answers`] when the call was admitted.
    answers: u64,
}

impl Permit {
    pub(crate) fn succeeded(self) {
        self.breaker.failures.set(0);
        self.breaker.open_until.set(None);
        self.breaker.answers.set(self.breaker.answers.get() + 1);
    }

    /// Counts a failure, unless the service has answered since the call began. Calls that wait for their timeout when the
    /// service comes back neither begin a pause nor prolong one.
    pub(crate) fn failed(self, now: Instant) {
        if self.answers != self.breaker.answers.get() {
            return;
        }
        let failures = self.breaker.failures.get() + 1;
        self.breaker.failures.set(failures);
        if failures >= FAILURES_TO_OPEN && self.breaker.open_until.get().is_none() {
            self.breaker.open_until.set(Some(now + PAUSE));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.breaker.in_flight.set(self.breaker.in_flight.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: u32 = 100;

    fn broken(now: Instant) -> Rc<Breaker> {
        let breaker = Breaker::new(FEW);
        for _ in 0..FAILURES_TO_OPEN {
            breaker.admit(now).expect("still open to calls").failed(now);
        }
        breaker
    }

    #[test]
    fn ten_failures_in_a_row_start_a_pause_and_a_successful_trial_ends_it() {
        let now = Instant::now();
        let breaker = broken(now);
        assert_eq!(breaker.admit(now).expect_err("paused"), Closed::Pausing);
        let later = now + PAUSE;
        let trial = breaker.admit(later).expect("one trial");
        assert_eq!(breaker.admit(later).expect_err("one only"), Closed::Pausing);
        trial.succeeded();
        breaker.admit(later).expect("closed again").succeeded();
    }

    #[test]
    fn a_failed_or_abandoned_trial_is_followed_by_another() {
        let now = Instant::now();
        let breaker = broken(now);
        breaker.admit(now + PAUSE).expect("a trial").failed(now + PAUSE);
        assert_eq!(breaker.admit(now + PAUSE).expect_err("paused"), Closed::Pausing);
        drop(breaker.admit(now + 2 * PAUSE).expect("a second trial"));
        breaker.admit(now + 3 * PAUSE).expect("a third trial").succeeded();
    }

    #[test]
    fn a_success_between_failures_prevents_the_pause() {
        let now = Instant::now();
        let breaker = Breaker::new(FEW);
        for _ in 0..3 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.admit(now).expect("admitted").failed(now);
            }
            breaker.admit(now).expect("admitted").succeeded();
        }
    }

    #[test]
    fn calls_that_began_before_the_service_came_back_neither_prolong_a_pause_nor_begin_one() {
        let now = Instant::now();
        let breaker = Breaker::new(FEW);
        let mut waiting: Vec<_> = (0..FEW).map(|_| breaker.admit(now).expect("room")).collect();
        waiting.drain(..FAILURES_TO_OPEN as usize).for_each(|permit| permit.failed(now));
        let almost = now + PAUSE - Duration::from_millis(1);
        waiting.drain(..FAILURES_TO_OPEN as usize).for_each(|permit| permit.failed(almost));
        breaker.admit(now + PAUSE).expect("a trial, a second after the pause began").succeeded();
        waiting.into_iter().for_each(|permit| permit.failed(now + PAUSE));
        breaker.admit(now + PAUSE).expect("no pause").succeeded();
    }

    #[test]
    fn calls_in_flight_are_limited_and_ended_calls_make_room() {
        let now = Instant::now();
        let breaker = Breaker::new(FEW);
        let mut permits: Vec<_> = (0..FEW).map(|_| breaker.admit(now).expect("room")).collect();
        assert_eq!(breaker.admit(now).expect_err("full"), Closed::Full);
        permits.pop();
        breaker.admit(now).expect("room again").succeeded();
    }
}
