//! A table of times by hash, for many readers and one writer at the same time. A million entries
//! take about 20 MB.
//!
//! Every entry has the second until which it is needed. The entry of a user also has the second
//! `before`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use super::RevocationHash;

/// The number of parts, each with a lock of its own. A writer holds a lock only while it moves the
/// entries of one part, which takes a few microseconds, so that readers do not wait for a whole
/// page.
const PARTS: usize = 4096;

/// A time in seconds since 1970. 32 bits suffice until 2106, and an entry takes only 16 or 20
/// bytes.
pub(super) type Seconds = u32;

/// The times of an entry.
pub(super) trait Times: Copy {
    /// Merges two entries with one hash: the later times count.
    fn or_later(self, other: Self) -> Self;

    /// When the last token that the entry names expires.
    fn until(self) -> Seconds;
}

/// The time of an entry that names tokens by its hash alone: one token, or those of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Until(pub(super) Seconds);

impl Times for Until {
    fn or_later(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    fn until(self) -> Seconds {
        self.0
    }
}

/// The times of an entry that names the tokens of a user whose `iat` is not after `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UpTo {
    pub(super) before: Seconds,
    pub(super) until: Seconds,
}

impl Times for UpTo {
    fn or_later(self, other: Self) -> Self {
        Self {
            before: self.before.max(other.before),
            until: self.until.max(other.until),
        }
    }

    fn until(self) -> Seconds {
        self.until
    }
}

/// Sorted by hash.
type Part<T> = Vec<(RevocationHash, T)>;

/// Hashes are spread evenly, so all parts have about the same size.
pub(super) struct Table<T> {
    parts: Box<[RwLock<Part<T>>]>,
    count: AtomicUsize,
}

