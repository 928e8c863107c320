//! The clock of Redis, which dates tokens and ends: whether this machine's clock is far from it, and which of the
//! clocks of several primaries is ahead.

use std::time::{Duration, Instant as Moment};
use std::{cell::Cell, rc::Rc, sync::Arc};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{join, join_all, try_join, try_join_all};
use tokio::time::Instant;
use wxmint_ids::UserId;

use super::{Call, Redis, name};
use crate::{Issued, Result, StoreError};

/// Less than the 60 s of leeway that verifiers allow, and more than an answer of Redis may take.
pub const FAR: TimeDelta = TimeDelta::seconds(5);
/// By how much the clock of Redis may be ahead of this machine's where an end is made or a token is dated, and by how
/// much the two may differ where old ends are forgotten: the leeway of verifiers.
pub const APART: TimeDelta = TimeDelta::minutes(1);
const WARNED_EVERY: TimeDelta = TimeDelta::minutes(1);
/// A clock that is behind by more has stepped back. In microseconds; more than the clocks of a Cluster may be apart.
const STEP: u64 = 1_000_000;
/// A primary that does not say its time by then is left out.
const TIME_WITHIN: Duration = Duration::from_millis(300);

/// The time that Redis would have told at an instant of this process, had its clock not stepped back then. All
/// connections of the process share what one of them has found.
pub(super) type SteppedBack = Arc<ArcSwapOption<(Moment, u64)>>;

/// It is told of each call, and of the clock, for metrics and traces.
pub trait Observer: wxmint_redis_link::Observer {
    /// The clock of this machine is far from the clock of Redis.
    fn clock_is_distant(&self) {}
}

impl Observer for () {}

#[derive(Clone)]
pub(super) struct Clocks {
    warned: Rc<Cell<Option<DateTime<Utc>>>>,
    /// An instant of this process, and which time Redis had then, in microseconds since 1970, as well as is known.
    known: Rc<Cell<Option<(Moment, u64)>>>,
    stepped_back: SteppedBack,
    observer: Rc<dyn Observer>,
}

impl Clocks {
    pub(super) fn new(stepped_back: SteppedBack, observer: impl Observer + 'static) -> Self {
        Self { warned: Rc::default(), known: Rc::default(), stepped_back, observer: Rc::new(observer) }
    }

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

    /// When a page of ends was read, by the clock of Redis. If that has stepped back, verifiers would take the page for
    /// an old one: then its clock from before counts, but not more than the clock of this machine, `own`. If Redis is
    /// further away than verifiers allow, `own` counts.
    pub(super) fn page_time(&self, at: DateTime<Utc>, own: DateTime<Utc>) -> DateTime<Utc> {
        let before = self.stepped_back.load().as_ref().map(|stepped| continued(**stepped, Moment::now()));
        match before.and_then(|micros| DateTime::from_timestamp_micros(micros as i64)) {
            Some(before) if at - own <= APART => before.min(own).max(at),
            None if (at - own).abs() <= APART => at,
            _ => own,
        }
    }

    /// About what Redis would answer now, in microseconds since 1970. Until it has told its time, `own` stands in.
    pub(super) fn estimate(&self, own: DateTime<Utc>) -> u64 {
        match self.known.get() {
            Some(known) => continued(known, Moment::now()),
            None => own.timestamp_micros().max(0) as u64,
        }
    }

    /// `at` is the time of Redis, and `now` the time of this machine when the answer arrived.
    pub(super) fn compare(&self, now: DateTime<Utc>, at: DateTime<Utc>) {
        let ahead = now - at;
        if ahead.abs() <= FAR {
            return;
        }
        self.observer.clock_is_distant();
        if self.warned.get().is_none_or(|warned| (now - warned).abs() >= WARNED_EVERY) {
            self.warned.set(Some(now));
            tracing::warn!(
                ahead_of_redis_s = ahead.num_seconds(),
                "the clock of this machine is far from the clock of Redis: set both by NTP, because verifiers compare \
                 tokens, which carry the time of Redis, with their own clocks"
            );
        }
    }
}

/// A second of Redis, unless this machine calls it far ahead.
pub(super) fn not_ahead(second: i64, now: DateTime<Utc>) -> Result<i64> {
    let ahead = second - now.timestamp();
    if ahead > APART.num_seconds() { Err(too_far_ahead(ahead)) } else { Ok(second) }
}

pub(super) fn too_far_ahead(seconds: i64) -> StoreError {
    StoreError {
        reason: format!(
            "the clock of Redis is {seconds} s ahead of the clock of this machine, and a minute is allowed: set both by NTP"
        ),
    }
}

fn continued((at, micros): (Moment, u64), now: Moment) -> u64 {
    micros + now.duration_since(at).as_micros() as u64
}

