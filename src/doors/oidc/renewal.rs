//! A site renews its tokens by a refresh token. Everything is asked for that can have ended the login.

use wxmint_keys::token::{ExtraClaims, Issued};
use wxmint_store::{Meter, TokenState, limits::Counted};
use wxmint_verify::MAX_LEEWAY;

use super::family::{self, Family, RefreshToken, Rotation, hash};
use super::grants::{NotGiven, Outcome, refresh_life};
use crate::doors::scan::{clients::Client, store::json, store::read};
use crate::login::{LoginError, LoginWorker, OPENID, Result, mark_of_client};

/// For so many seconds the same refresh token is answered the same: answers are lost.
const ANSWERED_AGAIN: i64 = 30;
/// Renewals, by user and client.
const RENEWALS: &str = "oidc-renewals";
/// Repetitions, by renewal.
const REPEATS: &str = "oidc-repeats";

impl LoginWorker {
    pub(super) async fn refresh(&self, shown: &str, client: &Client) -> Outcome {
        let Some(shown_token) = RefreshToken::read(shown) else { return Ok(Err(NotGiven::Unknown)) };
        let Some(family) = self.family_of(&shown_token, client).await? else { return Ok(Err(NotGiven::Unknown)) };
        let now = self.store.now();
        let until = refresh_life(client).map_or(0, |life| family.first.issued_at.saturating_add(life));
        let has_app = client.app == family.app || client.web_apps.contains(&family.app);
        // A client that has lost `refresh` or the app may have it again.
        if !has_app || now.timestamp() >= until.min(family.until.unwrap_or_default()) {
            return Ok(Err(NotGiven::Ended(Box::new(family.first))));
        }
        let before = self.find_rotation(family.sid(), shown_token.number - 1).await?;
        let before = before.filter(|before| before.next == hash(shown));
        let Some(before) = before else { return self.theft(&family).await };
        let counted = self.count_renewal(&family, shown_token.number).await?;
        // Before the ends are asked for: each later one names the token.
        let at = self.store.date_renewal(&family.first).await?;
        let Some(claims) = self.allowed(&family, &before).await? else {
            self.end_family(&family).await?;
            return Ok(Err(NotGiven::Ended(Box::new(family.first))));
        };
        let rotated = self.rotate(&family, &shown_token, client, at).await?;
        let Some((given, is_first)) = rotated else { return self.theft(&family).await };
        if let Some((meter, counted)) = counted.filter(|_| !is_first) {
            self.store.uncount(&meter, counted).await?;
        }
        // It may have been ended meanwhile, by somebody who has not seen this token.
        if self.find_family(family.sid()).await?.is_none() {
            self.end_if_alive(&given.token).await?;
            return Ok(Err(NotGiven::Ended(Box::new(family.first))));
        }
        self.give(client, &family, (given.token, Some(shown_token.next(&given.salt))), &claims, None, now).await
    }

    /// A renewal asks the account backend and ends a token for all verifiers, so that a person must not choose how
    /// often. A repetition asks again, and is counted apart, because tabs of one browser renew together.
    async fn count_renewal(&self, family: &Family, number: u32) -> Result<Option<(Meter, Counted)>> {
        let is_first = self.find_rotation(family.sid(), number).await?.is_none();
        let repeated = || (REPEATS, family::rotation_key(family.sid(), number));
        let (kind, name) = if is_first { (RENEWALS, family.list()) } else { repeated() };
        let meter = Meter::new(kind, name, self.policy.limit_openid);
        let counted = self.store.count(&meter).await?.map_err(LoginError::too_many(OPENID))?;
        Ok(is_first.then_some((meter, counted)))
    }

