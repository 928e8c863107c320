//! The second that dates an end, a token or a page of ends: that of the primary whose clock is ahead, or the one from
//! before Redis' clock has stepped back.

use std::time::{Duration, Instant as Moment};

use chrono::{DateTime, Utc};
use futures_util::future::{join, join_all, try_join, try_join_all};
use tokio::time::Instant;
use wxmint_ids::UserId;

use super::clocks::{APART, Clocks, FAR, continued, not_ahead};
use super::{Call, Redis, name};
use crate::{Issued, Result, StoreError};

/// A primary that does not say its time by then is left out.
const TIME_WITHIN: Duration = Duration::from_millis(300);

impl Clocks {
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

impl Redis {
    /// As if its clock had stepped back from this second.
    #[cfg(test)]
    pub(crate) fn had_told(&self, second: u64) {
        self.clocks.stepped_back.store(Some(std::sync::Arc::new((Moment::now(), second * 1_000_000))));
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

#[cfg(test)]
mod tests {
    use super::*;

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
