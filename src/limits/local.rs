//! A rate limit per address for the time that Redis is unavailable. It lives in one process, whose workers share it.
//!
//! **When it is used.** [`LocalLimit::check`], which counts nothing, runs before the store is asked: an address over
//! its limit gets 429 without waiting for Redis. [`LocalLimit::admit`], which counts, runs only if the store did not
//! respond: the answer is then 503 `store_unavailable` within the limit, and 429 beyond it. So events that Redis counts
//! are not counted here, and once Redis is back, this limit refuses nobody for longer than the last `Retry-After` that
//! it gave.
//!
//! **Memory.** A cell is removed when it is unused again. If there are more than [`MOST_CELLS`], the least used cell is
//! removed first. An attacker with more addresses than there are cells therefore removes only his own cells, which are
//! nearly unused. Cells that have reached their limit stay, and a new address is never refused for lack of room. All
//! that an honest client can lose is a count against it.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Rate, TooMany};

/// Twice the number of /64 networks in a /48, which is the most that one customer usually gets. If all cells are used
/// within one period, they take about 10 MB.
pub const MOST_CELLS: usize = 100_000;

/// The limits of all addresses, in this process.
#[derive(Debug)]
pub struct LocalLimit {
    most: usize,
    /// Random in each process, so that nobody can choose a key that collides with another one.
    hashing: RandomState,
    cells: Mutex<Cells>,
}

/// Each cell is in both maps.
#[derive(Debug, Default)]
struct Cells {
    by_key: HashMap<u64, DateTime<Utc>>,
    /// The least used first.
    by_time: BTreeSet<(DateTime<Utc>, u64)>,
}

impl Default for LocalLimit {
    fn default() -> Self {
        Self::new(MOST_CELLS)
    }
}

