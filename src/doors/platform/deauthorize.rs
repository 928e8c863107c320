//! Revokes the tokens at merchants that have left. One walk over all persons covers all merchants
//! that leave at the same time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::{mem, rc::Rc, time::Duration};

use actix_web::rt::{spawn, time::sleep};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use wxmint_ids::{AppId, Person};
use wxmint_store::limits::{LimitError, Rate};
use wxmint_store::walk::{Page, Place};
use wxmint_store::{RateLimitKey, StoreError};
use wxmint_verify::MAX_LEEWAY;

use super::follower::Follower;
use super::known::{COUNTED, MerchantState, digest_of, entry_of};
use super::store::{Expected, PlatformEntry};
use crate::login::Operator;

/// How long one replica works on a merchant alone. If it takes longer, or dies, another replica
/// joins.
const TRIED: Rate = Rate {
    burst: 1,
    period: Duration::from_secs(20),
};
/// How far this clock may be from the store's.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(60);
/// After how long a login has ended that was under way when the merchant left.
const LOGINS_END: Duration = Duration::from_secs(12);
/// How many persons' tokens are revoked at the same time.
const AT_ONCE: usize = 32;
/// How many walks run at once, so that a merchant that leaves during a walk need not wait for its
/// end.
pub(super) const MOST_WALKS: usize = 3;
/// If the revocations of more persons than this have failed, a walk pauses and retries them.
const MOST_FAILED: usize = 1000;
/// The pause between two tries if the store does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Merchants that have left, with their entries. The entry tells whether a merchant has come back
/// and left again.
pub(super) type Left = BTreeMap<AppId, PlatformEntry>;

/// A person whose tokens are to be revoked, unless the person's last login was before this time.
type Due = (DateTime<Utc>, Person);

impl Follower {
    /// Starts the revocations for merchants that have left since.
    pub(super) fn revoke_of_leaving(self: &Rc<Self>) {
        let known = self.platform.known();
        let leaving = known
            .merchants
            .iter()
            .filter(|(_, merchant)| merchant.state == MerchantState::Leaving);
        let leaving = leaving.map(|(app, merchant)| (app.clone(), merchant.entry.clone()));
        let new: Left = leaving
            .filter(|(app, entry)| self.leaving.borrow().get(app) != Some(entry))
            .collect();
        if !new.is_empty() && self.walks.available_permits() > 0 {
            self.leaving.borrow_mut().extend(new.clone());
            let follower = Rc::clone(self);
            spawn(async move { follower.revoke_all(new).await });
        }
    }

    /// Checks a merchant again after this time, unless its revocations are complete by then.
    fn look_again(self: &Rc<Self>, app: AppId, entry: PlatformEntry, after: Duration) {
        let follower = Rc::clone(self);
        spawn(async move {
            sleep(after).await;
            follower
                .leaving
                .borrow_mut()
                .retain(|other, held| *other != app || *held != entry);
        });
    }

    /// Revokes the tokens of all persons of these merchants, unless another replica does so, and
    /// stores that the merchants are gone. A second walk finds persons who were logging in during
    /// the first.
    async fn revoke_all(self: &Rc<Self>, new: Left) {
        let mut left = self.taken_on(new).await;
        let mut failed = Vec::new();
        let due = self.due(&left);
        if !due.is_empty() {
            let (oldest, began) = self.since().await;
            failed = self.walk(&due, oldest).await;
            for _ in 0..LOGINS_END.as_secs() {
                failed = self.revoke_each(failed).await;
                sleep(PAUSE).await;
            }
            let still: BTreeSet<_> = due
                .into_iter()
                .filter(|app| self.leaves(app, Some(&left[app])))
                .collect();
            if !still.is_empty() {
                // A person who is bound by a ticket logs in when the ticket is redeemed, even if
                // the code behind it is old.
                failed.extend(self.walk(&still, began).await);
            }
        }
        while !left.is_empty() {
            failed = self.revoke_each(failed).await;
            self.note_gone(&mut left, &failed).await;
            if let Some((_, Person { app, .. })) = failed.first() {
                bounded!(error, "people of leaving", %app, people = failed.len(), "merchants have left: some people's tokens could not be revoked yet");
            }
            if !left.is_empty() {
                sleep(PAUSE).await;
            }
        }
    }

