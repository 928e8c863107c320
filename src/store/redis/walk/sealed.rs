//! What is sealed in Redis, and under which vault key. The sealed values themselves are not kept.

use std::time::Duration;

use redis::{Cmd, Value, from_redis_value};

use super::{
    super::{
        super::{PREVIOUS_KEY_TTL, Result, Sealed, micros_of},
        Redis, unreadable,
    },
    Place, STEP, Slots, Step,
};
use crate::vault::KeyId;

/// Matches session keys and access tokens, and few others.
const PATTERN: &str = "wxmint:{*}:[as]*n";

const FIELDS: [&str; 4] = ["current_order", "current_key", "previous_key", "sealed"];
type Fields = (Option<String>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

/// What is sealed at one key of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAt {
    /// The key: whose it is.
    pub name: String,
    /// What is there that can still be asked for.
    pub sealed: Vec<SealedUnder>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedUnder {
    pub what: What,
    /// The vault key that sealed it; `None` for a layout that this version does not know.
    pub key: Option<KeyId>,
    /// How long it may still be asked for, if nothing happens to it; `None` for ever.
    pub life: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A person's session key.
    Current,
    /// The one before.
    Previous,
    /// An app's access token.
    AccessToken,
}

impl Redis {
    /// Reads the page of sealed values that begins at `from`.
    pub async fn walk_sealed(&self, from: &Place) -> Result<Step<SealedAt>> {
        self.step(from, PATTERN, Slots::MayBeMoving, async |node, keys| {
            let is_sealed = |name: &String| name.ends_with("}:session") || name.ends_with("}:access-token");
            let names: Vec<String> = keys.into_iter().filter(is_sealed).collect();
            let mut time = redis::pipe();
            time.cmd("TIME");
            let ((seconds, micros),): ((u64, u32),) = self.link.query_at(STEP, node, &time).await?;
            let asked =
                names.iter().flat_map(|name| [(name.as_str(), Cmd::pttl(name)), (name, Cmd::hmget(name, &FIELDS))]);
            let answers = self.link.query_each(STEP, node, asked.collect()).await?;
            let now = Duration::new(seconds, micros * 1000);
            read(names, answers, now).map_err(|_| unreadable("a session or an access token"))
        })
        .await
    }
}

/// Two answers for each name.
fn read(names: Vec<String>, answers: Vec<Value>, now: Duration) -> Result<Vec<SealedAt>, redis::ParsingError> {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or(Value::Nil);
    let found = names.into_iter().map(|name| {
        let (ttl, fields): (i64, _) = (from_redis_value(next())?, from_redis_value(next())?);
        let life = u64::try_from(ttl).ok().map(Duration::from_millis);
        Ok(SealedAt { name, sealed: sealed(fields, life, now) })
    });
    found.collect()
}

/// The current session key becomes the previous one at a login, and can be asked for a while longer; the previous one
/// cannot any more when its while is over (kept_keys.lua), though it is still there.
fn sealed((order, current, previous, access_token): Fields, life: Option<Duration>, now: Duration) -> Vec<SealedUnder> {
    let replaced = order.map_or(0, |order| micros_of(&order));
    let left = (Duration::from_micros(replaced) + PREVIOUS_KEY_TTL).saturating_sub(now);
    let previous = previous.filter(|_| !left.is_zero());
    let found = [
        under(What::Current, current, life.map(|life| life + PREVIOUS_KEY_TTL)),
        under(What::Previous, previous, Some(life.map_or(left, |life| life.min(left)))),
        under(What::AccessToken, access_token, life),
    ];
    found.into_iter().flatten().collect()
}

fn under(what: What, sealed: Option<Vec<u8>>, life: Option<Duration>) -> Option<SealedUnder> {
    let key = Sealed::from_stored(sealed?).key_id();
    Some(SealedUnder { what, key, life })
}