impl LocalLimit {
    /// Keeps at most `most` cells, and at least 1.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), hashing: RandomState::new(), cells: Mutex::default() }
    }

    /// Whether an event of `key` ([`crate::http::ClientAddress::limit_key`]) would be admitted at `now`. Counts
    /// nothing.
    pub fn check(&self, key: &str, rate: Rate, now: DateTime<Utc>) -> Result<(), TooMany> {
        let cell = self.cells().at(self.hashing.hash_one(key), rate, now);
        rate.admit(cell, now).map(drop)
    }

    /// Admits and counts an event of `key`, or refuses it. All events of a key must have the same `rate`.
    pub fn admit(&self, key: &str, rate: Rate, now: DateTime<Utc>) -> Result<(), TooMany> {
        let key = self.hashing.hash_one(key);
        let mut cells = self.cells();
        let next = rate.admit(cells.at(key, rate, now), now)?;
        cells.forget_empty(now);
        cells.put(key, next, self.most);
        Ok(())
    }

    /// The lock is held for one lookup, never across an await.
    fn cells(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cells {
    /// The cell, at most one period ahead of `now`. Without that bound, an address would be refused until the clock has
    /// caught up if the clock was set back.
    fn at(&self, key: u64, rate: Rate, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let full = now + TimeDelta::microseconds(rate.period_micros() as i64);
        self.by_key.get(&key).map(|cell| full.min(*cell))
    }

    /// Stores a cell. If there is no more room, a new cell replaces the least used one.
    fn put(&mut self, key: u64, cell: DateTime<Utc>, most: usize) {
        match self.by_key.get(&key) {
            Some(before) => drop(self.by_time.remove(&(*before, key))),
            None if self.by_key.len() >= most => self.forget_first(),
            None => {}
        }
        self.by_key.insert(key, cell);
        self.by_time.insert((cell, key));
    }

    fn forget_empty(&mut self, now: DateTime<Utc>) {
        while self.by_time.first().is_some_and(|(cell, _)| *cell <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.by_time.pop_first() {
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv6Addr},
        sync::atomic::{AtomicU32, Ordering},
        thread,
        time::Duration,
    };

    use super::*;
    use crate::http::ClientAddress;

    const RATE: Rate = Rate { burst: 5, period: Duration::from_secs(3600) };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
    }

    fn held(limit: &LocalLimit) -> usize {
        let cells = limit.cells();
        assert_eq!(cells.by_key.len(), cells.by_time.len());
        assert!(cells.by_time.iter().all(|(cell, key)| cells.by_key.get(key) == Some(cell)));
        cells.by_key.len()
    }

    /// How many events are admitted out of a burst of twice the limit.
    fn let_through(limit: &LocalLimit, key: &str, now: DateTime<Utc>) -> usize {
        (0..RATE.burst * 2).filter(|_| limit.admit(key, RATE, now).is_ok()).count()
    }

    #[test]
    fn each_key_has_its_own_limit_and_a_refusal_says_when_to_retry() {
        let limit = LocalLimit::default();
        assert_eq!(let_through(&limit, "203.0.113.9", at(0)), 5);
        let refused = Err(TooMany { retry_after: Duration::from_secs(720) });
        assert_eq!(limit.check("203.0.113.9", RATE, at(0)), refused);
        assert_eq!(limit.admit("203.0.113.9", RATE, at(0)), refused);
        assert_eq!(limit.admit("203.0.113.10", RATE, at(0)), Ok(()));
        assert_eq!(limit.admit("203.0.113.9", RATE, at(720)), Ok(()));
        assert!(limit.check("203.0.113.9", RATE, at(720)).is_err());
    }

    #[test]
    fn checking_counts_nothing() {
        let limit = LocalLimit::default();
        assert!((0..100).all(|_| limit.check("a", RATE, at(0)).is_ok()));
        assert_eq!(held(&limit), 0);
        assert_eq!(let_through(&limit, "a", at(0)), 5);
    }

    #[test]
    fn many_threads_together_get_exactly_the_limit() {
        let rate = Rate { burst: 1_000, period: Duration::from_secs(3600) };
        let (limit, admitted) = (LocalLimit::default(), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mine = (0..500).filter(|_| limit.admit("a", rate, at(0)).is_ok()).count();
                    admitted.fetch_add(mine as u32, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(admitted.into_inner(), 1_000);
    }

    #[test]
    fn a_cell_is_removed_when_it_is_unused_again() {
        let limit = LocalLimit::default();
        for number in 0..1_000 {
            limit.admit(&number.to_string(), RATE, at(0)).expect("the first of each");
        }
        assert_eq!(let_through(&limit, "busy", at(0)), 5);
        limit.admit("later", RATE, at(719)).expect("the first");
        assert_eq!(held(&limit), 1_002);
        limit.admit("later", RATE, at(720)).expect("the second");
        assert_eq!(held(&limit), 2, "those of one event are empty, the busy one is not");
        assert!(limit.admit("busy", RATE, at(719)).is_err());
    }

    #[test]
    fn a_million_addresses_use_bounded_memory_and_lock_nobody_out() {
        let limit = LocalLimit::new(1_000);
        assert_eq!(let_through(&limit, "at its limit", at(0)), 5);
        for network in 0..1_000_000_u128 {
            let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) | (network << 64) | network);
            let key = ClientAddress::new(IpAddr::V6(address)).limit_key();
            assert_eq!(limit.admit(&key, RATE, at(1)), Ok(()), "{address} is new");
        }
        assert_eq!(held(&limit), 1_000);
        assert!(limit.admit("at its limit", RATE, at(1)).is_err(), "not pushed out by cells that are emptier");
        assert_eq!(let_through(&limit, "a newcomer", at(1)), 5, "counted as everybody is");
    }

    #[test]
    fn a_million_addresses_of_one_subscriber_share_one_limit() {
        let limit = LocalLimit::default();
        let admitted = (0..1_000_000_u128).filter(|host| {
            let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) | (host << 40));
            let key = ClientAddress::new(IpAddr::V6(address)).limit_key();
            limit.admit(&key, RATE, at(0)).is_ok()
        });
        assert_eq!(admitted.count(), 5);
        assert_eq!(held(&limit), 1);
    }

    #[test]
    fn after_the_clock_is_set_back_an_address_waits_one_interval_at_most() {
        let limit = LocalLimit::default();
        assert_eq!(let_through(&limit, "a", at(100_000)), 5);
        assert_eq!(limit.check("a", RATE, at(0)), Err(TooMany { retry_after: Duration::from_secs(720) }));
    }
}
