//! The token family of a login at a site. A login gives a code, the code gives the first tokens,
//! and each refresh token gives the next tokens. All of them form a family, which is named by the
//! `jti` of its first access token (`sid`) and is revoked as a whole.
//!
//! Only hashes of codes and refresh tokens are stored. The next refresh token is derived from its
//! predecessor and a salt. So a client that repeats a request, because the answer was lost, gets
//! the same answer.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wxmint_ids::{AppId, is_base64url, parsed};
use wxmint_keys::token::Issued;
use wxmint_store::{Store, StoreError, short_digest};
use wxmint_verify::{LONGEST_LIFE, MAX_LEEWAY};

use super::backchannel::{Logout, queue};
use super::lists::{enlist, names};
use crate::login::{Issuance, LoginParts, RequestError};
use crate::oauth::clients::Client;
use crate::oauth::records::{json, read, remove_name};

/// How many access tokens of a login can be valid at a time: one for each five minutes of a day. If
/// there are more, the oldest is revoked.
const MOST_TOKENS: usize = 300;
/// How many logins of a user at a client can be valid at a time: three browsers that log in anew on
/// each of 30 days. If there are more, the oldest is revoked, so that nobody fills the store.
const MOST_LOGINS: usize = 100;
/// How many access tokens are revoked at the same time.
const ENDED_AT_ONCE: usize = 20;
pub(super) const LOGIN: &str = "a login of a site";

/// The facts of a login, which stay the same as long as its tokens can be renewed. The store keeps
/// no openid here.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Family {
    /// The first access token. Its `app` is the client, and it was issued when the person logged in.
    pub(super) first: Issued,
    /// The app through which the person has logged in.
    #[serde(deserialize_with = "parsed")]
    pub(super) app: AppId,
    /// The tag of the person's binding.
    pub(super) mark: String,
    /// The granted scopes.
    pub(super) scope: String,
    /// Until when its tokens can be renewed, in seconds since 1970. `None` if they cannot be
    /// renewed.
    pub(super) until: Option<i64>,
    /// Hash of the secret that the family's refresh tokens share.
    pub(super) key: String,
    /// Whether the site gets a logout token when the login is revoked.
    #[serde(default)]
    pub(super) is_told: bool,
}

/// A use of a refresh token, or of the code (number 0), and the tokens given for it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rotation {
    pub(super) salt: String,
    pub(super) token: Issued,
    /// The hash of the next refresh token.
    pub(super) next: String,
    /// When the use began, by Redis' clock, in seconds since 1970. `None` in records of earlier
    /// versions.
    #[serde(default)]
    pub(super) begun_at: Option<i64>,
    /// When the tokens were given, by the clock of the machine that gave them, in seconds since
    /// 1970. `None` before that.
    pub(super) given_at: Option<i64>,
}

/// `SID~NUMBER~KEY~SECRET`
pub(super) struct RefreshToken<'a> {
    pub(super) sid: &'a str,
    pub(super) number: u32,
    pub(super) key: &'a str,
    secret: &'a str,
}

impl<'a> RefreshToken<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let [sid, number, key, secret] = text.splitn(5, '~').collect::<Vec<_>>().try_into().ok()?;
        let number = number
            .parse()
            .ok()
            .filter(|number| *number > 0 && *number < u32::MAX)?;
        let is_whole = [sid, key, secret]
            .into_iter()
            .all(|part| !part.is_empty() && part.bytes().all(is_base64url));
        is_whole.then_some(Self {
            sid,
            number,
            key,
            secret,
        })
    }

    /// Derives the next refresh token.
    pub(super) fn next(&self, salt: &str) -> String {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes()),
            salt.as_bytes(),
        );
        written(
            self.sid,
            self.number + 1,
            self.key,
            &URL_SAFE_NO_PAD.encode(tag),
        )
    }
}

pub(super) fn written(sid: &str, number: u32, key: &str, secret: &str) -> String {
    format!("{sid}~{number}~{key}~{secret}")
}

/// 256 random bits as 43 characters of base64url.
pub(super) fn random() -> String {
    URL_SAFE_NO_PAD.encode(*wxmint_keys::random::<32>())
}

pub(super) fn hash(text: &str) -> String {
    short_digest(text).to_string()
}

impl Family {
    pub(super) fn sid(&self) -> &str {
        self.first.id.as_str()
    }

    /// The key of the list of the user's logins at this client.
    pub(super) fn list(&self) -> String {
        key(
            "families",
            format_args!("{}:{}", self.first.app, self.first.user),
        )
    }

