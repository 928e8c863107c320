//! How often something may happen, and how it is counted: by plain commands, in a hash that says how many events there
//! were in each part of the period. That costs Redis half of a script.
//!
//! The period is counted in eighths, which slide: an event is admitted if the current eighth and the eight before it
//! hold fewer events than the limit. The oldest of these nine is in the last period only partly, and counts in full. So
//! no period whatsoever holds more events than the limit, and a client waits at most an eighth of a period longer than
//! it had to.
//!
//! An event is counted first, and taken back if it was one too many. So the limit is kept however many are counted at
//! the same time: each event sees at least all that were admitted before it.

use std::collections::{BTreeMap, HashMap};
use std::{cell::RefCell, num::NonZeroU32, rc::Rc, time::Duration};

use redis::{Value, from_redis_value};
use wxmint_ids::{AppId, Person};

use super::{Call, Store, name, script, unreadable};
use crate::Result;

/// A period has so many parts.
const PARTS: u64 = 8;
/// At most so many cells are kept. A busy address is found again at once.
const MOST_CELLS: usize = 1024;

/// How many events of one kind there were, in each part of a period. Parts are numbered from 1970 on.
type Counts = BTreeMap<u64, u64>;

/// At most `burst` events in each `period`, also all at once.
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

/// An event that was counted, by the number of its part.
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

    /// Until when an event of `part` counts, in microseconds since 1970.
    pub fn until(self, part: u64) -> u64 {
        (part + PARTS + 1) * self.part_micros()
    }

    /// How long events have to be remembered after the last one.
    pub fn life(self) -> Duration {
        Duration::from_micros(self.part_micros() * (PARTS + 1))
    }

    /// Whether the events of `other` are counted in `part`. Another process may know the time a little better, and be
    /// in the next part already. One that is further ahead was counted before the clock stepped back.
    fn counts(part: u64, other: u64) -> bool {
        other <= part + 1 && part <= other + PARTS
    }

    /// Counts an event at `now`, in microseconds since 1970, or refuses it.
    fn admit(self, counts: &mut Counts, now: u64) -> Result<Reservation, TooMany> {
        let part = self.part_at(now);
        counts.retain(|other, _| Self::counts(part, *other));
        // The part that must be over a period ago before there are fewer events than `burst`.
        let (mut left, mut last_in_the_way) = (counts.values().sum::<u64>(), None);
        for (part, events) in counts.iter() {
            if left < self.burst.into() {
                break;
            }
            (left, last_in_the_way) = (left - events, Some(*part));
        }
        if let Some(last) = last_in_the_way {
            // Until `last` has left the period.
            return Err(TooMany { retry_after: Duration::from_micros(self.until(last).saturating_sub(now)) });
        }
        *counts.entry(part).or_default() += 1;
        Ok(Reservation(part))
    }
}

/// Events that are counted together, and how often they may happen. They are of a kind, which its owner names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitKey {
    /// The key in Redis.
    key: String,
    /// The names of the fields there begin with this, if other events are counted at the same key.
    prefix: String,
    pub rate: Rate,
}

impl RateLimitKey {
    /// It counts the events of an address, for example.
    pub fn new(kind: &str, whose: impl AsRef<str>, rate: Rate) -> Self {
        Self { key: name::limit(kind, whose.as_ref()), prefix: String::new(), rate }
    }

    pub fn of_app(app: &AppId, kind: &str, what: impl AsRef<str>, rate: Rate) -> Self {
        Self { key: name::limit_of_app(app, kind, what.as_ref()), prefix: String::new(), rate }
    }

    /// Those who erase a person name the kind: [`Store::erase_person`]. All meters of the kind have one rate.
    pub fn of_person(person: &Person, kind: &str, what: &str, rate: Rate) -> Self {
        let prefix = if what.is_empty() { String::new() } else { [what, ":"].concat() };
        Self { key: name::limit_of_person(person, kind), prefix, rate }
    }

    /// The field of a part. It has the period in seconds, because for a while replicas may count with periods of
    /// different lengths.
    fn field(&self, part: u64) -> String {
        format!("{}{}:{part}", self.prefix, self.rate.period.as_secs())
    }
}

/// An event that is counted at `now`, in microseconds since 1970 by the clock of Redis.
pub(super) struct Counter<'a> {
    meter: &'a RateLimitKey,
    now: u64,
    part: u64,
    /// How many events the earlier parts hold, if that is known.
    earlier: Option<u64>,
}

/// How many events the parts before the present one hold, of cells that were counted lately: the part, and the events.
/// They do not grow any more, so that an event of a busy address need not read them again.
pub(super) type EarlierParts = Rc<RefCell<HashMap<String, (u64, u64)>>>;

impl Store {
    /// Counts an event, unless the limit is reached.
    pub async fn count(&self, meter: &RateLimitKey) -> Result<Result<Reservation, TooMany>> {
        let counter = self.counter(meter);
        self.decide(&counter, self.link.run("count", self.counting(&counter)).await?).await
    }

    pub async fn uncount(&self, meter: &RateLimitKey, Reservation(part): Reservation) -> Result<()> {
        Ok(self.link.run("uncount", script::UNCOUNT.on(&[&meter.key]).arg(meter.field(part))).await?)
    }

