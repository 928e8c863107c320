//! Holds the revocations that the store has, and restores those that it has lost in a failover, or
//! because it was emptied. Revocations whose tokens have all expired are dropped.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use wxmint_http::Readiness;
use wxmint_keys::KeyRing;
use wxmint_store::{AttemptId, CLOCKS_APART, Doubt, Lives, Revocation, Store, StoreError};
use wxmint_telemetry::Metrics;
use wxmint_verify::MAX_LEEWAY;

use crate::clock::now;
use crate::findings::Finding;

const INTERVAL: Duration = Duration::from_secs(2);
const LOOKS_IN_A_MINUTE: u64 = 30;
/// The most revocations that are held, in about 15 MB. The oldest ones are dropped first.
const MOST: usize = 100_000;
const PAGE: usize = 1_000;
/// How many calls wait for Redis at the same time, and how many records each look asks for, which
/// takes Redis a millisecond.
const AT_ONCE: usize = 500;
/// One process at a time restores revocations. It holds this key, for this long after each page.
const TURN: (&str, Duration) = ("wxmint:{wxmint:revoked}:turn", Duration::from_secs(10));
/// A key that could sign for this long before the store was found empty has signed tokens, so the
/// installation is not new. A younger key proves nothing; then other signs count
/// ([`LossMonitor::had_tokens`]).
const IN_USE: TimeDelta = TimeDelta::hours(1);
/// By how many seconds a token's `iat` and the second of a possible loss may differ because of
/// clocks alone.
const CLOCKS_DIFFER: i64 = 2 * MAX_LEEWAY.as_secs() as i64;
/// Expired revocations are purged this often.
const FORGOTTEN_EVERY: Duration = Duration::from_secs(60);
/// The clock must have run steadily for this long first: a machine that starts with a wrong clock
/// has corrected it by then.
const EVEN_FOR: Duration = Duration::from_secs(60 * 60);
/// By how much this machine's clock may be corrected within that time.
const CORRECTED: TimeDelta = TimeDelta::seconds(5);
/// Entries in a page of the purge. A page takes Redis less than a millisecond, or a few
/// milliseconds if all of its entries have expired.
const FORGOTTEN_PAGE: usize = 500;
/// Pages that are examined in a minute. The next minute goes on from there, so that an expired
/// entry among entries that are needed for longer is found within two hours even if there are ten
/// million.
const FORGOTTEN_PAGES: usize = 200;

/// Restores lost revocations, and purges expired ones, for as long as the process runs. `life`: how
/// long the tokens live that this process issues.
pub(crate) async fn hold_ends(store: Store, life: Duration, monitor: LossMonitor) {
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let (mut held, mut lost, mut clock) = (RevocationCache::default(), 0, (Instant::now(), now()));
    let mut forgotten_to = None;
    for look in 1.. {
        interval.tick().await;
        if look % LOOKS_IN_A_MINUTE == 0 {
            held.settled = [held.settled[1], held.ends.len()];
        }
        if has_gone_evenly(&mut clock, (Instant::now(), now())) {
            forget_pages(&store, &mut forgotten_to).await;
            held.forget_old(&store);
        }
        lost = held.look_at_both(&store, lost).await;
        if lost > 0 {
            tracing::error!(
                lost,
                "Redis has lost revocations, which were made again, and perhaps blocks and bindings"
            );
        }
        // A failed call has logged why, and the next look tries again.
        let _ = held.doubt(&store, life).await;
        monitor.report_loss(&mut held, &store).await;
    }
}

/// Purges the revocations in the store whose tokens have all expired. Goes on from where the last
/// minute stopped.
async fn forget_pages(store: &Store, from: &mut Option<String>) {
    if let Err(error) = forget_some(store, from).await {
        tracing::warn!(%error, "old revocations could not be deleted; tried again in a minute");
    }
}

async fn forget_some(store: &Store, from: &mut Option<String>) -> Result<(), StoreError> {
    for _ in 0..FORGOTTEN_PAGES {
        *from = store
            .forget_ends(from.as_deref(), FORGOTTEN_PAGE)
            .await?
            .next;
        if from.is_none() {
            break;
        }
    }
    for _ in 0..FORGOTTEN_PAGES {
        if store.forget_kept(FORGOTTEN_PAGE).await? < FORGOTTEN_PAGE {
            break;
        }
    }
    Ok(())
}

