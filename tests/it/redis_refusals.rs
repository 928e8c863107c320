//! Redis refuses one command of a request, each of them in turn: what was not done is not answered as done. And the
//! answer to each of them is lost in turn: the request is done all the same.

use std::cell::RefCell;

use crate::clouds::proxy::{Fate, Product, Proxy};
use crate::support::prelude::*;

/// More than any request asks Redis.
const MOST: u64 = 50;
const TIMES: u32 = 6;
/// Notes that no end names a login's token, so that the next ones need not ask. A slow first login does so too.
const NOTED_AS_NOT_ENDED: &str = "EVAL 1 binding";
/// Whoever repeats these without more has nothing left to show: the ticket, or the key that WeChat has replaced.
const SPENT: [&str; 2] = ["a ticket", "POST /wechat/session/reset null"];

async fn refusing(builder: Builder) -> TestBed<Proxy> {
    // Whether replicas confirm is another matter.
    let builder = builder
        .two_apps()
        .operator()
        .envs(&[("WXMINT_REDIS_CONFIRM", "0"), ONE_THREAD]);
    builder.start_on(Proxy::before(Product::Redis).await).await
}

/// The name of somebody new.
fn new_person() -> String {
    format!("person-{}", fastrand::u64(..))
}

impl TestBed<Proxy> {
    /// Somebody who has logged in, in both apps.
    async fn somebody(&self) -> (String, Answer) {
        let person = new_person();
        self.log_in_at(OTHER_APPID, &person, json!({}))
            .await
            .expect_login();
        let login = self
            .log_in_at(APPID, &person, json!({}))
            .await
            .expect_login();
        (person, login)
    }

    /// Repeats `act` with the answer to each command of Redis lost in turn, which it survives, and with each refused in
    /// turn: the answer is 503, unless the command is `needless`.
    async fn expect_refused<T: Clone>(
        &self,
        what: &str,
        needless: &[&str],
        prepare: impl AsyncFn() -> T,
        act: impl AsyncFn(T) -> Answer,
    ) {
        // Scripts are loaded, and what is fetched once is there.
        let first = act(prepare().await).await;
        assert!(first.status < 300, "{what}: {first:?}");
        let mut done_without = BTreeSet::new();
        for number in 1..MOST {
            let prepared = prepare().await;
            self.redis.plant(number, Fate::Unanswered);
            let answer = act(prepared).await;
            let lost = self.redis.has_met();
            assert!(
                answer.status < 300,
                "{what}, after a lost answer to {lost:?}: {answer:?}"
            );
            // Several times, because the service looks at Redis by itself now and then, and a busy machine is slow.
            for time in 1..=TIMES {
                let prepared = prepare().await;
                self.redis.plant(number, Fate::Refused);
                let answer = act(prepared.clone()).await;
                let Some(refused) = self.redis.has_met() else {
                    return assert_eq!(done_without, BTreeSet::new(), "{what}");
                };
                if answer.status == 503 {
                    answer.expect_problem(503, "store_unavailable");
                    let again = act(prepared).await;
                    assert!(
                        again.status < 300 || SPENT.contains(&what),
                        "{what}, again after {refused}: {again:?}"
                    );
                    break;
                }
                assert!(answer.status < 300, "{what} without {refused}: {answer:?}");
                if needless.contains(&refused.as_str()) {
                    break;
                }
                if time == TIMES {
                    done_without.insert(refused);
                }
            }
        }
        panic!("{what} takes more than {MOST} commands");
    }
}

#[tokio::test]
async fn what_redis_refuses_of_a_persons_request_is_not_answered_as_done() {
    let bed = refusing(TestBed::builder()).await;
    let log_in = async |person: String| bed.log_in_at(APPID, &person, json!({})).await;
    bed.expect_refused("a first login", &[], async || new_person(), &log_in)
        .await;
    let known = async || bed.somebody().await.0;
    bed.expect_refused("a login", &[NOTED_AS_NOT_ENDED], known, &log_in)
        .await;
    for (method, path, body, needless) in [
        // That the end is in the feed is noted last. Otherwise a repetition writes it there again.
        ("POST", "/logout", Value::Null, &["SET"][..]),
        ("POST", "/logout", json!({"everywhere": true}), &[]),
        // Whether nobody is left, so that what is kept of the user may expire, and of which clients the user has had
        // tokens, which is forgotten by its date otherwise.
        (
            "DELETE",
            "/binding",
            Value::Null,
            &["HGETALL", "HLEN", "ZRANGE"],
        ),
        ("GET", "/wechat/session", Value::Null, &[]),
        ("POST", "/wechat/session/reset", Value::Null, &[]),
    ] {
        let what = format!("{method} {path} {body}");
        let ask = async |token: String| bed.service().ask(method, path, &token, &body).await;
        let token = async || bed.somebody().await.1.member("access_token");
        bed.expect_refused(&what, needless, token, ask).await;
    }
    let prepare = async || {
        let (person, login) = bed.somebody().await;
        (
            login,
            bed.wechat
                .hand_over(json!({"person": person, "kind": "user_info"}))
                .await,
        )
    };
    let open = async |(login, handed): (Answer, Value)| {
        let data = json!({"encryptedData": handed["encryptedData"], "iv": handed["iv"]});
        bed.service()
            .ask(
                "POST",
                "/wechat/userdata",
                &login.member("access_token"),
                &data,
            )
            .await
    };
    bed.expect_refused("user data", &[], prepare, open).await;
}

