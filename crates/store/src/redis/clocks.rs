//! The clock of Redis, which orders exchanges of codes and dates tokens, ends and pages of ends, and how far this
//! machine's is off. Of several primaries the one that is ahead dates, and where the clock has stepped back, the second
//! from before.

use std::time::{Duration, Instant as Moment};
use std::{cell::Cell, rc::Rc, sync::Arc};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{join, join_all, try_join, try_join_all};
use tokio::time::Instant;
use wxmint_ids::UserId;
use wxmint_keys::random;

use super::{Call, Store, name};
use crate::{Issued, Result, StoreError};

/// Less than the 60 s of leeway that verifiers allow, and more than an answer of Redis may take.
pub const FAR: TimeDelta = TimeDelta::seconds(5);
/// By how much the clock of Redis may be ahead of this machine's where an end is made or a token is dated, and by how
/// much the two may differ where old ends are forgotten: the leeway of verifiers.
pub const APART: TimeDelta = TimeDelta::minutes(1);
/// A clock that is behind by more has stepped back. In microseconds; more than the clocks of a Cluster may be apart.
const STEP: u64 = 1_000_000;
/// A primary that does not say its time by then is left out.
const TIME_WITHIN: Duration = Duration::from_millis(300);

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
    fn estimate(&self, own: DateTime<Utc>) -> u64 {
        self.known.get().map_or(own.timestamp_micros().max(0) as u64, |known| continued(known, Moment::now()))
    }

    /// When a page of ends was read, by the clock of Redis. If that has stepped back, verifiers would take the page for
    /// an old one: then its clock from before counts, but not more than the clock of this machine, `own`. If Redis is
    /// further away than verifiers allow, `own` counts. If this machine's clock is the one that was set since both
    /// agreed, the time counts that it would tell without that.
    pub(super) fn page_time(&self, at: DateTime<Utc>, own: DateTime<Utc>) -> DateTime<Utc> {
        let now = Moment::now();
        let expected = self.agreed.get().map_or(own, |(then, told)| told + now.duration_since(then));
        let own = if (at - own).abs() > APART && (own - expected).abs() > APART { expected } else { own };
        if (at - own).abs() <= APART {
            self.agreed.set(Some((now, own)));
        }
        let before = self.stepped_back.load().as_ref().map(|stepped| continued(**stepped, Moment::now()));
        match before.and_then(|micros| DateTime::from_timestamp_micros(micros as i64)) {
            Some(before) if at - own <= APART => before.min(own).max(at),
            None if (at - own).abs() <= APART => at,
            _ => own,
        }
    }
}

/// A second of Redis, unless this machine calls it far ahead.
fn not_ahead(second: i64, now: DateTime<Utc>) -> Result<i64> {
    let ahead = second - now.timestamp();
    if ahead > APART.num_seconds() { Err(too_far_ahead(ahead)) } else { Ok(second) }
}

pub(super) fn too_far_ahead(seconds: i64) -> StoreError {
    let reason = format!(
        "the clock of Redis is {seconds} s ahead of the clock of this machine, and a minute is allowed: set both by NTP"
    );
    StoreError { reason }
}

fn continued((at, micros): (Moment, u64), now: Moment) -> u64 {
    micros + now.duration_since(at).as_micros() as u64
}

impl Store {
    /// About the time by the clock of Redis, in microseconds since 1970.
    pub fn now_micros(&self) -> u64 {
        self.clocks.estimate((self.clock)())
    }

    /// Refuses an exchange that this machine calls far ahead. Verifiers would not accept its token, and later ends
    /// would reach to it.
    pub(super) fn usable(&self, order: &ExchangeTimestamp) -> Result<()> {
        not_ahead(order.began_at().timestamp(), (self.clock)()).map(drop)
    }

    /// As if its clock had stepped back from this second.
    #[cfg(test)]
    pub(crate) fn had_told(&self, second: u64) {
        self.clocks.stepped_back.store(Some(Arc::new((Moment::now(), second * 1_000_000))));
    }

