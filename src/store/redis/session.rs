//! Session keys in Redis.

use std::sync::LazyLock;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use redis::{Value, from_redis_value};

use super::{
    super::{
        AttemptId, ExchangeOrder, ExchangedKey, FAILURES_WINDOW, KeptSession, MAX_FAILURES, Opening, PREVIOUS_KEY_TTL,
        Person, PersonalCall, Result, Sealed, Sessions, Tried, micros_of,
    },
    Redis, Script, flag, name, script, too_many, unreadable,
};
use crate::{
    ids::UserId,
    limits::{Rate, TooMany},
};

static OPEN: LazyLock<Script> = script!("kept_keys", "open");
static CLOSE: LazyLock<Script> = script!("close");
static KEEP: LazyLock<Script> = script!("keep_key", "keep_session_key");
static RESEAL: LazyLock<Script> = script!("reseal");
static FORGET: LazyLock<Script> = script!("forget_keys", "forget");
static LOG_OUT: LazyLock<Script> = script!("meter", "forget_keys", "log_out");

#[async_trait(?Send)]
impl Sessions for Redis {
    async fn open(&self, person: &Person, user: &UserId, attempt: &AttemptId) -> Result<Opening> {
        let mut script = OPEN.on(&[&name::binding(person), &name::session(person), &name::tries(person)]);
        script
            .arg(user.as_str())
            .arg(PREVIOUS_KEY_TTL.as_millis() as u64)
            .arg(MAX_FAILURES)
            .arg(FAILURES_WINDOW.as_secs())
            .text(attempt);
        let answer: Vec<Value> = self.link.run("open", &script).await?;
        opening(answer, attempt).map_err(|_| unreadable("a session"))
    }

    async fn close(&self, person: &Person, tried: Tried, attempt: &AttemptId) -> Result<bool> {
        let mut script = CLOSE.on(&[&name::session(person), &name::tries(person)]);
        script.arg(flag(tried == Tried::Failed)).arg(MAX_FAILURES).arg(FAILURES_WINDOW.as_secs()).text(attempt);
        let dropped: u8 = self.link.run("close", &script).await?;
        Ok(dropped == 1)
    }

    async fn keep_session_key(&self, person: &Person, generation: u64, key: &ExchangedKey) -> Result<()> {
        let (order, sealed) = key;
        let mut script = KEEP.on(&[&name::binding(person), &name::session(person)]);
        script.arg(generation).text(order).arg(sealed.as_bytes()).arg(self.session_ttl.as_secs());
        self.link.run("keep_session_key", &script).await
    }

    async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<()> {
        let mut script = RESEAL.on(&[&name::session(person)]);
        script.arg(old.as_bytes()).arg(new.as_bytes());
        self.link.run("reseal", &script).await
    }

    async fn forget(&self, person: &Person) -> Result<()> {
        let script = FORGET.on(&[&name::binding(person), &name::session(person)]);
        self.link.run("forget", &script).await
    }

    async fn forget_at_logout(&self, person: &Person, rate: Rate) -> Result<Result<(), TooMany>> {
        let cell = name::calls(person, PersonalCall::Logout);
        let mut script = LOG_OUT.on(&[&name::binding(person), &name::session(person), &cell]);
        script.arg(rate.interval_micros()).arg(rate.period_micros());
        let wait: u64 = self.link.run("log_out", &script).await?;
        Ok(if wait == 0 { Ok(()) } else { Err(too_many(wait)) })
    }

    async fn last_login(&self, person: &Person) -> Result<Option<DateTime<Utc>>> {
        let (key, mut asked) = (name::binding(person).to_string(), redis::pipe());
        asked.hget(name::session(person).to_string(), "current_order").hmget(&key, &["user_id", "last_login"]);
        type Found = (Option<String>, (Option<String>, Option<i64>));
        let (order, (user, noted)): Found = self.link.query("last_login", &key, &asked).await?;
        let exchanged = order.map(|order| (micros_of(&order) / 1_000_000) as i64);
        let second = user.and(exchanged.max(noted));
        Ok(second.and_then(|second| DateTime::from_timestamp(second, 0)))
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
    let mut number = || from_redis_value::<u64>(members.next().unwrap_or(Value::Nil));
    let micros = number()? * 1_000_000 + number()?;
    let keys = members.map(|key| from_redis_value(key).map(Sealed::from_stored)).collect::<Result<_, _>>()?;
    Ok(Opening::Keys(KeptSession { keys, order: ExchangeOrder::new(micros, attempt) }))
}
