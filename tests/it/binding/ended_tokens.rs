//! Law 8: what has been ended stays ended. A token acts on the binding that it was issued under, not on a later one.

use super::*;
use crate::support::{clock_off_by, redis_keys};

const PHONE: &str = "/wechat/phone";
const SESSION: &str = "/wechat/session";
const RESET: &str = "/wechat/session/reset";

fn token_of(login: &Answer) -> String {
    login.clone().expect_login().member("access_token")
}

impl Business {
    async fn call(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        self.bed.service().ask(method, path, token, body).await
    }

    async fn log_out(&self, token: &str, everywhere: bool) -> Answer {
        self.call("POST", "/logout", token, &json!({"everywhere": everywhere})).await
    }

    async fn session_key_at_wechat(&self, person: &str) -> Value {
        self.bed.wechat.account_in(APPID, person).await["session_key"].clone()
    }

    /// The token may do nothing, on whosever behalf.
    async fn expect_ended(&self, token: &str) {
        for (method, path, body) in [
            ("POST", "/wechat/userdata", json!({"rawData": "{}", "signature": "0".repeat(40)})),
            ("POST", PHONE, json!({"code": "a-code-of-the-button"})),
            ("GET", SESSION, Value::Null),
            ("POST", RESET, Value::Null),
            ("POST", "/logout", json!({"everywhere": true})),
            ("DELETE", "/binding", Value::Null),
        ] {
            self.call(method, path, token, &body).await.expect_problem(401, "invalid_token");
        }
    }

    async fn expect_valid(&self, token: &str) {
        let answer = self.call("GET", SESSION, token, &Value::Null).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"valid": true})), "{answer:?}");
    }
}

/// Lin leaves, and mei becomes the user: neither of lin's tokens is worth anything from then on.
async fn a_successor_is_safe_from_old_tokens(business: &Business, as_alice: &Value) {
    let [one, other] = [business.log_in("lin", as_alice).await, business.log_in("lin", &json!({})).await];
    let user = user_of(&one).0;
    business.dissolve(&one).await;
    let (one, other) = (token_of(&one), token_of(&other));
    for old in [&one, &other] {
        business.expect_ended(old).await;
    }
    let successor = business.log_in("mei", as_alice).await;
    assert_eq!(user_of(&successor).0, user);
    let (successor, key) = (token_of(&successor), business.session_key_at_wechat("mei").await);
    for old in [&one, &other] {
        business.expect_ended(old).await;
        // An ended token can be logged out, which changes nothing.
        assert_eq!(business.log_out(old, false).await.status, 204);
        business.expect_valid(&successor).await;
    }
    assert_eq!(business.session_key_at_wechat("mei").await, key);
    is_same_user(&business.silent("mei").await, &user);
}

#[track_caller]
fn is_same_user(login: &Answer, user: &str) {
    assert_eq!(user_of(login), (user.to_owned(), false));
}

#[tokio::test]
async fn a_token_from_before_an_unbinding_does_nothing_to_who_is_bound_later() {
    a_successor_is_safe_from_old_tokens(&Business::start().await, &password_of("alice")).await;
}

#[tokio::test]
async fn a_token_from_before_an_unbinding_is_ended_for_its_persons_next_user_under_auto_and_for_the_same_one_again() {
    for (environment, proof) in [(&[("WXMINT_ACCOUNTS", "auto")][..], json!({})), (&[], password_of("alice"))] {
        let business = Business::with(environment).await;
        let old = business.log_in("lin", &proof).await;
        business.dissolve(&old).await;
        let new = business.log_in("lin", &proof).await;
        assert_eq!(user_of(&new).0 == user_of(&old).0, environment.is_empty());
        business.expect_ended(&token_of(&old)).await;
        // Also if a failover has taken back the end: the token names the binding that it was issued under.
        business.bed.redis.command::<()>(&["DEL", &redis_keys::ends_of(&user_of(&old).0)]);
        business.expect_ended(&token_of(&old)).await;
        business.expect_valid(&token_of(&new)).await;
    }
}

