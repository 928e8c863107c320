//! Rate limits by a sliding window. A period is counted in eighths: an event is admitted if the current eighth and the
//! eight before it hold fewer events than the limit.
//!
//! The oldest of these nine is in the last period only partly, and counts in full. So no period whatsoever holds more
//! events than the limit, and a client waits at most an eighth of a period longer than it had to.

use std::collections::{BTreeMap, HashMap};
use std::{num::NonZeroU32, time::Duration};

use redis::{Value, from_redis_value};

use super::super::{Call, Redis, unreadable};
use super::{Counted, Counter, PARTS, Rate, TooMany};
use crate::Result;

/// At most so many cells are kept. A busy address is found again at once.
const MOST_CELLS: usize = 1024;

/// How many events of one kind there were, in each part of a period. Parts are numbered from 1970 on.
type Counts = BTreeMap<u64, u64>;

impl Rate {
    /// Whether the events of `other` are counted in `part`. Another process may know the time a little better, and be
    /// in the next part already. One that is further ahead was counted before the clock stepped back.
    fn counts(part: u64, other: u64) -> bool {
        other <= part + 1 && part <= other + PARTS
    }

    /// Counts an event at `now`, in microseconds since 1970, or refuses it.
    fn admit(self, counts: &mut Counts, now: u64) -> Result<Counted, TooMany> {
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
        Ok(Counted(part))
    }
}

impl Redis {
    /// Decides by all that the cell holds.
    pub(super) async fn decide_by_all(&self, counter: &Counter<'_>, answer: Value) -> Result<Result<Counted, TooMany>> {
        let counted = Counted(counter.part);
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