/// Whether this machine's clock has run steadily for [`EVEN_FOR`], because a clock that is ahead
/// for a while must not make revocations look expired. From then on this is true once every
/// [`FORGOTTEN_EVERY`]. After the clock was set, the time begins anew.
fn has_gone_evenly(began: &mut (Instant, DateTime<Utc>), now: (Instant, DateTime<Utc>)) -> bool {
    let (passed, by_clock) = (now.0 - began.0, now.1 - began.1);
    if (by_clock - TimeDelta::from_std(passed).unwrap_or_default()).abs() > CORRECTED {
        *began = now;
    } else if passed >= EVEN_FOR {
        *began = (began.0 + FORGOTTEN_EVERY, began.1 + FORGOTTEN_EVERY);
        return true;
    }
    false
}

/// The revocations of the stream up to the cursor, in the text form that they have there.
#[derive(Default)]
struct RevocationCache {
    ends: VecDeque<Box<str>>,
    cursor: String,
    /// The revocations that this process has written to the stream, and has not read there yet:
    /// Redis may lose the youngest in a crash.
    made: Vec<Box<str>>,
    /// The lifetimes of tokens that may still be valid, also those that the store has lost.
    lives: Lives,
    /// The lifetimes that the store knows.
    known_lives: Lives,
    /// The records of the revocations before this index were checked.
    looked_at: usize,
    /// How many revocations were held at the last two full minutes. Redis had confirmed those of
    /// the earlier minute. A failover may undo younger ones, which nobody was told of.
    settled: [usize; 2],
    /// The mark of the Redis that this process has seen last. A Redis that was emptied gets another
    /// mark.
    mark: Option<String>,
    /// The possible loss: the second at which some process found that Redis had lost revocations,
    /// or knew of no token. The latter is true of a new Redis and of an emptied one. A later
    /// revocation there does not remove the doubt.
    doubt: Option<Doubt>,
    /// Whether the log already says that this Redis held nothing.
    has_told_of_new: bool,
}

/// The earliest `iat` of the tokens that this process was shown, in seconds since 1970: tokens were
/// issued then.
#[derive(Debug, Clone)]
pub(crate) struct OldestToken(Arc<AtomicI64>);

impl Default for OldestToken {
    /// No token was shown yet.
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MAX)))
    }
}

impl OldestToken {
    /// Notes the `iat` of a valid token.
    pub(crate) fn note(&self, issued_at: DateTime<Utc>) {
        self.0.fetch_min(issued_at.timestamp(), Ordering::Relaxed);
    }

    /// Whether a token of clearly before this second was shown.
    fn is_before(&self, second: i64) -> bool {
        let oldest = self.0.load(Ordering::Relaxed);
        oldest.saturating_add(CLOCKS_DIFFER) < second
    }
}

/// Decides whether Redis may have lost revocations that are still needed, and reports it.
pub(crate) struct LossMonitor {
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) oldest_token: OldestToken,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    /// False for the store in memory, which is empty at each start.
    pub(crate) is_in_redis: bool,
}

impl LossMonitor {
    /// Warns while data of Redis may be lost. If this process knows of a loss, it tells all others
    /// through the store.
    async fn report_loss(&self, held: &mut RevocationCache, store: &Store) {
        let loss = self.loss(held.doubt, &held.lives);
        let reason = loss
            .as_ref()
            .map(|loss| format!("{}: {}", loss.found, loss.advice));
        self.metrics.lost_revocations.set(reason.is_some().into());
        if let (true, Some(reason)) = (
            self.readiness.warns("revocations", reason.as_deref()),
            reason,
        ) {
            tracing::error!("{reason}");
        }
        let Some(Doubt {
            since,
            is_certain: false,
        }) = held.doubt
        else {
            return;
        };
        if loss.is_some() {
            // A failed call has logged why. The next look tries again.
            let _ = store.note_loss(since).await;
        } else if self.is_in_redis
            && now().timestamp() - since < IN_USE.num_seconds()
            && !mem::replace(&mut held.has_told_of_new, true)
        {
            tracing::info!(
                "this Redis held nothing of wxmint's when it was first asked at {}, as that of a new installation: if tokens \
                 were issued before, it has lost data, see docs/redis.md#restore-redis",
                DateTime::from_timestamp(since, 0)
                    .unwrap_or_default()
                    .to_rfc3339(),
            );
        }
    }

    /// The finding, as long as revocations that Redis may have lost would still be needed.
    fn loss(&self, doubt: Option<Doubt>, lives: &Lives) -> Option<Finding> {
        let Doubt { since, is_certain } = doubt?;
        let needed_until = since + (lives.longest(since) + MAX_LEEWAY).as_secs() as i64;
        let is_in_doubt = self.is_in_redis && now().timestamp() <= needed_until;
        let is_mended = self.keys.set().has_revoked_all_since(since);
        let is_lost = is_in_doubt && !is_mended && (is_certain || self.had_tokens(since));
        is_lost.then(|| {
            Finding::warning(
                "redis.persistence",
                message!(redis_lost_data),
                message!(restore_and_end),
            )
        })
    }

