//! The store keeps codes and families. Here is how, and how a family ends.

use std::ops::RangeInclusive;

use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;
use wxmint_ids::AppId;
use wxmint_keys::token::Issued;
use wxmint_verify::{LONGEST_LIFE, MAX_LEEWAY};

use super::family::{
    CODE_KNOWN, CODE_TTL, CodeGrant, Family, LOGIN, MOST_LOGINS, Rotation, hashed_key, key, random, rotation_key,
};
use super::request::AuthorizeRequest;
use crate::doors::scan::store::{Grant, enlist, json, read, strike};
use crate::login::{LoginWorker, Result};

impl LoginWorker {
    /// A code for what a person has been granted who has come through `app`.
    pub(super) async fn make_code(&self, request: &AuthorizeRequest<'_>, grant: Grant, app: &AppId) -> Result<String> {
        let AuthorizeRequest { redirect_uri, challenge, nonce, scope, .. } = request.clone();
        let (code, made_at, Grant { token: first, claims, mark }) = (random(), self.store.now().timestamp(), grant);
        let family = Family { first, app: app.clone(), mark, scope, until: None, key: String::new() };
        let kept = CodeGrant { family, redirect_uri, challenge, nonce, claims, made_at };
        self.store.keep(&hashed_key("code", &code), &json(&kept), CODE_TTL + CODE_KNOWN).await?;
        Ok(code)
    }

