//! Law 8: what has been revoked stays revoked. A token acts on the binding that it was issued under, not on a later
//! one.

use super::*;
use crate::support::redis_keys;
use crate::user_data::{PHONE, RESET, SESSION, endpoints, wechat::session_key};

fn token_of(login: &Answer) -> String {
    login.clone().expect_login().member("access_token")
}

impl TestBed {
    /// The token may do nothing, on whosever behalf.
    async fn expect_refused_everywhere(&self, token: &str) {
        for (method, path, body) in endpoints() {
            self.service()
                .ask(method, path, token, &body)
                .await
                .expect_problem(401, "invalid_token");
        }
    }
}

#[tokio::test]
async fn a_token_from_before_an_unbinding_is_revoked_for_its_persons_next_user_under_auto_and_for_the_same_one_again()
 {
    for (environment, proof) in [
        (&[("WXMINT_ACCOUNTS", "auto")][..], json!({})),
        (&[], password_of("alice")),
    ] {
        let bed = business(environment).await;
        let old = bed.enter("lin", proof.clone()).await;
        bed.dissolve(&old).await;
        let new = bed.enter("lin", proof).await;
        assert_eq!(user_of(&new).0 == user_of(&old).0, environment.is_empty());
        bed.expect_refused_everywhere(&token_of(&old)).await;
        // Also if a failover has taken back the end: the token names the binding that it was issued under.
        bed.redis
            .command::<()>(&["DEL", &redis_keys::revocations_of(&user_of(&old).0)]);
        bed.expect_refused_everywhere(&token_of(&old)).await;
        let valid = bed
            .service()
            .ask("GET", SESSION, &token_of(&new), &Value::Null)
            .await;
        assert_eq!(
            (valid.status, valid.json()),
            (200, json!({"valid": true})),
            "{valid:?}"
        );
    }
}

#[tokio::test]
async fn each_of_a_users_people_has_tokens_that_act_on_this_person_alone() {
    let bed = business(&[("WXMINT_BINDINGS_PER_USER", "2")]).await;
    for person in ["lin", "mei"] {
        is_users(&bed.enter(person, password_of("alice")).await, "alice");
    }
    for (person, other) in [("lin", "mei"), ("mei", "lin")] {
        let token = token_of(&bed.silent(person).await);
        let keys = async || {
            (
                session_key(&bed, person).await,
                session_key(&bed, other).await,
            )
        };
        let before = keys().await;
        assert_eq!(
            bed.service()
                .ask("POST", RESET, &token, &Value::Null)
                .await
                .status,
            204
        );
        let after = keys().await;
        assert!(
            before.0 != after.0 && before.1 == after.1,
            "{person}'s own alone"
        );
    }
    let leaving = bed.silent("mei").await;
    bed.dissolve(&leaving).await;
    bed.silent("mei")
        .await
        .expect_problem(403, "binding_required");
    is_users(&bed.silent("lin").await, "alice");
}

#[tokio::test]
async fn calls_by_token_keep_to_the_persons_limit_each_kind_by_itself() {
    let bed = business(&[("WXMINT_LIMIT_OPENID", "3/1h")]).await;
    let lin = token_of(&bed.enter("lin", password_of("alice")).await);
    let mei = token_of(&bed.enter("mei", password_of("bob")).await);
    let (code, data) = (
        json!({"code": "no-code-of-the-button"}),
        json!({"rawData": "{}", "signature": "0".repeat(40)}),
    );
    for (method, path, body, asked, times) in [
        ("POST", PHONE, &code, "/wxa/business/getuserphonenumber", 3),
        ("GET", SESSION, &Value::Null, "/wxa/checksession", 3),
        ("POST", RESET, &Value::Null, "/wxa/resetusersessionkey", 3),
        // WeChat is asked nothing: of before, with mei's.
        (
            "POST",
            "/wechat/userdata",
            &data,
            "/wxa/resetusersessionkey",
            4,
        ),
    ] {
        let mut refused = 0;
        for _ in 0..10 {
            let answer = bed.service().ask(method, path, &lin, body).await;
            refused += usize::from(answer.status == 429 && answer.member("code") == "rate_limited");
        }
        assert_eq!(
            (refused, bed.wechat.asked(asked).await),
            (7, times),
            "{path}"
        );
        assert_ne!(
            bed.service().ask(method, path, &mei, body).await.status,
            429,
            "{path}: nobody else is held up"
        );
    }
}
