//! How a login is recorded.

use std::time::Duration;

use super::stored::{StoredBinding, line, micros, owner_text, quarter, stored_binding};
use super::{Call, Redis, flag, name, packed, script, unreadable};
use crate::limits::TooMany;
use crate::{BindingState, Bound, Computed, Intent, LoginRecord, Newcomer, Recorded, Result, StoreError};

/// A user's list has this: the block, the second up to which tokens may be ended, and the day on which the person was
/// seen.
type SeenUser = (Option<Vec<u8>>, Option<i64>, Option<Vec<u8>>);

const A_DAY: u64 = 86_400;

impl Redis {
    /// Counts the person's login, stores the session key of who is bound or is bound by it, unless a later exchange has
    /// stored one, and returns the state of the person's binding.
    pub async fn record_login(&self, record: &LoginRecord) -> Result<Recorded> {
        let person = &record.person;
        let computed = if let Newcomer::Computed(computed) = &record.newcomer { Some(computed) } else { None };
        let script = self.recording(record, computed);
        // Not within the script, where it would cost Redis three times as much. An end that is made after this is read
        // reaches to the login's second.
        let (recorded, mut stored, seen): (String, StoredBinding, Option<SeenUser>) = match computed {
            None => {
                let script = script.cmd("HGETALL").arg(name::binding(person));
                let (recorded, stored) = self.link.run("record_login", script).await?;
                (recorded, stored, None)
            }
            Some(Computed { user, .. }) => {
                let seen = Call::of("HMGET", name::user(user)).arg(&["block", "ended"]).arg(packed::person(person));
                let (recorded, seen) = self.link.run_both("record_login", script, seen).await?;
                (recorded, StoredBinding::default(), Some(seen))
            }
        };
        let now = self.now_micros();
        match recorded.as_str() {
            "newcomer" => return Ok(Recorded::Newcomer),
            "other" => return Err(StoreError { reason: "the person has another user id, by another id key".into() }),
            _ => {}
        }
        let (sign, rest) = recorded.split_at_checked(1).ok_or_else(|| unreadable("a limit"))?;
        let (full_until, has_binding) = (rest.trim_start_matches('b'), rest.starts_with('b'));
        if !full_until.is_empty() {
            let until = micros(full_until.parse().map_err(|_| unreadable("a limit"))?);
            return Ok(Recorded::Limited(TooMany { retry_after: Duration::from_micros(until.saturating_sub(now)) }));
        }
        if has_binding {
            stored = self.link.run("record_login", stored_binding(person)).await?;
        }
        let has_stepped_back = self.clocks.time_before_step().is_some_and(|before| now <= before);
        let mut may_be_ended = sign != "=" || has_stepped_back || stored.may_be_ended();
        let kept_for = if sign == "-" { None } else { Some(stored.generation()?) };
        let (mut state, at) = (self.certain(person, stored).await?, record.order.began_at());
        if let (Some(computed), Some(seen), false) = (computed, seen, has_binding) {
            may_be_ended = has_stepped_back || seen.1.is_some_and(|ended| at.timestamp() <= ended);
            state = BindingState::Bound(self.see(record, computed, seen, sign));
        }
        Ok(Recorded::Counted { state, at, may_be_ended, kept_for })
    }

    pub(super) fn recording(&self, record: &LoginRecord, computed: Option<&Computed>) -> Call {
        let LoginRecord { person, session_key, order, rate, newcomer } = record;
        let part = rate.part_at(self.now_micros());
        // A part more than a login counts, because another process may know the time a little better.
        let longest = (rate.life() * 10 / 9).as_millis().div_ceil(250) as u64;
        let line = line(order, quarter(rate.until(part)), session_key);
        let script = script::RECORD_LOGIN.on(&[&name::binding(person), &name::session(person), &name::logins(person)]);
        let told = if *newcomer == Newcomer::Told { " 1" } else { "" };
        let script = script.arg(line).arg(self.session_ttl.as_secs()).arg(format!("{} {longest}{told}", rate.burst));
        let owner = computed.map(|computed| owner_text(&computed.user)).unwrap_or_default();
        let script = script.arg(owner);
        match newcomer {
            Newcomer::Intended(Intent { user, made, by_unionid }) => {
                script.arg(packed::user(user)).arg(flag(*made)).arg(flag(*by_unionid))
            }
            _ => script,
        }
    }

    /// Notes on the computed user's list that the person was seen today. Nobody waits for it: what is lost is noted at
    /// the next login.
    fn see(&self, record: &LoginRecord, computed: &Computed, seen: SeenUser, sign: &str) -> Bound {
        let (LoginRecord { person, order, .. }, (block, _, seen)) = (record, seen);
        let (blocked, user) = (block.is_some_and(|block| block.ends_with(b"on")), &computed.user);
        let today = format!("{}c", order.began_at().timestamp() as u64 / A_DAY).into_bytes();
        let is_old = seen.as_ref().is_none_or(|day| day.ends_with(b"c") && *day != today);
        if computed.listed && !blocked && is_old {
            let script = script::CHANGE_LIST.on(&[&name::user(user), &name::gone(user), &name::struck(user, person)]);
            let script = script.arg("see").arg(self.session_ttl.as_secs() + A_DAY).arg(packed::person(person));
            self.link.unawaited("see", script.arg(today));
        }
        // Nobody is new who has a session from before lists were kept. A repetition may be that of a first login.
        let is_new = if computed.listed { seen.is_none() && !["=", ">"].contains(&sign) } else { sign == "+" };
        Bound { new_for: is_new.then_some(order.mark), blocked, ..Bound::computed(user.clone()) }
    }
}