    /// The claims of the account backend, unless the login has ended, or the access token beside the refresh token.
    async fn allowed(&self, family: &Family, before: &Rotation) -> Result<Option<ExtraClaims>> {
        if !matches!(self.store.token_state(&before.token).await?, TokenState::People(_)) {
            return Ok(None);
        }
        let Some(bound) = self.bound_of(family).await? else { return Ok(None) };
        match self.allow(&bound, None).await {
            Ok(claims) => Ok(Some(claims)),
            Err(LoginError::Blocked | LoginError::ShutOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The client's family whose refresh token this is or was. It may be a guess, for which no replica is waited for.
    pub(super) async fn family_of(&self, token: &RefreshToken<'_>, of: &Client) -> Result<Option<Family>> {
        let found: Option<Family> = self.find(&family::key("family", token.sid)).await?;
        let is_own = |family: &Family| family.first.app == of.id.0 && family.key == hash(token.key);
        Ok(found.filter(|family| family.until.is_some() && is_own(family)))
    }

    /// A login that ends meanwhile looks the same, because what is kept of it goes. Then nobody has stolen anything.
    async fn theft(&self, family: &Family) -> Outcome {
        let (lives, first) = (self.find_family(family.sid()).await?.is_some(), Box::new(family.first.clone()));
        self.end_family(family).await?;
        Ok(Err(if lives { NotGiven::Theft(first) } else { NotGiven::Ended(first) }))
    }

    /// Uses a refresh token up, or finds what was given for it just before, and says which. `None` if it is longer ago.
    async fn rotate(
        &self,
        family: &Family,
        token: &RefreshToken<'_>,
        client: &Client,
        issued_at: i64,
    ) -> Result<Option<(Rotation, bool)>> {
        let (store, sid, number, now) = (&self.store, family.sid(), token.number, self.store.now());
        let (minter, salt) = (self.minter.with(&[], client.token_ttl), family::random());
        let own = Rotation {
            next: hash(&token.next(&salt)),
            salt,
            token: Issued {
                id: minter.token_id(&mark_of_client(&client.id.0), now)?,
                issued_at,
                // An end of the login finds its tokens as long as it can be renewed, and no longer.
                expires_at: (issued_at + minter.ttl().as_secs() as i64).min(family.until.unwrap_or_default()),
                ..family.first.clone()
            },
            given_at: Some(now.timestamp()),
        };
        let found = store.keep_first(&family::rotation_key(sid, number), &json(&own), family.life(now)).await?;
        if found.is_empty() {
            return Ok(None);
        }
        let given: Rotation = read(family::LOGIN, &found)?;
        let is_first = given.salt == own.salt;
        // The second renewal after this one has discarded what was given for it, so that a late repetition comes first.
        let is_late = is_first && self.find_rotation(sid, number - 1).await?.is_none();
        // The seconds of tokens stand still after Redis' clock has stepped back. Clocks of replicas differ by a minute.
        let by_own_clock = given.given_at.map_or(0, |at| (now - MAX_LEEWAY).timestamp() - at);
        if is_late || by_own_clock.max(issued_at - given.token.issued_at) > ANSWERED_AGAIN {
            return Ok(None);
        }
        store.keep(&family::key("sid", given.token.id.as_str()), sid, minter.ttl()).await?;
        if self.last_number(sid).await? < number {
            store.keep(&family::key("last", sid), &number.to_string(), family.life(now)).await?;
        }
        if let Some(old) = number.checked_sub(2) {
            self.end_old(family, old).await?;
        }
        Ok(Some((given, is_first)))
    }

    /// The token before the last is the oldest that anybody has honestly. The end of the first is the family's.
    async fn end_old(&self, family: &Family, number: u32) -> Result<()> {
        let Some(oldest) = self.find_rotation(family.sid(), number).await? else { return Ok(()) };
        if number > 0 {
            self.end_if_alive(&oldest.token).await?;
        }
        Ok(self.store.discard(&family::rotation_key(family.sid(), number)).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc, time::Duration};

    use chrono::TimeDelta;
    use wxmint_keys::PrivateJwk;
    use wxmint_store::{Redis, RedisAccess};
    use wxmint_verify::Algorithm;

    use super::*;
    use crate::clock::now;
    use crate::doors::scan::clients::Clients;
    use crate::issuer::caller::tests::issuer;

    /// The account service has answered the repetition so late. Its token would be one that no end of the login names,
    /// and the ends would miss the newest token, too.
    #[actix_web::test]
    async fn a_repetition_that_two_renewals_have_overtaken_is_theft() {
        let key = PrivateJwk::generate(Algorithm::Es256, now() - TimeDelta::hours(1)).expect("a key");
        let mut login = issuer(&key, ("WXMINT_TOKEN_TTL", "24h")).login_worker().expect("a worker");
        let store = login.store.clone();
        let file = r#"{"clients":[{"client_id":"grafana","name":"Grafana","appid":"wx0123456789abcdef"}]}"#;
        let clients = Clients::parse(file.as_bytes(), Duration::MAX).expect("clients");
        let client = clients.get(&"grafana".parse().expect("an id")).expect("the client");
        let id = login.minter.token_id("mark", now()).expect("random");
        let first = login.minter.issued("user-1".parse().expect("a user"), client.id.0.clone(), id, now());
        let at = first.issued_at;
        let (app, until) = ("wx0123456789abcdef".parse().expect("an app"), Some(at + 86_400));
        let (mark, scope, key) = ("mark".to_owned(), "openid".to_owned(), hash("key"));
        let family = Family { first, app, mark, scope, until, key };
        let mut shown = vec![family::written(family.sid(), 1, "key", "secret")];
        let start =
            Rotation { salt: String::new(), token: family.first.clone(), next: hash(&shown[0]), given_at: None };
        login
            .store
            .keep(&family::rotation_key(family.sid(), 0), &json(&start), Duration::from_secs(30))
            .await
            .expect("kept");

        let rotate = async |login: &LoginWorker, shown: &str| {
            let token = RefreshToken::read(shown).expect("a refresh token");
            login.rotate(&family, &token, client, at).await.expect("an answer").map(|(given, is_first)| {
                assert!(is_first || shown.contains("~2~"), "the second one is repeated");
                token.next(&given.salt)
            })
        };
        for _ in 0..2 {
            let next = rotate(&login, shown.last().expect("one")).await.expect("renewed");
            shown.push(next);
        }
        // The clock of Redis has stepped back meanwhile, and all tokens have the same second.
        for (later, is_answered) in [(-60, true), (0, true), (85, true), (95, false)] {
            login.store = store.at(now() + TimeDelta::seconds(later));
            let answer = is_answered.then(|| shown[2].clone());
            assert_eq!(rotate(&login, &shown[1]).await, answer, "an answer that was lost, {later} s later");
        }
        login.store = store;
        rotate(&login, &shown[2]).await.expect("renewed");
        assert_eq!(rotate(&login, &shown[0]).await, None, "too late");
        assert_eq!(login.last_number(family.sid()).await.expect("an answer"), 3);
        assert!(matches!(login.theft(&family).await, Ok(Err(NotGiven::Ended(_)))), "a logout came between");
        login
            .store
            .keep(&family::key("family", family.sid()), &json(&family), Duration::from_secs(30))
            .await
            .expect("kept");
        assert!(matches!(login.theft(&family).await, Ok(Err(NotGiven::Theft(_)))));
    }

    #[derive(Clone, Default)]
    struct Calls(Rc<RefCell<Vec<&'static str>>>);

    impl wxmint_redis_link::Observer for Calls {
        fn call_ended(&self, call: &'static str, _: bool, _: Duration) {
            self.0.borrow_mut().push(call);
        }
    }

    /// It is counted by its address only then, so that limits could not help.
    #[actix_web::test]
    async fn a_guess_costs_one_read_and_writes_nothing() {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let (calls, mut login) =
            (Calls::default(), issuer(&key, ("WXMINT_TOKEN_TTL", "24h")).login_worker().expect("a worker"));
        login.store = Redis::new(&RedisAccess::in_memory(now), Duration::ZERO, now, calls.clone());
        let file = r#"{"clients":[{"client_id":"grafana","name":"Grafana","appid":"wx0123456789abcdef"}]}"#;
        let clients = Clients::parse(file.as_bytes(), Duration::MAX).expect("clients");
        let client = clients.get(&"grafana".parse().expect("an id")).expect("the client");
        assert!(matches!(login.refresh("sid~1~key~secret", client).await, Ok(Err(NotGiven::Unknown))));
        assert_eq!(*calls.0.borrow(), ["kept_text"]);
    }
}