    /// How long any token of the family can still be valid.
    pub(super) fn life(&self, now: DateTime<Utc>) -> Duration {
        let until = self.first.expires_at.max(self.until.unwrap_or_default());
        Duration::from_secs(u64::try_from(until - now.timestamp()).unwrap_or_default())
    }
}

/// The Redis key of a login's record. `family`, `last` and `rotation` are named by the login's
/// `sid`. `sid` is named by the `jti` of a renewed access token, and holds the `sid` of its login.
pub(super) fn key(kind: &str, name: impl Display) -> String {
    format!("wxmint:oidc:{kind}:{name}")
}

pub(super) fn rotation_key(sid: &str, number: u32) -> String {
    key("rotation", format_args!("{sid}:{number}"))
}

/// The Redis key of a record that is named by a secret, such as a code. The key holds only the
/// secret's hash.
pub(super) fn hashed_key(kind: &str, secret: &str) -> String {
    key(kind, short_digest(secret))
}

/// An access token of a family, with the fields that its revocation needs.
fn access_token(family: &Family, id: &str, expires_at: f64) -> Result<Issued, RequestError> {
    let id = id.parse().map_err(|_| StoreError::Damaged(LOGIN))?;
    Ok(Issued {
        id,
        expires_at: expires_at as i64,
        ..family.first.clone()
    })
}

/// The families in the store, and the access tokens of their logins.
#[derive(Clone, Copy)]
pub(super) struct Families<'a> {
    pub(super) store: &'a Store,
    pub(super) issuance: Issuance<'a>,
}

impl<'a> Families<'a> {
    pub(super) fn of(login: &'a LoginParts) -> Self {
        Self {
            store: &login.store,
            issuance: login.issuance(),
        }
    }

    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<T>, RequestError> {
        Ok(self
            .store
            .texts
            .get(key)
            .await?
            .map(|text| read(LOGIN, &text))
            .transpose()?)
    }

    /// Finds the family of a login. If it is gone, makes sure that it is gone at replicas, too,
    /// because the request that revoked it may have failed.
    pub(super) async fn find_family(&self, sid: &str) -> Result<Option<Family>, RequestError> {
        let found = self.find(&key("family", sid)).await?;
        if found.is_none() {
            self.store.texts.delete(&key("family", sid)).await?;
        }
        Ok(found)
    }

    pub(super) async fn find_rotation(
        &self,
        sid: &str,
        number: u32,
    ) -> Result<Option<Rotation>, RequestError> {
        self.find(&rotation_key(sid, number)).await
    }

    /// Lists a login before it is stored, and revokes the user's oldest logins at this client if
    /// there are too many. The new login counts as the newest, whatever the clock says. With
    /// `WXMINT_SINGLE_SESSION`, the login has already revoked the earlier logins' first tokens, but
    /// not their renewed tokens.
    pub(super) async fn make_room(&self, family: &Family) -> Result<(), RequestError> {
        let list = family.list();
        let sid = family.sid();
        let mut listed = enlist(
            self.store,
            &list,
            sid,
            family.first.issued_at as f64,
            LONGEST_LIFE,
        )
        .await?;
        listed.retain(|(other, _)| other != sid);
        let most = if self.issuance.single_session {
            1
        } else {
            MOST_LOGINS
        };
        for (sid, _) in listed.iter().take((listed.len() + 1).saturating_sub(most)) {
            match self.find::<Family>(&key("family", sid)).await? {
                // The code of the earlier of two logins may be redeemed last. The later login
                // stays.
                Some(new)
                    if most == 1
                        && self
                            .issuance
                            .still_bound(&new.app, &new.mark, &new.first)
                            .await?
                            .is_some() => {}
                Some(oldest) => self.revoke_family(&oldest).await?,
                None => remove_name(self.store, &list, sid).await?,
            }
        }
        Ok(())
    }

    /// Lists an access token of a family before anybody has it, so that a revocation of the family
    /// finds it as long as it can be valid.
    pub(super) async fn note_given(
        &self,
        family: &Family,
        token: &Issued,
    ) -> Result<(), RequestError> {
        let list = key("tokens", family.sid());
        let life = token.expires_at - token.issued_at + 2 * MAX_LEEWAY.as_secs() as i64;
        let life = Duration::from_secs(u64::try_from(life).unwrap_or_default());
        let given = enlist(
            self.store,
            &list,
            token.id.as_str(),
            token.expires_at as f64,
            life,
        )
        .await?;
        let excess = given.len().saturating_sub(MOST_TOKENS);
        for (id, expires_at) in given.iter().take(excess) {
            self.revoke_if_alive(&access_token(family, id, *expires_at)?)
                .await?;
            remove_name(self.store, &list, id).await?;
        }
        Ok(())
    }

