//! How a login is recorded.

use std::time::{Duration, Instant as Moment};

use chrono::DateTime;

use super::session_lines::{line, micros, quarter};
use super::stored_binding::StoredBinding;
use super::{Redis, flag, name, packed, script, unreadable};
use crate::{Intent, LoginRecord, Newcomer, Recorded, Result, limits::TooMany};

impl Redis {
    pub(super) async fn record(&self, record: &LoginRecord) -> Result<Recorded> {
        let LoginRecord { person, session_key, order, rate, newcomer } = record;
        let part = rate.part_at(self.now_micros());
        // A part more than a login counts, because another process may know the time a little better.
        let longest = (rate.life() * 10 / 9).as_millis().div_ceil(250) as u64;
        let line = line(order, quarter(rate.until(part)), session_key);
        let binding = name::binding(person);
        let script = script::RECORD_LOGIN.on(&[&binding, &name::session(person), &name::logins(person)]);
        let script = script.arg(line).arg(self.session_ttl.as_secs()).arg(rate.burst).arg(longest);
        let mut script = script.arg(flag(*newcomer == Newcomer::Told));
        if let Newcomer::Intended(Intent { user, made, by_unionid }) = newcomer {
            script = script.arg(packed::user(user)).arg(flag(*made)).arg(flag(*by_unionid));
        }
        // Not within the script, where it would cost Redis three times as much. Whatever ends tokens up to the script's
        // time has been told in the state that is read after it.
        let script = script.cmd("HGETALL").arg(&binding);
        let sent = Moment::now();
        let (answer, stored): (String, StoredBinding) = self.link.run("record_login", script).await?;
        let (seconds, micros_of_second, recorded) = parts(&answer).ok_or_else(|| unreadable("a login"))?;
        let now = self.clocks.told(sent, (seconds, micros_of_second));
        if recorded == "newcomer" {
            return Ok(Recorded::Newcomer);
        }
        let (sign, full_until) = recorded.split_at_checked(1).ok_or_else(|| unreadable("a limit"))?;
        if !full_until.is_empty() {
            let until = micros(full_until.parse().map_err(|_| unreadable("a limit"))?);
            return Ok(Recorded::Limited(TooMany { retry_after: Duration::from_micros(until.saturating_sub(now)) }));
        }
        let has_stepped_back = self.clocks.time_before_step().is_some_and(|before| now <= before);
        let may_be_ended = sign != "=" || has_stepped_back || stored.may_be_ended();
        self.clocks.compare((self.clock)(), DateTime::from_timestamp(seconds as i64, 0).unwrap_or_default());
        let (state, at) = (self.certain(person, stored).await?, order.began_at());
        Ok(Recorded::Counted { state, at, may_be_ended, keeps_key: sign != "-" })
    }
}

/// The time, and what was recorded.
fn parts(answer: &str) -> Option<(u64, u64, &str)> {
    let (seconds, rest) = answer.split_once(' ')?;
    let (micros, recorded) = rest.split_once(' ')?;
    Some((seconds.parse().ok()?, micros.parse().ok()?, recorded))
}
