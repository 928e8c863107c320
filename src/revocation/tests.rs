//! Tests of the cache, of what it restores, and of what is reported of a possible loss.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use wxmint_http::Readiness;
use wxmint_ids::UserId;
use wxmint_keys::{KeyRing, PrivateJwk, StoredKeys};
use wxmint_store::{PossibleLoss, Revocation, Store, StoreAccess};
use wxmint_telemetry::Metrics;
use wxmint_verify::Algorithm;

use super::cache::{AT_ONCE, MOST, RevocationCache, TURN};
use super::possible_loss::{LossMonitor, OldestToken};
use crate::clock::now;

fn texts(cache: &RevocationCache) -> Vec<&str> {
    cache.revocations.iter().map(AsRef::as_ref).collect()
}

fn users() -> [UserId; 2] {
    ["lin", "mei"].map(|user| user.parse().expect("a user"))
}

/// A Redis that starts empty, for several processes whose clock can be moved.
struct Bed(StoreAccess);

thread_local! {
    static AHEAD: Cell<TimeDelta> = const { Cell::new(TimeDelta::zero()) };
}

const LIFE: Duration = Duration::from_mins(1);
const MARK: &str = "wxmint:{wxmint:revoked}:mark";
const POSSIBLE_LOSS: &str = "wxmint:{wxmint:revoked}:doubt";

/// The revocation of a user's tokens up to a second. They live for a minute.
fn revocation_of(user: &UserId, before: i64) -> Revocation {
    Revocation::User {
        user: user.clone(),
        before,
        until: before + 60,
    }
}

fn revocation_of_key(kid: &str) -> Revocation {
    Revocation::Key {
        kid: kid.into(),
        until: 4_000_000_000,
    }
}

/// The monitor of a process whose tokens these keys sign.
fn monitor(keys: &StoredKeys, oldest_token: OldestToken) -> LossMonitor {
    let set = keys.check().expect("a set");
    LossMonitor::new(
        Arc::new(KeyRing::new(set, now()).expect("a ring")),
        oldest_token,
        Metrics::default(),
        Readiness::starting(""),
        true,
    )
}

fn text_of(revocation: &Revocation) -> String {
    revocation.to_string()
}

impl Bed {
    fn new() -> Self {
        Self(StoreAccess::in_memory(|| now() + AHEAD.get()))
    }

    fn process(&self) -> Store {
        Store::new(&self.0, LIFE, || now() + AHEAD.get(), ())
    }

    /// Whether a process has noted a loss since the last call.
    async fn has_new_loss(&self) -> bool {
        let loss = self.process().token_lives.mark().await.expect("asked").1;
        self.process()
            .texts
            .delete(POSSIBLE_LOSS)
            .await
            .expect("deleted");
        loss.is_some_and(|loss| loss.is_certain)
    }

    async fn possible_loss(&self) -> Option<PossibleLoss> {
        let (store, mut cache) = (self.process(), RevocationCache::default());
        assert_eq!(
            (
                cache.look(&store).await,
                cache.note_possible_loss(&store, LIFE).await
            ),
            (Ok(0), Ok(()))
        );
        cache.possible_loss
    }
}

#[actix_web::test]
async fn a_store_that_knew_of_no_token_may_lack_revocations_whoever_notes_one_first_and_whatever_comes_later()
 {
    let empty = Bed::new();
    let since = empty.possible_loss().await;
    assert!(since.is_some_and(|loss| !loss.is_certain), "it may be new");
    empty
        .process()
        .revocations
        .restore(&revocation_of_key("one"))
        .await
        .expect("made");
    assert_eq!(
        empty.possible_loss().await,
        since,
        "a restart and somebody else's revocation put none there"
    );
    let asked = Bed::new();
    asked
        .process()
        .token_lives
        .note(LIFE)
        .await
        .expect("a login comes before the first look");
    assert!(asked.possible_loss().await.is_some());
}

