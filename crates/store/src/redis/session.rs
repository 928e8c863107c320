//! Session keys in Redis.

use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::{Value, from_redis_value};
use wxmint_ids::UserId;

use super::stored::{keys, line, owner, owner_text, usable};
use super::{Call, Redis, flag, name, packed, script, unreadable};
use crate::{
    AttemptId, ExchangeOrder, ExchangedKey, FAILURES_WINDOW, KeptSession, KeyOf, MAX_FAILURES, Opening, Person, Result,
    Sealed, Tried,
};

/// Each step takes one round trip.
impl Redis {
    /// Begins a try with the session keys of a person who is bound to `user`.
    pub async fn open(&self, person: &Person, user: &UserId, attempt: &AttemptId) -> Result<Opening> {
        let script = try_keys("open", person, attempt).arg(packed::user(user)).arg(owner_text(user));
        let answer: Vec<Value> = self.link.run("open", script).await?;
        let opening = opening(answer, attempt).map_err(|_| unreadable("a session"))?;
        if let Opening::Keys(kept) = &opening {
            self.usable(&kept.order)?;
        }
        Ok(opening)
    }

    /// Ends the try of `attempt`. Returns true if this failure deleted the session key; a repetition returns false.
    pub async fn close(&self, person: &Person, tried: Tried, attempt: &AttemptId) -> Result<bool> {
        let script = try_keys("close", person, attempt).arg(flag(tried == Tried::Failed));
        let dropped: Vec<Value> = self.link.run("close", script).await?;
        Ok(!dropped.is_empty())
    }

    /// Stores a session key beside the person's binding of this `generation`, unless a later exchange has stored one.
    /// Stores nothing once that binding is gone or its user blocked; and the key of a reset only as long as a session
    /// key is stored, because a logout may have come meanwhile.
    pub async fn keep_session_key(
        &self,
        person: &Person,
        generation: u64,
        (order, sealed): &ExchangedKey,
        of: KeyOf,
    ) -> Result<()> {
        let script = change_session(person, "keep");
        let script = script.arg(generation).arg(line(order, 0, sealed)).arg(self.session_ttl.as_secs());
        let script = match of {
            KeyOf::Login(at) => script.arg("").arg(at.timestamp()),
            KeyOf::Reset => script.arg("1").arg(0),
        };
        Ok(self.link.run("keep_session_key", script).await?)
    }

    /// Replaces a sealed session key by the same key under a newer vault key, if it is still stored.
    pub async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<()> {
        Ok(self.link.run("reseal", change_session(person, "reseal").arg(old.as_bytes()).arg(new.as_bytes())).await?)
    }

    /// Deletes the session keys. If the person is bound, the time of the last login stays with the binding.
    pub async fn forget(&self, person: &Person) -> Result<()> {
        Ok(self.link.run("forget", change_session(person, "forget")).await?)
    }

    /// When a person has logged in last: when the exchange of the code began, or the bind ticket was redeemed. `None`
    /// if that is not known any more: for a person who is not bound, and once the session key has expired.
    pub async fn last_login(&self, person: &Person) -> Result<Option<DateTime<Utc>>> {
        let asked = Call::of("GET", name::session(person)).cmd("HMGET").arg(name::binding(person)).arg(&["u", "l"]);
        type Found = (Option<Vec<u8>>, (Option<Vec<u8>>, Option<i64>));
        let (session, (user, noted)): Found = self.link.run("last_login", asked).await?;
        let session = session.unwrap_or_default();
        let second = exchanged(&session).max(noted).filter(|_| user.is_some() || owner(&session).is_some());
        Ok(second.and_then(|second| DateTime::from_timestamp(second, 0)))
    }
}

/// The second of the last exchange.
pub(super) fn exchanged(session: &[u8]) -> Option<i64> {
    keys(session).first().map(|(micros, _)| (micros / 1_000_000) as i64)
}

/// A step of `change_session.lua`.
pub(super) fn change_session(person: &Person, step: &str) -> Call {
    let script = script::CHANGE_SESSION.on(&name::all(person, [name::binding, name::session, name::logins]));
    script.arg(step)
}

/// A step of `try.lua`.
fn try_keys(step: &str, person: &Person, attempt: &AttemptId) -> Call {
    let script = script::TRY.on(&name::all(person, [name::binding, name::session, name::logins, name::tries]));
    script.arg(step).arg(MAX_FAILURES).arg(FAILURES_WINDOW.as_secs()).text(attempt)
}

fn opening(answer: Vec<Value>, attempt: &AttemptId) -> Result<Opening, redis::ParsingError> {
    let mut members = answer.into_iter();
    let word: String = from_redis_value(members.next().unwrap_or(Value::Nil))?;
    match word.as_str() {
        "not bound" => return Ok(Opening::NotBound),
        "busy" => return Ok(Opening::Busy),
        _ => {}
    }
    let (seconds, micros, session): (u64, u64, Vec<u8>) = from_redis_value(Value::Array(members.collect()))?;
    let now = Duration::new(seconds, 0) + Duration::from_micros(micros);
    let order = ExchangeOrder::new(now.as_micros() as u64, attempt);
    Ok(Opening::Keys(KeptSession { keys: usable(&session, now), order }))
}
