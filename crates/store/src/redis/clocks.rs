//! The clock of Redis, and how far this machine's clock differs from it. The clock of Redis orders
//! exchanges of codes, and dates tokens, revocations and pages of the revocation feed. If there are
//! several primaries, the clock that is ahead counts. If a clock has stepped back, the time from
//! before the step counts.

use std::time::{Duration, Instant as Moment};
use std::{cell::Cell, rc::Rc, sync::Arc};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{join, join_all};
use tokio::time::Instant;
use wxmint_keys::random;
use wxmint_redis_link::RedisClient;

use super::{Call, name};
use crate::{Result, StoreError};

/// The difference between the clocks of Redis and of this machine from which a warning is due. It
/// is less than the 60 s of leeway that verifiers allow, and more than an answer of Redis may take.
pub const FAR: TimeDelta = TimeDelta::seconds(5);
/// How far the clock of Redis may be ahead of this machine's when a revocation is made or a token
/// is dated, and how far the two may differ when expired revocations are purged: the leeway of
/// verifiers.
pub const APART: TimeDelta = TimeDelta::minutes(1);
/// A clock that is behind its expected time by more than this has stepped back. In microseconds;
/// more than the clocks of a Cluster's primaries may differ.
const STEP: u64 = 1_000_000;
/// How long to wait for the time of other primaries. A primary that has not answered by then is
/// left out.
const TIME_WITHIN: Duration = Duration::from_millis(300);

/// An instant at which Redis' clock was found to have stepped back, and the time that it would have
/// had without the step. All connections of the process share it.
pub(super) type SteppedBack = Arc<ArcSwapOption<(Moment, u64)>>;

/// An instant, and the time by this machine's clock.
type Agreed = (Moment, DateTime<Utc>);

#[derive(Clone, Default)]
pub(super) struct Clocks {
    /// An instant, and the estimated time of Redis at that instant, in microseconds since 1970.
    pub(super) known: Rc<Cell<Option<(Moment, u64)>>>,
    /// An instant at which this machine's clock and Redis' agreed, and the time by this machine's
    /// clock.
    pub(super) agreed: Rc<Cell<Option<Agreed>>>,
    pub(super) stepped_back: SteppedBack,
}

impl Clocks {
    /// Takes a reading of Redis' clock: a command that was sent at `sent` was answered with this
    /// time, in seconds since 1970 and microseconds. The reading lies between send and receive, and
    /// the answer may have been received late. So the previous estimate is kept unless it falls
    /// outside. Returns the reading in microseconds.
    pub(super) fn note_reading(&self, sent: Moment, (seconds, micros): (u64, u64)) -> u64 {
        let micros = seconds * 1_000_000 + micros;
        let now = Moment::now();
        let latest = micros + now.duration_since(sent).as_micros() as u64;
        let known = self
            .known
            .get()
            .map_or(micros, |known| continued(known, now));
        if known > latest + STEP && self.time_before_step().is_none_or(|before| before < known) {
            self.stepped_back.store(Some(Arc::new((now, known))));
        }
        self.known.set(Some((now, known.clamp(micros, latest))));
        micros
    }

    /// The time of Redis before its clock stepped back, if it has, in microseconds since 1970.
    /// Until the clock has reached that time again, tokens, revocations and exchanges from before
    /// the step have later dates than new ones.
    pub(super) fn time_before_step(&self) -> Option<u64> {
        self.stepped_back.load().as_ref().map(|stepped| stepped.1)
    }

    /// The estimated time of Redis, in microseconds since 1970; `own` until Redis has been read.
    fn estimate(&self, own: DateTime<Utc>) -> u64 {
        self.known
            .get()
            .map_or(own.timestamp_micros().max(0) as u64, |known| {
                continued(known, Moment::now())
            })
    }

    /// The date of a page of the revocation feed that was read at `at`, by the clock of Redis;
    /// `own` is the time of this machine. If the clock of Redis has stepped back, verifiers would
    /// take the page for an old one, so the time that Redis would have without the step counts, but
    /// no later than `own`. If Redis differs from `own` by more than verifiers allow, `own` counts.
    /// If our own clock was set since both agreed, use what it would have read.
    pub(super) fn page_time(&self, at: DateTime<Utc>, own: DateTime<Utc>) -> DateTime<Utc> {
        let now = Moment::now();
        let expected = self
            .agreed
            .get()
            .map_or(own, |(then, told)| told + now.duration_since(then));
        let own = if (at - own).abs() > APART && (own - expected).abs() > APART {
            expected
        } else {
            own
        };
        if (at - own).abs() <= APART {
            self.agreed.set(Some((now, own)));
        }
        let before = self
            .stepped_back
            .load()
            .as_ref()
            .map(|stepped| continued(**stepped, Moment::now()));
        match before.and_then(|micros| DateTime::from_timestamp_micros(micros as i64)) {
            Some(before) if at - own <= APART => before.min(own).max(at),
            None if (at - own).abs() <= APART => at,
            _ => own,
        }
    }
}