#[tokio::test]
async fn each_of_a_users_people_has_tokens_that_act_on_this_person_alone() {
    let business = Business::with(&[("WXMINT_BINDINGS_PER_USER", "2")]).await;
    for person in ["lin", "mei"] {
        is_users(&business.log_in(person, &password_of("alice")).await, "alice");
    }
    for (person, other) in [("lin", "mei"), ("mei", "lin")] {
        let token = token_of(&business.silent(person).await);
        let (own_before, others_before) =
            (business.session_key_at_wechat(person).await, business.session_key_at_wechat(other).await);
        assert_eq!(business.call("POST", RESET, &token, &Value::Null).await.status, 204);
        assert_ne!(business.session_key_at_wechat(person).await, own_before);
        assert_eq!(business.session_key_at_wechat(other).await, others_before);
    }
    let leaving = business.silent("mei").await;
    business.dissolve(&leaving).await;
    business.silent("mei").await.expect_problem(403, "binding_required");
    is_users(&business.silent("lin").await, "alice");
}

#[tokio::test]
async fn a_logout_may_be_repeated_and_a_repetition_ends_nothing_more() {
    let business = Business::start().await;
    let first = token_of(&business.log_in("lin", &password_of("alice")).await);
    let second = token_of(&business.silent("lin").await);
    for _ in 0..3 {
        assert_eq!(business.log_out(&first, false).await.status, 204);
    }
    business.log_out(&first, true).await.expect_problem(401, "invalid_token");
    // The logout has forgotten the session key, not the other token.
    assert_eq!(business.call("GET", SESSION, &second, &Value::Null).await.status, 200);
    assert_eq!(business.log_out(&second, true).await.status, 204);
    // Tokens of the very second of the logout are ended with it.
    let later = eventually("a login of a later second", PATIENCE, async || {
        let token = token_of(&business.silent("lin").await);
        (business.call("GET", SESSION, &token, &Value::Null).await.status == 200).then_some(token)
    });
    let later = later.await;
    for _ in 0..2 {
        assert_eq!(business.log_out(&second, true).await.status, 204);
        business.expect_valid(&later).await;
    }
}

#[tokio::test]
async fn calls_of_wechat_by_token_keep_to_the_persons_limit_each_kind_by_itself() {
    let business = Business::with(&[("WXMINT_LIMIT_OPENID", "3/1h")]).await;
    let (lin, mei) = (token_of(&business.log_in("lin", &password_of("alice")).await), {
        token_of(&business.log_in("mei", &password_of("bob")).await)
    });
    let code = json!({"code": "no-code-of-the-button"});
    for (method, path, body, asked) in [
        ("POST", PHONE, &code, "/wxa/business/getuserphonenumber"),
        ("GET", SESSION, &Value::Null, "/wxa/checksession"),
        ("POST", RESET, &Value::Null, "/wxa/resetusersessionkey"),
    ] {
        let mut refused = 0;
        for _ in 0..10 {
            let answer = business.call(method, path, &lin, body).await;
            if answer.status == 429 {
                answer.expect_problem(429, "rate_limited");
                refused += 1;
            }
        }
        assert_eq!((refused, business.bed.wechat.asked(asked).await), (7, 3), "{path}");
        assert_ne!(business.call(method, path, &mei, body).await.status, 429, "{path}: nobody else is held up");
    }
}

/// A replica whose clock is ahead dates no token by it, so that a logout at another replica ends the token.
#[tokio::test]
async fn tokens_and_ends_are_dated_by_the_clock_of_redis_and_a_distant_clock_is_told() {
    let clock = clock_off_by("+30s");
    let business = Business::with(&clock.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    let before = wxmint::clock::now().timestamp();
    let login = business.log_in("lin", &password_of("alice")).await;
    let token = token_of(&login);
    let claims = login.claims();
    let iat = claims["iat"].as_i64().expect("a number");
    assert!((before..=wxmint::clock::now().timestamp()).contains(&iat), "{claims}");
    business.expect_valid(&token).await;
    assert_eq!(business.log_out(&token, true).await.status, 204);
    business.call("GET", SESSION, &token, &Value::Null).await.expect_problem(401, "invalid_token");

    business.bed.service().says("the clock of this machine is far from the clock of Redis").await;
    assert!(business.bed.service().metrics().await.contains("wxmint_distant_clocks_total 1"));
}