    /// Whether tokens were issued before this second: there were earlier keys, or the key could
    /// sign for [`IN_USE`], or a token of that time was shown here. A new installation has none of
    /// these signs.
    fn had_tokens(&self, since: i64) -> bool {
        let set = self.keys.set();
        let is_in_use = set
            .lives
            .first()
            .is_some_and(|oldest| (oldest.nbf + IN_USE).timestamp() < since);
        let has_history =
            DateTime::from_timestamp(since, 0).is_some_and(|time| set.has_history(time));
        has_history || is_in_use || self.oldest_token.is_before(since)
    }

    /// [`Self::loss`] for the doctor, once a process has looked at this Redis.
    pub(crate) async fn examine(&self, redis: Option<&Store>) -> Option<Finding> {
        let lives = redis?.revocations_after("", 1).await.ok()??.lives;
        self.loss(redis?.mark().await.ok()?.1, &lives)
    }
}

impl RevocationCache {
    /// Checks the stream and the records. `lost` is how many lost revocations the previous look
    /// found. Returns how many this look has found. A failed call has logged why, and the next look
    /// goes on.
    async fn look_at_both(&mut self, store: &Store, lost: usize) -> usize {
        let restored = self.look(store).await.unwrap_or_default();
        // After a loss, all records are checked, because a revocation's record may be older than
        // the loss, and its entry younger.
        let most = if lost + restored > 0 { MOST } else { AT_ONCE };
        restored + self.look_at_some(store, most).await.unwrap_or_default()
    }

    /// Reads the new entries of the stream. If the stream does not know the cursor, the revocations
    /// that it lacks are restored. Returns how many were restored.
    async fn look(&mut self, store: &Store) -> Result<usize, StoreError> {
        self.made.extend(
            store
                .take_made()
                .iter()
                .map(|ended| ended.to_string().into_boxed_str()),
        );
        let Some(read) = self.read(store).await? else {
            return self.restore(store).await;
        };
        // One page more than this look has read, because a revocation may be read just before it is
        // reported as made.
        let newest: HashSet<&str> = self
            .ends
            .iter()
            .rev()
            .take(read + PAGE)
            .map(AsRef::as_ref)
            .collect();
        self.made.retain(|end| !newest.contains(&**end));
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
        let (mut more, mut count) = (true, 0);
        while more {
            let Some(read) = store.ends_after_entry(&self.cursor, PAGE).await? else {
                return Ok(None);
            };
            (self.cursor, self.known_lives, more) = (read.cursor, read.lives, read.more);
            count += read.ends.len();
            self.hold(read.ends);
        }
        let second = seconds(store).into_iter().min().unwrap_or_default();
        self.lives.take_on(&self.known_lives, second);
        Ok(Some(count))
    }

    /// Makes sure that the store knows the lifetimes of tokens, and finds out since when
    /// revocations may be missing, whichever process notes a lifetime first.
    async fn doubt(&mut self, store: &Store, life: Duration) -> Result<(), StoreError> {
        let lost = self.lives.missing_from(&self.known_lives);
        if lost.is_empty() && store.knows_life(life, &self.known_lives) {
            store.note_life(life).await?;
        } else {
            store.note_life_again(life, &lost).await?;
        }
        let (mark, mut doubt) = store.mark().await?;
        if self.mark.is_some() && self.mark != mark {
            // This process has seen another mark before, so the Redis is not new.
            let since = now().timestamp();
            store.note_loss(since).await?;
            doubt = Some(Doubt {
                since,
                is_certain: true,
            });
        }
        (self.mark, self.doubt) = (mark, doubt);
        Ok(())
    }

    fn hold(&mut self, ends: Vec<Revocation>) {
        self.ends
            .extend(ends.iter().map(|ended| ended.to_string().into_boxed_str()));
        for _ in MOST..self.ends.len() {
            // Revocations of keys are kept, because a key stays revoked, and there are few.
            let oldest = self
                .ends
                .iter()
                .position(|end| !end.starts_with("kid "))
                .unwrap_or_default();
            self.ends.remove(oldest);
        }
    }

