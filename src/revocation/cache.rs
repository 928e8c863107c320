//! Holds the revocations that the stream of the store has, and restores those that the store has
//! lost in a failover, or because it was emptied. Revocations whose tokens have all expired are
//! dropped.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use wxmint_store::{
    AttemptId, CLOCKS_APART, Lives, PossibleLoss, Revocation, Store, StoreClock, StoreError,
};

use super::clock_rules::seconds;
use crate::clock::now;

/// The most revocations that are held, in about 15 MB. The oldest ones are dropped first.
pub(super) const MOST: usize = 100_000;
const PAGE: usize = 1_000;
/// How many calls wait for Redis at the same time, and how many records each look asks for, which
/// takes Redis a millisecond.
pub(super) const AT_ONCE: usize = 500;
/// One process at a time restores revocations. It holds this key, for this long after each page.
pub(super) const TURN: (&str, Duration) = ("wxmint:{wxmint:revoked}:turn", Duration::from_secs(10));

/// The revocations of the stream up to the cursor, in the text form that they have there.
#[derive(Default)]
pub(super) struct RevocationCache {
    pub(super) revocations: VecDeque<Box<str>>,
    cursor: String,
    /// The revocations that this process has written to the stream, and has not read there yet:
    /// Redis may lose the youngest in a crash.
    pub(super) made: Vec<Box<str>>,
    /// The lifetimes of tokens that may still be valid, also those that the store has lost.
    pub(super) lives: Lives,
    /// The lifetimes that the store knows.
    known_lives: Lives,
    /// The records of the revocations before this index were checked.
    looked_at: usize,
    /// How many revocations were held at the last two full minutes. Redis had confirmed those of
    /// the earlier minute. A failover may undo younger ones, which nobody has read.
    pub(super) settled: [usize; 2],
    /// The mark of the Redis that this process has seen last. A Redis that was emptied gets another
    /// mark.
    mark: Option<String>,
    /// The possible loss: the second at which some process found that Redis had lost revocations,
    /// or knew of no token. The latter is true of a new Redis and of an emptied one. A later
    /// revocation there does not clear it.
    pub(super) possible_loss: Option<PossibleLoss>,
}

impl RevocationCache {
    /// Notes how many revocations are held at a full minute.
    pub(super) fn note_minute(&mut self) {
        self.settled = [self.settled[1], self.revocations.len()];
    }

    /// Checks the stream and the records. `lost` is how many lost revocations the previous look
    /// found. Returns how many this look has found. A failed call has logged why, and the next look
    /// goes on.
    pub(super) async fn look_at_both(&mut self, store: &Store, lost: usize) -> usize {
        let restored = self.look(store).await.unwrap_or_default();
        // After a loss, all records are checked, because a revocation's record may be older than
        // the loss, and its entry younger.
        let most = if lost + restored > 0 { MOST } else { AT_ONCE };
        restored + self.look_at_some(store, most).await.unwrap_or_default()
    }

    /// Reads the new entries of the stream. If the stream does not know the cursor, the revocations
    /// that it lacks are restored. Returns how many were restored.
    pub(super) async fn look(&mut self, store: &Store) -> Result<usize, StoreError> {
        self.made.extend(
            store
                .revocation_stream
                .take_made()
                .iter()
                .map(|revocation| revocation.to_string().into_boxed_str()),
        );
        let Some(read) = self.read(store).await? else {
            return self.restore(store).await;
        };
        // One page more than this look has read, because a revocation may be read just before it is
        // reported as made.
        let newest: HashSet<&str> = self
            .revocations
            .iter()
            .rev()
            .take(read + PAGE)
            .map(AsRef::as_ref)
            .collect();
        self.made.retain(|text| !newest.contains(&**text));
        if self.made.is_empty() {
            Ok(0)
        } else {
            self.restore(store).await
        }
    }

    /// Returns how many revocations there were behind the cursor. `None` if the stream does not
    /// know the cursor: its entry may have been purged, or the stream may be a different one. Only
    /// reading the whole stream tells.
    async fn read(&mut self, store: &Store) -> Result<Option<usize>, StoreError> {
        let mut more = true;
        let mut count = 0;
        while more {
            let Some(read) = store
                .revocation_stream
                .after_entry(&self.cursor, PAGE)
                .await?
            else {
                return Ok(None);
            };
            self.cursor = read.cursor;
            self.known_lives = read.lives;
            more = read.more;
            count += read.revocations.len();
            self.add(read.revocations);
        }
        let second = seconds(&store.clock).into_iter().min().unwrap_or_default();
        self.lives.take_on(&self.known_lives, second);
        Ok(Some(count))
    }

    /// Makes sure that the store knows the lifetimes of tokens, and finds out since when
    /// revocations may be missing, whichever process notes a lifetime first.
    pub(super) async fn note_possible_loss(
        &mut self,
        store: &Store,
        life: Duration,
    ) -> Result<(), StoreError> {
        let lost = self.lives.missing_from(&self.known_lives);
        if lost.is_empty() && store.token_lives.knows(life, &self.known_lives) {
            store.token_lives.note(life).await?;
        } else {
            store.token_lives.note_again(life, &lost).await?;
        }
        let (mark, mut possible_loss) = store.token_lives.mark().await?;
        if self.mark.is_some() && self.mark != mark {
            // This process has seen another mark before, so the Redis is not new.
            let since = now().timestamp();
            store.token_lives.note_loss(since).await?;
            possible_loss = Some(PossibleLoss {
                since,
                is_certain: true,
            });
        }
        self.mark = mark;
        self.possible_loss = possible_loss;
        Ok(())
    }