    /// The present second by the clock of each primary that answers in time, and of the one with this key in any case.
    pub(super) async fn present_seconds(&self, key: &str) -> Result<Vec<i64>> {
        let primaries = self.link.all_primaries().await?;
        let (sent, mut time) = (Instant::now(), redis::pipe());
        time.cmd("TIME");
        let others = primaries.iter().filter(|_| primaries.len() > 1);
        let others = others.map(|(_, server)| server.query(&time, sent + TIME_WITHIN));
        let (own, others) = join(self.link.run("time", Call::at(key).cmd("TIME")), join_all(others)).await;
        let own: (u64, u64) = own?;
        self.clocks.told(sent.into_std(), own);
        Ok(others.into_iter().flatten().chain([own]).map(|(second, _)| second as i64).collect())
    }

    /// The second that an end must cover: the latest of all primaries, because each of them may have dated tokens, and
    /// the one that Redis told before its clock stepped back. Where no process has seen that, this machine's second,
    /// unless it is further ahead than tokens may be dated. Fails if a clock is far ahead of this machine's.
    pub(super) async fn latest_second(&self, key: &str) -> Result<i64> {
        let (seconds, now) = (self.present_seconds(key).await?, (self.clock)());
        let seconds = seconds.into_iter().map(|second| not_ahead(second, now)).collect::<Result<Vec<_>>>()?;
        let before = self.clocks.time_before_step().map(|micros| (micros / 1_000_000) as i64);
        let before = before.filter(|before| not_ahead(*before, now).is_ok());
        let latest = seconds.into_iter().chain(before).max().unwrap_or(now.timestamp());
        let is_behind = (FAR.num_seconds()..=APART.num_seconds()).contains(&(now.timestamp() - latest));
        Ok(if is_behind { now.timestamp() } else { latest })
    }

    /// The second up to which tokens of a user may be dated: the present one, and those of the exchanges of the user's
    /// people, which no process needs to have seen. A clock of Redis that has stepped back is behind them.
    pub(super) async fn latest_second_of(&self, user: &UserId) -> Result<i64> {
        let (now, people) = try_join(self.latest_second(&name::user(user)), self.people_of(user)).await?;
        let bindings = try_join_all(people.iter().flatten().map(|person| self.binding(person))).await?;
        let logins = bindings.into_iter().filter_map(|bound| bound?.last_login);
        Ok(logins.map(|login| login.timestamp()).fold(now, i64::max))
    }

    /// Waits for replicas if a token is dated ahead of the clock, so that later ends name it also after a failover.
    pub(crate) async fn confirm_date(&self, token: &Issued, date: i64, latest: i64) -> Result<i64> {
        if token.issued_at < date && date <= latest {
            let asked = Call::of("HGET", name::ends(&token.user)).arg("dated");
            let noted: Option<i64> = self.link.run_confirmed("date_token", asked).await?;
            if noted.is_none_or(|noted| noted < date) {
                return Err(StoreError { reason: "a failover has taken back the date of a token".into() });
            }
        }
        Ok(date)
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
pub struct ExchangeTimestamp {
    pub(crate) micros: u64,
    pub(crate) mark: AttemptMark,
}

impl ExchangeTimestamp {
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

    #[test]
    fn a_page_is_dated_by_the_clock_from_before_and_no_later_than_now() {
        let (clocks, at) = (Clocks::default(), |second| DateTime::from_timestamp(second, 0).expect("a date"));
        for far in [10, 200] {
            assert_eq!(clocks.page_time(at(far), at(102)), at(102), "verifiers would not take the page");
        }
        assert_eq!(clocks.page_time(at(50), at(102)), at(50), "a clock that is wrong and has not stepped back");
        for set in [-1000, 1000] {
            assert_eq!(clocks.page_time(at(60), at(set)), at(60), "this machine's clock was set");
        }
        assert_eq!(clocks.page_time(at(10), at(1000)).timestamp(), 102, "and Redis' too");
        clocks.agreed.take();
        clocks.told(Moment::now(), (100, 0));
        clocks.told(Moment::now(), (50, 0));
        assert_eq!(clocks.page_time(at(50), at(1000)).timestamp(), 100);
        assert_eq!(clocks.page_time(at(150), at(1000)), at(150), "it has caught up");
        assert_eq!(clocks.page_time(at(500), at(200)), at(200), "and is far ahead");
        assert_eq!(clocks.page_time(at(50), at(99)), at(99));
    }
}
