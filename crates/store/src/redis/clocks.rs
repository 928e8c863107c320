//! The clock of Redis, which dates tokens and ends and orders exchanges of codes, and how far this machine's is off.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Instant as Moment};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use wxmint_keys::random;

use super::Redis;
use crate::{Result, StoreError};

/// Less than the 60 s of leeway that verifiers allow, and more than an answer of Redis may take.
pub const FAR: TimeDelta = TimeDelta::seconds(5);
/// By how much the clock of Redis may be ahead of this machine's where an end is made or a token is dated, and by how
/// much the two may differ where old ends are forgotten: the leeway of verifiers.
pub const APART: TimeDelta = TimeDelta::minutes(1);
/// A clock that is behind by more has stepped back. In microseconds; more than the clocks of a Cluster may be apart.
const STEP: u64 = 1_000_000;

/// The time that Redis would have told at an instant of this process, had its clock not stepped back then. All
/// connections of the process share what one of them has found.
pub(super) type SteppedBack = Arc<ArcSwapOption<(Moment, u64)>>;

type Agreed = (Moment, DateTime<Utc>);

#[derive(Clone, Default)]
pub(super) struct Clocks {
    /// An instant of this process, and which time Redis had then, in microseconds since 1970, as well as is known.
    pub(super) known: Rc<Cell<Option<(Moment, u64)>>>,
    /// An instant at which this machine's clock and Redis' agreed, and what this machine's said.
    pub(super) agreed: Rc<Cell<Option<Agreed>>>,
    pub(super) stepped_back: SteppedBack,
}

impl Clocks {
    /// Redis has just answered to what was `sent` then that this is its time, in seconds since 1970 and microseconds.
    /// It was so at some moment in between: what was known before stays as it is unless that contradicts it, because
    /// the answer may be read late. Returns the time in microseconds.
    pub(super) fn told(&self, sent: Moment, (seconds, micros): (u64, u64)) -> u64 {
        let micros = seconds * 1_000_000 + micros;
        let now = Moment::now();
        let latest = micros + now.duration_since(sent).as_micros() as u64;
        let known = self.known.get().map_or(micros, |known| continued(known, now));
        if known > latest + STEP && self.time_before_step().is_none_or(|before| before < known) {
            self.stepped_back.store(Some(Arc::new((now, known))));
        }
        self.known.set(Some((now, known.clamp(micros, latest))));
        micros
    }

    /// The time that Redis told before its clock stepped back, if it has, in microseconds since 1970. Until Redis is
    /// there again, tokens, ends and exchanges from before are dated later than new ones.
    pub(super) fn time_before_step(&self) -> Option<u64> {
        self.stepped_back.load().as_ref().map(|stepped| stepped.1)
    }

    /// About what Redis would answer now, in microseconds since 1970. Until it has told its time, `own` stands in.
    pub(super) fn estimate(&self, own: DateTime<Utc>) -> u64 {
        self.known.get().map_or(own.timestamp_micros().max(0) as u64, |known| continued(known, Moment::now()))
    }
}

/// A second of Redis, unless this machine calls it far ahead.
pub(super) fn not_ahead(second: i64, now: DateTime<Utc>) -> Result<i64> {
    let ahead = second - now.timestamp();
    if ahead > APART.num_seconds() { Err(too_far_ahead(ahead)) } else { Ok(second) }
}

pub(super) fn too_far_ahead(seconds: i64) -> StoreError {
    let reason = format!(
        "the clock of Redis is {seconds} s ahead of the clock of this machine, and a minute is allowed: set both by NTP"
    );
    StoreError { reason }
}

pub(super) fn continued((at, micros): (Moment, u64), now: Moment) -> u64 {
    micros + now.duration_since(at).as_micros() as u64
}

impl Redis {
    /// About the time by the clock of Redis, in microseconds since 1970.
    pub fn now_micros(&self) -> u64 {
        self.clocks.estimate((self.clock)())
    }

    /// Refuses an exchange that this machine calls far ahead. Verifiers would not accept its token, and later ends
    /// would reach to it.
    pub(super) fn usable(&self, order: &ExchangeOrder) -> Result<()> {
        not_ahead(order.began_at().timestamp(), (self.clock)()).map(drop)
    }
}

/// Identifies an attempt to log in, or another request: 128 random bits. A step repeated with the same id is done once.
#[derive(Debug, derive_more::Display, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[display("{_0:032x}")]
pub struct AttemptId(u128);

impl AttemptId {
    pub fn random() -> Self {
        Self::new(*random())
    }

    pub fn new(bits: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bits))
    }

    pub fn mark(&self) -> AttemptMark {
        AttemptMark(self.0 as u32)
    }
}

/// 32 of an attempt's random bits, which tell it from a person's other attempts. All of them would cost each person 12
/// bytes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptMark(pub(crate) u32);

/// Orders the exchanges of codes, so that the session key of a later exchange never loses to an earlier one that
/// arrives late. It is taken when the code is claimed, before WeChat is asked.
///
/// The store's clock in microseconds decides, so that replicas with different clocks agree. Two exchanges in one
/// microsecond are ordered by the random bits of their attempts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExchangeOrder {
    pub(crate) micros: u64,
    pub(crate) mark: AttemptMark,
}

impl ExchangeOrder {
    /// `micros`: microseconds since 1970.
    pub fn new(micros: u64, attempt: &AttemptId) -> Self {
        Self { micros, mark: attempt.mark() }
    }

    /// The second in which the exchange began.
    pub fn began_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp((self.micros / 1_000_000) as i64, 0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_clock_that_is_behind_by_more_than_clocks_of_a_cluster_may_be_has_stepped_back() {
        let (clocks, sent) = (Clocks::default(), Moment::now());
        for (second, before) in
            [(100, None), (102, None), (102, None), (50, Some(102)), (49, Some(102)), (99, Some(102))]
        {
            clocks.told(sent, (second, 0));
            let known = clocks.time_before_step().map(|micros| micros / SECOND);
            assert_eq!(known, before, "{second}");
        }
        let others = Clocks { stepped_back: SteppedBack::clone(&clocks.stepped_back), ..Clocks::default() };
        assert_eq!(others.time_before_step(), clocks.time_before_step(), "the process knows it");
        clocks.told(sent, (200, 0));
        clocks.told(sent, (198, 0));
        assert_eq!(clocks.time_before_step().map(|micros| micros / SECOND), Some(200), "the later one counts");
    }

    #[test]
    fn an_answer_that_is_read_late_does_not_put_the_clock_back() {
        let (clocks, now) = (Clocks::default(), Moment::now());
        let sent = now.checked_sub(Duration::from_secs(10)).expect("the machine runs for longer");
        for (sent, second, known) in [(now, 105, 105), (sent, 100, 105), (now, 104, 104), (sent, 106, 106)] {
            clocks.told(sent, (second, 0));
            assert_eq!(clocks.estimate(DateTime::UNIX_EPOCH) / SECOND, known, "{second}");
        }
    }
}