    /// Revokes all tokens of a family. A token that another request issues meanwhile is revoked by
    /// that request, or here. A deleted family renews nothing, so nothing is left of it once its
    /// access tokens have expired.
    pub(super) async fn revoke_family(&self, family: &Family) -> Result<(), RequestError> {
        let store = self.store;
        let sid = family.sid();
        let first = &family.first;
        // Queued first, because nothing would repeat this once the login has been revoked.
        if family.is_told {
            let logout = Logout {
                since: store.clock.now().timestamp(),
                user: first.user.to_string(),
                sid: Some(sid.into()),
            };
            queue(store, &first.app, &logout).await?;
        }
        self.revoke_if_alive(first).await?;
        self.revoke_last_tokens(family).await?;
        store.texts.delete(&key("family", sid)).await?;
        let ended = self.revoke_last_tokens(family).await?;
        remove_name(store, &family.list(), sid).await?;
        // Nobody reads these records any more.
        let left = ended
            .map(|number| rotation_key(sid, number))
            .chain([key("last", sid), key("tokens", sid)]);
        Ok(
            try_join_all(left.map(async |key| store.texts.delete(&key).await))
                .await
                .map(drop)?,
        )
    }

    /// Revokes the tokens that can still be valid, and returns the numbers of the last refresh
    /// tokens.
    async fn revoke_last_tokens(
        &self,
        family: &Family,
    ) -> Result<RangeInclusive<u32>, RequestError> {
        let given = names(self.store, &key("tokens", family.sid())).await?;
        let given = given
            .iter()
            .map(|(id, expires_at)| access_token(family, id, *expires_at));
        let given = given.collect::<Result<Vec<_>, RequestError>>()?;
        for some in given.chunks(ENDED_AT_ONCE) {
            try_join_all(some.iter().map(|token| self.revoke_if_alive(token))).await?;
        }
        let last = self.last_number(family.sid()).await?;
        let numbers = last.saturating_sub(1)..=last.saturating_add(1);
        for number in numbers.clone() {
            if let Some(given) = self.find_rotation(family.sid(), number).await? {
                self.revoke_if_alive(&given.token).await?;
            }
        }
        Ok(numbers)
    }

    /// The number of the last refresh token that was used.
    pub(super) async fn last_number(&self, sid: &str) -> Result<u32, RequestError> {
        Ok(self
            .store
            .texts
            .get(&key("last", sid))
            .await?
            .and_then(|text| text.parse().ok())
            .unwrap_or_default())
    }

    /// Revokes a token unless it has expired. Returns whether it was revoked.
    ///
    /// A verifier whose clock is a minute behind may accept a token for two minutes after its
    /// expiry. The token counts as expired only by two clocks, this machine's and Redis', because
    /// one of them may be wrong.
    pub(super) async fn revoke_if_alive(&self, token: &Issued) -> Result<bool, RequestError> {
        let left =
            token.expires_at + 2 * MAX_LEEWAY.as_secs() as i64 - self.store.clock.now().timestamp();
        if left <= 0 && left <= self.store.clock.ahead().await? {
            return Ok(false);
        }
        Ok(self
            .store
            .revocations
            .revoke_token(token)
            .await
            .map(|()| true)?)
    }

    /// Finds the family of a refresh token of this client, even if the token has been used. Does
    /// not wait for replicas, because the token may be a guess.
    pub(super) async fn family_of(
        &self,
        token: &RefreshToken<'_>,
        of: &Client,
    ) -> Result<Option<Family>, RequestError> {
        let found: Option<Family> = self.find(&key("family", token.sid)).await?;
        Ok(found.filter(|family| {
            let is_own = family.first.app == of.id.0 && family.key == hash(token.key);
            family.until.is_some() && is_own
        }))
    }

