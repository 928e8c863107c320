//! Session keys in Redis.

use std::{sync::LazyLock, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use redis::{Value, from_redis_value};

use super::{
    super::{
        AttemptId, ExchangeOrder, ExchangedKey, FAILURES_WINDOW, KeptSession, MAX_FAILURES, Opening, PREVIOUS_KEY_TTL,
        Person, Result, Sealed, Sessions, Tried, micros_of,
    },
    Call, REPLACE_FIELD, Redis, Script, flag, name, script, unreadable,
};
use crate::ids::UserId;

static OPEN: LazyLock<Script> = script!("open");
static CLOSE: LazyLock<Script> = script!("drop_keys", "close");
static KEEP: LazyLock<Script> = script!("keep_key", "keep_session_key");
static FORGET: LazyLock<Script> = script!("drop_keys", "forget");

/// What is kept of a person's session keys: when the current one was exchanged, the key itself, and the one before.
pub(super) const FIELDS: [&str; 3] = ["current_order", "current_key", "previous_key"];
pub(super) type KeptKeys = (Option<String>, Option<Vec<u8>>, Option<Vec<u8>>);

#[async_trait(?Send)]
impl Sessions for Redis {
    async fn open(&self, person: &Person, user: &UserId, attempt: &AttemptId) -> Result<Opening> {
        let mut script = OPEN.on(&[&name::binding(person), &name::session(person), &name::tries(person)]);
        script.arg(user.as_str()).arg(MAX_FAILURES).arg(FAILURES_WINDOW.as_secs()).text(attempt);
        let answer: Vec<Value> = self.link.run("open", script).await?;
        opening(answer, attempt).map_err(|_| unreadable("a session"))
    }

    async fn close(&self, person: &Person, tried: Tried, attempt: &AttemptId) -> Result<bool> {
        let mut script = CLOSE.on(&[&name::tries(person), &name::session(person), &name::logins(person)]);
        script.arg(flag(tried == Tried::Failed)).arg(MAX_FAILURES).arg(FAILURES_WINDOW.as_secs()).text(attempt);
        let dropped: u8 = self.link.run("close", script).await?;
        Ok(dropped == 1)
    }

    async fn keep_session_key(&self, person: &Person, generation: u64, key: &ExchangedKey) -> Result<()> {
        let (order, sealed) = key;
        let mut script = KEEP.on(&[&name::binding(person), &name::session(person), &name::logins(person)]);
        script.arg(generation).text(order).arg(sealed.as_bytes()).arg(self.session_ttl.as_secs());
        script.arg(self.renewed(self.now_micros()));
        self.link.run("keep_session_key", script).await
    }

    async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<()> {
        let in_field = |field: &str| {
            let mut script = REPLACE_FIELD.on(&[&name::session(person)]);
            script.arg(field).arg(old.as_bytes()).arg(new.as_bytes());
            script
        };
        // In this order, because a login that comes between makes the current key the previous one.
        let mut both = in_field("current_key");
        both.and(in_field("previous_key"));
        self.link.run("reseal", both).await
    }

    async fn forget(&self, person: &Person) -> Result<()> {
        let script = FORGET.on(&[&name::binding(person), &name::session(person), &name::logins(person)]);
        self.link.run("forget", script).await
    }

    async fn last_login(&self, person: &Person) -> Result<Option<DateTime<Utc>>> {
        let key = name::binding(person).to_string();
        let mut asked = Call::at(&key);
        asked.cmd("HGET").text(name::session(person)).arg("current_order");
        asked.cmd("HMGET").arg(&key).arg(&["user_id", "last_login"]);
        type Found = (Option<String>, (Option<String>, Option<i64>));
        let (order, (user, noted)): Found = self.link.run("last_login", asked).await?;
        let exchanged = order.map(|order| (micros_of(&order) / 1_000_000) as i64);
        let second = user.and(exchanged.max(noted));
        Ok(second.and_then(|second| DateTime::from_timestamp(second, 0)))
    }
}

impl Redis {
    /// See `keep_key.lua`: a session lives up to a sixteenth shorter after a login than it could.
    pub(super) fn renewed(&self, now: u64) -> String {
        let step = self.session_ttl.as_micros() as u64 / 16;
        format!("{:016x}", now - now % step.max(1))
    }
}

fn opening(answer: Vec<Value>, attempt: &AttemptId) -> Result<Opening, redis::ParsingError> {
    let mut members = answer.into_iter();
    let word: String = from_redis_value(members.next().unwrap_or(Value::Nil))?;
    match word.as_str() {
        "not bound" => return Ok(Opening::NotBound),
        "busy" => return Ok(Opening::Busy),
        _ => {}
    }
    let (seconds, micros, order, current, previous) = from_redis_value(Value::Array(members.collect()))?;
    let now = Duration::new(seconds, 0) + Duration::from_micros(micros);
    let keys = usable((order, current, previous), now);
    Ok(Opening::Keys(KeptSession { keys, order: ExchangeOrder::new(now.as_micros() as u64, attempt) }))
}

/// The keys that may still be used, newest first: the one before for a while after it was replaced. `now`: since 1970.
pub(super) fn usable((order, current, previous): KeptKeys, now: Duration) -> Vec<Sealed> {
    let replaced = Duration::from_micros(order.map_or(0, |order| micros_of(&order)));
    let previous = previous.filter(|_| now.saturating_sub(replaced) < PREVIOUS_KEY_TTL);
    current.into_iter().chain(previous).map(Sealed::from_stored).collect()
}
