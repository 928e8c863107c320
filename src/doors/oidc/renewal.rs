//! A site renews its tokens with a refresh token. A renewal checks everything that can have revoked
//! the login.
//!
//! A refresh token is used up in two steps, because an answer may get lost. First the renewal
//! begins and names the token that it will give. Once nothing else can fail, it is noted as given.
//! A renewal that has begun and was not given gave nobody a token. It can be repeated at any time,
//! and does not count as theft. A renewal that was given is answered again for [`ANSWERED_AGAIN`];
//! after that, a repetition counts as theft.

use std::time::Duration;

use tokio::time::sleep;
use wxmint_http::run_to_completion;
use wxmint_keys::token::{ExtraClaims, Issued, Minter};
use wxmint_store::{RateLimitKey, Store, TokenState, limits::Rate};
use wxmint_verify::MAX_LEEWAY;

use super::family::{self, Families, Family, RefreshToken, Rotation, hash};
use super::grants::{CodeGrants, Given, NewTokens, NotGiven, refresh_life};
use crate::login::{
    AccountCheck, AccountCheckError, CountError, LoginLimits, LoginParts, OPENID, RequestError,
    Unavailable, client_tag,
};
use crate::oauth::clients::Client;
use crate::oauth::records::{json, read, retry_for_5_s};

/// For how many seconds the same refresh token gets the same answer, because answers can get lost.
const ANSWERED_AGAIN: i64 = 30;
/// The limit of renewals, counted by user and client.
const RENEWALS: &str = "oidc-renewals";
/// The limit of repetitions, counted by renewal. Repetitions are not renewals, so the person's own
/// limit does not count them. This limit is far above what the tabs of a browser do. It protects
/// the account service from a client that repeats for ever.
const REPEATS: &str = "oidc-repeats";
const REPEATS_RATE: Rate = Rate {
    burst: 300,
    period: Duration::from_secs(ANSWERED_AGAIN.unsigned_abs()),
};
/// A renewal that began this many seconds ago and was not given is made anew, because the request
/// that began it has failed.
const ABANDONED: i64 = 5;
/// How often to try, for 5 s each, to take back a note whose answer may have reached nobody: as
/// long as Redis is usually away.
const TAKEN_BACK: usize = 12;
/// Concurrent repetitions wait for the first request. They look this many times, at this interval.
const LOOKS: usize = 100;
const LOOK: Duration = Duration::from_millis(50);

/// A refresh token of a request, with its client and its family.
struct Shown<'a> {
    client: &'a Client,
    family: Family,
    token: RefreshToken<'a>,
    /// The use that gave this refresh token.
    before: Rotation,
}

impl Shown<'_> {
    fn key(&self) -> String {
        family::rotation_key(self.family.sid(), self.token.number)
    }
}

/// The state of the renewal for a refresh token.
enum Found {
    /// This request has begun it. Only this request counts it and notes it as given.
    Begun,
    /// Another request has given it recently, so it is answered again.
    Given(Rotation),
    /// It was given too long ago.
    Spent,
}

/// Renewals of the tokens of sites.
#[derive(Clone, Copy)]
pub(super) struct Renewals<'a> {
    store: &'a Store,
    minter: &'a Minter,
    families: Families<'a>,
    grants: CodeGrants<'a>,
    accounts: AccountCheck<'a>,
    limits: LoginLimits<'a>,
}

impl<'a> Renewals<'a> {
    pub(super) fn of(login: &'a LoginParts) -> Self {
        Self {
            store: &login.store,
            minter: &login.minter,
            families: Families::of(login),
            grants: CodeGrants::of(login),
            accounts: login.account_check(),
            limits: login.limits(),
        }
    }

