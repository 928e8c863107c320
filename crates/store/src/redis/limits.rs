//! Rate limits. Events are counted by plain commands, in a hash with the number of events in each
//! part of the period. This costs Redis half as much as a script.
//!
//! The limit is a sliding window of eighths of the period. An event is admitted if the current
//! eighth and the eight before it have fewer events than the limit. The oldest of these nine lies
//! only partly in the last period, but counts in full. So no period ever has more events than the
//! limit, and a client waits at most an eighth of a period longer than necessary.
//!
//! An event is counted first, and uncounted if it was one too many. So the limit holds for
//! concurrent events too: each event sees at least all events that were admitted before it.

use std::collections::{BTreeMap, HashMap};
use std::{cell::RefCell, num::NonZeroU32, rc::Rc, time::Duration};

use redis::{Value, from_redis_value};
use wxmint_ids::{AppId, Person};
use wxmint_redis_link::{Reason, RedisClient};

use super::{Call, StoreClock, name, script};
use crate::{Result, StoreError};

/// The number of parts of a period.
const PARTS: u64 = 8;
/// The most keys whose earlier counts are cached. When the cache is full it is emptied; the counts
/// of a busy address are cached again at once.
const MOST_CELLS: usize = 1024;

/// The number of events of one kind in each part of a period. Parts are numbered from 1970 on.
type Counts = BTreeMap<u64, u64>;

/// A limit of `burst` events in each `period`. They may come all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub burst: u32,
    /// At least a second.
    pub period: Duration,
}

/// The limit is reached. The refused event was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// The event is admitted after this time, if no other event comes first.
    pub retry_after: Duration,
}

/// Why an event is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("the limit is reached: repeat this after {:?}", .0.retry_after)]
    TooMany(TooMany),
    /// The event may have been counted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Reason> for LimitError {
    fn from(reason: Reason) -> Self {
        Self::Store(reason.into())
    }
}

/// An event that was counted, with the number of its part. [`RateLimits::uncount`] takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation(pub u64);

impl Rate {
    /// The length of a part of the period, in microseconds.
    fn part_micros(self) -> u64 {
        self.period.as_micros() as u64 / PARTS
    }

    /// The number of the part at `now`, in microseconds since 1970.
    pub fn part_at(self, now: u64) -> u64 {
        now / self.part_micros()
    }

    /// When an event of `part` stops counting, in microseconds since 1970.
    pub fn until(self, part: u64) -> u64 {
        (part + PARTS + 1) * self.part_micros()
    }

    /// How long the counts must be kept after the last event.
    pub fn life(self) -> Duration {
        Duration::from_micros(self.part_micros() * (PARTS + 1))
    }

    /// Whether events of the part `other` count for an event in `part`. The next part counts,
    /// because another process may know the time a little better and be there already. Parts
    /// further ahead were counted before the clock stepped back.
    fn counts(part: u64, other: u64) -> bool {
        other <= part + 1 && part <= other + PARTS
    }

    /// Counts an event at `now`, in microseconds since 1970, or refuses it.
    fn admit(self, counts: &mut Counts, now: u64) -> Result<Reservation, TooMany> {
        let part = self.part_at(now);
        counts.retain(|other, _| Self::counts(part, *other));
        let mut left: u64 = counts.values().sum();
        // The newest part that must leave the window before another event fits.
        let mut last_in_the_way = None;
        for (part, events) in counts.iter() {
            if left < self.burst.into() {
                break;
            }
            left -= events;
            last_in_the_way = Some(*part);
        }
        if let Some(last) = last_in_the_way {
            // The wait until the part `last` has left the window.
            return Err(TooMany {
                retry_after: Duration::from_micros(self.until(last).saturating_sub(now)),
            });
        }
        *counts.entry(part).or_default() += 1;
        Ok(Reservation(part))
    }
}

/// Events that are counted together, and their limit. The module that counts them names their kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitKey {
    /// The name of the key in Redis.
    key: String,
    /// The prefix of the fields' names, if other events are counted at the same key; otherwise
    /// empty.
    prefix: String,
    /// The limit.
    pub rate: Rate,
}

impl RateLimitKey {
    /// Counts the events of one owner, for example an address.
    pub fn new(kind: &str, whose: impl AsRef<str>, rate: Rate) -> Self {
        Self {
            key: name::limit(kind, whose.as_ref()),
            prefix: String::new(),
            rate,
        }
    }

    /// Counts the events of an app that `what` identifies.
    pub fn of_app(app: &AppId, kind: &str, what: impl AsRef<str>, rate: Rate) -> Self {
        Self {
            key: name::limit_of_app(app, kind, what.as_ref()),
            prefix: String::new(),
            rate,
        }
    }

    /// Counts the events of a person. An erasure must name the kind
    /// ([`Erasures::erase`](crate::Erasures::erase)). All keys of a kind must have the same rate.
    pub fn of_person(person: &Person, kind: &str, what: &str, rate: Rate) -> Self {
        let prefix = if what.is_empty() {
            String::new()
        } else {
            [what, ":"].concat()
        };
        Self {
            key: name::limit_of_person(person, kind),
            prefix,
            rate,
        }
    }

