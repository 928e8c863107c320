//! From a WeChat identity to a business user and back: binding by password and ticket, what a user and a person may
//! have, lost answers, several mini programs of one person, and what of it is written down for an auditor.

mod moved_apps;
mod revoked_tokens;
mod shut_out;
mod tickets;

use crate::support::prelude::*;

/// A service with two mini programs of one owner, and the users alice and bob.
async fn business(environment: &[(&str, &str)]) -> TestBed {
    let builder = TestBed::builder()
        .two_apps()
        .users(&["alice", "bob"])
        .breakable_redis()
        .breakable_wechat();
    builder.envs(environment).start().await
}

impl TestBed {
    /// A login in the first app, with `members` beside a fresh code.
    async fn enter(&self, person: &str, members: Value) -> Answer {
        self.log_in_at(APPID, person, members).await
    }

    async fn silent(&self, person: &str) -> Answer {
        self.enter(person, json!({})).await
    }

    /// The backend does not take what is beside the code: that is refused by name, before WeChat is asked.
    async fn takes_no(&self, field: &str, more: Value) {
        let refused = self
            .enter("lin", more)
            .await
            .expect_problem(400, "invalid_request");
        assert!(
            refused.member("detail").contains(&format!("`{field}`")),
            "{refused:?}"
        );
        assert_eq!(self.wechat.exchanges().await, 0);
    }

    /// The log line with this message, of the request that `answer` answers.
    async fn logged_of(&self, answer: &Answer, message: &str) -> Value {
        let id = answer.header("x-request-id");
        let line = async || {
            self.service()
                .told(message)
                .into_iter()
                .find(|line| line["request_id"] == id)
        };
        eventually(message, PATIENCE, line).await
    }
}

/// The user whose login it is, and whether it is new.
#[track_caller]
fn user_of(answer: &Answer) -> (String, bool) {
    let json = answer.clone().expect_login().json();
    (answer.member("user_id"), json["new_user"] == true)
}

#[track_caller]
fn is_users(answer: &Answer, name: &str) {
    assert_eq!(user_of(answer), (format!("id-of-{name}"), false));
}

#[tokio::test]
async fn name_and_password_beside_a_code_bind_a_person_to_a_user_and_then_the_code_is_enough_and_costs_redis_little()
 {
    let bed = business(&[]).await;
    bed.takes_no("phone_code", json!({"phone_code": "of the button"}))
        .await;
    is_users(&bed.enter("lin", password_of("alice")).await, "alice");
    for again in [json!({}), password_of("alice"), json!({})] {
        is_users(&bed.enter("lin", again).await, "alice");
    }
    let twenty = async || {
        for _ in 0..20 {
            is_users(&bed.silent("lin").await, "alice");
        }
    };
    bed.redis_link().expect_round_trips(2 * 20, twenty).await;
    // Redis is one thread for everybody. Commands within scripts count too.
    let before = bed.redis.calls();
    for _ in 0..3 {
        twenty().await;
    }
    let calls = bed.redis.calls_since(&before);
    assert!(calls.values().sum::<u64>() <= 12 * 60, "{calls:?}");

    // Nobody else is bound to either.
    bed.enter("lin", password_of("bob"))
        .await
        .expect_problem(409, "already_bound");
    bed.enter("mei", password_of("alice"))
        .await
        .expect_problem(409, "already_bound");
    bed.enter("lin", wrong_password_of("bob"))
        .await
        .expect_problem(403, "invalid_credentials");
    is_users(&bed.silent("lin").await, "alice");
    bed.silent("mei")
        .await
        .expect_problem(403, "binding_required");
    is_users(&bed.enter("mei", password_of("bob")).await, "bob");
}

/// benches/README.md says so.
#[tokio::test]
async fn a_first_login_takes_three_round_trips_more_and_six_with_a_unionid() {
    // If replicas may confirm, a last command says that they have, and nobody waits for its answer.
    let bed = business(&[("WXMINT_ACCOUNTS", "auto"), ("WXMINT_REDIS_CONFIRM", "0")]).await;
    bed.takes_no("password", password_of("alice")).await;
    bed.takes_no("phone_code", json!({"phone_code": "of the button"}))
        .await;
    for (given, round_trips) in [(false, 5), (true, 8)] {
        bed.wechat.names_unionids(APPID, given).await;
        // Scripts are loaded.
        bed.silent(&format!("earlier-{given}")).await.expect_login();
        let mut people = 0..;
        let ten = async || {
            for number in people.by_ref().take(10) {
                assert!(user_of(&bed.silent(&format!("person-{given}-{number}")).await).1);
            }
        };
        bed.redis_link()
            .expect_round_trips(10 * round_trips, ten)
            .await;
    }
}