    pub(super) async fn find<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        Ok(self.store.kept(key).await?.map(|text| read(LOGIN, &text)).transpose()?)
    }

    /// Whether this is the first use of a code. `own`: the mark of this use.
    pub(super) async fn use_code(&self, code: &str, own: &str) -> Result<bool> {
        let key = hashed_key("used", code);
        let first = async || self.store.keep_first(&key, own, 2 * CODE_KNOWN).await;
        // An answer that was lost must not look like a second use.
        let found = if let Ok(found) = first().await { found } else { first().await? };
        Ok(found == own)
    }

    /// One that is gone is so at replicas too: the answer to whoever has ended it may be lost.
    pub(super) async fn find_family(&self, sid: &str) -> Result<Option<Family>> {
        let found = self.find(&key("family", sid)).await?;
        if found.is_none() {
            self.store.discard(&key("family", sid)).await?;
        }
        Ok(found)
    }

    pub(super) async fn find_rotation(&self, sid: &str, number: u32) -> Result<Option<Rotation>> {
        self.find(&rotation_key(sid, number)).await
    }

    /// Counts a login before it is kept, and ends the user's oldest ones at this client that are too many. It is the
    /// newest, whatever the clock says. With `WXMINT_ONE_LOGIN` it has ended the others, but not what they renewed.
    pub(super) async fn make_room(&self, family: &Family) -> Result<()> {
        let (list, sid) = (family.list(), family.sid());
        let mut listed = enlist(&self.store, &list, sid, family.first.issued_at as f64, LONGEST_LIFE).await?;
        listed.retain(|(other, _)| other != sid);
        let most = if self.policy.one_login { 1 } else { MOST_LOGINS };
        for (sid, _) in listed.iter().take((listed.len() + 1).saturating_sub(most)) {
            match self.find::<Family>(&key("family", sid)).await? {
                // The code of the earlier of two logins may come last.
                Some(new) if most == 1 && self.still_bound(&new.app, &new.mark, &new.first).await?.is_some() => {}
                Some(oldest) => self.end_family(&oldest).await?,
                None => strike(&self.store, &list, sid).await?,
            }
        }
        Ok(())
    }

    /// Ends all tokens of a family. A token that is given meanwhile is ended by whoever gives it, or here. Each renewal
    /// asks for the end of the first one. So it is held as long as there can be renewals, also if Redis loses it.
    pub(super) async fn end_family(&self, family: &Family) -> Result<()> {
        let (store, sid, first) = (&self.store, family.sid(), &family.first);
        let expires_at = first.expires_at.max(family.until.unwrap_or_default());
        self.end_if_alive(&Issued { expires_at, ..first.clone() }).await?;
        self.end_last(family).await?;
        store.discard(&key("family", sid)).await?;
        let ended = self.end_last(family).await?;
        strike(store, &family.list(), sid).await?;
        // Nobody asks for these any more.
        let left = ended.map(|number| rotation_key(sid, number)).chain([key("last", sid)]);
        Ok(try_join_all(left.map(async |key| store.discard(&key).await)).await.map(drop)?)
    }

    /// Ends the tokens that can be alive, and returns their numbers.
    async fn end_last(&self, family: &Family) -> Result<RangeInclusive<u32>> {
        let last = self.last_number(family.sid()).await?;
        let numbers = last.saturating_sub(1)..=last.saturating_add(1);
        for number in numbers.clone() {
            if let Some(given) = self.find_rotation(family.sid(), number).await? {
                self.end_if_alive(&given.token).await?;
            }
        }
        Ok(numbers)
    }

    /// The number of the last refresh token that was used.
    pub(super) async fn last_number(&self, sid: &str) -> Result<u32> {
        Ok(self.store.kept(&key("last", sid)).await?.and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    /// A verifier whose clock is a minute behind may accept a token for two after it has expired. It has expired by two
    /// clocks, this machine's and Redis', because one of them may be wrong.
    pub(super) async fn end_if_alive(&self, token: &Issued) -> Result<bool> {
        let left = token.expires_at + 2 * MAX_LEEWAY.as_secs() as i64 - self.store.now().timestamp();
        if left <= 0 && left <= self.store.clock_ahead().await? {
            return Ok(false);
        }
        Ok(self.store.end_token(token).await.map(|()| true)?)
    }
}

#[cfg(test)]
mod conformance {
    use chrono::TimeDelta;
    use wxmint_keys::PrivateJwk;
    use wxmint_store::{Ended, TokenState};
    use wxmint_verify::Algorithm;

    use super::*;
    use crate::clock::now;
    use crate::issuer::caller::tests::issuer;

    /// With tokens of an hour.
    fn worker() -> LoginWorker {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        issuer(&key, ("WXMINT_TOKEN_TTL", "1h")).login_worker().expect("a worker")
    }

    /// That of a login so long ago.
    fn family(login: &LoginWorker, ago: TimeDelta, until: Option<i64>) -> Family {
        let (user, client) = ("user-1".parse().expect("a user"), "grafana".parse().expect("an id"));
        let id = login.minter.token_id("mark", now()).expect("random");
        let first = login.minter.issued(user, client, id, now() - ago);
        let app = "wx0123456789abcdef".parse().expect("an app");
        Family { first, app, mark: "mark".into(), scope: "openid".into(), until, key: String::new() }
    }

    #[actix_web::test]
    async fn a_token_has_expired_once_no_verifier_can_accept_it_and_one_clock_that_is_wrong_says_nothing() {
        let (mut login, hours) = (worker(), TimeDelta::hours(2));
        let right = login.store.clone();
        for (ago, ahead, is_ended) in [
            (0, hours, true),
            (3600 + 110, TimeDelta::zero(), true),
            (3600 + 110, hours, true),
            (3600 + 120, TimeDelta::seconds(-50), true),
            (3600 + 120, TimeDelta::zero(), false),
            (3600 + 120, hours, false),
        ] {
            login.store = right.at(now() + ahead);
            let token = family(&login, TimeDelta::seconds(ago), None).first;
            assert_eq!(login.end_if_alive(&token).await.expect("an answer"), is_ended, "{ago} {ahead}");
            let state = right.token_state(&token).await.expect("an answer");
            assert_eq!(matches!(state, TokenState::Ended { .. }), is_ended, "{ago} {ahead}");
        }
    }

    #[actix_web::test]
    async fn the_end_of_a_login_is_held_as_long_as_it_could_be_renewed() {
        let login = worker();
        let (day, later) = (TimeDelta::days(1), (now() + TimeDelta::days(20)).timestamp());
        let alive = family(&login, TimeDelta::zero(), None);
        let renewable = [day, TimeDelta::zero()].map(|ago| family(&login, ago, Some(later)));
        for ended in renewable.iter().chain([&alive, &family(&login, day, None)]) {
            login.end_family(ended).await.expect("ended");
        }
        let ends = login.store.ends_after("", 10).await.expect("an answer").expect("the beginning").ends;
        let held = [(&renewable[0], later), (&renewable[1], later), (&alive, alive.first.expires_at)];
        let of = |(family, expires_at): (&Family, i64)| {
            let Issued { id, user, .. } = family.first.clone();
            Ended::Token { id, user, expires_at }
        };
        assert_eq!(ends, held.map(of), "and none of one that nobody can use any more");
        let state = login.store.token_state(&renewable[0].first).await.expect("an answer");
        assert_eq!(state, TokenState::Ended { told: true }, "so that a renewal is refused");
    }
}