/// Returns the second, or an error if it is more than a minute ahead of this machine's clock.
fn not_ahead(second: i64, now: DateTime<Utc>) -> Result<i64> {
    let ahead = second - now.timestamp();
    if ahead > APART.num_seconds() {
        Err(StoreError::ClockAhead { seconds: ahead })
    } else {
        Ok(second)
    }
}

fn continued((at, micros): (Moment, u64), now: Moment) -> u64 {
    micros + now.duration_since(at).as_micros() as u64
}

/// The clocks by which the store dates what it keeps: this machine's, and the clock of Redis as far
/// as this process knows it.
#[derive(Clone)]
pub struct StoreClock {
    link: Rc<RedisClient>,
    own: Rc<dyn Fn() -> DateTime<Utc>>,
    redis: Clocks,
}

impl StoreClock {
    pub(super) fn new(
        link: Rc<RedisClient>,
        own: fn() -> DateTime<Utc>,
        stepped_back: SteppedBack,
    ) -> Self {
        let redis = Clocks {
            stepped_back,
            ..Clocks::default()
        };
        Self {
            link,
            own: Rc::new(own),
            redis,
        }
    }

    /// The same clock of Redis, and `instant` as the time of this machine.
    pub(super) fn at(&self, instant: DateTime<Utc>) -> Self {
        Self {
            own: Rc::new(move || instant),
            ..self.clone()
        }
    }

    /// The time by this machine's clock.
    pub fn now(&self) -> DateTime<Utc> {
        (self.own)()
    }

    /// The estimated time by the clock of Redis, in microseconds since 1970.
    pub fn redis_micros(&self) -> u64 {
        self.redis.estimate(self.now())
    }

    /// By how many seconds the clock of Redis is ahead of this machine's; negative if it is behind.
    /// While it is more than a minute ahead, logins and revocations fail.
    pub async fn ahead(&self) -> Result<i64> {
        let seconds = self.present_seconds(name::STREAM).await?;
        let now = self.now().timestamp();
        Ok(seconds
            .into_iter()
            .map(|second| second - now)
            .max_by_key(|ahead| ahead.abs())
            .unwrap_or_default())
    }

    /// Takes a reading of the clock of Redis; see [`Clocks::note_reading`].
    pub(super) fn note_reading(&self, sent: Moment, reading: (u64, u64)) -> u64 {
        self.redis.note_reading(sent, reading)
    }

    /// The time of Redis before its clock stepped back; see [`Clocks::time_before_step`].
    pub(super) fn time_before_step(&self) -> Option<u64> {
        self.redis.time_before_step()
    }

    /// The date of a page of the revocation feed that was read at `at`; see [`Clocks::page_time`].
    pub(super) fn page_time(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.redis.page_time(at, self.now())
    }

    /// Refuses an exchange that is dated more than a minute ahead of this machine's clock.
    /// Verifiers would not accept its token, and later revocations would have to cover that date.
    pub(super) fn usable(&self, order: &ExchangeTimestamp) -> Result<()> {
        not_ahead(order.began_at().timestamp(), self.now()).map(drop)
    }

    /// Sets the state as if the clock of Redis had stepped back from this second.
    #[cfg(test)]
    pub(crate) fn had_told(&self, second: u64) {
        self.redis
            .stepped_back
            .store(Some(Arc::new((Moment::now(), second * 1_000_000))));
    }

    /// The present second by the clock of each primary that answers in time. Fails if the primary
    /// of `key` does not answer.
    pub(super) async fn present_seconds(&self, key: &str) -> Result<Vec<i64>> {
        let primaries = self.link.all_primaries().await?;
        let (sent, mut time) = (Instant::now(), redis::pipe());
        time.cmd("TIME");
        let others = primaries.iter().filter(|_| primaries.len() > 1);
        let others = others.map(|(_, server)| server.query(&time, sent + TIME_WITHIN));
        let (own, others) = join(
            self.link.run("time", Call::at(key).cmd("TIME")),
            join_all(others),
        )
        .await;
        let own: (u64, u64) = own?;
        self.note_reading(sent.into_std(), own);
        Ok(others
            .into_iter()
            .flatten()
            .chain([own])
            .map(|(second, _)| second as i64)
            .collect())
    }

