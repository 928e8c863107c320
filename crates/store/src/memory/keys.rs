//! The keys, and the commands on them: as in Redis, but only the commands and options that wxmint
//! uses.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use redis::Value;

use super::Answer;

type Bytes = Vec<u8>;
/// The id of an entry of a stream: milliseconds since 1970, and a number within the millisecond.
type Id = (u64, u64);

/// After so many commands, all expired keys are deleted.
const SWEEP: u64 = 1000;
const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

pub(super) struct Keys {
    held: BTreeMap<Bytes, Key>,
    clock: fn() -> DateTime<Utc>,
    commands: u64,
}

struct Key {
    content: Content,
    until: Option<DateTime<Utc>>,
}

enum Content {
    Text(Bytes),
    /// A hash, or a sorted set: each member with its score.
    Hash(BTreeMap<Bytes, Bytes>),
    Stream(Stream),
}

impl Content {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Hash(_) => "hash",
            Self::Stream(_) => "stream",
        }
    }
}

#[derive(Default)]
struct Stream {
    last: Id,
    entries: BTreeMap<Id, Vec<Bytes>>,
}

impl Key {
    /// Whether the key exists: it has not expired, and it is not an empty hash. An empty stream
    /// exists, because it remembers its last id.
    fn is_there(&self, now: DateTime<Utc>) -> bool {
        let is_empty = match &self.content {
            Content::Text(_) => false,
            Content::Hash(hash) => hash.is_empty(),
            Content::Stream(stream) => stream.last == (0, 0),
        };
        !is_empty && self.until.is_none_or(|until| now < until)
    }
}

impl Keys {
    pub(super) fn new(clock: fn() -> DateTime<Utc>) -> Self {
        Self {
            held: BTreeMap::new(),
            clock,
            commands: 0,
        }
    }

    pub(super) fn answer(&mut self, command: &[&[u8]]) -> Answer {
        let [name, arguments @ ..] = command else {
            return Err("ERR no command".into());
        };
        let key = arguments.first().copied().unwrap_or_default();
        self.tidy(key);
        // The names of commands on hashes begin with H, on sorted sets with Z, on streams with X.
        let answer = match name.first() {
            Some(b'H' | b'Z') => self.of_hash(name, key, arguments.get(1..).unwrap_or_default()),
            Some(b'X') => self.of_stream(name, key, arguments.get(1..).unwrap_or_default()),
            _ => self.of_any(name, arguments),
        };
        self.tidy(key);
        answer
    }

    /// Deletes the key if it no longer exists, and now and then all such keys.
    fn tidy(&mut self, key: &[u8]) {
        let now = (self.clock)();
        self.commands += 1;
        if self.commands.is_multiple_of(SWEEP) {
            self.held.retain(|_, key| key.is_there(now));
        }
        if self.held.get(key).is_some_and(|key| !key.is_there(now)) {
            self.held.remove(key);
        }
    }