    /// The name of a part's field. It contains the period in seconds, because replicas may count
    /// with different periods while a setting changes.
    fn field(&self, part: u64) -> String {
        format!("{}{}:{part}", self.prefix, self.rate.period.as_secs())
    }
}

/// An event to count at `now`, in microseconds since 1970 by the clock of Redis.
pub(super) struct Counter<'a> {
    meter: &'a RateLimitKey,
    now: u64,
    part: u64,
    /// The number of events in the earlier parts, if it is cached.
    earlier: Option<u64>,
}

impl Counter<'_> {
    /// The commands that count the event. If the earlier parts are cached, the key's expiry is not
    /// set, because an earlier event of this part has set it.
    pub(super) fn counting(&self) -> Call {
        let &Self {
            meter,
            part,
            earlier,
            ..
        } = self;
        let call = Call::of("HINCRBY", &meter.key)
            .arg(meter.field(part))
            .arg(1);
        if earlier.is_some() {
            return call;
        }
        // These parts no longer count. The last event was at most ten parts ago, and it deleted
        // parts that were older than eight parts then.
        let gone: Vec<_> = (PARTS + 1..=2 * PARTS + 2)
            .map(|ago| meter.field(part.saturating_sub(ago)))
            .collect();
        let call = call
            .cmd("PEXPIRE")
            .arg(&meter.key)
            .arg(meter.rate.life().as_millis() as u64);
        call.cmd("HDEL")
            .arg(&meter.key)
            .arg(gone)
            .cmd("HGETALL")
            .arg(&meter.key)
    }
}

/// A cache of the keys that were counted lately: the part, and the number of events in the parts
/// before it. These numbers no longer grow, so an event of a busy address need not read them again.
pub(super) type EarlierParts = Rc<RefCell<HashMap<String, (u64, u64)>>>;

/// Counts events, and refuses those that are too many.
#[derive(Clone)]
pub struct RateLimits {
    link: Rc<RedisClient>,
    clock: StoreClock,
    earlier: EarlierParts,
}

impl RateLimits {
    pub(super) fn new(link: Rc<RedisClient>, clock: StoreClock, earlier: EarlierParts) -> Self {
        Self {
            link,
            clock,
            earlier,
        }
    }

    /// Counts an event, or refuses it with [`LimitError::TooMany`] if the limit is reached.
    pub async fn count(&self, meter: &RateLimitKey) -> Result<Reservation, LimitError> {
        let counter = self.counter(meter);
        let answer = self.link.run("count", counter.counting()).await?;
        self.decide(&counter, answer).await
    }

    /// Takes back an event that was counted.
    pub async fn uncount(
        &self,
        meter: &RateLimitKey,
        Reservation(part): Reservation,
    ) -> Result<()> {
        Ok(self
            .link
            .run(
                "uncount",
                script::UNCOUNT.on(&[&meter.key]).arg(meter.field(part)),
            )
            .await?)
    }