    /// Stores the family before anybody has a token of it.
    pub(super) async fn keep_family(
        &self,
        family: &Family,
        next: String,
        at: DateTime<Utc>,
    ) -> Result<(), RequestError> {
        let store = self.store;
        let first = &family.first;
        let sid = family.sid();
        let life = family.life(at);
        let given = Rotation {
            salt: String::new(),
            token: first.clone(),
            next,
            begun_at: None,
            given_at: None,
        };
        store
            .texts
            .keep(&rotation_key(sid, 0), &json(&given), life)
            .await?;
        store.texts.keep(&key("last", sid), "0", life).await?;
        store
            .texts
            .keep(&key("family", sid), &json(family), life)
            .await?;
        let Some(until) = family.until else {
            return Ok(());
        };
        // The user's revocations are kept as long as the family can live. Revocations at the client
        // and at the app both find the family. The note is confirmed by replicas, so replicas of
        // the same primary have the family, too.
        let renewable = u64::try_from(until - first.issued_at).unwrap_or_default();
        store
            .token_lives
            .note_renewals(Duration::from_secs(renewable))
            .await?;
        let longest = Issued {
            expires_at: until.max(first.expires_at),
            ..first.clone()
        };
        Ok(store.client_tokens.note(&longest, &family.app).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_is_followed_by_one_that_only_its_holder_can_derive() {
        let text = written("sid-1", 1, "key", &random());
        let token = RefreshToken::read(&text).expect("a token");
        let (next, again, other) = (token.next("salt"), token.next("salt"), token.next("pepper"));
        assert!(
            next == again
                && next != other
                && next.starts_with("sid-1~2~key~")
                && next.len() == text.len()
        );
        for wrong in [
            "",
            "a",
            "a~1~b",
            "a~0~b~c",
            "a~-1~b~c",
            "a~1~b~c~d",
            "a~1~~c",
            "a~1~b~c=",
            "~1~b~c",
            "a.1.b.c",
        ] {
            assert!(RefreshToken::read(wrong).is_none(), "{wrong}");
        }
    }
}

#[cfg(test)]
mod conformance {
    use std::collections::HashSet;

    use chrono::TimeDelta;
    use wxmint_keys::PrivateJwk;
    use wxmint_store::{Revocation, TokenState};
    use wxmint_verify::Algorithm;

    use super::*;
    use crate::clock::now;
    use crate::issuer::caller::tests::issuer;

    /// A worker whose tokens live for an hour.
    fn worker() -> LoginParts {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        issuer(&key, ("WXMINT_TOKEN_TTL", "1h"))
            .login_parts()
            .expect("a worker")
    }

    /// The family of a login that was `ago` before now.
    fn family(login: &LoginParts, ago: TimeDelta, until: Option<i64>) -> Family {
        let (user, client) = (
            "user-1".parse().expect("a user"),
            "grafana".parse().expect("an id"),
        );
        let id = login.minter.token_id("mark", now()).expect("random");
        let first = login.minter.issued(user, client, id, now() - ago);
        let app = "wx0123456789abcdef".parse().expect("an app");
        Family {
            first,
            app,
            mark: "mark".into(),
            scope: "openid".into(),
            until,
            key: String::new(),
            is_told: false,
        }
    }

    #[actix_web::test]
    async fn a_token_has_expired_once_no_verifier_can_accept_it_and_one_clock_that_is_wrong_says_nothing()
     {
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
            assert_eq!(
                Families::of(&login)
                    .revoke_if_alive(&token)
                    .await
                    .expect("an answer"),
                is_ended,
                "{ago} {ahead}"
            );
            let state = right
                .revocations
                .token_state(&token)
                .await
                .expect("an answer");
            assert_eq!(
                matches!(state, TokenState::Revoked { .. }),
                is_ended,
                "{ago} {ahead}"
            );
        }
    }

    /// A deleted login renews nothing. So no entry outlives the access tokens, even if the login
    /// could have been renewed for longer.
    #[actix_web::test]
    async fn the_end_of_a_login_is_told_of_its_access_tokens_alone_and_until_they_expire() {
        let login = worker();
        let (day, later) = (
            TimeDelta::days(1),
            (now() + TimeDelta::days(20)).timestamp(),
        );
        let alive = family(&login, TimeDelta::zero(), None);
        let renewable = [day, TimeDelta::zero()].map(|ago| family(&login, ago, Some(later)));
        for ended in renewable.iter().chain([&alive, &family(&login, day, None)]) {
            Families::of(&login)
                .keep_family(ended, String::new(), now())
                .await
                .expect("kept");
            Families::of(&login)
                .revoke_family(ended)
                .await
                .expect("ended");
            assert!(
                Families::of(&login)
                    .find_family(ended.sid())
                    .await
                    .expect("an answer")
                    .is_none(),
                "so that a renewal is refused"
            );
        }
        let ends = login
            .store
            .revocation_stream
            .after("", 10)
            .await
            .expect("an answer")
            .expect("the beginning")
            .revocations;
        assert_eq!(ends, [&renewable[1].first, &alive.first].map(end_of));
    }

    /// Otherwise nothing would lead to its tokens any more.
    #[actix_web::test]
    async fn a_login_is_kept_until_its_tokens_have_been_ended() {
        let login = worker();
        let family = family(
            &login,
            TimeDelta::zero(),
            Some((now() + TimeDelta::days(20)).timestamp()),
        );
        Families::of(&login)
            .keep_family(&family, String::new(), now())
            .await
            .expect("kept");
        let rotation = rotation_key(family.sid(), 1);
        login
            .store
            .texts
            .keep(&rotation, "no token", Duration::from_mins(1))
            .await
            .expect("kept");
        Families::of(&login)
            .revoke_family(&family)
            .await
            .expect_err("unreadable");
        assert!(
            Families::of(&login)
                .find_family(family.sid())
                .await
                .expect("an answer")
                .is_some()
        );
        login.store.texts.delete(&rotation).await.expect("gone");
        Families::of(&login)
            .revoke_family(&family)
            .await
            .expect("ended");
        assert!(
            Families::of(&login)
                .find_family(family.sid())
                .await
                .expect("an answer")
                .is_none()
        );
    }

    /// Otherwise the site would keep its own session: whoever repeats the request finds no login any
    /// more.
    #[actix_web::test]
    async fn a_login_whose_logout_could_not_be_queued_is_kept_until_the_site_can_be_told() {
        let login = worker();
        let family = Family {
            is_told: true,
            ..family(&login, TimeDelta::zero(), None)
        };
        let families = Families::of(&login);
        families
            .keep_family(&family, String::new(), now())
            .await
            .expect("kept");
        let queue = key("logouts", "grafana");
        login
            .store
            .texts
            .keep(&queue, "no queue", Duration::from_mins(1))
            .await
            .expect("kept");
        assert!(families.revoke_family(&family).await.is_err());
        let left = families.find_family(family.sid()).await.expect("an answer");
        assert!(left.is_some(), "a repetition finds it");
        login.store.texts.delete(&queue).await.expect("gone");
        families.revoke_family(&family).await.expect("ended");
        let queued = names(&login.store, &queue).await.expect("an answer");
        assert!(
            matches!(&queued[..], [(logout, _)] if logout.ends_with(family.sid())),
            "{queued:?}"
        );
    }

    fn end_of(token: &Issued) -> Revocation {
        let Issued {
            id,
            user,
            expires_at,
            ..
        } = token.clone();
        Revocation::Token {
            id,
            user,
            expires_at,
        }
    }

    /// No renewal revokes the previous access token.
    #[actix_web::test]
    async fn the_end_of_a_login_finds_all_access_tokens_that_can_be_valid_and_no_more_than_there_may_be()
     {
        let login = worker();
        let family = family(
            &login,
            TimeDelta::days(1),
            Some((now() + TimeDelta::days(20)).timestamp()),
        );
        let second = now().timestamp();
        let token = |number: i64| Issued {
            id: format!("token-{number}").parse().expect("an id"),
            issued_at: second - 3600 + number,
            expires_at: second + number,
            ..family.first.clone()
        };
        let given = [-3000, -1, 100, 900].map(token);
        for token in &given {
            Families::of(&login)
                .note_given(&family, token)
                .await
                .expect("noted");
        }
        Families::of(&login)
            .revoke_family(&family)
            .await
            .expect("ended");
        let ends = async || {
            login
                .store
                .revocation_stream
                .after("", 1000)
                .await
                .expect("an answer")
                .expect("the beginning")
                .revocations
        };
        let ended: HashSet<_> = ends().await.iter().map(ToString::to_string).collect();
        let expected: HashSet<_> = given[1..]
            .iter()
            .map(|token| end_of(token).to_string())
            .collect();
        assert_eq!(ended, expected, "but for the one that has expired");

        for number in 1000..1003 + MOST_TOKENS as i64 {
            Families::of(&login)
                .note_given(&family, &token(number))
                .await
                .expect("noted");
        }
        let oldest: HashSet<_> = ends().await[3..].iter().map(ToString::to_string).collect();
        assert_eq!(
            oldest,
            [1000, 1001, 1002]
                .map(|number| end_of(&token(number)).to_string())
                .into()
        );
    }
}