    /// Exchanges a refresh token for new tokens.
    pub(super) async fn refresh(&self, shown: &str, client: &Client) -> Result<Given, NotGiven> {
        let shown = self.find_shown(shown, client).await?;
        // Dated before revocations are checked, so that each later revocation covers the token.
        let life = client.token_ttl.unwrap_or(self.minter.ttl());
        let at = self
            .store
            .revocations
            .date_renewal(&shown.family.first, life)
            .await?;
        let own = self.begun(&shown, at)?;
        let found = self.find_or_begin(&shown, &own, at).await;
        if found.is_err() {
            // The record may exist although the write has failed.
            _ = self.store.texts.delete_own(&shown.key(), &json(&own)).await;
        }
        match found? {
            Found::Begun => self.renew(&shown, &own).await,
            Found::Given(given) => self.repeat(&shown, &given).await,
            Found::Spent => Err(self.theft(&shown.family).await?),
        }
    }

    /// Finds the family of a refresh token, and the use that gave the token. Refuses a token whose
    /// family can no longer be renewed, and a token that was never given.
    async fn find_shown<'s>(
        &self,
        text: &'s str,
        client: &'s Client,
    ) -> Result<Shown<'s>, NotGiven> {
        let Some(token) = RefreshToken::read(text) else {
            return Err(NotGiven::Unknown);
        };
        let Some(family) = self.families.family_of(&token, client).await? else {
            return Err(NotGiven::Unknown);
        };
        let now = self.store.clock.now();
        let until =
            refresh_life(client).map_or(0, |life| family.first.issued_at.saturating_add(life));
        let has_app = client.app == family.app || client.web_apps.contains(&family.app);
        // Refused without revoking the family: the client may get `refresh` or the app back.
        if !has_app || now.timestamp() >= until.min(family.until.unwrap_or_default()) {
            return Err(NotGiven::revocation(&family));
        }
        let before = self
            .families
            .find_rotation(family.sid(), token.number - 1)
            .await?;
        let before = before.filter(|before| before.next == hash(text));
        let Some(before) = before else {
            return Err(self.theft(&family).await?);
        };
        Ok(Shown {
            client,
            family,
            token,
            before,
        })
    }

    /// Counts a renewal, and makes it. If it fails, removes the count and the begun renewal. If
    /// Redis is away and both stay, the next request makes the renewal anew.
    async fn renew(&self, shown: &Shown<'_>, begun: &Rotation) -> Result<Given, NotGiven> {
        let renewed = self.count_and_renew(shown, begun).await;
        if renewed.as_ref().is_err_and(NotGiven::is_failure) {
            _ = self
                .store
                .texts
                .delete_own(&shown.key(), &json(begun))
                .await;
        }
        renewed
    }

    async fn count_and_renew(
        &self,
        shown: &Shown<'_>,
        begun: &Rotation,
    ) -> Result<Given, NotGiven> {
        let rate = self.limits.policy.limit_openid;
        let meter = RateLimitKey::new(RENEWALS, shown.family.list(), rate);
        let counted = self
            .store
            .limits
            .count(&meter)
            .await
            .map_err(CountError::of_limit(OPENID))?;
        let renewed = self.renew_counted(shown, begun).await;
        if renewed.as_ref().is_err_and(NotGiven::is_failure) {
            _ = self.store.limits.uncount(&meter, counted).await;
        }
        renewed
    }

    async fn renew_counted(&self, shown: &Shown<'_>, begun: &Rotation) -> Result<Given, NotGiven> {
        let claims = self.allowed_or_revoked(shown).await?;
        self.note_renewal(shown, begun).await?;
        let given = self.answer(shown, begun, &claims).await?;
        self.note_as_given(shown, begun, given).await
    }

    /// Answers a renewal again. The account backend is asked again.
    async fn repeat(&self, shown: &Shown<'_>, given: &Rotation) -> Result<Given, NotGiven> {
        let meter = RateLimitKey::new(REPEATS, shown.key(), REPEATS_RATE);
        self.limits.count(&meter, OPENID).await?;
        let claims = self.allowed_or_revoked(shown).await?;
        self.answer(shown, given, &claims).await
    }

    async fn answer(
        &self,
        shown: &Shown<'_>,
        given: &Rotation,
        claims: &ExtraClaims,
    ) -> Result<Given, NotGiven> {
        let Shown {
            client,
            family,
            token,
            ..
        } = shown;
        // Another request may have revoked the family meanwhile without having seen this token.
        if self.families.find_family(family.sid()).await?.is_none() {
            self.families.revoke_if_alive(&given.token).await?;
            return Err(NotGiven::revocation(family));
        }
        let new = NewTokens {
            family,
            issued: given.token.clone(),
            refresh_token: Some(token.next(&given.salt)),
            claims,
            nonce: None,
        };
        Ok(self.grants.give(client, new, self.store.clock.now())?)
    }

    /// Notes that a renewal is given. This is the last step: if a later step failed, the repeated
    /// request would look like theft.
    async fn note_as_given(
        &self,
        shown: &Shown<'_>,
        begun: &Rotation,
        given: Given,
    ) -> Result<Given, NotGiven> {
        let noted = Rotation {
            given_at: Some(self.store.clock.now().timestamp()),
            ..begun.clone()
        };
        let key = shown.key();
        let begun = json(begun);
        let noted = json(&noted);
        let note = async || self.store.texts.replace(&key, &begun, &noted).await;
        let is_noted = if let Ok(is_noted) = note().await {
            Ok(is_noted)
        } else {
            note().await
        };
        let sid = shown.family.sid();
        match is_noted {
            Ok(true) => Ok(given),
            Ok(false) if self.families.find_family(sid).await?.is_none() => {
                Err(NotGiven::revocation(&shown.family))
            }
            // This request took so long that another request has begun the renewal anew.
            Ok(false) => Err(Unavailable::Contended.into()),
            Err(error) => {
                self.take_back_note(key, noted, begun);
                Err(error.into())
            }
        }
    }

    /// Replaces a note whose answer may have reached nobody by the begun renewal. The client need
    /// not wait for this, because the note matters only for late repetitions.
    fn take_back_note(&self, key: String, noted: String, begun: String) {
        let store = self.store.clone();
        let taking_back = run_to_completion(async move {
            for _ in 0..TAKEN_BACK {
                let take_back = async || store.texts.replace(&key, &noted, &begun).await;
                if retry_for_5_s(take_back).await.is_ok() {
                    return;
                }
            }
        });
        // The task goes on without anybody who waits for it.
        drop(taking_back);
    }

    /// The claims of the account backend. Revokes the family if [`Self::allowed`] has none.
    async fn allowed_or_revoked(&self, shown: &Shown<'_>) -> Result<ExtraClaims, NotGiven> {
        let family = &shown.family;
        let Some(claims) = self.allowed(family, &shown.before).await? else {
            self.families.revoke_family(family).await?;
            return Err(NotGiven::revocation(family));
        };
        Ok(claims)
    }

    /// The claims of the account backend. `None` if the login, or the access token beside the
    /// refresh token, has been revoked, or if the user may not log in any more.
    async fn allowed(
        &self,
        family: &Family,
        before: &Rotation,
    ) -> Result<Option<ExtraClaims>, RequestError> {
        if !matches!(
            self.store.revocations.token_state(&before.token).await?,
            TokenState::People(_)
        ) {
            return Ok(None);
        }
        let Some(bound) = self.grants.bound_of(family).await? else {
            return Ok(None);
        };
        match self.accounts.allow(&family.app, &bound, None).await {
            Ok(claims) => Ok(Some(claims)),
            Err(AccountCheckError::Blocked | AccountCheckError::Denied) => Ok(None),
            Err(AccountCheckError::Accounts(error)) => Err(error.into()),
        }
    }

    /// Revokes the family of a refresh token that was used twice, and returns why there are no
    /// tokens. If the login has been revoked meanwhile, its records are gone, and this is no theft.
    async fn theft(&self, family: &Family) -> Result<NotGiven, RequestError> {
        let lives = self.families.find_family(family.sid()).await?.is_some();
        self.families.revoke_family(family).await?;
        Ok(if lives {
            NotGiven::Theft(Box::new(family.first.clone()))
        } else {
            NotGiven::revocation(family)
        })
    }

    /// Begins this renewal, or finds the renewal for the same refresh token. If several requests
    /// come at once, the first begins the renewal, and the others wait until it is given. `at` is
    /// the present second by Redis' clock.
    async fn find_or_begin(
        &self,
        shown: &Shown<'_>,
        own: &Rotation,
        at: i64,
    ) -> Result<Found, RequestError> {
        let key = shown.key();
        let own = json(own);
        for _ in 0..LOOKS {
            let Some(held) = self.store.texts.get(&key).await? else {
                let life = shown.family.life(self.store.clock.now());
                if self.store.texts.keep_first(&key, &own, life).await? == own {
                    return self.unless_overtaken(shown).await;
                }
                continue;
            };
            let found: Rotation = read(family::LOGIN, &held)?;
            if let Some(given_at) = found.given_at {
                // Compares by two clocks, because Redis' clock may have stepped back. Clocks of
                // replicas may differ by a minute.
                let by_own_clock = (self.store.clock.now() - MAX_LEEWAY).timestamp() - given_at;
                let by_redis = at - found.begun_at.unwrap_or(found.token.issued_at);
                let is_late = by_own_clock.max(by_redis) > ANSWERED_AGAIN;
                return Ok(if is_late {
                    Found::Spent
                } else {
                    Found::Given(found)
                });
            }
            // The absolute difference also covers a clock that has stepped back.
            let is_abandoned = found
                .begun_at
                .is_none_or(|begun_at| (at - begun_at).abs() >= ABANDONED);
            if is_abandoned && self.store.texts.replace(&key, &held, &own).await? {
                return self.unless_overtaken(shown).await;
            }
            sleep(LOOK).await;
        }
        Err(Unavailable::Contended.into())
    }

    /// Detects a late repetition. The second renewal after this one has deleted this renewal's
    /// record, so the repetition looks like the first request. But the predecessor's record is then
    /// gone, too.
    async fn unless_overtaken(&self, shown: &Shown<'_>) -> Result<Found, RequestError> {
        let gave_it = self
            .families
            .find_rotation(shown.family.sid(), shown.token.number - 1)
            .await?;
        Ok(if gave_it.is_some() {
            Found::Begun
        } else {
            Found::Spent
        })
    }

    /// The renewal that this request would begin.
    fn begun(&self, shown: &Shown<'_>, at: i64) -> Result<Rotation, RequestError> {
        let Shown {
            client,
            family,
            token,
            ..
        } = shown;
        let minter = self.minter.with(&[], client.token_ttl);
        let salt = family::random();
        let now = self.store.clock.now();
        // The date is at least the login's: no revocation covers the login, so none covers a token
        // that is dated later. The date is not ahead of this machine's clock: verifiers without
        // leeway would reject such a token.
        let issued_at = at.min(now.timestamp()).max(family.first.issued_at);
        Ok(Rotation {
            next: hash(&token.next(&salt)),
            salt,
            token: Issued {
                id: minter.token_id(&client_tag(&client.id.0), now)?,
                issued_at,
                // A revocation of the login finds its tokens only as long as the login can be
                // renewed.
                expires_at: (issued_at + minter.ttl().as_secs() as i64)
                    .min(family.until.unwrap_or_default()),
                ..family.first.clone()
            },
            begun_at: Some(at),
            given_at: None,
        })
    }

    /// Records the new token so that a revocation of the login finds it, and deletes old records.
    async fn note_renewal(&self, shown: &Shown<'_>, begun: &Rotation) -> Result<(), RequestError> {
        let Shown {
            client,
            family,
            token,
            ..
        } = shown;
        let store = self.store;
        let sid = family.sid();
        let number = token.number;
        // Even a token that has just expired can revoke the login, because verifiers may still
        // accept it.
        let life = self.minter.with(&[], client.token_ttl).ttl() + 2 * MAX_LEEWAY;
        store
            .texts
            .keep(&family::key("sid", begun.token.id.as_str()), sid, life)
            .await?;
        if self.families.last_number(sid).await? < number {
            store
                .texts
                .keep(
                    &family::key("last", sid),
                    &number.to_string(),
                    family.life(store.clock.now()),
                )
                .await?;
        }
        self.families.note_given(family, &begun.token).await?;
        // An honest client no longer uses the refresh token before the last. Its access token lives
        // on until it expires.
        if let Some(old) = number.checked_sub(2) {
            store.texts.delete(&family::rotation_key(sid, old)).await?;
        }
        Ok(())
    }

    /// Makes a renewal without asking the account backend and without signing. Returns the next
    /// refresh token.
    #[cfg(test)]
    pub(super) async fn renew_alone(
        &self,
        family: &Family,
        shown: &str,
        client: &Client,
    ) -> Result<Option<String>, RequestError> {
        let token = RefreshToken::read(shown).expect("a refresh token");
        let before = self
            .families
            .find_rotation(family.sid(), token.number - 1)
            .await?
            .expect("it was given");
        let shown = Shown {
            client,
            family: family.clone(),
            token,
            before,
        };
        let life = client.token_ttl.unwrap_or(self.minter.ttl());
        let second = self
            .store
            .revocations
            .date_renewal(&shown.family.first, life)
            .await?;
        let begun = self.begun(&shown, second)?;
        let Found::Begun = self.find_or_begin(&shown, &begun, second).await? else {
            return Ok(None);
        };
        self.note_renewal(&shown, &begun).await?;
        let given = Rotation {
            given_at: Some(self.store.clock.now().timestamp()),
            ..begun.clone()
        };
        self.store
            .texts
            .replace(&shown.key(), &json(&begun), &json(&given))
            .await?;
        Ok(Some(shown.token.next(&begun.salt)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::{rc::Rc, time::Duration};

    use chrono::TimeDelta;
    use wxmint_keys::PrivateJwk;
    use wxmint_store::{Revocation, Store, StoreAccess};
    use wxmint_verify::Algorithm;

    use super::super::logout::revoke_login;
    use super::*;
    use crate::clock::now;
    use crate::issuer::caller::tests::issuer;
    use crate::oauth::clients::Clients;

    /// The account service has answered the repetition this late. Otherwise no revocation of the
    /// login would find the token, and revocations would miss the newest token, too.
    #[actix_web::test]
    async fn a_repetition_that_two_renewals_have_overtaken_is_theft() {
        let key =
            PrivateJwk::generate(Algorithm::Es256, now() - TimeDelta::hours(1)).expect("a key");
        let mut login = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"))
            .login_parts()
            .expect("a worker");
        let store = login.store.clone();
        let file = r#"{"clients":[{"client_id":"grafana","name":"Grafana","appid":"wx0123456789abcdef"}]}"#;
        let clients = Clients::parse(file.as_bytes(), Duration::MAX).expect("clients");
        let client = clients
            .get(&"grafana".parse().expect("an id"))
            .expect("the client");
        let id = login.minter.token_id("mark", now()).expect("random");
        let first = login.minter.issued(
            "user-1".parse().expect("a user"),
            client.id.0.clone(),
            id,
            now(),
        );
        let at = first.issued_at;
        let family = Family {
            first,
            app: "wx0123456789abcdef".parse().expect("an app"),
            mark: "mark".to_owned(),
            scope: "openid".to_owned(),
            until: Some(at + 86_400),
            key: hash("key"),
            is_told: false,
        };
        let mut texts = vec![family::written(family.sid(), 1, "key", "secret")];
        let start = Rotation {
            salt: String::new(),
            token: family.first.clone(),
            next: hash(&texts[0]),
            begun_at: None,
            given_at: None,
        };
        login
            .store
            .texts
            .keep(
                &family::rotation_key(family.sid(), 0),
                &json(&start),
                Duration::from_secs(30),
            )
            .await
            .expect("kept");

        let rotate = async |login: &LoginParts, text: &str| {
            let token = RefreshToken::read(text).expect("a refresh token");
            let shown = Shown {
                client,
                family: family.clone(),
                token,
                before: start.clone(),
            };
            let begun = Renewals::of(login).begun(&shown, at).expect("a token");
            let rotation = match Renewals::of(login)
                .find_or_begin(&shown, &begun, at)
                .await
                .expect("an answer")
            {
                Found::Begun => {
                    Renewals::of(login)
                        .note_renewal(&shown, &begun)
                        .await
                        .expect("noted");
                    let given = Rotation {
                        given_at: Some(login.store.clock.now().timestamp()),
                        ..begun.clone()
                    };
                    let noted = login
                        .store
                        .texts
                        .replace(&shown.key(), &json(&begun), &json(&given))
                        .await;
                    assert_eq!(noted, Ok(true));
                    given
                }
                Found::Given(given) => {
                    assert_eq!(shown.token.number, 2, "the second one is repeated");
                    given
                }
                Found::Spent => return None,
            };
            Some(shown.token.next(&rotation.salt))
        };
        for _ in 0..2 {
            let next = rotate(&login, texts.last().expect("one"))
                .await
                .expect("renewed");
            texts.push(next);
        }
        // Redis' clock has stepped back meanwhile, and all tokens have the same second.
        for (later, is_answered) in [(-60, true), (0, true), (85, true), (95, false)] {
            login.store = store.at(now() + TimeDelta::seconds(later));
            let answer = is_answered.then(|| texts[2].clone());
            assert_eq!(
                rotate(&login, &texts[1]).await,
                answer,
                "an answer that was lost, {later} s later"
            );
        }
        login.store = store;
        rotate(&login, &texts[2]).await.expect("renewed");
        assert_eq!(rotate(&login, &texts[0]).await, None, "too late");
        assert_eq!(
            Families::of(&login)
                .last_number(family.sid())
                .await
                .expect("an answer"),
            3
        );
        assert!(
            matches!(
                Renewals::of(&login).theft(&family).await,
                Ok(NotGiven::Revocation(_))
            ),
            "a logout came between"
        );
        login
            .store
            .texts
            .keep(
                &family::key("family", family.sid()),
                &json(&family),
                Duration::from_secs(30),
            )
            .await
            .expect("kept");
        assert!(matches!(
            Renewals::of(&login).theft(&family).await,
            Ok(NotGiven::Theft(_))
        ));
    }

    /// This holds for all sites and all periods of renewal.
    #[actix_web::test]
    async fn a_renewal_revokes_nothing_and_leaves_no_key_longer_than_its_token_lives() {
        thread_local!(static AHEAD: Cell<TimeDelta> = const { Cell::new(TimeDelta::zero()) });
        let clock = || now() + AHEAD.get();
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let mut login = issuer(&key, ("WXMINT_TOKEN_TTL", "5m"))
            .login_parts()
            .expect("a worker");
        let access = StoreAccess::in_memory(clock);
        login.store = Store::new(&access, Duration::ZERO, clock, ());
        let app = "wx0123456789abcdef";
        let file = format!(
            r#"{{"clients":[{{"client_id":"grafana","name":"Grafana","appid":"{app}"}}]}}"#
        );
        let clients = Clients::parse(file.as_bytes(), Duration::MAX).expect("clients");
        let client = clients
            .get(&"grafana".parse().expect("an id"))
            .expect("the client");
        let id = login.minter.token_id("mark", now()).expect("random");
        let first = login.minter.issued(
            "user-1".parse().expect("a user"),
            client.id.0.clone(),
            id,
            now(),
        );
        let until = Some(first.issued_at + 30 * 86_400);
        let family = Family {
            first,
            app: app.parse().expect("an app"),
            mark: "mark".to_owned(),
            scope: "openid".to_owned(),
            until,
            key: hash("key"),
            is_told: false,
        };
        let mut shown = family::written(family.sid(), 1, "key", "secret");
        Families::of(&login)
            .keep_family(&family, hash(&shown), now())
            .await
            .expect("kept");

        let keys = async || {
            let place = wxmint_redis_link::scan::Place::default();
            let slots = wxmint_redis_link::scan::Slots::AtRest;
            login
                .store
                .link
                .keys_like("wxmint:*", &place, slots)
                .await
                .expect("keys")
                .found
                .len()
        };
        let before = keys().await;
        for _ in 0..300 {
            AHEAD.set(AHEAD.get() + TimeDelta::minutes(5));
            shown = Renewals::of(&login)
                .renew_alone(&family, &shown, client)
                .await
                .expect("an answer")
                .expect("renewed");
        }
        let ends = login
            .store
            .revocation_stream
            .after("", 10)
            .await
            .expect("an answer")
            .expect("the beginning")
            .revocations;
        assert!(
            ends.is_empty(),
            "the old access tokens live out their minutes: {ends:?}"
        );
        // The last two access tokens, the last two refresh tokens, and the date of the last renewal.
        let most = before + 6;
        assert!(
            keys().await <= most,
            "{} keys after 300 renewals, {before} before",
            keys().await
        );
        AHEAD.set(AHEAD.get() + TimeDelta::hours(2));
        assert!(
            keys().await <= before + 2,
            "{} keys two hours later, {before} before",
            keys().await
        );
    }

    /// A verifier whose clock is behind may accept the token for a while after it has expired.
    #[actix_web::test]
    async fn by_a_renewed_access_token_a_logout_ends_the_whole_login_as_long_as_the_token_may_be_accepted()
     {
        thread_local!(static AHEAD: Cell<TimeDelta> = const { Cell::new(TimeDelta::zero()) });
        let clock = || now() + AHEAD.get();
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let mut login = issuer(&key, ("WXMINT_TOKEN_TTL", "5m"))
            .login_parts()
            .expect("a worker");
        let clients = renewing("wx0123456789abcdef");
        let client = clients
            .get(&"grafana".parse().expect("an id"))
            .expect("the client");
        for seconds in [0, 31, 300 + 110] {
            AHEAD.set(TimeDelta::zero());
            login.store = Store::new(&StoreAccess::in_memory(clock), Duration::ZERO, clock, ());
            let (family, shown) = kept(&login).await;
            let renewed = renewed(&login, &family, &shown, client).await;
            AHEAD.set(TimeDelta::seconds(seconds));
            assert_eq!(
                revoke_login(&login, renewed).await.expect("ended"),
                Some(family.first.user.clone())
            );
            let left = Families::of(&login)
                .find_family(family.sid())
                .await
                .expect("an answer");
            assert!(left.is_none(), "{seconds} s after the renewal");
        }
    }

    /// By then the first access token has expired, and the notes of what has expired were purged.
    #[actix_web::test]
    async fn an_unbinding_ends_what_a_site_has_renewed_however_long_ago_the_person_has_logged_in() {
        thread_local!(static AHEAD: Cell<TimeDelta> = const { Cell::new(TimeDelta::zero()) });
        let clock = || now() + AHEAD.get();
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let mut login = issuer(&key, ("WXMINT_TOKEN_TTL", "5m"))
            .login_parts()
            .expect("a worker");
        let clients = renewing("wx0123456789abcdef");
        let client = clients.iter().next().expect("a client");
        for days in [1, 29] {
            AHEAD.set(TimeDelta::zero());
            login.store = Store::new(&StoreAccess::in_memory(clock), Duration::ZERO, clock, ());
            let (family, shown) = kept(&login).await;
            AHEAD.set(TimeDelta::days(days));
            login
                .store
                .revocation_stream
                .purge_kept_records(100)
                .await
                .expect("purged");
            let renewed = renewed(&login, &family, &shown, client).await;
            login
                .store
                .revocations
                .revoke_in_app(&renewed.user, &family.app)
                .await
                .expect("ended");
            let state = login.store.revocations.token_state(&renewed).await;
            assert!(
                matches!(state, Ok(TokenState::Revoked { .. })),
                "{days} days: {state:?}"
            );
            let ends = login
                .store
                .revocation_stream
                .after("", 10)
                .await
                .expect("an answer")
                .expect("the beginning")
                .revocations;
            let is_of_client = |end: &Revocation| matches!(end, Revocation::UserInApp { app, .. } if *app == client.id.0);
            assert!(
                ends.iter().any(is_of_client),
                "{days} days: neither verifiers nor the site are told: {ends:?}"
            );
            let there = login
                .store
                .client_tokens
                .users_of(&client.id, clock().timestamp(), 10)
                .await
                .expect("an answer");
            assert!(
                matches!(&there[..], [(user, _)] if *user == renewed.user),
                "{days} days: an end of the client's tokens finds nobody: {there:?}"
            );
        }
    }

    #[actix_web::test]
    async fn a_client_that_has_lost_the_app_renews_nothing_and_once_it_has_it_again_the_login_goes_on()
     {
        let key =
            PrivateJwk::generate(Algorithm::Es256, now() - TimeDelta::hours(1)).expect("a key");
        let login = issuer(&key, ("WXMINT_TOKEN_TTL", "1h"))
            .login_parts()
            .expect("a worker");
        let (_, shown) = kept(&login).await;
        for (app, has_it) in [("wxfedcba9876543210", false), ("wx0123456789abcdef", true)] {
            let clients = renewing(app);
            let client = clients
                .get(&"grafana".parse().expect("an id"))
                .expect("the client");
            let answer = Renewals::of(&login).refresh(&shown, client).await;
            if has_it {
                assert!(answer.is_ok(), "{app}");
            } else {
                assert!(matches!(answer, Err(NotGiven::Revocation(_))), "{app}");
            }
        }
    }

    /// A file with a client of this app whose logins can be renewed.
    fn renewing(app: &str) -> Clients {
        let client = format!(
            r#"{{"client_id":"grafana","name":"Grafana","appid":"{app}","redirect_uris":["https://grafana.example.com/cb"],
                "secret_sha256":"{}","refresh":"30d"}}"#,
            "a".repeat(64)
        );
        Clients::parse(
            format!(r#"{{"clients":[{client}]}}"#).as_bytes(),
            Duration::MAX,
        )
        .expect("clients")
    }

    /// A new login of a person whose user id was computed, and its refresh token.
    async fn kept(login: &LoginParts) -> (Family, String) {
        let user = "user-1".parse().expect("a user");
        let client = "grafana".parse().expect("an id");
        let id = login
            .minter
            .token_id(&client_tag(&client), now())
            .expect("random");
        let first = login.minter.issued(user, client, id, now());
        let until = Some(first.issued_at + 30 * 86_400);
        let family = Family {
            first,
            app: "wx0123456789abcdef".parse().expect("an app"),
            mark: "computed".to_owned(),
            scope: "openid".to_owned(),
            until,
            key: hash("key"),
            is_told: false,
        };
        let shown = family::written(family.sid(), 1, "key", "secret");
        Families::of(login)
            .keep_family(&family, hash(&shown), now())
            .await
            .expect("kept");
        (family, shown)
    }

    /// The access token of a first renewal.
    async fn renewed(login: &LoginParts, family: &Family, shown: &str, client: &Client) -> Issued {
        Renewals::of(login)
            .renew_alone(family, shown, client)
            .await
            .expect("an answer")
            .expect("renewed");
        let rotation = Families::of(login)
            .find_rotation(family.sid(), 1)
            .await
            .expect("an answer");
        rotation.expect("given").token
    }

    #[derive(Clone, Default)]
    struct Calls(Rc<RefCell<Vec<&'static str>>>);

    impl wxmint_redis_link::Observer for Calls {
        fn call_ended(&self, call: &'static str, _: bool, _: Duration) {
            self.0.borrow_mut().push(call);
        }
    }

    /// The guess is counted against its address only after this, so limits could not help.
    #[actix_web::test]
    async fn a_guess_costs_one_read_and_writes_nothing() {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let calls = Calls::default();
        let mut login = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"))
            .login_parts()
            .expect("a worker");
        login.store = Store::new(
            &StoreAccess::in_memory(now),
            Duration::ZERO,
            now,
            calls.clone(),
        );
        let file = r#"{"clients":[{"client_id":"grafana","name":"Grafana","appid":"wx0123456789abcdef"}]}"#;
        let clients = Clients::parse(file.as_bytes(), Duration::MAX).expect("clients");
        let client = clients
            .get(&"grafana".parse().expect("an id"))
            .expect("the client");
        assert!(matches!(
            Renewals::of(&login)
                .refresh("sid~1~key~secret", client)
                .await,
            Err(NotGiven::Unknown)
        ));
        assert_eq!(*calls.0.borrow(), ["kept_text"]);
    }
}
