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

/// Events that are counted together, and how often they may happen. They are of a kind, which its owner names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// The key in Redis.
    key: String,
    /// The names of the fields there begin with this, if other events are counted at the same key.
    prefix: String,
    pub rate: Rate,
}

impl Meter {
    /// It counts the events of an address, for example.
    pub fn new(kind: &str, whose: impl AsRef<str>, rate: Rate) -> Self {
        Self { key: name::limit(kind, whose.as_ref()), prefix: String::new(), rate }
    }

    pub fn of_app(app: &AppId, kind: &str, what: impl AsRef<str>, rate: Rate) -> Self {
        Self { key: name::limit_of_app(app, kind, what.as_ref()), prefix: String::new(), rate }
    }

    /// Those who erase a person name the kind: [`Redis::erase_person`]. All meters of the kind have one rate.
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
    meter: &'a Meter,
    now: u64,
    part: u64,
    /// How many events the earlier parts hold, if that is known.
    earlier: Option<u64>,
}

/// How many events the parts before the present one hold, of cells that were counted lately: the part, and the events.
/// They do not grow any more, so that an event of a busy address need not read them again.
pub(super) type EarlierParts = Rc<RefCell<HashMap<String, (u64, u64)>>>;

impl Redis {
    /// Counts an event, unless the limit is reached.
    pub async fn count(&self, meter: &Meter) -> Result<Result<Counted, TooMany>> {
        let counter = self.counter(meter);
        self.decide(&counter, self.link.run("count", self.counting(&counter)).await?).await
    }

    pub async fn uncount(&self, meter: &Meter, Counted(part): Counted) -> Result<()> {
        Ok(self.link.run("uncount", script::UNCOUNT.on(&[&meter.key]).arg(meter.field(part))).await?)
    }

    pub(super) fn counter<'a>(&self, meter: &'a Meter) -> Counter<'a> {
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
    pub(super) async fn decide(&self, counter: &Counter<'_>, answer: Value) -> Result<Result<Counted, TooMany>> {
        let Some(earlier) = counter.earlier else { return self.decide_by_all(counter, answer).await };
        let own: u64 = from_redis_value(answer).map_err(|_| unreadable("a limit"))?;
        // The first one of its part again: the cell was lost, and has no life.
        if own > 1 && earlier + own <= counter.meter.rate.burst.into() {
            return Ok(Ok(Counted(counter.part)));
        }
        // A cell that is full is read whole at the next event, which is probably refused too.
        self.earlier.borrow_mut().remove(&counter.meter.key);
        self.uncount(counter.meter, Counted(counter.part)).await?;
        let anew = Counter { earlier: None, ..*counter };
        self.decide_by_all(&anew, self.link.run("count", self.counting(&anew)).await?).await
    }
}
