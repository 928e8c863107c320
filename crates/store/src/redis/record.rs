//! How a login is recorded: its line is appended to the person's session, and a script decides where that does not suffice.

use std::{
    sync::LazyLock,
    time::{Duration, Instant as Moment},
};

use chrono::DateTime;
use redis::Value;

use super::{
    super::{ExchangeOrder, Intent, LoginRecord, Newcomer, Person, Recorded, Result},
    Call, Redis, Script, flag, name, script,
    session::change_session,
    session_lines::{SessionLines, line},
    sortable,
    stored_binding::StoredBinding,
    unreadable,
};
use crate::limits::TooMany;

static RECORD_LOGIN: LazyLock<Script> = script!("session", "record_login");

/// A session with more lines is made short by a script.
const MANY: usize = 16;

impl Redis {
    pub(super) async fn record(&self, record: &LoginRecord) -> Result<Recorded> {
        let person = &record.person;
        let (binding, session) = (name::binding(person).to_string(), name::session(person).to_string());
        let rate = record.rate;
        let part = rate.part_at(self.now_micros());
        let until = rate.until(part);
        let line = line(&record.order, until, &record.session_key);
        let mut script = RECORD_LOGIN.on(&[&binding, &session, &name::logins(person)]);
        script.arg(&line).arg(self.session_ttl.as_secs()).arg(rate.burst);
        script.text(sortable(until)).text(sortable(rate.until(part + 1)));
        if let Newcomer::Intended(Intent { user, made, by_unionid }) = &record.newcomer {
            script.arg(user.as_str()).arg(flag(*made)).arg(flag(*by_unionid));
        } else if let Some(recorded) = self.appended(record, &line).await? {
            return Ok(recorded);
        }
        let sent = Moment::now();
        let answers: ((u64, u64), String, StoredBinding) =
            self.link.run("record_login", beside(&binding, script)).await?;
        let (time, answer, stored) = answers;
        let now = self.clocks.told(sent, time);
        let (kept, full_until) = answer.split_at_checked(1).ok_or_else(|| unreadable("a limit"))?;
        if !full_until.is_empty() {
            let until = u64::from_str_radix(full_until, 16).map_err(|_| unreadable("a limit"))?;
            return Ok(Recorded::Limited(TooMany { retry_after: Duration::from_micros(until.saturating_sub(now)) }));
        }
        self.recorded(person, now, stored, (kept == "+", false)).await
    }

    /// Records the login of a person who has a session and is within the limit. `None` if a script must decide.
    async fn appended(&self, record: &LoginRecord, line: &str) -> Result<Option<Recorded>> {
        let LoginRecord { person, rate, newcomer, .. } = record;
        let (binding, session) = (name::binding(person).to_string(), name::session(person).to_string());
        let mut appending = Call::of("RPUSHX", &session);
        appending.arg(line).cmd("LRANGE").arg(&session).arg(0).arg(-1);
        type Appended = ((u64, u64), Value, SessionLines, StoredBinding);
        let sent = Moment::now();
        let (time, _, lines, stored): Appended = self.link.run("record_login", beside(&binding, appending)).await?;
        let now = self.clocks.told(sent, time);
        if lines.has(line) && !lines.have_later(line, now) && lines.logins(now) <= rate.burst.into() {
            self.tidy(record, &lines, now);
            return self.recorded(person, now, stored, (true, true)).await.map(Some);
        }
        let is_newcomer = lines.0.is_empty() && stored.is_newcomer();
        Ok((is_newcomer && *newcomer == Newcomer::Told).then_some(Recorded::Newcomer))
    }

    async fn recorded(
        &self,
        person: &Person,
        now: u64,
        stored: StoredBinding,
        (keeps_key, has_session): (bool, bool),
    ) -> Result<Recorded> {
        let has_stepped_back = self.clocks.time_before_step().is_some_and(|before| now <= before);
        let may_be_ended = !has_session || has_stepped_back || stored.may_be_ended();
        let at = DateTime::from_timestamp((now / 1_000_000) as i64, 0).ok_or_else(|| unreadable("the time"))?;
        self.clocks.compare((self.clock)(), at);
        Ok(Recorded::Counted { state: self.certain(person, stored).await?, at, may_be_ended, keeps_key })
    }

    /// Deletes what nobody needs of a session to which a line was appended, and begins its life anew at the first login in each
    /// sixteenth of that: also of somebody who logs in so often that a login has always just been. No login waits for it.
    fn tidy(&self, LoginRecord { person, order, .. }: &LoginRecord, lines: &SessionLines, now: u64) {
        let (key, ttl) = (name::session(person).to_string(), self.session_ttl);
        if lines.0.len() > MANY {
            self.link.later(change_session(person, "shorten"));
        } else {
            let unneeded = lines.unneeded(now);
            // On a Cluster two at once, because they cost a write of their own.
            if unneeded.len() > usize::from(self.link.is_cluster()) {
                let mut call = Call::at(&key);
                unneeded.iter().for_each(|line| _ = call.cmd("LREM").arg(&key).arg(0).arg(line));
                self.link.later(call);
            }
        }
        let sixteenth = |order: &ExchangeOrder| order.micros / (ttl.as_micros() as u64 / 16);
        let before = lines.orders().map(|(order, _)| order).find(|other| other.micros < order.micros);
        if before.is_some_and(|before| sixteenth(&before) < sixteenth(order)) {
            let mut call = Call::of("EXPIRE", &key);
            call.arg(ttl.as_secs());
            self.link.unawaited("renew_session", call);
        }
    }
}

/// A call between the time of Redis and the person's binding. The time comes first: whatever ends tokens up to a second has been
/// told in the state that is read after it.
fn beside(binding: &str, call: Call) -> Call {
    let mut whole = Call::at(binding);
    whole.cmd("TIME").and(call);
    whole.cmd("HGETALL").arg(binding);
    whole
}