/// WeChat was not reached, and Redis refuses one command of the login, such as the one that gives the code back. The
/// code is good still; at its end the bed looks for it in the log.
#[tokio::test]
async fn a_code_that_was_not_sent_and_cannot_be_given_back_stands_in_no_log() {
    let bed = refusing(TestBed::builder().breakable_wechat()).await;
    bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
    bed.wechat_link().cut().await;
    let told = || {
        bed.service()
            .log()
            .contains("a login code that was not sent could not be given back")
    };
    until("it cannot be given back", PATIENCE, async || {
        for number in 1..MOST {
            bed.redis.plant(number, Fate::Refused);
            assert_eq!(bed.log_in_at(APPID, "lin", json!({})).await.status, 503);
            if bed.redis.has_met().is_none() || told() {
                break;
            }
        }
        told()
    })
    .await;
}

#[tokio::test]
async fn what_redis_refuses_of_a_login_with_credentials_or_of_one_login_is_not_answered_as_done() {
    let bed = refusing(
        TestBed::builder()
            .users(&["alice"])
            .env("WXMINT_BINDINGS_PER_USER", "1000"),
    )
    .await;
    let log_in = async |person: String| bed.log_in_at(APPID, &person, password_of("alice")).await;
    bed.expect_refused(
        "a password",
        &[NOTED_AS_NOT_ENDED],
        async || new_person(),
        log_in,
    )
    .await;
    let ticket = async || {
        let asked = bed.log_in_at(APPID, &new_person(), json!({})).await;
        asked
            .expect_problem(403, "binding_required")
            .member("bind_ticket")
    };
    let redeem = async |ticket: String| {
        let mut body = password_of("alice");
        body["bind_ticket"] = ticket.into();
        bed.service().log_in_with(&body).await
    };
    bed.expect_refused("a ticket", &[NOTED_AS_NOT_ENDED], ticket, redeem)
        .await;

    let bed = refusing(TestBed::builder().env("WXMINT_SINGLE_SESSION", "true")).await;
    let log_in = async |person: String| bed.log_in_at(APPID, &person, json!({})).await;
    // That what is kept of the ends expires sooner; and as after a logout, of a token of the same second.
    let needless = ["EXPIRE", "SET", NOTED_AS_NOT_ENDED];
    bed.expect_refused(
        "one login",
        &needless,
        async || bed.somebody().await.0,
        log_in,
    )
    .await;
}

/// And an erasure that was refused at any step, or whose answer was lost, is finished by a repetition. A dissolution
/// that leaves nobody lets the user's list expire.
#[tokio::test(flavor = "multi_thread")]
async fn what_redis_refuses_of_an_operators_request_is_not_answered_as_done() {
    let bed = refusing(TestBed::builder()).await;
    let erasures = RefCell::new(Vec::new());
    let expect_lives_of = |pattern: &str, longest: i64| {
        for key in bed.redis.server.command::<Vec<String>>(&["KEYS", pattern]) {
            let ttl: i64 = bed.redis.server.command(&["TTL", &key]);
            assert!((0..=longest).contains(&ttl) || ttl == -2, "{key}: {ttl}");
        }
    };
    for (method, path) in [
        ("POST", "/users/USER/revoke"),
        ("PUT", "/users/USER/block"),
        ("DELETE", "/users/USER/block"),
        ("GET", "/users/USER"),
        ("DELETE", "/users/USER/wechat/APP"),
        ("GET", "/wechat/APP/people/PERSON"),
        ("POST", "/wechat/APP/people/PERSON/revoke"),
        ("DELETE", "/wechat/APP/people/PERSON"),
    ] {
        erasures.take();
        let prepare = async || {
            let (person, login) = bed.somebody().await;
            let openid = bed.wechat.openid(&person).await;
            let path = path
                .replace("USER", &login.member("user_id"))
                .replace("PERSON", &openid);
            if path.ends_with("/APP") {
                bed.operate(method, &path.replace("APP", OTHER_APPID)).await;
            }
            let path = path.replace("APP", APPID);
            erasures.borrow_mut().push((path.clone(), openid));
            path
        };
        let act = async |path: String| bed.operate(method, &path).await;
        bed.expect_refused(&format!("{method} {path}"), &[], prepare, act)
            .await;
    }
    expect_lives_of("wxmint:user:*:gone", 30 * 86_400);
    for (path, openid) in erasures.take() {
        bed.operate("GET", &path)
            .await
            .expect_problem(404, "person_not_found");
        expect_lives_of(&format!("*{openid}*"), 3600);
    }
}