impl Redis {
    /// As if its clock had stepped back from this second.
    #[cfg(test)]
    pub(crate) fn had_told(&self, second: u64) {
        self.clocks.stepped_back.store(Some(Arc::new((Moment::now(), second * 1_000_000))));
    }

    /// About the time by the clock of Redis, in microseconds since 1970.
    pub fn now_micros(&self) -> u64 {
        self.clocks.estimate((self.clock)())
    }

    /// The present second by the clock of each primary that answers in time, and of the one with this key in any case.
    pub(super) async fn present_seconds(&self, key: &str) -> Result<Vec<i64>> {
        let primaries = self.link.all_primaries().await?;
        let (deadline, mut time) = (Instant::now() + TIME_WITHIN, redis::pipe());
        time.cmd("TIME");
        let others = primaries.iter().filter(|_| primaries.len() > 1).map(|(_, server)| server.query(&time, deadline));
        let (own, others) = join(self.link.run("time", Call::at(key).cmd("TIME")), join_all(others)).await;
        Ok(others.into_iter().flatten().chain([own?]).map(|(second, _): (i64, u32)| second).collect())
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
        let logins = people.iter().flatten().map(|person| self.last_login(person));
        let logins = try_join_all(logins).await?.into_iter().flatten().map(|login| login.timestamp());
        Ok(logins.fold(now, i64::max))
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn clocks() -> Clocks {
        Clocks::new(SteppedBack::default(), ())
    }

    #[test]
    fn a_clock_that_is_behind_by_more_than_clocks_of_a_cluster_may_be_has_stepped_back() {
        let (clocks, sent) = (clocks(), Moment::now());
        for (second, before) in
            [(100, None), (102, None), (102, None), (50, Some(102)), (49, Some(102)), (99, Some(102))]
        {
            clocks.told(sent, (second, 0));
            let known = clocks.time_before_step().map(|micros| micros / SECOND);
            assert_eq!(known, before, "{second}");
        }
        let others = Clocks::new(SteppedBack::clone(&clocks.stepped_back), ());
        assert_eq!(others.time_before_step(), clocks.time_before_step(), "the process knows it");
        clocks.told(sent, (200, 0));
        clocks.told(sent, (198, 0));
        assert_eq!(clocks.time_before_step().map(|micros| micros / SECOND), Some(200), "the later one counts");
    }

    #[test]
    fn an_answer_that_is_read_late_does_not_put_the_clock_back() {
        let (clocks, now) = (clocks(), Moment::now());
        let sent = now.checked_sub(Duration::from_secs(10)).expect("the machine runs for longer");
        for (sent, second, known) in [(now, 105, 105), (sent, 100, 105), (now, 104, 104), (sent, 106, 106)] {
            clocks.told(sent, (second, 0));
            assert_eq!(clocks.estimate(DateTime::UNIX_EPOCH) / SECOND, known, "{second}");
        }
    }

    /// How often it was told that the clocks are distant.
    #[derive(Clone, Default)]
    struct Distant(Rc<Cell<u32>>);

    impl wxmint_redis_link::Observer for Distant {}

    impl Observer for Distant {
        fn clock_is_distant(&self) {
            self.0.update(|times| times + 1);
        }
    }

    #[test]
    fn a_machine_whose_clock_is_ahead_or_behind_is_counted_each_time_and_warned_about_once_a_minute() {
        let at = |second| DateTime::from_timestamp(second, 0).expect("a date");
        let distant = Distant::default();
        let clocks = Clocks::new(SteppedBack::default(), distant.clone());
        for (now, redis, warned, counted) in [
            (100, 95, None, 0),
            (100, 105, None, 0),
            (101, 107, Some(101), 1),
            (160, 150, Some(101), 2),
            (161, 150, Some(161), 3),
        ] {
            clocks.compare(at(now), at(redis));
            assert_eq!((clocks.warned.get(), distant.0.get()), (warned.map(at), counted), "{now}");
        }
    }

    #[test]
    fn a_page_is_dated_by_the_clock_from_before_and_no_later_than_now() {
        let (clocks, at) = (clocks(), |second| DateTime::from_timestamp(second, 0).expect("a date"));
        assert_eq!(clocks.page_time(at(50), at(102)), at(50), "a clock that is wrong and has not stepped back");
        for far in [10, 200] {
            assert_eq!(clocks.page_time(at(far), at(102)), at(102), "verifiers would not take the page");
        }
        clocks.told(Moment::now(), (100, 0));
        clocks.told(Moment::now(), (50, 0));
        assert_eq!(clocks.page_time(at(50), at(99)), at(99));
        assert_eq!(clocks.page_time(at(50), at(1000)).timestamp(), 100);
        assert_eq!(clocks.page_time(at(150), at(1000)), at(150), "it has caught up");
        assert_eq!(clocks.page_time(at(500), at(200)), at(200), "and is far ahead");
    }
}