    pub(super) fn add(&mut self, revocations: Vec<Revocation>) {
        self.revocations.extend(
            revocations
                .iter()
                .map(|revocation| revocation.to_string().into_boxed_str()),
        );
        for _ in MOST..self.revocations.len() {
            // Revocations of keys are kept, because a key stays revoked, and there are few.
            let oldest = self
                .revocations
                .iter()
                .position(|text| !text.starts_with("kid "))
                .unwrap_or_default();
            self.revocations.remove(oldest);
        }
    }

    /// Checks whether the records of some revocations exist, of different ones each time: one
    /// primary of a Cluster may have lost its records while the stream is whole. Writes lost
    /// records again, and returns how many there were.
    pub(super) async fn look_at_some(
        &mut self,
        store: &Store,
        most: usize,
    ) -> Result<usize, StoreError> {
        let from = if most < MOST && self.looked_at < self.revocations.len() {
            self.looked_at
        } else {
            0
        };
        let until = self.revocations.len().min(from + most);
        // A revocation that has expired by either clock may have been purged, and is not lost.
        let second = seconds(&store.clock).into_iter().max().unwrap_or_default();
        let needed =
            (from..until).filter_map(|at| Some((at, Self::needed(&self.revocations[at], second)?)));
        let asked = stream::iter(needed).map(async |(at, revocation)| {
            store
                .revocations
                .lacks(&revocation)
                .await
                .map(|lacks| lacks.then_some((at, revocation)))
        });
        let lost: Vec<_> = asked
            .buffer_unordered(AT_ONCE)
            .try_filter_map(async |lacking| Ok(lacking))
            .try_collect()
            .await?;
        if lost.iter().any(|(at, _)| *at < self.settled[0]) {
            store.token_lives.note_loss(now().timestamp()).await?;
        }
        let records =
            stream::iter(&lost).map(|(_, revocation)| store.revocations.record(revocation));
        records
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.looked_at = until;
        Ok(lost.len())
    }

    /// Drops the revocations whose tokens have all expired.
    pub(super) fn purge_expired(&mut self, clock: &StoreClock) {
        let [own, redis] = seconds(clock);
        let revocations = mem::take(&mut self.revocations);
        self.revocations = revocations
            .into_iter()
            .filter(|text| Self::needed(text, own.min(redis)).is_some())
            .collect();
    }

    /// The revocation, if a token that it covers may still be valid in that second.
    fn needed(text: &str, second: i64) -> Option<Revocation> {
        let revocation = Revocation::read(text)?;
        revocation.is_needed(second).then_some(revocation)
    }

    async fn restore(&mut self, store: &Store) -> Result<usize, StoreError> {
        let own = AttemptId::random().to_string();
        if store.texts.keep_first(TURN.0, &own, TURN.1).await? != own {
            return Ok(0);
        }
        let restored = self.make_again(store, &own).await;
        store.texts.delete_own(TURN.0, &own).await?;
        restored
    }

    pub(super) async fn make_again(
        &mut self,
        store: &Store,
        turn: &str,
    ) -> Result<usize, StoreError> {
        let mut there = Self::default();
        // From the beginning, which every stream has.
        let is_read = there.read(store).await?.is_some();
        let [own, redis] = seconds(&store.clock);
        if !is_read || redis - own > CLOCKS_APART.num_seconds() {
            // The stream was trimmed meanwhile, or no revocation can be written until the clocks
            // are right. A later look tries again.
            return Ok(0);
        }
        let mut known: HashSet<&str> = there.revocations.iter().map(AsRef::as_ref).collect();
        let lost = self
            .revocations
            .iter()
            .chain(&self.made)
            .map(AsRef::as_ref)
            .enumerate()
            .filter(|(_, text)| known.insert(*text));
        let lost: Vec<_> = lost
            .filter_map(|(at, text)| Some((at, Self::needed(text, own.min(redis))?)))
            .collect();
        // Later revocations must cover tokens with the earlier lifetimes, although today's tokens
        // may live shorter.
        store.token_lives.restore(&self.lives).await?;
        // The record of a revoked key stays after its entry has left the stream, so such a key was
        // not lost.
        let kid = |(_, revocation): &(_, Revocation)| {
            if let Revocation::Key { kid, .. } = revocation {
                Some(kid.clone())
            } else {
                None
            }
        };
        let kids: Vec<_> = lost.iter().filter_map(kid).collect();
        let restored = lost.len() - store.revocations.revoked_keys(&kids).await?.len();
        if restored > 0 && lost.iter().any(|(at, _)| *at < self.settled[0]) {
            // Noted first, because a process that goes on after this one finds fewer lost
            // revocations.
            store.token_lives.note_loss(now().timestamp()).await?;
        }
        for page in lost.chunks(PAGE) {
            store.texts.keep(TURN.0, turn, TURN.1).await?;
            let made =
                stream::iter(page).map(|(_, revocation)| store.revocations.restore(revocation));
            made.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        let lives = mem::take(&mut self.lives);
        let mark = self.mark.take();
        *self = Self {
            lives,
            mark,
            possible_loss: self.possible_loss,
            ..there
        };
        Ok(restored)
    }
}