    fn of_any(&mut self, name: &[u8], arguments: &[&[u8]]) -> Answer {
        let now = (self.clock)();
        Ok(match (name, arguments) {
            (b"TIME", []) => Value::Array(
                [now.timestamp(), now.timestamp_subsec_micros().into()]
                    .map(text)
                    .into(),
            ),
            (b"GET", [key]) => match self.held.get(*key).map(|key| &key.content) {
                None => Value::Nil,
                Some(Content::Text(text)) => Value::BulkString(text.clone()),
                Some(_) => return Err(WRONG_TYPE.into()),
            },
            (b"SET", [key, value, options @ ..]) => return self.set(key, value, options),
            (b"DEL", keys) => count(
                keys.iter()
                    .filter_map(|key| self.held.remove(*key))
                    .filter(|key| key.is_there(now))
                    .count(),
            ),
            (b"EXPIRE", [key, life]) => {
                self.lasts(key, Some(now + Duration::from_secs(number(life)?)))
            }
            (b"PEXPIRE", [key, life]) => {
                self.lasts(key, Some(now + Duration::from_millis(number(life)?)))
            }
            (b"PEXPIREAT", [key, at]) => self.lasts(
                key,
                Some(DateTime::UNIX_EPOCH + Duration::from_millis(number(at)?)),
            ),
            (b"PERSIST", [key]) => self.lasts(key, None),
            // TYPE and PTTL are for tests that look at all keys.
            (b"TYPE", [key]) => text(self.held.get(*key).map_or("none", |key| key.content.kind())),
            (b"PTTL", [key]) => Value::Int(match self.held.get(*key).map(|key| key.until) {
                None => -2,
                Some(None) => -1,
                Some(Some(until)) => (until - now).num_milliseconds(),
            }),
            (b"INFO", _) => text("run_id:memory\r\n"),
            (b"DBSIZE", []) => count(self.held.len()),
            (b"SCAN", [_, _, pattern, ..]) => Value::Array(vec![text(0), self.like(pattern)]),
            _ => return Err(unknown(name)),
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8], options: &[&[u8]]) -> Answer {
        let (mut until, mut options) = (None, options.iter());
        let held = self.held.get(key);
        while let Some(option) = options.next() {
            let mut life = || options.next().copied().unwrap_or_default();
            match *option {
                b"NX" if held.is_some() => return Ok(Value::Nil),
                b"XX" if held.is_none() => return Ok(Value::Nil),
                b"NX" | b"XX" => {}
                b"EX" => until = Some((self.clock)() + Duration::from_secs(number(life())?)),
                b"PX" => until = Some((self.clock)() + Duration::from_millis(number(life())?)),
                b"KEEPTTL" => until = held.and_then(|held| held.until),
                option => return Err(unknown(option)),
            }
        }
        self.held.insert(
            key.to_vec(),
            Key {
                content: Content::Text(value.to_vec()),
                until,
            },
        );
        Ok(Value::Okay)
    }

    fn lasts(&mut self, key: &[u8], until: Option<DateTime<Utc>>) -> Value {
        count(
            self.held
                .get_mut(key)
                .map(|key| key.until = until)
                .is_some()
                .into(),
        )
    }

    /// The names that match the pattern, which has at most one `*`.
    fn like(&self, pattern: &[u8]) -> Value {
        let star = pattern
            .iter()
            .position(|byte| *byte == b'*')
            .unwrap_or(pattern.len());
        let (begin, end) = (
            &pattern[..star],
            pattern.get(star + 1..).unwrap_or_default(),
        );
        let is_like = |name: &Bytes| {
            name.strip_prefix(begin)
                .is_some_and(|rest| rest.ends_with(end))
        };
        let now = (self.clock)();
        let like = self
            .held
            .iter()
            .filter(|(name, key)| is_like(name) && key.is_there(now));
        Value::Array(like.map(|(name, _)| bulk(name)).collect())
    }

    /// The content of the key, which becomes `new` if the key does not exist.
    fn content(&mut self, key: &[u8], new: Content) -> &mut Content {
        &mut self
            .held
            .entry(key.to_vec())
            .or_insert(Key {
                content: new,
                until: None,
            })
            .content
    }

    fn of_hash(&mut self, name: &[u8], key: &[u8], arguments: &[&[u8]]) -> Answer {
        let Content::Hash(hash) = self.content(key, Content::Hash(BTreeMap::new())) else {
            return Err(WRONG_TYPE.into());
        };
        let held = |field: &&[u8]| hash.get(*field).map_or(Value::Nil, bulk);
        Ok(match (name, arguments) {
            (b"HGET" | b"ZSCORE", [field]) => held(field),
            (b"HMGET", fields) => Value::Array(fields.iter().map(held).collect()),
            (b"HGETALL", []) => Value::Array(
                hash.iter()
                    .flat_map(|(name, value)| [bulk(name), bulk(value)])
                    .collect(),
            ),
            (b"HLEN" | b"ZCARD", []) => count(hash.len()),
            (b"HEXISTS", [field]) => count(hash.contains_key(*field).into()),
            (b"HSET", pairs) => {
                let before = hash.len();
                hash.extend(
                    pairs
                        .chunks_exact(2)
                        .map(|pair| (pair[0].to_vec(), pair[1].to_vec())),
                );
                count(hash.len() - before)
            }
            (b"HDEL" | b"ZREM", fields) => count(
                fields
                    .iter()
                    .filter(|field| hash.remove(**field).is_some())
                    .count(),
            ),
            (b"HINCRBY", [field, by]) => {
                let sum =
                    hash.get(*field).map_or(Ok(0), |value| number(value))? + number::<i64>(by)?;
                hash.insert(field.to_vec(), sum.to_string().into());
                Value::Int(sum)
            }
            (b"ZADD", [score, member]) => count(
                hash.insert(member.to_vec(), score.to_vec())
                    .is_none()
                    .into(),
            ),
            (b"ZREMRANGEBYSCORE", [from, to]) => {
                let (range, before) = (number::<f64>(from)?..=number(to)?, hash.len());
                hash.retain(|_, score| !number(score).is_ok_and(|score| range.contains(&score)));
                count(before - hash.len())
            }
            (b"ZREMRANGEBYRANK", [first, b"-1"]) => {
                let scored = hash
                    .iter()
                    .map(|(member, score)| Ok((number::<f64>(score)?, member.clone())));
                let mut ranked = scored.collect::<Result<Vec<_>, String>>()?;
                ranked.sort_by(|(one, _), (other, _)| one.total_cmp(other));
                let beyond = ranked.into_iter().skip(number(first)?);
                count(
                    beyond
                        .filter(|(_, member)| hash.remove(member).is_some())
                        .count(),
                )
            }
            (b"ZRANGE", [from, to, options @ ..]) => {
                let scored = hash
                    .iter()
                    .map(|(member, score)| Ok((number::<f64>(score)?, member, score)));
                let mut found = scored.collect::<Result<Vec<_>, String>>()?;
                found.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
                if let [b"BYSCORE", b"LIMIT", _, most, ..] = options {
                    let range = number::<f64>(from)?..=number(to)?;
                    found.retain(|(score, ..)| range.contains(score));
                    found.truncate(number(most)?);
                } else {
                    // Ranks; negative ranks count from the end.
                    let length = found.len() as i64;
                    let rank = |text| {
                        number(text).map(|rank: i64| if rank < 0 { length + rank } else { rank })
                    };
                    let [first, behind] =
                        [rank(from)?, rank(to)? + 1].map(|rank| rank.clamp(0, length) as usize);
                    found.truncate(behind);
                    found.drain(..first.min(behind));
                }
                let with_scores = options.contains(&&b"WITHSCORES"[..]);
                let member =
                    |(_, member, score)| [Some(bulk(member)), with_scores.then(|| bulk(score))];
                Value::Array(found.into_iter().flat_map(member).flatten().collect())
            }
            _ => return Err(unknown(name)),
        })
    }

    fn of_stream(&mut self, name: &[u8], key: &[u8], arguments: &[&[u8]]) -> Answer {
        let now = (self.clock)().timestamp_millis().max(0) as u64;
        let Content::Stream(Stream { last, entries }) =
            self.content(key, Content::Stream(Stream::default()))
        else {
            return Err(WRONG_TYPE.into());
        };
        Ok(match (name, arguments) {
            (b"XADD", [id, fields @ ..]) => {
                let next = if now > last.0 {
                    (now, 0)
                } else {
                    (last.0, last.1 + 1)
                };
                let id = if *id == b"*" { next } else { stream_id(id)? };
                if id <= *last {
                    return Err("ERR the id is not after the last one".into());
                }
                *last = id;
                entries.insert(id, fields.iter().map(|field| field.to_vec()).collect());
                text(shown(id))
            }
            (b"XRANGE", [from, to, _, most]) => {
                let found = entries
                    .range(stream_id(from)?..=stream_id(to)?)
                    .take(number(most)?)
                    .map(|(id, fields)| {
                        Value::Array(vec![
                            text(shown(*id)),
                            Value::Array(fields.iter().map(bulk).collect()),
                        ])
                    });
                Value::Array(found.collect())
            }
            (b"XDEL", ids) => {
                let ids = ids
                    .iter()
                    .map(|id| stream_id(id))
                    .collect::<Result<Vec<_>, _>>()?;
                count(ids.iter().filter(|id| entries.remove(id).is_some()).count())
            }
            _ => return Err(unknown(name)),
        })
    }
}

fn stream_id(text: &[u8]) -> Result<Id, String> {
    match text {
        b"-" => Ok((0, 0)),
        b"+" => Ok((u64::MAX, u64::MAX)),
        _ => {
            let mut numbers = text.split(|byte| *byte == b'-');
            let mut next = || number(numbers.next().unwrap_or_default());
            Ok((next()?, next()?))
        }
    }
}

fn shown((milliseconds, number): Id) -> String {
    format!("{milliseconds}-{number}")
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, String> {
    str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "ERR value is not a number".into())
}

fn unknown(word: &[u8]) -> String {
    format!(
        "ERR unknown command or arguments: {}",
        String::from_utf8_lossy(word)
    )
}

fn bulk(bytes: &Bytes) -> Value {
    Value::BulkString(bytes.clone())
}

fn text(shown: impl ToString) -> Value {
    Value::BulkString(shown.to_string().into())
}

fn count(number: usize) -> Value {
    Value::Int(number as i64)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[test]
    fn what_has_expired_is_neither_found_nor_deleted() {
        static NOW: AtomicI64 = AtomicI64::new(0);
        let mut keys = Keys::new(|| {
            DateTime::from_timestamp(NOW.load(Ordering::Relaxed), 0).expect("an instant")
        });
        for name in ["a:1", "a:2"] {
            keys.answer(&[b"SET", name.as_bytes(), b"", b"EX", b"5"])
                .expect("kept");
        }
        let found = |keys: &mut Keys| keys.answer(&[b"SCAN", b"0", b"MATCH", b"a:*"]);
        let both = Value::Array(vec![text("a:1"), text("a:2")]);
        assert_eq!(found(&mut keys), Ok(Value::Array(vec![text(0), both])));
        assert_eq!(keys.answer(&[b"DEL", b"b", b"a:1"]), Ok(Value::Int(1)));
        NOW.store(5, Ordering::Relaxed);
        assert_eq!(
            found(&mut keys),
            Ok(Value::Array(vec![text(0), Value::Array(vec![])]))
        );
        assert_eq!(keys.answer(&[b"DEL", b"b", b"a:2"]), Ok(Value::Int(0)));
    }
}
