//! Holds the ends that the store has, and makes those again that it has lost: in a failover, or when it was emptied.
//! Those of which no token can be left are let go of.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};
use std::{mem, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use wxmint_findings::Finding;
use wxmint_store::{AttemptId, CLOCKS_APART, DOUBTED_SINCE, ENDS_KEPT, Ended, Redis, StoreError};
use wxmint_verify::{LONGEST_LIFE, MAX_LEEWAY};

use super::Issuer;
use crate::clock::now;

const INTERVAL: Duration = Duration::from_secs(2);
const LOOKS_IN_A_MINUTE: u64 = 30;
/// The newest ones, in about 15 MB.
const MOST: usize = 100_000;
const PAGE: usize = 1_000;
/// So many calls wait for Redis at the same time, and each look asks for so many records: that takes it a millisecond.
const AT_ONCE: usize = 500;
/// One process at a time makes ends again, and holds this key for so long after each page.
const TURN: (&str, Duration) = ("wxmint:{wxmint:ended}:turn", Duration::from_secs(10));
/// A key that has not signed for so long is that of a new installation, whose store has nothing to lose.
const IN_USE: TimeDelta = TimeDelta::hours(1);
/// Ends are forgotten this often,
const FORGOTTEN_EVERY: Duration = Duration::from_secs(60);
/// once the clock has gone evenly for so long: a machine that starts with a wrong clock has set it right by then.
const EVEN_FOR: Duration = Duration::from_secs(60 * 60);
/// By how much this machine's clock may be corrected in between.
const CORRECTED: TimeDelta = TimeDelta::seconds(5);
/// One page takes Redis a few milliseconds.
const FORGOTTEN_PAGE: usize = 500;
/// In a minute: more than a day of ten million logouts has.
const FORGOTTEN_PAGES: usize = 20;

/// Makes lost ends again, and forgets old ones, for as long as the process runs.
pub(super) async fn hold_ends(issuer: Arc<Issuer>) {
    let store = issuer.store();
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let (mut held, mut lost, mut clock) = (HeldEnds::default(), 0, (Instant::now(), now()));
    for look in 1.. {
        interval.tick().await;
        if look % LOOKS_IN_A_MINUTE == 0 {
            held.settled = [held.settled[1], held.ends.len()];
        }
        if has_gone_evenly(&mut clock, (Instant::now(), now())) {
            forget_pages(&store).await;
            held.forget_old(&store);
        }
        // A call that fails has said why. The next look goes on.
        let restored = held.look(&store).await.unwrap_or_default();
        // After a loss at all of them: the record of an end may be older than the loss, and its entry younger.
        let most = if lost + restored > 0 { MOST } else { AT_ONCE };
        lost = restored + held.look_at_some(&store, most).await.unwrap_or_default();
        if lost > 0 {
            tracing::error!(lost, "Redis has lost revocations, which were made again, and perhaps blocks and bindings");
        }
        let _ = held.doubt(&store, issuer.minter.ttl()).await;
        issuer.judge_loss(held.lacks_since, held.keep);
    }
}

/// Forgets the ends in the store of which no token can be left.
async fn forget_pages(store: &Redis) {
    for _ in 0..FORGOTTEN_PAGES {
        match store.forget_ends(FORGOTTEN_PAGE).await {
            Ok(FORGOTTEN_PAGE) => {}
            Ok(_) => return,
            Err(error) => {
                return tracing::warn!(%error, "old revocations could not be deleted; tried again in a minute");
            }
        }
    }
}

/// Whether this machine's clock has gone as fast as time passes for [`EVEN_FOR`]: one that is ahead for a while must
/// not make ends look old. True once every [`FORGOTTEN_EVERY`] from then on; a clock that was set begins anew.
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

/// The ends of the stream up to the cursor, in their form there.
#[derive(Default)]
struct HeldEnds {
    ends: VecDeque<Box<str>>,
    cursor: String,
    /// The ends that this process has put there, and has not read there yet: Redis may lose the youngest in a crash.
    made: Vec<Box<str>>,
    keep: Duration,
    /// The records of the ends before this one were looked at.
    looked_at: usize,
    /// How many were held at the last two full minutes. Redis had confirmed those of the earlier one. A failover may
    /// take younger ones back, of which nobody was told.
    settled: [usize; 2],
    /// The second at which some process found that Redis had lost ends, or did not know of any token: a new one, or an
    /// emptied one. An end there does not take the doubt away; keys that have not signed before do.
    lacks_since: Option<i64>,
}

impl Issuer {
    /// Warns while what was in Redis may be lost.
    fn judge_loss(&self, lacks_since: Option<i64>, keep: Duration) {
        let reason = self.loss(lacks_since, keep).map(|loss| format!("{}: {}", loss.found, loss.advice));
        self.metrics.lost_revocations.set(reason.is_some().into());
        if let (true, Some(reason)) = (self.readiness.warns("revocations", reason.as_deref()), reason) {
            tracing::error!("{reason}");
        }
    }

    /// The finding while a Redis in doubt since that second may have lost ends, which would be kept so long. Keys that
    /// have signed before tell that there were tokens.
    fn loss(&self, lacks_since: Option<i64>, keep: Duration) -> Option<Finding> {
        let (since, oldest) = (lacks_since?, self.keys.set().lives.first()?.nbf);
        let is_in_doubt = self.settings.store.url.is_some() && now().timestamp() <= since + keep.as_secs() as i64;
        let is_lost = is_in_doubt && (oldest + IN_USE).timestamp() < since;
        is_lost.then(|| Finding::warning("redis.persistence", said!(redis_lost_data), said!(restore_and_end)))
    }

    /// The same for the doctor, once a process has looked at this Redis.
    pub(super) async fn examine_loss(&self, redis: Option<&Redis>) -> Option<Finding> {
        let keep = redis?.ends_after("", 1).await.ok()??.keep;
        self.loss(redis?.kept(DOUBTED_SINCE).await.ok()??.parse().ok(), keep)
    }
}

impl HeldEnds {
    /// Reads what is new in the stream. If the stream does not know the cursor, the ends that it lacks are made again.
    /// Returns how many.
    async fn look(&mut self, store: &Redis) -> Result<usize, StoreError> {
        self.made.extend(store.take_made().iter().map(|ended| ended.to_string().into_boxed_str()));
        let Some(read) = self.read(store).await? else { return self.restore(store).await };
        // Some more than this look reads: an end may be read just before its maker says so.
        let newest: HashSet<&str> = self.ends.iter().rev().take(read + PAGE).map(AsRef::as_ref).collect();
        self.made.retain(|end| !newest.contains(&**end));
        if self.made.is_empty() { Ok(0) } else { self.restore(store).await }
    }

    /// Returns how many ends there were behind the cursor. `None` if the stream does not know it.
    async fn read(&mut self, store: &Redis) -> Result<Option<usize>, StoreError> {
        let (mut more, mut count) = (true, 0);
        while more {
            let Some(read) = store.ends_after(&self.cursor, PAGE).await? else { return Ok(None) };
            (self.cursor, self.keep, more) = (read.cursor, read.keep, read.more);
            count += read.ends.len();
            self.hold(read.ends);
        }
        Ok(Some(count))
    }

    /// Finds out since when ends may be missing, whoever notes the life of a token first. Where none is noted, ends are
    /// kept for the longest time.
    async fn doubt(&mut self, store: &Redis, life: Duration) -> Result<(), StoreError> {
        let done = if self.keep == ENDS_KEPT { store.note_life_again(life).await } else { store.note_life(life).await };
        done?;
        self.lacks_since = store.kept(DOUBTED_SINCE).await?.and_then(|second| second.parse().ok());
        Ok(())
    }

    fn hold(&mut self, ends: Vec<Ended>) {
        self.ends.extend(ends.iter().map(|ended| ended.to_string().into_boxed_str()));
        for _ in MOST..self.ends.len() {
            // A key that is ended stays so, and there are few.
            let oldest = self.ends.iter().position(|end| !end.starts_with("kid ")).unwrap_or_default();
            self.ends.remove(oldest);
        }
    }

    /// Looks whether the records of some ends are there, each time of others: one primary of a Cluster may have lost
    /// its records while the stream is whole. Writes those again that are lost. Returns how many.
    async fn look_at_some(&mut self, store: &Redis, most: usize) -> Result<usize, StoreError> {
        let from = if most < MOST && self.looked_at < self.ends.len() { self.looked_at } else { 0 };
        let until = self.ends.len().min(from + most);
        // An end that is old by either clock may have been forgotten, and is not lost.
        let second = seconds(store).into_iter().max().unwrap_or_default();
        let needed = (from..until).filter_map(|at| Some((at, self.needed(&self.ends[at], second)?)));
        let asked = stream::iter(needed)
            .map(async |(at, end)| store.lacks_end(&end).await.map(|lacks| lacks.then_some((at, end))));
        let lost: Vec<_> = asked.buffer_unordered(AT_ONCE).try_filter_map(async |end| Ok(end)).try_collect().await?;
        if lost.iter().any(|(at, _)| *at < self.settled[0]) {
            store.keep(DOUBTED_SINCE, &now().timestamp().to_string(), ENDS_KEPT).await?;
        }
        let records = stream::iter(&lost).map(|(_, ended)| store.record_end(ended));
        records.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.looked_at = until;
        Ok(lost.len())
    }

    /// Lets go of the ends of which no token can be left. Later tokens may live longer; these ends name none of them.
    fn forget_old(&mut self, store: &Redis) {
        let ([own, redis], ends) = (seconds(store), mem::take(&mut self.ends));
        self.ends = ends.into_iter().filter(|end| self.needed(end, own.min(redis)).is_some()).collect();
    }

    /// The end, if a token can be left in that second that it names.
    fn needed(&self, end: &str, second: i64) -> Option<Ended> {
        let ended = Ended::read(end)?;
        ended.needed_until(self.keep).is_none_or(|until| second <= until).then_some(ended)
    }

    async fn restore(&mut self, store: &Redis) -> Result<usize, StoreError> {
        let own = AttemptId::random().to_string();
        if store.keep_first(TURN.0, &own, TURN.1).await? != own {
            return Ok(0);
        }
        let restored = self.make_again(store, &own).await;
        store.discard_own(TURN.0, &own).await?;
        restored
    }

    async fn make_again(&mut self, store: &Redis, turn: &str) -> Result<usize, StoreError> {
        let mut there = Self::default();
        // From the beginning, which every stream has.
        let is_read = there.read(store).await?.is_some();
        let [own, redis] = seconds(store);
        if !is_read || redis - own > CLOCKS_APART.num_seconds() {
            // It was trimmed meanwhile, or nobody can put an end there until the clocks are right: a later look may.
            return Ok(0);
        }
        let mut known: HashSet<&str> = there.ends.iter().map(AsRef::as_ref).collect();
        let lost =
            self.ends.iter().chain(&self.made).map(AsRef::as_ref).enumerate().filter(|(_, end)| known.insert(*end));
        let lost: Vec<_> = lost.filter_map(|(at, end)| Some((at, self.needed(end, own.min(redis))?))).collect();
        // They are kept as long as before, although tokens of today may live shorter.
        store.note_life_again(self.keep.saturating_sub(MAX_LEEWAY).min(LONGEST_LIFE)).await?;
        // The note of a key stays when the stream forgets its end.
        let kid = |(_, ended): &(_, Ended)| if let Ended::Key { kid } = ended { Some(kid.clone()) } else { None };
        let kids: Vec<_> = lost.iter().filter_map(kid).collect();
        let restored = lost.len() - store.ended_keys(&kids).await?.len();
        if restored > 0 && lost.iter().any(|(at, _)| *at < self.settled[0]) {
            // First, because whoever goes on after this process finds less that is lost.
            store.keep(DOUBTED_SINCE, &now().timestamp().to_string(), ENDS_KEPT).await?;
        }
        for page in lost.chunks(PAGE) {
            store.keep(TURN.0, turn, TURN.1).await?;
            let made = stream::iter(page).map(|(_, ended)| store.restore_end(ended));
            made.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        *self = Self { lacks_since: self.lacks_since, ..there };
        Ok(restored)
    }
}

/// The present second by this machine's clock, and by that of Redis. Either may be ahead for a while.
fn seconds(store: &Redis) -> [i64; 2] {
    [now().timestamp(), (store.now_micros() / 1_000_000) as i64]
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use wxmint_ids::UserId;
    use wxmint_keys::PrivateJwk;
    use wxmint_store::RedisAccess;
    use wxmint_verify::Algorithm;

    use super::super::caller::tests::issuer;
    use super::*;

    fn ends(store: &HeldEnds) -> Vec<&str> {
        store.ends.iter().map(AsRef::as_ref).collect()
    }

    fn users() -> [UserId; 2] {
        ["lin", "mei"].map(|user| user.parse().expect("a user"))
    }

    /// The processes of a Redis that starts empty, by a clock that can be moved.
    struct Bed(RedisAccess);

    thread_local! {
        static AHEAD: Cell<TimeDelta> = const { Cell::new(TimeDelta::zero()) };
    }

    const LIFE: Duration = Duration::from_secs(60);

    impl Bed {
        fn new() -> Self {
            Self(RedisAccess::in_memory(|| now() + AHEAD.get()))
        }

        fn process(&self) -> Redis {
            Redis::new(&self.0, LIFE, || now() + AHEAD.get(), ())
        }

        /// Whether somebody has noted a loss since the last call.
        async fn is_doubted_anew(&self) -> bool {
            let is_doubted = self.process().kept(DOUBTED_SINCE).await.expect("asked").is_some();
            self.process().discard(DOUBTED_SINCE).await.expect("forgotten");
            is_doubted
        }

        async fn lacks_since(&self) -> Option<i64> {
            let (store, mut held) = (self.process(), HeldEnds::default());
            assert_eq!((held.look(&store).await, held.doubt(&store, LIFE).await), (Ok(0), Ok(())));
            held.lacks_since
        }
    }

    #[actix_web::test]
    async fn a_store_that_knew_of_no_token_may_lack_ends_whoever_notes_one_first_and_whatever_comes_later() {
        let empty = Bed::new();
        let since = empty.lacks_since().await;
        assert!(since.is_some());
        empty.process().restore_end(&Ended::Key { kid: "one".into() }).await.expect("made");
        assert_eq!(empty.lacks_since().await, since, "a restart and somebody else's end put no end there");
        let asked = Bed::new();
        asked.process().note_life(LIFE).await.expect("a login, or a page of the feed, comes before the first look");
        assert!(asked.lacks_since().await.is_some());
    }

    #[actix_web::test]
    async fn a_store_that_knows_of_a_token_lacks_nothing_also_once_that_has_expired() {
        let used = Bed::new();
        used.process().note_life(LONGEST_LIFE).await.expect("noted");
        used.process().discard(DOUBTED_SINCE).await.expect("it is long ago");
        assert_eq!(used.lacks_since().await, None);
        AHEAD.set(TimeDelta::days(90));
        assert_eq!(used.lacks_since().await, None, "nobody has logged in for months");
    }

    #[actix_web::test]
    async fn the_doctor_finds_that_redis_was_emptied_unless_the_keys_are_new() {
        for (hours, may_be_lost) in [(2, true), (0, false)] {
            let key = PrivateJwk::generate(Algorithm::Es256, now() - TimeDelta::hours(hours)).expect("a key");
            let issuer = issuer(&key, ("WXMINT_REDIS_URL", "redis://127.0.0.1"));
            let store = Bed::new().process();
            let is_found = async || issuer.examine_loss(Some(&store)).await.is_some();
            assert!(!is_found().await, "nobody has looked yet");
            store.note_life(LIFE).await.expect("noted");
            assert_eq!(is_found().await, may_be_lost, "{hours}");
            store.discard(DOUBTED_SINCE).await.expect("it is long ago");
            assert!(!is_found().await);
        }
    }

    #[actix_web::test]
    async fn a_running_process_finds_that_redis_was_emptied_whether_it_holds_ends_or_not() {
        for has_end in [false, true] {
            let (store, mut held) = (Bed::new().process(), HeldEnds::default());
            let mut looks = async || {
                held.look(&store).await.expect("looked");
                held.doubt(&store, LIFE).await.expect("asked");
                held.lacks_since
            };
            store.note_life(LIFE).await.expect("noted");
            if has_end {
                store.restore_end(&Ended::Key { kid: "one".into() }).await.expect("made");
            }
            store.discard(DOUBTED_SINCE).await.expect("it is long ago");
            assert_eq!((looks().await, looks().await), (None, None));
            for key in ["wxmint:{wxmint:ended}:lives", "wxmint:ended", "wxmint:{wxmint:ended}"] {
                store.discard(key).await.expect("emptied");
            }
            assert!(looks().await.is_some(), "ends: {has_end}");
            assert!(looks().await.is_some(), "it is in doubt also once a life is noted again");
        }
    }

    #[actix_web::test]
    async fn what_a_store_has_lost_and_is_needed_is_made_again_once() {
        let store = || Redis::new(&RedisAccess::in_memory(now), Duration::from_secs(60), now, ());
        let (before, after) = (store(), store());
        let (user, second) = ("lin".parse().expect("a user"), now().timestamp());
        let old = (now() - TimeDelta::days(60)).timestamp();
        for ended in [Ended::Key { kid: "one".into() }, Ended::User { user, before: second }] {
            before.restore_end(&ended).await.expect("made");
        }
        before.restore_end(&Ended::User { user: "mei".parse().expect("a user"), before: old }).await.expect("made");
        let mut held = HeldEnds::default();
        assert_eq!(held.look(&before).await, Ok(0));
        let needed = [String::from("kid one"), format!("sub {second} lin")];
        assert_eq!(ends(&held)[..2], needed);
        held.forget_old(&before);
        held.keep += Duration::from_secs(90 * 86_400);
        assert_eq!(ends(&held), needed, "a longer life of later tokens does not bring the old one back");

        after.restore_end(&Ended::Key { kid: "other".into() }).await.expect("made");
        assert_eq!(held.look(&after).await, Ok(2), "the one of two months ago names no token that is left");
        assert_eq!(held.look(&after).await, Ok(0));
        assert_eq!(ends(&held), ["kid other", &needed[0], &needed[1]]);
    }

    #[actix_web::test]
    async fn what_a_store_loses_before_anybody_has_read_it_is_made_again() {
        let store = Redis::new(&RedisAccess::in_memory(now), Duration::from_secs(60), now, ());
        let mut held = HeldEnds::default();
        store.end_key("one").await.expect("made");
        assert_eq!((held.look(&store).await, held.made.len()), (Ok(0), 0), "it is there");
        held.made.push("kid two".into());
        assert_eq!(held.look(&store).await, Ok(1));
        assert_eq!((held.look(&store).await, ends(&held)), (Ok(0), vec!["kid one", "kid two"]));
    }

    #[actix_web::test]
    async fn what_redis_has_lost_in_part_is_doubted_but_neither_a_start_nor_what_another_process_has_done() {
        let (before, after, [lin, mei]) = (Bed::new(), Bed::new(), users());
        for (bed, user) in [(&before, &lin), (&before, &mei), (&after, &lin)] {
            bed.process().end_user(user, None).await.expect("made");
        }
        let (mut first, mut second) = (HeldEnds::default(), HeldEnds::default());
        for held in [&mut first, &mut second] {
            assert_eq!(held.look(&before.process()).await, Ok(0));
        }
        let store = after.process();
        assert!(!after.is_doubted_anew().await, "a start");
        first.settled = [2; 2];
        assert_eq!(first.look(&store).await, Ok(1), "as after a backup from before mei's end");
        assert!(after.is_doubted_anew().await);
        assert_eq!((second.look(&store).await, second.look(&store).await), (Ok(0), Ok(0)), "it is there again");
        assert_eq!(first.look(&store).await, Ok(0));
        assert!(!after.is_doubted_anew().await, "another process has made it again");

        for settled in [0, 2] {
            store.discard("wxmint:user:{mei}:ends").await.expect("another primary of a Cluster was emptied");
            first.settled = [settled; 2];
            assert_eq!(first.look_at_some(&store, AT_ONCE).await, Ok(1));
            assert_eq!(after.is_doubted_anew().await, settled > 0, "what is young goes with a failover");
        }
        assert_eq!(second.look_at_some(&store, AT_ONCE).await, Ok(0));
        assert!(!after.is_doubted_anew().await);
    }

    #[test]
    fn the_ends_of_keys_are_held_however_many_others_there_are() {
        let (mut held, [user, _]) = (HeldEnds::default(), users());
        held.hold(vec![Ended::Key { kid: "one".into() }]);
        held.hold((0..=MOST as i64).map(|before| Ended::User { user: user.clone(), before }).collect());
        assert_eq!((held.ends.len(), &*held.ends[0], &*held.ends[1]), (MOST, "kid one", "sub 2 lin"));
    }

    #[actix_web::test]
    async fn a_record_that_is_lost_is_written_again_whether_its_entry_was_put_there_before_or_after_the_loss() {
        let (before, after, [lin, mei], mut held) = (Bed::new(), Bed::new(), users(), HeldEnds::default());
        before.process().end_user(&mei, None).await.expect("made");
        assert_eq!(held.look(&before.process()).await, Ok(0));
        let store = after.process();
        store.end_user(&lin, None).await.expect("made");
        let lose = async || store.discard("wxmint:user:{lin}:ends").await.expect("emptied between record and entry");
        let has_record = async || store.user_state(&lin).await.expect("asked").ended_before.is_some();
        lose().await;
        assert_eq!((held.look(&store).await, has_record().await), (Ok(1), false));
        assert_eq!((held.look_at_some(&store, MOST).await, has_record().await), (Ok(1), true));

        for number in 0..AT_ONCE {
            store.end_user(&format!("user-{number}").parse().expect("a user"), None).await.expect("made");
        }
        assert_eq!(held.look(&store).await, Ok(0));
        lose().await;
        let mut looks = async || held.look_at_some(&store, AT_ONCE).await.expect("asked");
        assert_eq!(looks().await + looks().await + looks().await, 1, "{AT_ONCE} at a time");
        assert!(has_record().await);
    }

    #[actix_web::test]
    async fn one_process_at_a_time_makes_ends_again_and_another_one_goes_on_if_it_dies() {
        let (before, after, [lin, mei], mut held) = (Bed::new(), Bed::new(), users(), HeldEnds::default());
        for user in [&lin, &mei] {
            before.process().end_user(user, None).await.expect("made");
        }
        assert_eq!(held.look(&before.process()).await, Ok(0));
        let store = after.process();
        store.keep(TURN.0, "of another", TURN.1).await.expect("its turn");
        assert_eq!((held.look(&store).await, store.kept(TURN.0).await), (Ok(0), Ok(Some("of another".into()))));
        assert_eq!(held.make_again(&store, "own").await, Ok(2));
        assert_eq!(store.kept(TURN.0).await, Ok(Some("own".into())), "renewed with each page");
        store.discard("wxmint:ended").await.expect("lost again");
        held.made.push("kid one".into());
        assert_eq!(held.look(&store).await, Ok(0));
        AHEAD.set(TimeDelta::from_std(TURN.1).expect("a while") + TimeDelta::seconds(1));
        assert_eq!((held.look(&store).await, store.kept(TURN.0).await), (Ok(3), Ok(None)), "it is given back");
    }

    #[actix_web::test]
    async fn an_end_is_old_once_it_is_by_the_clock_of_redis_and_by_that_of_this_machine() {
        for (days, made_again) in [(-1, 1), (1, 0)] {
            AHEAD.set(TimeDelta::days(days));
            let (before, after, [user, _], mut held) = (Bed::new(), Bed::new(), users(), HeldEnds::default());
            let earlier = now() + AHEAD.get().min(TimeDelta::zero());
            before.process().note_life(LIFE).await.expect("noted");
            before.process().restore_end(&Ended::User { user, before: earlier.timestamp() }).await.expect("made");
            assert_eq!(held.look(&before.process()).await, Ok(0));
            held.forget_old(&before.process());
            assert_eq!(held.ends.len(), 1, "{days}");
            assert_eq!(held.look(&after.process()).await, Ok(made_again), "none while Redis is ahead: {days}");
            assert_eq!(held.ends.len(), 1 - made_again, "it will be read, or tried again: {days}");
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
            assert_eq!(is_after(3600), moved.is_zero(), "a clock that was set begins anew");
            assert!(!is_after(3659));
            assert_eq!(is_after(3660), moved.is_zero());
            assert_eq!(is_after(7199), moved.is_zero(), "it was not asked for an hour");
            assert!(is_after(7200), "since then it has gone evenly");
        }
    }
}