impl<T: Times> Table<T> {
    pub(super) fn empty() -> Self {
        Self {
            parts: (0..PARTS).map(|_| RwLock::default()).collect(),
            count: AtomicUsize::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The times of an entry.
    pub(super) fn times(&self, hash: &RevocationHash) -> Option<T> {
        // Most verifiers hold no revocations of some kinds, so this saves a lock. A count that is
        // read a moment too early misses only a page that is just being added.
        if self.len() == 0 {
            return None;
        }
        let part = self
            .part(hash)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        part.get(place(&part, hash))
            .filter(|(held, _)| held == hash)
            .map(|(_, times)| *times)
    }

    /// Adds an entry. If its hash is in the table already, the later times count.
    pub(super) fn put(&self, hash: RevocationHash, times: T) {
        let mut part = self
            .part(&hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let place = place(&part, &hash);
        if let Some((_, held)) = part.get_mut(place).filter(|(held, _)| *held == hash) {
            *held = times.or_later(*held);
            return;
        }
        if part.len() == part.capacity() {
            // Doubling, as a Vec does by itself, would leave a quarter of the memory unused on
            // average.
            let more = part.len() / 8 + 4;
            part.reserve_exact(more);
        }
        part.insert(place, (hash, times));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes the `count` entries that expire first, and returns until when the last of them was
    /// needed; `None` if none was removed. During the search a copy of all times takes 4 bytes for
    /// each entry.
    pub(super) fn drop_oldest(&self, count: usize) -> Option<Seconds> {
        let mut times = Vec::with_capacity(self.len());
        for part in &self.parts {
            let part = part.read().unwrap_or_else(PoisonError::into_inner);
            times.extend(part.iter().map(|(_, times)| times.until()));
        }
        let last = count.min(times.len()).checked_sub(1)?;
        let (_, &mut last, later) = times.select_nth_unstable(last);
        let mut staying = later.iter().filter(|time| **time == last).count();
        self.retain(|time| {
            let stays = time > last || time == last && staying > 0;
            staying -= usize::from(stays && time == last);
            stays
        });
        Some(last)
    }

    /// Keeps the entries for which `is_kept` returns true; its argument is the second until which
    /// the entry is needed.
    pub(super) fn retain(&self, mut is_kept: impl FnMut(Seconds) -> bool) {
        for part in &self.parts {
            let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
            let before = part.len();
            part.retain(|(_, times)| is_kept(times.until()));
            self.count.fetch_sub(before - part.len(), Ordering::Relaxed);
            if part.len() < part.capacity() / 2 {
                part.shrink_to_fit();
            }
        }
    }

    fn part(&self, hash: &RevocationHash) -> &RwLock<Part<T>> {
        &self.parts[hash.part() % PARTS]
    }
}

/// The index of the first entry that is not less than the hash, found by interpolation: hashes are
/// spread evenly, so the index is a few entries from the estimate. A binary search would wait for
/// memory twice as often.
fn place<T>(part: &[(RevocationHash, T)], hash: &RevocationHash) -> usize {
    let mut place = ((u64::from(hash.leading()) * part.len() as u64) >> 32) as usize;
    while place > 0 && part[place - 1].0 >= *hash {
        place -= 1;
    }
    while part.get(place).is_some_and(|(held, _)| held < hash) {
        place += 1;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u32) -> RevocationHash {
        RevocationHash::of("https://login.example.com", &number.to_string())
    }

    #[test]
    fn entries_are_found_merged_and_removed_and_an_entry_takes_16_bytes_or_20() {
        let table = Table::empty();
        assert_eq!(table.times(&hash(0)), None);
        for number in 0..50_000 {
            table.put(hash(number), Until(number));
        }
        assert_eq!(table.len(), 50_000);
        assert!((0..50_000).all(|number| table.times(&hash(number)) == Some(Until(number))));
        assert_eq!(table.times(&hash(50_000)), None);
        for (time, then) in [(9, 9), (5, 9)] {
            table.put(hash(1), Until(time));
            assert_eq!(
                (table.times(&hash(1)), table.len()),
                (Some(Until(then)), 50_000)
            );
        }
        table.retain(|time| time >= 40_000);
        assert_eq!(table.len(), 10_000);
        assert_eq!(
            [39_999, 40_000].map(|number| table.times(&hash(number))),
            [None, Some(Until(40_000))]
        );
        assert_eq!(
            [
                size_of::<(RevocationHash, Until)>(),
                size_of::<(RevocationHash, UpTo)>()
            ],
            [16, 20]
        );
        let held: usize = table
            .parts
            .iter()
            .map(|part| part.read().expect("a part").capacity())
            .sum();
        assert!(held < 20_000, "memory is given back: {held}");
    }

    #[test]
    fn of_a_users_entries_the_later_second_and_the_later_end_count_each_for_itself() {
        let table = Table::empty();
        for (before, until) in [(5, 90), (7, 60), (6, 80)] {
            table.put(hash(1), UpTo { before, until });
        }
        assert_eq!(
            (table.times(&hash(1)), table.len()),
            (
                Some(UpTo {
                    before: 7,
                    until: 90
                }),
                1
            )
        );
        table.retain(|until| until > 90);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_oldest_are_dropped_and_of_one_second_no_more_than_must_be() {
        let table = Table::empty();
        (0..1000).for_each(|number| table.put(hash(number), Until(number / 10)));
        assert_eq!((table.drop_oldest(0), table.len()), (None, 1000));
        assert_eq!((table.drop_oldest(405), table.len()), (Some(40), 595));
        let held = |numbers: std::ops::Range<u32>| {
            numbers
                .filter(|number| table.times(&hash(*number)).is_some())
                .count()
        };
        assert_eq!([held(0..400), held(400..410), held(410..1000)], [0, 5, 590]);
        assert_eq!((table.drop_oldest(5000), table.len()), (Some(99), 0));
        assert_eq!(table.drop_oldest(1), None);
    }

    #[test]
    fn a_part_reserves_at_most_an_eighth_more_than_it_holds() {
        let table = Table::empty();
        (0..200_000).for_each(|number| table.put(hash(number), Until(1)));
        let reserved: usize = table
            .parts
            .iter()
            .map(|part| part.read().expect("a part").capacity())
            .sum();
        assert!(reserved < 200_000 * 9 / 8 + PARTS * 4, "{reserved}");
    }
}