#[actix_web::test]
async fn a_store_that_knows_of_a_token_lacks_nothing_also_once_that_has_expired() {
    let used = Bed::new();
    used.process()
        .token_lives
        .note(wxmint_verify::LONGEST_LIFE)
        .await
        .expect("noted");
    used.process()
        .texts
        .delete(POSSIBLE_LOSS)
        .await
        .expect("it is long ago");
    assert_eq!(used.possible_loss().await, None);
    AHEAD.set(TimeDelta::days(90));
    assert_eq!(
        used.possible_loss().await,
        None,
        "nobody has logged in for months"
    );
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
        let oldest_token = OldestToken::default();
        let monitor = monitor(&keys, oldest_token.clone());
        let shown_at = if mark == "a token" {
            now() - TimeDelta::minutes(5)
        } else {
            now()
        };
        if mark.ends_with("token") {
            oldest_token.note(shown_at);
        }
        let store = Bed::new().process();
        let is_found = async || monitor.examine(Some(&store)).await.is_some();
        assert!(!is_found().await, "nobody has looked yet");
        store.token_lives.note(LIFE).await.expect("noted");
        if mark == "seen" {
            store
                .token_lives
                .note_loss(now().timestamp())
                .await
                .expect("noted");
        }
        assert_eq!(is_found().await, may_be_lost, "{mark}");
        store
            .texts
            .delete(POSSIBLE_LOSS)
            .await
            .expect("it is long ago");
        assert!(!is_found().await);
    }
}

#[actix_web::test]
async fn what_one_process_knows_of_a_loss_all_learn() {
    let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
    let keys = StoredKeys::of([key]);
    let oldest_token = OldestToken::default();
    let mut knows = monitor(&keys, oldest_token.clone());
    let other = monitor(&keys, OldestToken::default());
    let (bed, mut cache) = (Bed::new(), RevocationCache::default());
    let store = bed.process();
    cache.note_possible_loss(&store, LIFE).await.expect("asked");
    knows
        .report_loss(cache.possible_loss, &cache.lives, &store.token_lives)
        .await;
    assert!(
        other.examine(Some(&store)).await.is_none(),
        "it may be a new installation"
    );
    oldest_token.note(now() - TimeDelta::hours(1));
    knows
        .report_loss(cache.possible_loss, &cache.lives, &store.token_lives)
        .await;
    assert!(other.examine(Some(&store)).await.is_some());
}

/// This does not depend on the age of the process's key.
#[actix_web::test]
async fn a_running_process_finds_that_redis_was_emptied_whether_it_holds_revocations_or_not() {
    for has_revocation in [false, true] {
        let (store, mut cache) = (Bed::new().process(), RevocationCache::default());
        let mut looks = async || {
            cache.look(&store).await.expect("looked");
            cache.note_possible_loss(&store, LIFE).await.expect("asked");
            cache.possible_loss.is_some_and(|loss| loss.is_certain)
        };
        if has_revocation {
            store
                .revocations
                .restore(&revocation_of_key("one"))
                .await
                .expect("made");
        }
        assert_eq!((looks().await, looks().await), (false, false));
        for key in [
            "wxmint:{wxmint:revoked}:lives",
            "wxmint:revoked",
            "wxmint:{wxmint:revoked}",
            MARK,
            POSSIBLE_LOSS,
        ] {
            store.texts.delete(key).await.expect("emptied");
        }
        assert!(looks().await, "revocations: {has_revocation}");
        assert!(looks().await, "also once a life is noted again");
    }
}

#[actix_web::test]
async fn lives_that_a_store_has_lost_are_noted_again_by_whoever_knows_them() {
    let (store, mut cache) = (Bed::new().process(), RevocationCache::default());
    let day = Duration::from_hours(24);
    store
        .token_lives
        .note(day)
        .await
        .expect("noted by a process with another setting");
    cache.look(&store).await.expect("looked");
    cache.note_possible_loss(&store, LIFE).await.expect("asked");
    store
        .texts
        .delete("wxmint:{wxmint:revoked}:lives")
        .await
        .expect("lost");
    cache.look(&store).await.expect("looked");
    cache
        .note_possible_loss(&store, LIFE)
        .await
        .expect("noted again");
    let [user, _] = users();
    store
        .revocations
        .revoke_user(&user, None)
        .await
        .expect("made");
    let revocations = store
        .revocation_stream
        .after("", 1)
        .await
        .expect("read")
        .expect("the oldest")
        .revocations;
    let [Revocation::User { before, until, .. }] = revocations[..] else {
        panic!("{revocations:?}")
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
            Duration::from_mins(1),
            now,
            (),
        )
    };
    let (before, after) = (store(), store());
    let ([lin, mei], second) = (users(), now().timestamp());
    let needed = [revocation_of_key("one"), revocation_of(&lin, second)];
    for revocation in needed.iter().chain([&revocation_of(&mei, second - 200)]) {
        before.revocations.restore(revocation).await.expect("made");
    }
    let mut cache = RevocationCache::default();
    assert_eq!(cache.look(&before).await, Ok(0));
    let needed = needed.map(|revocation| text_of(&revocation));
    cache.add(vec![revocation_of(&mei, second - 121)]);
    cache.purge_expired(&before.clock);
    assert_eq!(texts(&cache), needed, "its date and the leeway have passed");

    let other = revocation_of_key("other");
    after.revocations.restore(&other).await.expect("made");
    cache.add(vec![revocation_of(&mei, second - 121)]);
    assert_eq!(
        cache.look(&after).await,
        Ok(2),
        "the old one names no token that is left"
    );
    assert_eq!(cache.look(&after).await, Ok(0));
    assert_eq!(
        texts(&cache),
        [&text_of(&other), &needed[0], &needed[1]],
        "with the dates that they had"
    );
}

