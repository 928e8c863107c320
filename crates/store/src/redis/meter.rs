//! How events are counted by plain commands, each in a hash of its own: how many there were in each part of the period.
//! That costs Redis half of a script.
//!
//! An event is counted first, and taken back if it was one too many. So the limit is kept however many are counted at
//! the same time: each event sees at least all that were admitted before it.

use std::{cell::RefCell, collections::HashMap, num::NonZeroU32, rc::Rc, time::Duration};

use redis::{Value, from_redis_value};

use super::{Call, Redis, name, script, unreadable};
use crate::limits::{Counted, Counts, Rate, TooMany};
use crate::{Meter, Result, Scope};

/// An event that is counted at `now`, in microseconds since 1970 by the clock of Redis.
pub(super) struct Counter {
    key: String,
    /// The names of the cell's fields begin with this, if other cells have the same key.
    prefix: String,
    rate: Rate,
    now: u64,
    /// How many events the earlier parts hold, if that is known.
    earlier: Option<u64>,
}

/// How many events the parts before the present one hold, of cells that were counted lately: the part, and the events.
/// They do not grow any more, so that an event of a busy address need not read them again.
pub(super) type EarlierParts = Rc<RefCell<HashMap<String, (u64, u64)>>>;

/// At most so many cells are kept. A busy address is found again at once.
const MOST_CELLS: usize = 1024;

impl Counter {
    fn part(&self) -> u64 {
        self.rate.part_at(self.now)
    }

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
        let (prefix, earlier) = match (&meter.key.scope, &*meter.key.key) {
            (Scope::Free | Scope::App(_), _) | (_, "") => {
                let (known, part) = (self.earlier.borrow(), meter.rate.part_at(now));
                let earlier = known.get(&key).filter(|(known, _)| *known == part);
                (String::new(), earlier.map(|(_, events)| *events))
            }
            (Scope::Person(_), of_kind) => (format!("{of_kind}:"), None),
        };
        Counter { key, prefix, rate: meter.rate, now, earlier }
    }

    /// Counts the event. Where the earlier parts are known, the cell has its life since an event of this part.
    pub(super) fn counting(&self, counter: &Counter) -> Call {
        let (key, part) = (&counter.key, counter.part());
        let call = Call::of("HINCRBY", key).arg(counter.field(part)).arg(1);
        if counter.earlier.is_some() {
            return call;
        }
        let gone: Vec<_> = Rate::gone_parts(part).map(|part| counter.field(part)).collect();
        let call = call.cmd("PEXPIRE").arg(key).arg(counter.rate.life().as_millis() as u64);
        call.cmd("HDEL").arg(key).arg(gone).cmd("HGETALL").arg(key)
    }

    /// Reads the answer to [`Self::counting`]. Takes back an event that is one too many.
    pub(super) async fn decide(&self, counter: &Counter, answer: Value) -> Result<Result<Counted, TooMany>> {
        let counted = Counted(counter.part());
        if let Some(earlier) = counter.earlier {
            let own: u64 = from_redis_value(answer).map_err(|_| unreadable("a limit"))?;
            // The first one of its part again: the cell was lost, and has no life.
            if own > 1 && earlier + own <= counter.rate.burst.into() {
                return Ok(Ok(counted));
            }
            // A cell that is full is read whole at the next event, which is probably refused too.
            self.earlier.borrow_mut().remove(&counter.key);
            self.take_back(counter, counted).await?;
            let anew = Counter { key: counter.key.clone(), prefix: String::new(), earlier: None, ..*counter };
            let answer = self.link.run("count", self.counting(&anew)).await?;
            return Box::pin(self.decide(&anew, answer)).await;
        }
        let answers: (Value, Value, Value, HashMap<String, u64>) =
            from_redis_value(answer).map_err(|_| unreadable("a limit"))?;
        let mut parts = self.own_parts(counter, answers.3).await?;
        // The event itself is counted already.
        parts.entry(counted.0).and_modify(|events| *events = events.saturating_sub(1));
        let earlier = parts.iter().filter(|(part, _)| **part != counted.0).map(|(_, events)| events).sum();
        let decided = counter.rate.admit(&mut parts, counter.now);
        if decided.is_ok() {
            let mut cells = self.earlier.borrow_mut();
            if cells.len() >= MOST_CELLS {
                cells.clear();
            }
            cells.insert(counter.key.clone(), (counted.0, earlier));
        } else {
            self.take_back(counter, counted).await?;
        }
        Ok(decided)
    }

    /// The counter's own parts among the fields of its key. What counts no more is deleted: an event of one cell keeps
    /// the whole key, and what was counted before the clock stepped back would count again. So are fields without a
    /// period, which the version before wrote.
    async fn own_parts(&self, counter: &Counter, fields: HashMap<String, u64>) -> Result<Counts> {
        let (mut own, mut gone, mut life) = (Counts::new(), Vec::new(), counter.rate.life());
        for (field, events) in fields {
            let mut ends = field.rsplit(':');
            let part = ends.next().and_then(|part| part.parse().ok()).ok_or_else(|| unreadable("a limit"))?;
            let period = ends.next().and_then(|seconds| seconds.parse::<NonZeroU32>().ok());
            let rate = period.map(|period| Rate { period: Duration::from_secs(period.get().into()), ..counter.rate });
            let Some(rate) = rate.filter(|rate| Rate::counts(rate.part_at(counter.now), part)) else {
                gone.push(field);
                continue;
            };
            life = life.max(rate.life());
            if rate == counter.rate && field.starts_with(&counter.prefix) {
                own.insert(part, events);
            }
        }
        if !gone.is_empty() {
            self.link.run::<Value>("count", Call::of("HDEL", &counter.key).arg(gone)).await?;
        }
        if life > counter.rate.life() {
            self.link.run::<Value>("count", Call::of("PEXPIRE", &counter.key).arg(life.as_millis() as u64)).await?;
        }
        Ok(own)
    }

    pub(super) async fn take_back(&self, counter: &Counter, Counted(part): Counted) -> Result<()> {
        Ok(self.link.run("uncount", script::UNCOUNT.on(&[&counter.key]).arg(counter.field(part))).await?)
    }
}