    /// The second up to which a revocation must reach: the latest of all primaries, because each of
    /// them may have dated tokens, and the second from before a clock stepped back. If no process
    /// has seen the step, this machine's second counts, if Redis is 5 to 60 s behind it. Fails if a
    /// clock is more than a minute ahead of this machine's.
    pub(super) async fn latest_second(&self, key: &str) -> Result<i64> {
        let seconds = self.present_seconds(key).await?;
        let now = self.now();
        let seconds = seconds
            .into_iter()
            .map(|second| not_ahead(second, now))
            .collect::<Result<Vec<_>>>()?;
        let before = self
            .time_before_step()
            .map(|micros| (micros / 1_000_000) as i64);
        let before = before.filter(|before| not_ahead(*before, now).is_ok());
        let latest = seconds
            .into_iter()
            .chain(before)
            .max()
            .unwrap_or(now.timestamp());
        let is_behind =
            (FAR.num_seconds()..=APART.num_seconds()).contains(&(now.timestamp() - latest));
        Ok(if is_behind { now.timestamp() } else { latest })
    }
}

/// Identifies an attempt to log in, or another request: 128 random bits. A step that is repeated
/// with the same id takes effect once.
#[derive(Debug, derive_more::Display, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[display("{_0:032x}")]
pub struct AttemptId(u128);

impl AttemptId {
    /// A new random id.
    pub fn random() -> Self {
        Self::new(*random())
    }

    /// The id with these bits.
    pub fn new(bits: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bits))
    }

    /// The last 32 bits.
    pub fn mark(&self) -> AttemptMark {
        AttemptMark(self.0 as u32)
    }
}

/// 32 of an attempt's random bits, which distinguish it from a person's other attempts. All 128
/// bits would cost each person 12 bytes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptMark(pub(crate) u32);

/// Orders the exchanges of codes, so that the session key of a later exchange is never replaced by
/// that of an earlier exchange that arrives late. It is taken when the code is claimed, before
/// WeChat is called.
///
/// Exchanges are ordered by the store's clock in microseconds, so that replicas with different
/// clocks agree. Two exchanges in the same microsecond are ordered by the random bits of their
/// attempts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExchangeTimestamp {
    pub(crate) micros: u64,
    pub(crate) mark: AttemptMark,
}

impl ExchangeTimestamp {
    /// `micros`: microseconds since 1970.
    pub fn new(micros: u64, attempt: &AttemptId) -> Self {
        Self {
            micros,
            mark: attempt.mark(),
        }
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
        for (second, before) in [
            (100, None),
            (102, None),
            (102, None),
            (50, Some(102)),
            (49, Some(102)),
            (99, Some(102)),
        ] {
            clocks.note_reading(sent, (second, 0));
            let known = clocks.time_before_step().map(|micros| micros / SECOND);
            assert_eq!(known, before, "{second}");
        }
        let others = Clocks {
            stepped_back: SteppedBack::clone(&clocks.stepped_back),
            ..Clocks::default()
        };
        assert_eq!(
            others.time_before_step(),
            clocks.time_before_step(),
            "the process knows it"
        );
        clocks.note_reading(sent, (200, 0));
        clocks.note_reading(sent, (198, 0));
        assert_eq!(
            clocks.time_before_step().map(|micros| micros / SECOND),
            Some(200),
            "the later one counts"
        );
    }

    #[test]
    fn an_answer_that_is_read_late_does_not_put_the_clock_back() {
        let (clocks, now) = (Clocks::default(), Moment::now());
        let sent = now
            .checked_sub(Duration::from_secs(10))
            .expect("the machine runs for longer");
        for (sent, second, known) in [
            (now, 105, 105),
            (sent, 100, 105),
            (now, 104, 104),
            (sent, 106, 106),
        ] {
            clocks.note_reading(sent, (second, 0));
            assert_eq!(
                clocks.estimate(DateTime::UNIX_EPOCH) / SECOND,
                known,
                "{second}"
            );
        }
    }

    #[test]
    fn a_page_is_dated_by_the_clock_from_before_and_no_later_than_now() {
        let (clocks, at) = (Clocks::default(), |second| {
            DateTime::from_timestamp(second, 0).expect("a date")
        });
        for far in [10, 200] {
            assert_eq!(
                clocks.page_time(at(far), at(102)),
                at(102),
                "verifiers would not take the page"
            );
        }
        assert_eq!(
            clocks.page_time(at(50), at(102)),
            at(50),
            "a clock that is wrong and has not stepped back"
        );
        for set in [-1000, 1000] {
            assert_eq!(
                clocks.page_time(at(60), at(set)),
                at(60),
                "this machine's clock was set"
            );
        }
        assert_eq!(
            clocks.page_time(at(10), at(1000)).timestamp(),
            102,
            "and Redis' too"
        );
        clocks.agreed.take();
        clocks.note_reading(Moment::now(), (100, 0));
        clocks.note_reading(Moment::now(), (50, 0));
        assert_eq!(clocks.page_time(at(50), at(1000)).timestamp(), 100);
        assert_eq!(
            clocks.page_time(at(150), at(1000)),
            at(150),
            "it has caught up"
        );
        assert_eq!(
            clocks.page_time(at(500), at(200)),
            at(200),
            "and is far ahead"
        );
        assert_eq!(clocks.page_time(at(50), at(99)), at(99));
    }
}