#[actix_web::test]
async fn what_a_store_loses_before_anybody_has_read_it_is_made_again() {
    let store = Store::new(
        &StoreAccess::in_memory(now),
        Duration::from_mins(1),
        now,
        (),
    );
    let mut cache = RevocationCache::default();
    store.revocations.revoke_key("one").await.expect("made");
    assert_eq!(
        (cache.look(&store).await, cache.made.len()),
        (Ok(0), 0),
        "it is there"
    );
    let two = text_of(&revocation_of_key("two"));
    cache.made.push(two.as_str().into());
    assert_eq!(cache.look(&store).await, Ok(1));
    assert_eq!((cache.look(&store).await, texts(&cache).len()), (Ok(0), 2));
    assert_eq!(texts(&cache)[1], two);
}

#[actix_web::test]
async fn what_redis_has_lost_in_part_is_a_loss_but_neither_a_start_nor_what_another_process_has_done()
 {
    let (before, after, [lin, mei]) = (Bed::new(), Bed::new(), users());
    for (bed, user) in [(&before, &lin), (&before, &mei), (&after, &lin)] {
        bed.process()
            .revocations
            .revoke_user(user, None)
            .await
            .expect("made");
    }
    let (mut first, mut second) = (RevocationCache::default(), RevocationCache::default());
    for cache in [&mut first, &mut second] {
        assert_eq!(cache.look(&before.process()).await, Ok(0));
    }
    let store = after.process();
    assert!(!after.has_new_loss().await, "a start");
    first.settled = [2; 2];
    assert_eq!(
        first.look(&store).await,
        Ok(1),
        "as after a backup from before mei's revocation"
    );
    assert!(after.has_new_loss().await);
    assert_eq!(
        (second.look(&store).await, second.look(&store).await),
        (Ok(0), Ok(0)),
        "it is there again"
    );
    assert_eq!(first.look(&store).await, Ok(0));
    assert!(
        !after.has_new_loss().await,
        "another process has made it again"
    );

    for settled in [0, 2] {
        store
            .texts
            .delete("wxmint:user:{mei}:ends")
            .await
            .expect("another primary of a Cluster was emptied");
        first.settled = [settled; 2];
        assert_eq!(first.look_at_some(&store, AT_ONCE).await, Ok(1));
        assert_eq!(
            after.has_new_loss().await,
            settled > 0,
            "what is young goes with a failover"
        );
    }
    assert_eq!(second.look_at_some(&store, AT_ONCE).await, Ok(0));
    assert!(!after.has_new_loss().await);
}

#[test]
fn the_revocations_of_keys_are_kept_however_many_others_there_are() {
    let (mut cache, [user, _]) = (RevocationCache::default(), users());
    let key = revocation_of_key("one");
    cache.add(vec![key.clone()]);
    cache.add(
        (0..=MOST as i64)
            .map(|before| revocation_of(&user, before))
            .collect(),
    );
    let [first, second] = [text_of(&key), text_of(&revocation_of(&user, 2))];
    assert_eq!(
        (
            cache.revocations.len(),
            &*cache.revocations[0],
            &*cache.revocations[1]
        ),
        (MOST, &*first, &*second)
    );
}