    pub(super) fn counter<'a>(&self, meter: &'a RateLimitKey) -> Counter<'a> {
        let now = self.clock.redis_micros();
        let part = meter.rate.part_at(now);
        let known = self.earlier.borrow().get(&meter.key).copied();
        let earlier = known
            .filter(|(known, _)| meter.prefix.is_empty() && *known == part)
            .map(|(_, events)| events);
        Counter {
            meter,
            now,
            part,
            earlier,
        }
    }

    /// Reads the answer to [`Counter::counting`]. Takes back an event that is one too many.
    pub(super) async fn decide(
        &self,
        counter: &Counter<'_>,
        answer: Value,
    ) -> Result<Reservation, LimitError> {
        let Some(earlier) = counter.earlier else {
            return self.decide_by_all(counter, answer).await;
        };
        let own: u64 = from_redis_value(answer).map_err(|_| StoreError::Damaged("a limit"))?;
        // If the count is 1, this is the first event of its part once more: the key was lost, and
        // has no expiry.
        if own > 1 && earlier + own <= counter.meter.rate.burst.into() {
            return Ok(Reservation(counter.part));
        }
        // If the limit is reached, the next event reads the whole key, because it is probably
        // refused too.
        self.earlier.borrow_mut().remove(&counter.meter.key);
        self.uncount(counter.meter, Reservation(counter.part))
            .await?;
        let anew = Counter {
            earlier: None,
            ..*counter
        };
        let answer = self.link.run("count", anew.counting()).await?;
        self.decide_by_all(&anew, answer).await
    }

    /// Decides by all fields of the key.
    async fn decide_by_all(
        &self,
        counter: &Counter<'_>,
        answer: Value,
    ) -> Result<Reservation, LimitError> {
        let counted = Reservation(counter.part);
        let (_, _, _, fields): (Value, Value, Value, HashMap<String, u64>) =
            from_redis_value(answer).map_err(|_| StoreError::Damaged("a limit"))?;
        let mut parts = self.own_parts(counter, fields).await?;
        // The event itself is already among the counts.
        parts
            .entry(counted.0)
            .and_modify(|events| *events = events.saturating_sub(1));
        let earlier = parts
            .iter()
            .filter(|(part, _)| **part != counted.0)
            .map(|(_, events)| events)
            .sum();
        if let Err(refused) = counter.meter.rate.admit(&mut parts, counter.now) {
            self.uncount(counter.meter, counted).await?;
            return Err(LimitError::TooMany(refused));
        }
        let mut cells = self.earlier.borrow_mut();
        if cells.len() >= MOST_CELLS {
            cells.clear();
        }
        cells.insert(counter.meter.key.clone(), (counted.0, earlier));
        Ok(counted)
    }

    /// The counter's own parts among the fields of its key. Deletes fields that no longer count: an
    /// event of one prefix keeps the whole key alive, and events that were counted before the clock
    /// stepped back would count again. Also deletes fields without a period, which an older version
    /// wrote.
    async fn own_parts(
        &self,
        &Counter { meter, now, .. }: &Counter<'_>,
        held: HashMap<String, u64>,
    ) -> Result<Counts> {
        let mut own = Counts::new();
        let mut gone = Vec::new();
        let mut life = meter.rate.life();
        for (field, events) in held {
            let mut ends = field.rsplit(':');
            let part = ends
                .next()
                .and_then(|part| part.parse().ok())
                .ok_or(StoreError::Damaged("a limit"))?;
            let period = ends
                .next()
                .and_then(|seconds| seconds.parse::<NonZeroU32>().ok());
            let rate = period.map(|period| Rate {
                period: Duration::from_secs(period.get().into()),
                ..meter.rate
            });
            let Some(rate) = rate.filter(|rate| Rate::counts(rate.part_at(now), part)) else {
                gone.push(field);
                continue;
            };
            life = life.max(rate.life());
            if rate == meter.rate && field.starts_with(&meter.prefix) {
                own.insert(part, events);
            }
        }
        if !gone.is_empty() {
            self.link
                .run::<Value>("count", Call::of("HDEL", &meter.key).arg(gone))
                .await?;
        }
        if life > meter.rate.life() {
            self.link
                .run::<Value>(
                    "count",
                    Call::of("PEXPIRE", &meter.key).arg(life.as_millis() as u64),
                )
                .await?;
        }
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 10,
        period: Duration::from_secs(80),
    };

    fn at(millis: u64) -> u64 {
        // The beginning of a part.
        (1_700_000_000_000 + millis) * 1000
    }

    fn wait(counts: &mut Counts, millis: u64) -> u64 {
        RATE.admit(counts, at(millis))
            .expect_err("too many")
            .retry_after
            .as_millis() as u64
    }

    fn fill(counts: &mut Counts, events: u32, millis: u64) {
        (0..events).for_each(|_| _ = RATE.admit(counts, at(millis)).expect("within the limit"));
    }

    #[test]
    fn the_limit_is_admitted_at_once_and_again_exactly_when_it_was_said() {
        let mut counts = Counts::default();
        fill(&mut counts, 10, 9_000);
        assert_eq!(
            wait(&mut counts, 9_000),
            81_000,
            "a period, and what is left of its part"
        );
        assert_eq!(wait(&mut counts, 89_999), 1);
        fill(&mut counts, 10, 90_000);
        assert_eq!(wait(&mut counts, 90_000), 90_000);
    }

    #[test]
    fn events_make_room_in_the_order_in_which_they_came() {
        let mut counts = Counts::default();
        fill(&mut counts, 7, 0);
        fill(&mut counts, 3, 40_000);
        assert_eq!(wait(&mut counts, 60_000), 30_000);
        fill(&mut counts, 7, 90_000);
        assert_eq!(wait(&mut counts, 90_000), 40_000);
    }

    #[test]
    fn events_that_are_far_ahead_since_the_clock_has_stepped_back_count_no_more() {
        let mut counts = Counts::default();
        fill(&mut counts, 10, 100_000);
        assert_eq!(wait(&mut counts, 90_000), 100_000, "one part ahead");
        fill(&mut counts, 10, 80_000);
    }

    /// Events come as fast as possible, with different times between them.
    #[test]
    fn no_period_holds_more_than_the_limit() {
        for step in [1, 7, 333, 4_999, 9_999, 10_001, 79_999, 81_234] {
            let mut counts = Counts::default();
            let mut admitted = Vec::<u64>::new();
            for millis in (0..2_000_000).step_by(step) {
                if RATE.admit(&mut counts, at(millis)).is_ok() {
                    admitted.push(millis);
                }
            }
            let crowded = admitted
                .windows(11)
                .find(|events| events[10] - events[0] < 80_000);
            assert_eq!(crowded, None, "a step of {step} ms");
            assert!(
                admitted.len() >= 10.min(2_000_000 / step),
                "a step of {step} ms"
            );
        }
    }
}