    /// Checks whether the records of some revocations exist, of different ones each time: one
    /// primary of a Cluster may have lost its records while the stream is whole. Writes lost
    /// records again, and returns how many there were.
    async fn look_at_some(&mut self, store: &Store, most: usize) -> Result<usize, StoreError> {
        let from = if most < MOST && self.looked_at < self.ends.len() {
            self.looked_at
        } else {
            0
        };
        let until = self.ends.len().min(from + most);
        // A revocation that has expired by either clock may have been purged, and is not lost.
        let second = seconds(store).into_iter().max().unwrap_or_default();
        let needed =
            (from..until).filter_map(|at| Some((at, Self::needed(&self.ends[at], second)?)));
        let asked = stream::iter(needed).map(async |(at, end)| {
            store
                .lacks_revocation(&end)
                .await
                .map(|lacks| lacks.then_some((at, end)))
        });
        let lost: Vec<_> = asked
            .buffer_unordered(AT_ONCE)
            .try_filter_map(async |end| Ok(end))
            .try_collect()
            .await?;
        if lost.iter().any(|(at, _)| *at < self.settled[0]) {
            store.note_loss(now().timestamp()).await?;
        }
        let records = stream::iter(&lost).map(|(_, ended)| store.record_revocation(ended));
        records
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.looked_at = until;
        Ok(lost.len())
    }

    /// Drops the revocations whose tokens have all expired.
    fn forget_old(&mut self, store: &Store) {
        let ([own, redis], ends) = (seconds(store), mem::take(&mut self.ends));
        self.ends = ends
            .into_iter()
            .filter(|end| Self::needed(end, own.min(redis)).is_some())
            .collect();
    }

    /// The revocation, if a token that it covers may still be valid in that second.
    fn needed(end: &str, second: i64) -> Option<Revocation> {
        let ended = Revocation::read(end)?;
        ended.is_needed(second).then_some(ended)
    }

    async fn restore(&mut self, store: &Store) -> Result<usize, StoreError> {
        let own = AttemptId::random().to_string();
        if store.keep_first(TURN.0, &own, TURN.1).await? != own {
            return Ok(0);
        }
        let restored = self.make_again(store, &own).await;
        store.discard_own(TURN.0, &own).await?;
        restored
    }