#[actix_web::test]
async fn a_record_that_is_lost_is_written_again_whether_its_entry_was_put_there_before_or_after_the_loss()
 {
    let (before, after, [lin, mei], mut cache) =
        (Bed::new(), Bed::new(), users(), RevocationCache::default());
    before
        .process()
        .revocations
        .revoke_user(&mei, None)
        .await
        .expect("made");
    assert_eq!(cache.look(&before.process()).await, Ok(0));
    let store = after.process();
    store
        .revocations
        .revoke_user(&lin, None)
        .await
        .expect("made");
    let lose = async || {
        store
            .texts
            .delete("wxmint:user:{lin}:ends")
            .await
            .expect("emptied between record and entry");
    };
    let has_record = async || {
        store
            .revocations
            .user_state(&lin)
            .await
            .expect("asked")
            .revoked_before
            .is_some()
    };
    lose().await;
    assert_eq!(
        (cache.look(&store).await, has_record().await),
        (Ok(1), false)
    );
    assert_eq!(
        (cache.look_at_some(&store, MOST).await, has_record().await),
        (Ok(1), true)
    );

    for number in 0..AT_ONCE {
        store
            .revocations
            .revoke_user(&format!("user-{number}").parse().expect("a user"), None)
            .await
            .expect("made");
    }
    assert_eq!(cache.look(&store).await, Ok(0));
    lose().await;
    let mut looks = async || cache.look_at_some(&store, AT_ONCE).await.expect("asked");
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
    let (store, mut cache) = (Bed::new().process(), RevocationCache::default());
    let users: Vec<UserId> = (0..3 * AT_ONCE)
        .map(|number| format!("user-{number}").parse().expect("a user"))
        .collect();
    for user in &users {
        store
            .revocations
            .revoke_user(user, None)
            .await
            .expect("made");
    }
    assert_eq!(cache.look_at_both(&store, 0).await, 0);
    for user in &users {
        store
            .texts
            .delete(&format!("wxmint:user:{{{user}}}:ends"))
            .await
            .expect("emptied");
    }
    let first = cache.look_at_both(&store, 0).await;
    assert_eq!(
        (first, cache.look_at_both(&store, first).await),
        (AT_ONCE, 2 * AT_ONCE)
    );
}

#[actix_web::test]
async fn one_process_at_a_time_restores_revocations_and_another_one_goes_on_if_it_dies() {
    let (before, after, [lin, mei], mut cache) =
        (Bed::new(), Bed::new(), users(), RevocationCache::default());
    for user in [&lin, &mei] {
        before
            .process()
            .revocations
            .revoke_user(user, None)
            .await
            .expect("made");
    }
    assert_eq!(cache.look(&before.process()).await, Ok(0));
    let store = after.process();
    store
        .texts
        .keep(TURN.0, "of another", TURN.1)
        .await
        .expect("its turn");
    assert_eq!(
        (cache.look(&store).await, store.texts.get(TURN.0).await),
        (Ok(0), Ok(Some("of another".into())))
    );
    assert_eq!(cache.make_again(&store, "own").await, Ok(2));
    assert_eq!(
        store.texts.get(TURN.0).await,
        Ok(Some("own".into())),
        "renewed with each page"
    );
    store
        .texts
        .delete("wxmint:revoked")
        .await
        .expect("lost again");
    cache.made.push(text_of(&revocation_of_key("one")).into());
    assert_eq!(cache.look(&store).await, Ok(0));
    AHEAD.set(TimeDelta::from_std(TURN.1).expect("a while") + TimeDelta::seconds(1));
    assert_eq!(
        (cache.look(&store).await, store.texts.get(TURN.0).await),
        (Ok(3), Ok(None)),
        "it is given back"
    );
}

#[actix_web::test]
async fn a_revocation_has_expired_once_it_has_by_the_clock_of_redis_and_by_that_of_this_machine() {
    for (days, made_again) in [(-1, 1), (1, 0)] {
        AHEAD.set(TimeDelta::zero());
        let (before, after, [user, _], mut cache) =
            (Bed::new(), Bed::new(), users(), RevocationCache::default());
        // The clocks of these processes are right.
        let [store, other] = [&before, &after].map(|bed| Store::new(&bed.0, LIFE, now, ()));
        store.token_lives.note(LIFE).await.expect("noted");
        let second = (now() + TimeDelta::days(days.min(0))).timestamp();
        store
            .revocations
            .restore(&revocation_of(&user, second))
            .await
            .expect("made");
        AHEAD.set(TimeDelta::days(days));
        assert_eq!(cache.look(&store).await, Ok(0));
        cache.purge_expired(&store.clock);
        assert_eq!(cache.revocations.len(), 1, "{days}");
        assert_eq!(
            cache.look(&other).await,
            Ok(made_again),
            "none while Redis is ahead: {days}"
        );
        assert_eq!(
            cache.revocations.len(),
            1 - made_again,
            "it will be read, or tried again: {days}"
        );
    }
}