    /// The merchants whose tokens are to be revoked. An app whose AppSecret is configured here as
    /// well is left out, because people log in to it by that.
    fn due(&self, left: &Left) -> BTreeSet<AppId> {
        let apps = self.login.apps.all();
        left.keys()
            .filter(|app| apps.choose(Some(app), None).is_err())
            .cloned()
            .collect()
    }

    /// Whether the merchant is leaving; if `by` is given, whether by this entry.
    fn leaves(&self, app: &AppId, by: Option<&PlatformEntry>) -> bool {
        let known = self.platform.known();
        known.merchants.get(app).is_some_and(|merchant| {
            let is_by_entry = by.is_none_or(|by| *by == merchant.entry);
            merchant.state == MerchantState::Leaving && is_by_entry
        })
    }

    /// Stores that those merchants are gone none of whose persons has failed, and removes them from
    /// `left`.
    async fn note_gone(self: &Rc<Self>, left: &mut Left, failed: &[Due]) {
        let unfinished: HashSet<&AppId> = failed.iter().map(|(_, person)| &person.app).collect();
        let done: Left = left
            .extract_if(.., |app, _| !unfinished.contains(app))
            .collect();
        for (app, entry) in done {
            let gone = MerchantState::Gone.entry(entry.at);
            match self
                .note(&entry_of(&app), &gone, Expected::This(Some(&entry)))
                .await
            {
                Ok(is_noted) => {
                    // If the entry was not stored, the merchant has come back, or another replica
                    // has stored it.
                    if is_noted {
                        tracing::info!(app = %app, "a merchant has left: the tokens of its people are revoked");
                    }
                    // The merchant still counts as leaving until this process has read the new
                    // entry.
                    self.look_again(app, entry, TRIED.period);
                }
                Err(error) => {
                    tracing::warn!(app = %app, %error, "a merchant has left: that is not noted yet");
                    left.insert(app, entry);
                }
            }
        }
    }

    /// The merchants that no other replica works on.
    async fn taken_on(self: &Rc<Self>, new: Left) -> Left {
        let mut mine = Left::new();
        for (app, entry) in new {
            let meter = RateLimitKey::of_app(&app, COUNTED, digest_of(&entry), TRIED);
            match self.login.store.limits.count(&meter).await {
                Err(LimitError::TooMany(later)) => self.look_again(app, entry, later.retry_after),
                // If the store has not answered, it may have counted. Two walks do no harm.
                Ok(_) | Err(LimitError::Store(_)) => {
                    mine.insert(app, entry);
                }
            }
        }
        mine
    }

    /// Returns the time of the oldest login whose token may still be valid, and the present time,
    /// both by the earlier of two clocks: ours and Redis'.
    async fn since(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let longest = loop {
            match self.login.store.token_lives.longest_login().await {
                Ok(longest) => break longest,
                Err(error) => {
                    bounded!(warn, "leaving", %error, "merchants have left: their people's tokens are not revoked yet");
                    sleep(PAUSE).await;
                }
            }
        };
        let lives = longest.saturating_add(MAX_LEEWAY);
        let lives = TimeDelta::from_std(lives).unwrap_or(TimeDelta::MAX);
        let redis = DateTime::from_timestamp_micros(self.login.store.clock.redis_micros() as i64)
            .unwrap_or_default();
        let began = redis.min(self.login.store.clock.now()) - CLOCKS_DIFFER;
        (
            began
                .checked_sub_signed(lives)
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
            began,
        )
    }