    async fn make_again(&mut self, store: &Store, turn: &str) -> Result<usize, StoreError> {
        let mut there = Self::default();
        // From the beginning, which every stream has.
        let is_read = there.read(store).await?.is_some();
        let [own, redis] = seconds(store);
        if !is_read || redis - own > CLOCKS_APART.num_seconds() {
            // The stream was trimmed meanwhile, or no revocation can be written until the clocks
            // are right. A later look tries again.
            return Ok(0);
        }
        let mut known: HashSet<&str> = there.ends.iter().map(AsRef::as_ref).collect();
        let lost = self
            .ends
            .iter()
            .chain(&self.made)
            .map(AsRef::as_ref)
            .enumerate()
            .filter(|(_, end)| known.insert(*end));
        let lost: Vec<_> = lost
            .filter_map(|(at, end)| Some((at, Self::needed(end, own.min(redis))?)))
            .collect();
        // Later revocations must cover tokens with the earlier lifetimes, although today's tokens
        // may live shorter.
        store.restore_lives(&self.lives).await?;
        // The record of a revoked key stays after its entry has left the stream, so such a key was
        // not lost.
        let kid = |(_, ended): &(_, Revocation)| {
            if let Revocation::Key { kid, .. } = ended {
                Some(kid.clone())
            } else {
                None
            }
        };
        let kids: Vec<_> = lost.iter().filter_map(kid).collect();
        let restored = lost.len() - store.ended_keys(&kids).await?.len();
        if restored > 0 && lost.iter().any(|(at, _)| *at < self.settled[0]) {
            // Noted first, because a process that goes on after this one finds fewer lost
            // revocations.
            store.note_loss(now().timestamp()).await?;
        }
        for page in lost.chunks(PAGE) {
            store.keep(TURN.0, turn, TURN.1).await?;
            let made = stream::iter(page).map(|(_, ended)| store.restore_revocation(ended));
            made.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        let (lives, mark) = (mem::take(&mut self.lives), self.mark.take());
        *self = Self {
            lives,
            mark,
            doubt: self.doubt,
            has_told_of_new: self.has_told_of_new,
            ..there
        };
        Ok(restored)
    }
}

/// The present second by this machine's clock, and by that of Redis. Either may be ahead for a
/// while.
fn seconds(store: &Store) -> [i64; 2] {
    [now().timestamp(), (store.now_micros() / 1_000_000) as i64]
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use wxmint_ids::UserId;
    use wxmint_keys::{PrivateJwk, StoredKeys};
    use wxmint_store::StoreAccess;
    use wxmint_verify::Algorithm;

    use super::*;

    fn ends(store: &RevocationCache) -> Vec<&str> {
        store.ends.iter().map(AsRef::as_ref).collect()
    }

    fn users() -> [UserId; 2] {
        ["lin", "mei"].map(|user| user.parse().expect("a user"))
    }

    /// A Redis that starts empty, for several processes whose clock can be moved.
    struct Bed(StoreAccess);

    thread_local! {
        static AHEAD: Cell<TimeDelta> = const { Cell::new(TimeDelta::zero()) };
    }

    const LIFE: Duration = Duration::from_secs(60);
    const MARK: &str = "wxmint:{wxmint:revoked}:mark";
    const DOUBT: &str = "wxmint:{wxmint:revoked}:doubt";

    /// The revocation of a user's tokens up to a second. They live for a minute.
    fn end_of(user: &UserId, before: i64) -> Revocation {
        Revocation::User {
            user: user.clone(),
            before,
            until: before + 60,
        }
    }

    fn end_of_key(kid: &str) -> Revocation {
        Revocation::Key {
            kid: kid.into(),
            until: 4_000_000_000,
        }
    }

    /// Of a process whose tokens these keys sign.
    fn monitor(keys: &StoredKeys) -> LossMonitor {
        let set = keys.check().expect("a set");
        LossMonitor {
            keys: Arc::new(KeyRing::new(set, now()).expect("a ring")),
            oldest_token: OldestToken::default(),
            metrics: Metrics::default(),
            readiness: Readiness::starting(""),
            is_in_redis: true,
        }
    }

    fn text_of(ended: &Revocation) -> String {
        ended.to_string()
    }

    impl Bed {
        fn new() -> Self {
            Self(StoreAccess::in_memory(|| now() + AHEAD.get()))
        }

        fn process(&self) -> Store {
            Store::new(&self.0, LIFE, || now() + AHEAD.get(), ())
        }

        /// Whether a process has noted a loss since the last call.
        async fn is_doubted_anew(&self) -> bool {
            let doubt = self.process().mark().await.expect("asked").1;
            self.process().discard(DOUBT).await.expect("forgotten");
            doubt.is_some_and(|doubt| doubt.is_certain)
        }

        async fn doubt(&self) -> Option<Doubt> {
            let (store, mut held) = (self.process(), RevocationCache::default());
            assert_eq!(
                (held.look(&store).await, held.doubt(&store, LIFE).await),
                (Ok(0), Ok(()))
            );
            held.doubt
        }
    }

    #[actix_web::test]
    async fn a_store_that_knew_of_no_token_may_lack_ends_whoever_notes_one_first_and_whatever_comes_later()
     {
        let empty = Bed::new();
        let since = empty.doubt().await;
        assert!(
            since.is_some_and(|doubt| !doubt.is_certain),
            "it may be new"
        );
        empty
            .process()
            .restore_revocation(&end_of_key("one"))
            .await
            .expect("made");
        assert_eq!(
            empty.doubt().await,
            since,
            "a restart and somebody else's end put no end there"
        );
        let asked = Bed::new();
        asked
            .process()
            .note_life(LIFE)
            .await
            .expect("a login comes before the first look");
        assert!(asked.doubt().await.is_some());
    }

    #[actix_web::test]
    async fn a_store_that_knows_of_a_token_lacks_nothing_also_once_that_has_expired() {
        let used = Bed::new();
        used.process()
            .note_life(wxmint_verify::LONGEST_LIFE)
            .await
            .expect("noted");
        used.process().discard(DOUBT).await.expect("it is long ago");
        assert_eq!(used.doubt().await, None);
        AHEAD.set(TimeDelta::days(90));
        assert_eq!(used.doubt().await, None, "nobody has logged in for months");
    }

    /// Each of these is a sign by itself: the age of the key, earlier keys, a token that was shown,
    /// and a loss that a process has noted.
    #[actix_web::test]
    async fn the_doctor_finds_that_redis_was_emptied_by_any_mark_of_earlier_tokens_and_finds_nothing_in_a_new_one()
     {
        for (mark, may_be_lost) in [
            ("none", false),
            ("an old key", true),
            ("replaced keys", true),
            ("keys that were replaced since", false),
            ("a token", true),
            ("a young token", false),
            ("seen", true),
        ] {
            let began = now() - TimeDelta::hours(if mark == "an old key" { 2 } else { 0 });
            let key = PrivateJwk::generate(Algorithm::Es256, began).expect("a key");
            let mut keys = StoredKeys::of([key]);
            if mark.contains("replaced") {
                let new = PrivateJwk::generate(Algorithm::Es256, now() - TimeDelta::seconds(1))
                    .expect("a key");
                let minutes = TimeDelta::minutes(if mark == "replaced keys" { -10 } else { 1 });
                keys.replace(new, now() + minutes);
            }
            let monitor = monitor(&keys);
            let shown_at = if mark == "a token" {
                now() - TimeDelta::minutes(5)
            } else {
                now()
            };
            if mark.ends_with("token") {
                monitor.oldest_token.note(shown_at);
            }
            let store = Bed::new().process();
            let is_found = async || monitor.examine(Some(&store)).await.is_some();
            assert!(!is_found().await, "nobody has looked yet");
            store.note_life(LIFE).await.expect("noted");
            if mark == "seen" {
                store.note_loss(now().timestamp()).await.expect("noted");
            }
            assert_eq!(is_found().await, may_be_lost, "{mark}");
            store.discard(DOUBT).await.expect("it is long ago");
            assert!(!is_found().await);
        }
    }

    #[actix_web::test]
    async fn what_one_process_knows_of_a_loss_all_learn() {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let keys = StoredKeys::of([key]);
        let (knows, other) = (monitor(&keys), monitor(&keys));
        let (bed, mut held) = (Bed::new(), RevocationCache::default());
        let store = bed.process();
        held.doubt(&store, LIFE).await.expect("asked");
        knows.report_loss(&mut held, &store).await;
        assert!(
            other.examine(Some(&store)).await.is_none(),
            "it may be a new installation"
        );
        knows.oldest_token.note(now() - TimeDelta::hours(1));
        knows.report_loss(&mut held, &store).await;
        assert!(other.examine(Some(&store)).await.is_some());
    }

    /// This does not depend on the age of the process's key.
    #[actix_web::test]
    async fn a_running_process_finds_that_redis_was_emptied_whether_it_holds_ends_or_not() {
        for has_end in [false, true] {
            let (store, mut held) = (Bed::new().process(), RevocationCache::default());
            let mut looks = async || {
                held.look(&store).await.expect("looked");
                held.doubt(&store, LIFE).await.expect("asked");
                held.doubt.is_some_and(|doubt| doubt.is_certain)
            };
            if has_end {
                store
                    .restore_revocation(&end_of_key("one"))
                    .await
                    .expect("made");
            }
            assert_eq!((looks().await, looks().await), (false, false));
            for key in [
                "wxmint:{wxmint:revoked}:lives",
                "wxmint:revoked",
                "wxmint:{wxmint:revoked}",
                MARK,
                DOUBT,
            ] {
                store.discard(key).await.expect("emptied");
            }
            assert!(looks().await, "ends: {has_end}");
            assert!(looks().await, "also once a life is noted again");
        }
    }

    #[actix_web::test]
    async fn lives_that_a_store_has_lost_are_noted_again_by_whoever_knows_them() {
        let (store, mut held) = (Bed::new().process(), RevocationCache::default());
        let day = Duration::from_secs(86_400);
        store
            .note_life(day)
            .await
            .expect("noted by a process with another setting");
        held.look(&store).await.expect("looked");
        held.doubt(&store, LIFE).await.expect("asked");
        store
            .discard("wxmint:{wxmint:revoked}:lives")
            .await
            .expect("lost");
        held.look(&store).await.expect("looked");
        held.doubt(&store, LIFE).await.expect("noted again");
        let [user, _] = users();
        store.revoke_user(&user, None).await.expect("made");
        let ends = store
            .revocations_after("", 1)
            .await
            .expect("read")
            .expect("the oldest")
            .ends;
        let [Revocation::User { before, until, .. }] = ends[..] else {
            panic!("{ends:?}")
        };
        assert_eq!(
            until - before,
            86_400,
            "tokens of the longer life may be left"
        );
    }

    #[actix_web::test]
    async fn what_a_store_has_lost_and_is_needed_is_made_again_once() {
        let store = || {
            Store::new(
                &StoreAccess::in_memory(now),
                Duration::from_secs(60),
                now,
                (),
            )
        };
        let (before, after) = (store(), store());
        let ([lin, mei], second) = (users(), now().timestamp());
        let needed = [end_of_key("one"), end_of(&lin, second)];
        for ended in needed.iter().chain([&end_of(&mei, second - 200)]) {
            before.restore_revocation(ended).await.expect("made");
        }
        let mut held = RevocationCache::default();
        assert_eq!(held.look(&before).await, Ok(0));
        let needed = needed.map(|ended| text_of(&ended));
        held.hold(vec![end_of(&mei, second - 121)]);
        held.forget_old(&before);
        assert_eq!(ends(&held), needed, "its date and the leeway have passed");

        let other = end_of_key("other");
        after.restore_revocation(&other).await.expect("made");
        held.hold(vec![end_of(&mei, second - 121)]);
        assert_eq!(
            held.look(&after).await,
            Ok(2),
            "the old one names no token that is left"
        );
        assert_eq!(held.look(&after).await, Ok(0));
        assert_eq!(
            ends(&held),
            [&text_of(&other), &needed[0], &needed[1]],
            "with the dates that they had"
        );
    }

    #[actix_web::test]
    async fn what_a_store_loses_before_anybody_has_read_it_is_made_again() {
        let store = Store::new(
            &StoreAccess::in_memory(now),
            Duration::from_secs(60),
            now,
            (),
        );
        let mut held = RevocationCache::default();
        store.revoke_key("one").await.expect("made");
        assert_eq!(
            (held.look(&store).await, held.made.len()),
            (Ok(0), 0),
            "it is there"
        );
        let two = text_of(&end_of_key("two"));
        held.made.push(two.as_str().into());
        assert_eq!(held.look(&store).await, Ok(1));
        assert_eq!((held.look(&store).await, ends(&held).len()), (Ok(0), 2));
        assert_eq!(ends(&held)[1], two);
    }

    #[actix_web::test]
    async fn what_redis_has_lost_in_part_is_doubted_but_neither_a_start_nor_what_another_process_has_done()
     {
        let (before, after, [lin, mei]) = (Bed::new(), Bed::new(), users());
        for (bed, user) in [(&before, &lin), (&before, &mei), (&after, &lin)] {
            bed.process().revoke_user(user, None).await.expect("made");
        }
        let (mut first, mut second) = (RevocationCache::default(), RevocationCache::default());
        for held in [&mut first, &mut second] {
            assert_eq!(held.look(&before.process()).await, Ok(0));
        }
        let store = after.process();
        assert!(!after.is_doubted_anew().await, "a start");
        first.settled = [2; 2];
        assert_eq!(
            first.look(&store).await,
            Ok(1),
            "as after a backup from before mei's end"
        );
        assert!(after.is_doubted_anew().await);
        assert_eq!(
            (second.look(&store).await, second.look(&store).await),
            (Ok(0), Ok(0)),
            "it is there again"
        );
        assert_eq!(first.look(&store).await, Ok(0));
        assert!(
            !after.is_doubted_anew().await,
            "another process has made it again"
        );

        for settled in [0, 2] {
            store
                .discard("wxmint:user:{mei}:ends")
                .await
                .expect("another primary of a Cluster was emptied");
            first.settled = [settled; 2];
            assert_eq!(first.look_at_some(&store, AT_ONCE).await, Ok(1));
            assert_eq!(
                after.is_doubted_anew().await,
                settled > 0,
                "what is young goes with a failover"
            );
        }
        assert_eq!(second.look_at_some(&store, AT_ONCE).await, Ok(0));
        assert!(!after.is_doubted_anew().await);
    }

    #[test]
    fn the_ends_of_keys_are_held_however_many_others_there_are() {
        let (mut held, [user, _]) = (RevocationCache::default(), users());
        let key = end_of_key("one");
        held.hold(vec![key.clone()]);
        held.hold(
            (0..=MOST as i64)
                .map(|before| end_of(&user, before))
                .collect(),
        );
        let [first, second] = [text_of(&key), text_of(&end_of(&user, 2))];
        assert_eq!(
            (held.ends.len(), &*held.ends[0], &*held.ends[1]),
            (MOST, &*first, &*second)
        );
    }

    #[actix_web::test]
    async fn a_record_that_is_lost_is_written_again_whether_its_entry_was_put_there_before_or_after_the_loss()
     {
        let (before, after, [lin, mei], mut held) =
            (Bed::new(), Bed::new(), users(), RevocationCache::default());
        before
            .process()
            .revoke_user(&mei, None)
            .await
            .expect("made");
        assert_eq!(held.look(&before.process()).await, Ok(0));
        let store = after.process();
        store.revoke_user(&lin, None).await.expect("made");
        let lose = async || {
            store
                .discard("wxmint:user:{lin}:ends")
                .await
                .expect("emptied between record and entry")
        };
        let has_record = async || {
            store
                .user_state(&lin)
                .await
                .expect("asked")
                .revoked_before
                .is_some()
        };
        lose().await;
        assert_eq!(
            (held.look(&store).await, has_record().await),
            (Ok(1), false)
        );
        assert_eq!(
            (held.look_at_some(&store, MOST).await, has_record().await),
            (Ok(1), true)
        );

        for number in 0..AT_ONCE {
            store
                .revoke_user(&format!("user-{number}").parse().expect("a user"), None)
                .await
                .expect("made");
        }
        assert_eq!(held.look(&store).await, Ok(0));
        lose().await;
        let mut looks = async || held.look_at_some(&store, AT_ONCE).await.expect("asked");
        assert_eq!(
            looks().await + looks().await + looks().await,
            1,
            "{AT_ONCE} at a time"
        );
        assert!(has_record().await);
    }

    /// A primary of a Cluster was emptied. As long as its records are missing, wxmint itself
    /// accepts revoked tokens.
    #[actix_web::test]
    async fn once_one_record_was_found_lost_the_next_look_writes_all_of_them_again() {
        let (store, mut held) = (Bed::new().process(), RevocationCache::default());
        let users: Vec<UserId> = (0..3 * AT_ONCE)
            .map(|number| format!("user-{number}").parse().expect("a user"))
            .collect();
        for user in &users {
            store.revoke_user(user, None).await.expect("made");
        }
        assert_eq!(held.look_at_both(&store, 0).await, 0);
        for user in &users {
            store
                .discard(&format!("wxmint:user:{{{user}}}:ends"))
                .await
                .expect("emptied");
        }
        let first = held.look_at_both(&store, 0).await;
        assert_eq!(
            (first, held.look_at_both(&store, first).await),
            (AT_ONCE, 2 * AT_ONCE)
        );
    }

    #[actix_web::test]
    async fn one_process_at_a_time_makes_ends_again_and_another_one_goes_on_if_it_dies() {
        let (before, after, [lin, mei], mut held) =
            (Bed::new(), Bed::new(), users(), RevocationCache::default());
        for user in [&lin, &mei] {
            before
                .process()
                .revoke_user(user, None)
                .await
                .expect("made");
        }
        assert_eq!(held.look(&before.process()).await, Ok(0));
        let store = after.process();
        store
            .keep(TURN.0, "of another", TURN.1)
            .await
            .expect("its turn");
        assert_eq!(
            (held.look(&store).await, store.kept(TURN.0).await),
            (Ok(0), Ok(Some("of another".into())))
        );
        assert_eq!(held.make_again(&store, "own").await, Ok(2));
        assert_eq!(
            store.kept(TURN.0).await,
            Ok(Some("own".into())),
            "renewed with each page"
        );
        store.discard("wxmint:revoked").await.expect("lost again");
        held.made.push(text_of(&end_of_key("one")).into());
        assert_eq!(held.look(&store).await, Ok(0));
        AHEAD.set(TimeDelta::from_std(TURN.1).expect("a while") + TimeDelta::seconds(1));
        assert_eq!(
            (held.look(&store).await, store.kept(TURN.0).await),
            (Ok(3), Ok(None)),
            "it is given back"
        );
    }

    #[actix_web::test]
    async fn an_end_is_old_once_it_is_by_the_clock_of_redis_and_by_that_of_this_machine() {
        for (days, made_again) in [(-1, 1), (1, 0)] {
            AHEAD.set(TimeDelta::zero());
            let (before, after, [user, _], mut held) =
                (Bed::new(), Bed::new(), users(), RevocationCache::default());
            // The clocks of these processes are right.
            let [store, other] = [&before, &after].map(|bed| Store::new(&bed.0, LIFE, now, ()));
            store.note_life(LIFE).await.expect("noted");
            let second = (now() + TimeDelta::days(days.min(0))).timestamp();
            store
                .restore_revocation(&end_of(&user, second))
                .await
                .expect("made");
            AHEAD.set(TimeDelta::days(days));
            assert_eq!(held.look(&store).await, Ok(0));
            held.forget_old(&store);
            assert_eq!(held.ends.len(), 1, "{days}");
            assert_eq!(
                held.look(&other).await,
                Ok(made_again),
                "none while Redis is ahead: {days}"
            );
            assert_eq!(
                held.ends.len(),
                1 - made_again,
                "it will be read, or tried again: {days}"
            );
        }
    }

    #[test]
    fn ends_are_forgotten_once_the_clock_has_gone_evenly_for_an_hour_and_then_each_minute() {
        let (at, begun) = (Instant::now(), DateTime::UNIX_EPOCH);
        for moved in [TimeDelta::zero(), TimeDelta::hours(8), TimeDelta::hours(-8)] {
            let mut clock = (at, begun);
            let mut is_after = |seconds| {
                let passed = Duration::from_secs(seconds);
                has_gone_evenly(&mut clock, (at + passed, begun + passed + moved))
            };
            assert_eq!(
                is_after(3600),
                moved.is_zero(),
                "a clock that was set begins anew"
            );
            assert!(!is_after(3659));
            assert_eq!(is_after(3660), moved.is_zero());
            assert_eq!(
                is_after(7199),
                moved.is_zero(),
                "it was not asked for an hour"
            );
            assert!(is_after(7200), "since then it has gone evenly");
        }
    }
}
