//! How events are counted by plain commands, each in a hash of its own: how many there were in each part of the period.
//! That costs Redis half of a script.
//!
//! An event is counted first, and taken back if it was one too many. So the limit is kept however many are counted at
//! the same time: each event sees at least all that were admitted before it.

use std::collections::{BTreeMap, HashMap};
use std::{cell::RefCell, rc::Rc};

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
#[derive(Clone, Default)]
pub(super) struct EarlierParts(Rc<RefCell<HashMap<String, (u64, u64)>>>);

/// At most so many cells are kept. A busy address is found again at once.
const MOST_CELLS: usize = 1024;

impl EarlierParts {
    fn of(&self, key: &str, part: u64) -> Option<u64> {
        self.0.borrow().get(key).filter(|(known, _)| *known == part).map(|(_, events)| *events)
    }

    fn remember(&self, counter: &Counter, events: u64) {
        let mut cells = self.0.borrow_mut();
        if cells.len() >= MOST_CELLS {
            cells.clear();
        }
        cells.insert(counter.key.clone(), (counter.part(), events));
    }

    /// A cell that is full is read whole at the next event, which is probably refused too.
    fn forget(&self, counter: &Counter) {
        self.0.borrow_mut().remove(&counter.key);
    }
}

impl Counter {
    fn part(&self) -> u64 {
        self.rate.part_at(self.now)
    }

    fn field(&self, part: u64) -> String {
        format!("{}{part}", self.prefix)
    }

    /// Whether the event is within the limit, after it was counted with the others of `parts`.
    fn decide(&self, parts: impl Iterator<Item = (u64, u64)>) -> Result<Counted, TooMany> {
        let others = parts.map(|(part, events)| {
            let own = u64::from(part == self.part());
            (part, events.saturating_sub(own).try_into().unwrap_or(u32::MAX))
        });
        self.rate.admit(&mut Counts(others.collect()), self.now)
    }
}

impl Redis {
    pub(super) fn counter(&self, meter: &Meter) -> Counter {
        let (key, now) = (name::limit(&meter.key), self.now_micros());
        let (prefix, earlier) = match (&meter.key.scope, &*meter.key.key) {
            (Scope::Free | Scope::App(_), _) | (_, "") => {
                (String::new(), self.earlier.of(&key, meter.rate.part_at(now)))
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
            self.earlier.forget(counter);
            self.take_back(counter, counted).await?;
            let anew = Counter { key: counter.key.clone(), prefix: String::new(), earlier: None, ..*counter };
            let answer = self.link.run("count", self.counting(&anew)).await?;
            return Box::pin(self.decide(&anew, answer)).await;
        }
        let answers: (Value, Value, Value, HashMap<String, u64>) =
            from_redis_value(answer).map_err(|_| unreadable("a limit"))?;
        let parts = self.own_parts(counter, answers.3).await?;
        let decided = counter.decide(parts.iter().map(|(part, events)| (*part, *events)));
        match decided {
            Ok(_) => {
                let earlier = parts.iter().filter(|(part, _)| **part != counter.part());
                self.earlier.remember(counter, earlier.map(|(_, events)| events).sum());
            }
            Err(_) => self.take_back(counter, counted).await?,
        }
        Ok(decided)
    }

    /// The counter's own parts among the fields of its key. What counts no more is deleted: an event of one cell keeps
    /// the whole key, and what was counted before the clock stepped back would count again.
    async fn own_parts(&self, counter: &Counter, fields: HashMap<String, u64>) -> Result<BTreeMap<u64, u64>> {
        let (mut own, mut gone) = (BTreeMap::new(), Vec::new());
        for (field, events) in fields {
            let part = field.rsplit(':').next().and_then(|part| part.parse().ok());
            let part = part.ok_or_else(|| unreadable("a limit"))?;
            if !Rate::counts(counter.part(), part) {
                gone.push(field);
            } else if field.starts_with(&counter.prefix) {
                own.insert(part, events);
            }
        }
        if !gone.is_empty() {
            self.link.run::<Value>("count", Call::of("HDEL", &counter.key).arg(gone)).await?;
        }
        Ok(own)
    }

    pub(super) async fn take_back(&self, counter: &Counter, Counted(part): Counted) -> Result<()> {
        Ok(self.link.run("uncount", script::UNCOUNT.on(&[&counter.key]).arg(counter.field(part))).await?)
    }
}
