//! What is sealed in Redis, and under which vault key. The sealed values themselves are not kept.

use std::time::Duration;

use redis::{FromRedisValue, Pipeline, Value, from_redis_value};

use super::{
    super::{
        super::{PREVIOUS_KEY_TTL, Sealed, StoreError},
        Redis, unreadable,
    },
    Place, STEP, Step,
};
use crate::vault::KeyId;

/// Matches session keys and access tokens, and few others.
const PATTERN: &str = "wxmint:{*}:[as]*n";

/// What is sealed at one key of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAt {
    /// The key: whose it is.
    pub name: String,
    /// What is there that can still be asked for.
    pub sealed: Vec<SealedUnder>,
}

/// One sealed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedUnder {
    /// What it is.
    pub what: What,
    /// The vault key that sealed it; `None` for a layout that this version does not know.
    pub key: Option<KeyId>,
    /// How long it may still be asked for, if nothing happens to it; `None` for ever.
    pub life: Option<Duration>,
}

/// A kind of sealed value.
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
    pub async fn walk_sealed(&self, from: &Place) -> Result<Step<SealedAt>, StoreError> {
        self.step(from, PATTERN, async |keys| {
            let places: Vec<Kept> = keys.into_iter().filter_map(Kept::at).collect();
            if places.is_empty() {
                return Ok(Vec::new());
            }
            let mut asked = redis::pipe();
            asked.cmd("TIME");
            places.iter().for_each(|place| place.ask(&mut asked));
            let answers: Vec<Value> = self.link.query(STEP, &asked).await?;
            read(places, answers).map_err(|_| unreadable("a session or an access token"))
        })
        .await
    }
}

/// A key of Redis that holds something sealed.
enum Kept {
    Session(String),
    AccessToken(String),
}

impl Kept {
    fn at(name: String) -> Option<Self> {
        let (_, kind) = name.rsplit_once("}:")?;
        match kind {
            "session" => Some(Self::Session(name)),
            "access-token" => Some(Self::AccessToken(name)),
            _ => None,
        }
    }

    fn ask(&self, pipe: &mut Pipeline) {
        let (name, fields): (_, &[&str]) = match self {
            Self::Session(name) => (name, &["current_order", "current_key", "previous_key"]),
            Self::AccessToken(name) => (name, &["sealed"]),
        };
        pipe.cmd("PTTL").arg(name).cmd("HMGET").arg(name).arg(fields);
    }

    fn found(self, ttl: i64, fields: Vec<Option<Vec<u8>>>, now: Duration) -> SealedAt {
        let life = u64::try_from(ttl).ok().map(Duration::from_millis);
        let mut fields = fields.into_iter();
        let mut next = || fields.next().flatten();
        let (name, sealed) = match self {
            Self::Session(name) => (name, session(next(), [next(), next()], life, now)),
            Self::AccessToken(name) => (name, under(What::AccessToken, next(), life).into_iter().collect()),
        };
        SealedAt { name, sealed }
    }
}

/// Two answers for each place, behind the time.
fn read(places: Vec<Kept>, answers: Vec<Value>) -> Result<Vec<SealedAt>, redis::ParsingError> {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or(Value::Nil);
    let (seconds, micros): (u64, u32) = from_redis_value(next())?;
    let now = Duration::new(seconds, micros * 1000);
    let found = places.into_iter().map(|place| {
        let (ttl, fields) = (from_redis_value(next())?, Vec::from_redis_value(next())?);
        Ok(place.found(ttl, fields, now))
    });
    found.collect()
}

/// The current session key becomes the previous one at a login, and can be asked for a while longer; the previous one
/// cannot any more when its while is over (kept_keys.lua), though it is still there.
fn session(
    order: Option<Vec<u8>>,
    [current, previous]: [Option<Vec<u8>>; 2],
    life: Option<Duration>,
    now: Duration,
) -> Vec<SealedUnder> {
    let replaced = order.and_then(|order| instant_of(&order)).unwrap_or_default();
    let left = (replaced + PREVIOUS_KEY_TTL).saturating_sub(now);
    let previous = previous.filter(|_| !left.is_zero());
    let previous_life = Some(life.map_or(left, |life| life.min(left)));
    let current = under(What::Current, current, life.map(|life| life + PREVIOUS_KEY_TTL));
    current.into_iter().chain(under(What::Previous, previous, previous_life)).collect()
}

/// Since 1970, of an exchange's place: microseconds in hexadecimal, and who (ExchangeOrder).
fn instant_of(order: &[u8]) -> Option<Duration> {
    let micros = std::str::from_utf8(order.get(..16)?).ok()?;
    Some(Duration::from_micros(u64::from_str_radix(micros, 16).ok()?))
}

fn under(what: What, sealed: Option<Vec<u8>>, life: Option<Duration>) -> Option<SealedUnder> {
    let key = Sealed::from_stored(sealed?).key_id();
    Some(SealedUnder { what, key, life })
}
