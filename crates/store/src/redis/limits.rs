//! How often something may happen, and how it is counted: by plain commands, in a hash that says how many events there
//! were in each part of the period. That costs Redis half of a script. `window` decides by the whole hash.
//!
//! An event is counted first, and taken back if it was one too many. So the limit is kept however many are counted at
//! the same time: each event sees at least all that were admitted before it.

mod window;

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use redis::{Value, from_redis_value};
use wxmint_ids::{AppId, Person};

use super::{Call, Redis, name, script, unreadable};
use crate::Result;

/// A period has so many parts.
const PARTS: u64 = 8;

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
pub struct Counted(pub u64);

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
}

/// An event that is counted, and how often it may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    pub key: LimitKey,
    pub rate: Rate,
}

/// Events are counted by this: a kind, which its owner names, and the events of it that count together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitKey {
    pub(super) scope: Scope,
    pub(super) kind: &'static str,
    pub(super) key: String,
}

/// The keys of one scope are together in Redis, and an erasure of a person takes the person's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Free,
    App(AppId),
    Person(Person),
}

impl LimitKey {
    /// Events of an address, for example.
    pub fn new(kind: &'static str, key: impl Into<String>) -> Self {
        Self { scope: Scope::Free, kind, key: key.into() }
    }

    pub fn of_app(app: &AppId, kind: &'static str, key: impl Into<String>) -> Self {
        Self { scope: Scope::App(app.clone()), kind, key: key.into() }
    }

    /// Those who erase a person name the kind: [`Redis::erase_person`]. All keys of the kind have one rate.
    pub fn of_person(person: &Person, kind: &'static str, key: impl Into<String>) -> Self {
        Self { scope: Scope::Person(person.clone()), kind, key: key.into() }
    }
}

/// An event that is counted at `now`, in microseconds since 1970 by the clock of Redis.
pub(super) struct Counter {
    key: String,
    /// The names of the cell's fields begin with this, if other cells have the same key.
    prefix: String,
    rate: Rate,
    now: u64,
    part: u64,
    /// How many events the earlier parts hold, if that is known.
    earlier: Option<u64>,
}

/// How many events the parts before the present one hold, of cells that were counted lately: the part, and the events.
/// They do not grow any more, so that an event of a busy address need not read them again.
pub(super) type EarlierParts = Rc<RefCell<HashMap<String, (u64, u64)>>>;

impl Counter {
    /// It has the period in seconds, because for a while replicas may count with periods of different lengths.
    fn field(&self, part: u64) -> String {
        format!("{}{}:{part}", self.prefix, self.rate.period.as_secs())
    }
}

impl Redis {
    /// Counts an event, unless the limit is reached.
    pub async fn count(&self, meter: &Meter) -> Result<Result<Counted, TooMany>> {
        let counter = self.counter(meter);
        let answer = self.link.run("count", self.counting(&counter)).await?;
        self.decide(&counter, answer).await
    }

    pub async fn uncount(&self, meter: &Meter, counted: Counted) -> Result<()> {
        self.take_back(&self.counter(meter), counted).await
    }

    pub(super) fn counter(&self, meter: &Meter) -> Counter {
        let (key, now) = (name::limit(&meter.key), self.now_micros());
        let part = meter.rate.part_at(now);
        let (prefix, earlier) = match (&meter.key.scope, &*meter.key.key) {
            (Scope::Free | Scope::App(_), _) | (_, "") => {
                let cells = self.earlier.borrow();
                let earlier = cells.get(&key).filter(|(known, _)| *known == part);
                (String::new(), earlier.map(|(_, events)| *events))
            }
            (Scope::Person(_), of_kind) => (format!("{of_kind}:"), None),
        };
        Counter { key, prefix, rate: meter.rate, now, part, earlier }
    }

    /// Counts the event. Where the earlier parts are known, the cell has its life since an event of this part.
    pub(super) fn counting(&self, counter: &Counter) -> Call {
        let key = &counter.key;
        let call = Call::of("HINCRBY", key).arg(counter.field(counter.part)).arg(1);
        if counter.earlier.is_some() {
            return call;
        }
        // These count no more. The last event was ten parts ago at most, and left none older than eight parts then.
        let gone: Vec<_> =
            (PARTS + 1..=2 * PARTS + 2).map(|ago| counter.field(counter.part.saturating_sub(ago))).collect();
        let call = call.cmd("PEXPIRE").arg(key).arg(counter.rate.life().as_millis() as u64);
        call.cmd("HDEL").arg(key).arg(gone).cmd("HGETALL").arg(key)
    }

    /// Reads the answer to [`Self::counting`]. Takes back an event that is one too many.
    pub(super) async fn decide(&self, counter: &Counter, answer: Value) -> Result<Result<Counted, TooMany>> {
        let Some(earlier) = counter.earlier else { return self.decide_by_all(counter, answer).await };
        let own: u64 = from_redis_value(answer).map_err(|_| unreadable("a limit"))?;
        // The first one of its part again: the cell was lost, and has no life.
        if own > 1 && earlier + own <= counter.rate.burst.into() {
            return Ok(Ok(Counted(counter.part)));
        }
        // A cell that is full is read whole at the next event, which is probably refused too.
        self.earlier.borrow_mut().remove(&counter.key);
        self.take_back(counter, Counted(counter.part)).await?;
        let anew = Counter { key: counter.key.clone(), prefix: String::new(), earlier: None, ..*counter };
        let answer = self.link.run("count", self.counting(&anew)).await?;
        self.decide_by_all(&anew, answer).await
    }

    async fn take_back(&self, counter: &Counter, Counted(part): Counted) -> Result<()> {
        Ok(self.link.run("uncount", script::UNCOUNT.on(&[&counter.key]).arg(counter.field(part))).await?)
    }
}
