//! Rate limits by a sliding window. A period is counted in eighths: an event is admitted if the current eighth and the
//! eight before it hold fewer events than the limit.
//!
//! The oldest of these nine is in the last period only partly, and counts in full. So no period whatsoever holds more
//! events than the limit, and a client waits at most an eighth of a period longer than it had to.

use std::{collections::BTreeMap, time::Duration};

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

/// The configured limits (`WXMINT_LIMIT_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginLimits {
    /// Logins per IP address.
    pub ip: Rate,
    /// Logins per person.
    pub openid: Rate,
    /// Failed passwords per person and user name.
    pub username: Rate,
}

/// The limit is reached. The refused event was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// The event is admitted after this time, if no other event comes first.
    pub retry_after: Duration,
}

/// How many events of one kind there were, in each part of a period. Parts are numbered from 1970 on.
pub type Counts = BTreeMap<u64, u64>;

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

    /// Whether the events of `other` are counted in `part`. Another process may know the time a little better, and be
    /// in the next part already. One that is further ahead was counted before the clock stepped back.
    pub fn counts(part: u64, other: u64) -> bool {
        other <= part + 1 && part <= other + PARTS
    }

    /// The parts that count no more in `part`, and may be remembered still: whatever is remembered ends with its
    /// [`life`](Self::life), so the last event was at most ten parts ago, and left none that were older than eight
    /// then.
    pub fn gone_parts(part: u64) -> impl Iterator<Item = u64> {
        (PARTS + 1..=2 * PARTS + 2).map(move |ago| part.saturating_sub(ago))
    }

    /// Until when an event of `part` counts, in microseconds since 1970.
    pub fn until(self, part: u64) -> u64 {
        (part + PARTS + 1) * self.part_micros()
    }

    /// How long events have to be remembered after the last one.
    pub fn life(self) -> Duration {
        Duration::from_micros(self.part_micros() * (PARTS + 1))
    }

    /// Counts an event at `now`, in microseconds since 1970, or refuses it.
    pub fn admit(self, counts: &mut Counts, now: u64) -> Result<Counted, TooMany> {
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
            let wait = self.until(last).saturating_sub(now);
            return Err(TooMany { retry_after: Duration::from_micros(wait) });
        }
        *counts.entry(part).or_default() += 1;
        Ok(Counted(part))
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