    /// Revokes the tokens of all persons of these apps who may have logged in since this time.
    /// Returns the persons whose revocation has failed.
    #[expect(
        clippy::cognitive_complexity,
        reason = "each log macro counts as several branches"
    )]
    async fn walk(&self, due: &BTreeSet<AppId>, since: DateTime<Utc>) -> Vec<Due> {
        let _one = self.walks.acquire().await;
        let only = due.first().filter(|_| due.len() == 1);
        let mut place = Some(Place::default());
        let mut is_missing = false;
        let mut failed = Vec::new();
        let hasher = RandomState::new();
        // Holds hashes, because a merchant may have millions of persons.
        let mut seen = HashSet::new();
        while let Some(from) = place {
            match self.login.store.bindings.walk_people(only, &from).await {
                Ok(Page {
                    found,
                    next,
                    may_miss,
                    ..
                }) => {
                    let mut people = Vec::new();
                    for person in found {
                        if due.contains(&person.app) && seen.insert(hasher.hash_one(&person)) {
                            people.push((since, person));
                        }
                    }
                    failed.extend(self.revoke_each(people).await);
                    place = next;
                    is_missing |= may_miss;
                }
                Err(error) => {
                    bounded!(warn, "leaving", %error, "merchants have left: the walk over their people goes on from here");
                    sleep(PAUSE).await;
                    place = Some(from);
                }
            }
            while failed.len() > MOST_FAILED {
                let people = failed.len();
                bounded!(
                    warn,
                    "a walk waits",
                    people,
                    "merchants have left: Redis takes no revocations"
                );
                sleep(PAUSE).await;
                failed = self.revoke_each(failed).await;
            }
            // Slots of the Cluster were moving during the walk, so it may have missed persons. It
            // starts again.
            if place.is_none() && mem::take(&mut is_missing) {
                sleep(PAUSE).await;
                place = Some(Place::default());
            }
        }
        failed
    }

    /// Revokes these persons' tokens, and returns the persons for whom that failed. Persons of a
    /// merchant that has come back are left out.
    async fn revoke_each(&self, due: Vec<Due>) -> Vec<Due> {
        let due = due
            .into_iter()
            .filter(|(_, person)| self.leaves(&person.app, None));
        let ends = due.map(async |(since, who)| {
            self.revoke_person(&who, since)
                .await
                .is_err()
                .then_some((since, who))
        });
        stream::iter(ends)
            .buffer_unordered(AT_ONCE)
            .filter_map(async |failed| failed)
            .collect()
            .await
    }

    /// Revokes a person's tokens in this app, unless the person's last login was before `since`. If
    /// no login is known, its record may have been lost, so the tokens are revoked.
    async fn revoke_person(&self, person: &Person, since: DateTime<Utc>) -> Result<(), StoreError> {
        let store = &self.login.store;
        let bound = store.bindings.find(person).await?;
        let last_login = bound.and_then(|bound| bound.last_login);
        if last_login.is_some_and(|last| last < since) {
            return Ok(());
        }
        Operator { store }.revoke_person(person).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc};

    use wxmint_ids::{Platform, UserId};
    use wxmint_keys::{PrivateJwk, token::Issued, vault::Sealed};
    use wxmint_store::{AttemptId, Bound, ExchangeTimestamp, Store, TokenState};
    use wxmint_verify::Algorithm;

    use super::*;
    use crate::accounts::Named;
    use crate::clock::now;
    use crate::doors::platform::ThirdPartyPlatform;
    use crate::doors::platform::test_fixture::{Bed, app, until};
    use crate::issuer::caller::tests::issuer;
    use crate::login::{Binder, SettledState};

    const FILE: &str = r#"{"component_appid":"wx0123456789abcdef","component_appsecret":"00112233445566778899aabbccddeeff",
        "token":"token1","encoding_aes_key":"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"}"#;

    fn person(openid: &str) -> Person {
        Person {
            platform: Platform::WeChat,
            app: app(1),
            openid: openid.parse().expect("an openid"),
        }
    }

    fn user(openid: &str) -> UserId {
        format!("user-of-{openid}").parse().expect("a user")
    }

    /// Binds a person, as an import does: no login of the person is known.
    async fn bind(store: &Store, openid: &str) -> Bound {
        let (person, attempt) = (person(openid), AttemptId::random());
        let binder = Binder {
            store,
            person: &person,
            unionid: None,
            attempt: &attempt,
            per_user: 1,
        };
        let free = SettledState::Free {
            generation: None,
            dissolved: false,
        };
        let named = Named {
            user: user(openid),
            made: false,
        };
        binder.bind(&named, free).await.expect("bound")
    }

    /// Logs a person in with a code of the first time, at the second time.
    async fn log_in(store: &Store, openid: &str, [code, login]: [DateTime<Utc>; 2]) {
        let bound = bind(store, openid).await;
        let person = person(openid);
        let attempt = AttemptId::random();
        let order = ExchangeTimestamp::new(code.timestamp_micros().unsigned_abs(), &attempt);
        let key = (order, Sealed::nothing());
        store
            .sessions
            .keep(&person, bound.generation, &key, Some(login))
            .await
            .expect("kept");
    }

    /// Whether the token of this login has been revoked.
    async fn is_revoked(store: &Store, openid: &str, login: DateTime<Utc>) -> bool {
        let token = Issued {
            user: user(openid),
            app: app(1),
            id: "a-token".parse().expect("an id"),
            issued_at: login.timestamp(),
            expires_at: login.timestamp() + 600,
        };
        matches!(
            store.revocations.token_state(&token).await,
            Ok(TokenState::Revoked { .. })
        )
    }

    /// The merchant leaves now.
    async fn leaves(bed: &Bed) {
        let leaving = MerchantState::Leaving.entry(now().timestamp());
        bed.note(&entry_of(&app(1)), leaving.at, &leaving.value)
            .await;
    }

    /// The person was bound by a replica that did not know yet that the merchant had left. The code
    /// behind the ticket is older than the withdrawal.
    #[actix_web::test]
    async fn the_second_walk_finds_who_was_bound_by_a_ticket_during_the_first() {
        let bed = Bed::start().await;
        let follower = bed.follower();
        let store = &bed.login.store;
        let due = BTreeSet::from([app(1)]);
        leaves(&bed).await;
        let (oldest, began) = follower.since().await;
        let before = began - TimeDelta::minutes(4);
        log_in(store, "before", [before; 2]).await;
        assert!(follower.walk(&due, oldest).await.is_empty());
        assert!(is_revoked(store, "before", before).await);
        let later = now();
        log_in(store, "ticket", [before, later]).await;
        assert!(follower.walk(&due, began).await.is_empty());
        assert!(is_revoked(store, "ticket", later).await);
    }

    /// The record of a login may have been lost.
    #[actix_web::test]
    async fn the_tokens_of_a_person_of_whom_no_login_is_known_are_revoked_too() {
        let bed = Bed::start().await;
        let store = &bed.login.store;
        bind(store, "imported").await;
        leaves(&bed).await;
        let follower = bed.follower();
        let (oldest, _) = follower.since().await;
        let left = follower.walk(&BTreeSet::from([app(1)]), oldest).await;
        assert!(left.is_empty());
        assert!(is_revoked(store, "imported", now()).await);
    }

    #[actix_web::test]
    async fn when_a_replica_dies_that_has_begun_to_revoke_a_merchants_tokens_another_one_does() {
        thread_local!(static NOW: Cell<DateTime<Utc>> = const { Cell::new(DateTime::UNIX_EPOCH) });
        let (bed, login) = (Bed::start().await, now());
        let store = &bed.login.store;
        log_in(store, "lin", [login; 2]).await;
        leaves(&bed).await;
        let entry = bed.platform.known().merchants[&app(1)].entry.clone();
        let leaving = Left::from([(app(1), entry)]);

        // An event at the beginning of a period counts for nine eighths of the period.
        let period = TRIED.period.as_secs() as i64;
        let begins = (login.timestamp() / period - 1) * period;
        NOW.set(DateTime::from_timestamp(begins, 0).expect("a date"));
        let dead = bed.replica(|| NOW.get());
        assert_eq!(dead.taken_on(leaving.clone()).await, leaving);
        drop(dead);

        let counts_until = NOW.get() + TRIED.period + TRIED.period / 8;
        NOW.set(counts_until - Duration::from_millis(100));
        let other = bed.replica(|| NOW.get());
        other.revoke_of_leaving();
        assert_eq!(*other.leaving.borrow(), leaving);
        until("it looks again", async || other.leaving.borrow().is_empty()).await;
        NOW.set(counts_until);
        until("the token is revoked", async || {
            other.revoke_of_leaving();
            is_revoked(store, "lin", login).await
        })
        .await;
    }

    #[actix_web::test]
    async fn a_clock_that_is_wrong_lets_a_walk_pass_nobody_over() {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        for hours in [0, 2, -2] {
            let ahead = TimeDelta::hours(hours);
            let issuer = Arc::new(issuer(&key, ("WXMINT_TOKEN_TTL", "1h")));
            let mut login = issuer.login_parts().expect("a worker");
            login.store = login.store.at(now() + ahead);
            login
                .store
                .token_lives
                .note(Duration::from_hours(1))
                .await
                .expect("noted");
            let platform = ThirdPartyPlatform::parse(FILE.as_bytes())
                .unwrap_or_else(|wrong| panic!("{wrong}"));
            let (oldest, began) = Follower::new(login, Arc::new(platform), Arc::clone(&issuer))
                .since()
                .await;
            let seconds =
                |time: DateTime<Utc>| (now() + ahead.min(TimeDelta::zero()) - time).num_seconds();
            assert!(
                (60..70).contains(&seconds(began)),
                "{hours}: {}",
                seconds(began)
            );
            assert!(
                (60 + 3600..3 * 3600).contains(&seconds(oldest)),
                "{hours}: {}",
                seconds(oldest)
            );
        }
    }
}
