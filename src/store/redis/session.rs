//! Session keys in Redis.

use std::{
    fmt::{self, Display},
    sync::LazyLock,
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD};
use chrono::{DateTime, Utc};
use redis::{FromRedisValue, ParsingError, Value, from_redis_value};

use super::{
    super::{
        AttemptId, ExchangeOrder, ExchangedKey, FAILURES_WINDOW, KeptSession, MAX_FAILURES, Opening, PREVIOUS_KEY_TTL,
        Person, Result, Sealed, Sessions, Tried,
    },
    Call, Redis, Script, flag, name, replace, script, sortable, unreadable,
};
use crate::ids::UserId;

static OPEN: LazyLock<Script> = script!("open");
static CLOSE: LazyLock<Script> = script!("session", "close");
static KEEP: LazyLock<Script> = script!("session", "keep_session_key");
static FORGET: LazyLock<Script> = script!("session", "forget");

/// What is kept of a person's session keys, each with the order of its exchange: the current one and the one before. The text
/// is described in `session.lua`.
#[derive(Default)]
pub(super) struct KeptKeys(Option<ExchangedKey>, Option<ExchangedKey>);

#[async_trait(?Send)]
impl Sessions for Redis {
    async fn open(&self, person: &Person, user: &UserId, attempt: &AttemptId) -> Result<Opening> {
        let mut script = OPEN.on(&[&name::binding(person), &name::session(person), &name::tries(person)]);
        script.arg(user.as_str()).arg(MAX_FAILURES).arg(FAILURES_WINDOW.as_secs()).text(attempt);
        let answer: Vec<Value> = self.link.run("open", script).await?;
        opening(answer, attempt).map_err(|_| unreadable("a session"))
    }

    async fn close(&self, person: &Person, tried: Tried, attempt: &AttemptId) -> Result<bool> {
        let mut script =
            CLOSE.on(&[&name::binding(person), &name::session(person), &name::logins(person), &name::tries(person)]);
        script.arg(flag(tried == Tried::Failed)).arg(MAX_FAILURES).arg(FAILURES_WINDOW.as_secs()).text(attempt);
        let dropped: u8 = self.link.run("close", script).await?;
        Ok(dropped == 1)
    }

    async fn keep_session_key(&self, person: &Person, generation: u64, key: &ExchangedKey) -> Result<()> {
        let (order, sealed) = key;
        let mut script = KEEP.on(&[&name::binding(person), &name::session(person), &name::logins(person)]);
        script.arg(generation).text(line(order, sealed)).arg(self.session_ttl.as_secs());
        script.text(sortable(self.renewed_since(self.now_micros())));
        self.link.run("keep_session_key", script).await
    }

    async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<()> {
        let key = name::session(person).to_string();
        let mut asked = Call::at(&key);
        asked.cmd("GET").arg(&key);
        let kept: Option<String> = self.link.run("reseal", asked).await?;
        let Some(kept) = kept else { return Ok(()) };
        // A session that has changed meanwhile stays as it is: the next use seals its keys anew.
        let mut script = replace(&key, &kept, &kept.replace(&as_text(old), &as_text(new)));
        script.arg(flag(true));
        self.link.run("reseal", script).await
    }

    async fn forget(&self, person: &Person) -> Result<()> {
        let script = FORGET.on(&[&name::binding(person), &name::session(person), &name::logins(person)]);
        self.link.run("forget", script).await
    }

    async fn last_login(&self, person: &Person) -> Result<Option<DateTime<Utc>>> {
        let key = name::binding(person).to_string();
        let mut asked = Call::at(&key);
        asked.cmd("GET").text(name::session(person));
        asked.cmd("HMGET").arg(&key).arg(&["user_id", "last_login"]);
        type Found = (KeptKeys, (Option<String>, Option<i64>));
        let (KeptKeys(current, _), (user, noted)): Found = self.link.run("last_login", asked).await?;
        let exchanged = current.map(|(order, _)| (order.micros / 1_000_000) as i64);
        let second = user.and(exchanged.max(noted));
        Ok(second.and_then(|second| DateTime::from_timestamp(second, 0)))
    }
}

impl Redis {
    /// See `session.lua`: a session lives up to a sixteenth shorter after a login than it could.
    pub(super) fn renewed_since(&self, now: u64) -> u64 {
        let step = self.session_ttl.as_micros() as u64 / 16;
        now - now % step.max(1)
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
    let (seconds, micros, kept): (u64, u64, KeptKeys) = from_redis_value(Value::Array(members.collect()))?;
    let now = Duration::new(seconds, 0) + Duration::from_micros(micros);
    let order = ExchangeOrder::new(now.as_micros() as u64, attempt);
    Ok(Opening::Keys(KeptSession { keys: kept.usable(now), order }))
}

impl KeptKeys {
    /// The keys that may still be used, newest first: the one before for a while after it was replaced. `now`: since 1970.
    pub(super) fn usable(self, now: Duration) -> Vec<Sealed> {
        let Self(Some((order, current)), previous) = self else { return Vec::new() };
        let is_recent = now.saturating_sub(Duration::from_micros(order.micros)) < PREVIOUS_KEY_TTL;
        let previous = previous.filter(|_| is_recent).map(|(_, previous)| previous);
        [Some(current), previous].into_iter().flatten().collect()
    }
}

impl FromRedisValue for KeptKeys {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let text: Option<String> = FromRedisValue::from_redis_value(value)?;
        let text = text.unwrap_or_default();
        let mut lines = text.lines().skip(1).map(exchanged_key);
        Ok(Self(lines.next().flatten(), lines.next().flatten()))
    }
}

/// An exchange as a line of a session.
pub(super) fn line(order: &ExchangeOrder, sealed: &Sealed) -> impl Display {
    fmt::from_fn(move |f| write!(f, "{order} {}", as_text(sealed)))
}

fn as_text(sealed: &Sealed) -> String {
    STANDARD_NO_PAD.encode(sealed.as_bytes())
}

/// `None` for what wxmint has not written, which is then missing: the person logs in again.
fn exchanged_key(line: &str) -> Option<ExchangedKey> {
    let (order, sealed) = line.split_once(' ')?;
    Some((order.parse().ok()?, Sealed::from_stored(STANDARD_NO_PAD.decode(sealed).ok()?)))
}