    pub(super) fn counter<'a>(&self, meter: &'a RateLimitKey) -> Counter<'a> {
        let now = self.now_micros();
        let part = meter.rate.part_at(now);
        let known = self.earlier.borrow().get(&meter.key).copied();
        let earlier = known.filter(|(known, _)| meter.prefix.is_empty() && *known == part).map(|(_, events)| events);
        Counter { meter, now, part, earlier }
    }

    /// Counts the event. Where the earlier parts are known, the cell has its life since an event of this part.
    pub(super) fn counting(&self, counter: &Counter<'_>) -> Call {
        let &Counter { meter, part, earlier, .. } = counter;
        let call = Call::of("HINCRBY", &meter.key).arg(meter.field(part)).arg(1);
        if earlier.is_some() {
            return call;
        }
        // These count no more. The last event was ten parts ago at most, and left none older than eight parts then.
        let gone: Vec<_> = (PARTS + 1..=2 * PARTS + 2).map(|ago| meter.field(part.saturating_sub(ago))).collect();
        let call = call.cmd("PEXPIRE").arg(&meter.key).arg(meter.rate.life().as_millis() as u64);
        call.cmd("HDEL").arg(&meter.key).arg(gone).cmd("HGETALL").arg(&meter.key)
    }

    /// Reads the answer to [`Self::counting`]. Takes back an event that is one too many.
    pub(super) async fn decide(&self, counter: &Counter<'_>, answer: Value) -> Result<Result<Reservation, TooMany>> {
        let Some(earlier) = counter.earlier else { return self.decide_by_all(counter, answer).await };
        let own: u64 = from_redis_value(answer).map_err(|_| unreadable("a limit"))?;
        // The first one of its part again: the cell was lost, and has no life.
        if own > 1 && earlier + own <= counter.meter.rate.burst.into() {
            return Ok(Ok(Reservation(counter.part)));
        }
        // A cell that is full is read whole at the next event, which is probably refused too.
        self.earlier.borrow_mut().remove(&counter.meter.key);
        self.uncount(counter.meter, Reservation(counter.part)).await?;
        let anew = Counter { earlier: None, ..*counter };
        self.decide_by_all(&anew, self.link.run("count", self.counting(&anew)).await?).await
    }

    /// Decides by all that the cell holds.
    async fn decide_by_all(&self, counter: &Counter<'_>, answer: Value) -> Result<Result<Reservation, TooMany>> {
        let counted = Reservation(counter.part);
        let (_, _, _, fields): (Value, Value, Value, HashMap<String, u64>) =
            from_redis_value(answer).map_err(|_| unreadable("a limit"))?;
        let mut parts = self.own_parts(counter, fields).await?;
        // The event itself is counted already.
        parts.entry(counted.0).and_modify(|events| *events = events.saturating_sub(1));
        let earlier = parts.iter().filter(|(part, _)| **part != counted.0).map(|(_, events)| events).sum();
        let decided = counter.meter.rate.admit(&mut parts, counter.now);
        if decided.is_ok() {
            let mut cells = self.earlier.borrow_mut();
            if cells.len() >= MOST_CELLS {
                cells.clear();
            }
            cells.insert(counter.meter.key.clone(), (counted.0, earlier));
        } else {
            self.uncount(counter.meter, counted).await?;
        }
        Ok(decided)
    }

    /// The counter's own parts among the fields of its key. What counts no more is deleted: an event of one cell keeps
    /// the whole key, and what was counted before the clock stepped back would count again. So are fields without a
    /// period, which the version before wrote.
    async fn own_parts(&self, &Counter { meter, now, .. }: &Counter<'_>, held: HashMap<String, u64>) -> Result<Counts> {
        let (mut own, mut gone, mut life) = (Counts::new(), Vec::new(), meter.rate.life());
        for (field, events) in held {
            let mut ends = field.rsplit(':');
            let part = ends.next().and_then(|part| part.parse().ok()).ok_or_else(|| unreadable("a limit"))?;
            let period = ends.next().and_then(|seconds| seconds.parse::<NonZeroU32>().ok());
            let rate = period.map(|period| Rate { period: Duration::from_secs(period.get().into()), ..meter.rate });
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
            self.link.run::<Value>("count", Call::of("HDEL", &meter.key).arg(gone)).await?;
        }
        if life > meter.rate.life() {
            self.link.run::<Value>("count", Call::of("PEXPIRE", &meter.key).arg(life.as_millis() as u64)).await?;
        }
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 10, period: Duration::from_secs(80) };

    fn at(millis: u64) -> u64 {
        // The beginning of a part.
        (1_700_000_000_000 + millis) * 1000
    }

    fn wait(counts: &mut Counts, millis: u64) -> u64 {
        RATE.admit(counts, at(millis)).expect_err("too many").retry_after.as_millis() as u64
    }

    fn fill(counts: &mut Counts, events: u32, millis: u64) {
        (0..events).for_each(|_| _ = RATE.admit(counts, at(millis)).expect("within the limit"));
    }

    #[test]
    fn the_limit_is_admitted_at_once_and_again_exactly_when_it_was_said() {
        let mut counts = Counts::default();
        fill(&mut counts, 10, 9_000);
        assert_eq!(wait(&mut counts, 9_000), 81_000, "a period, and what is left of its part");
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

    /// Clients that ask as fast as they can, at times of all kinds.
    #[test]
    fn no_period_holds_more_than_the_limit() {
        for step in [1, 7, 333, 4_999, 9_999, 10_001, 79_999, 81_234] {
            let (mut counts, mut admitted) = (Counts::default(), Vec::<u64>::new());
            for millis in (0..2_000_000).step_by(step) {
                if RATE.admit(&mut counts, at(millis)).is_ok() {
                    admitted.push(millis);
                }
            }
            let crowded = admitted.windows(11).find(|events| events[10] - events[0] < 80_000);
            assert_eq!(crowded, None, "a step of {step} ms");
            assert!(admitted.len() >= 10.min(2_000_000 / step), "a step of {step} ms");
        }
    }
}
