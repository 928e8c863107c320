//! The clock of Redis steps back, as in a failover to a machine whose clock is behind: that costs nobody a login, a token or a
//! session key, and an end ends what the clock has dated before.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    APPID, Answer, BUSY, Builder, PATIENCE, RedisServer, Service, Sidecar, TestBed, command_on, decoded, eventually,
    movable_clock, until,
};

/// The clock of its Redis can be moved.
async fn with_movable_clock(builder: Builder) -> (TestBed, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (builder.redis_options(&[&movable_clock(folder.path())]).start().await, folder)
}

async fn bed(variables: &[(&str, &str)]) -> (TestBed, TempDir) {
    with_movable_clock(TestBed::builder().envs(variables)).await
}

fn seconds(login: &Answer, claim: &str) -> i64 {
    login.claims()[claim].as_i64().expect("seconds")
}

async fn until_refused(follower: &Sidecar, ended: &Answer) {
    let token = ended.member("access_token");
    let is_refused = async || follower.verify(&token).await.status == 401;
    until("the follower knows the end", BUSY + Duration::from_secs(10), is_refused).await;
}

/// `ended` is known to be ended by then.
async fn is_accepted_by_followers(bed: &TestBed, login: &Answer, ended: &Answer) {
    let follower = bed.sidecar().ready().await;
    until_refused(&follower, ended).await;
    let answer = follower.verify(&login.member("access_token")).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", login.claims());
}

#[tokio::test]
async fn logins_that_end_earlier_tokens_get_good_ones() {
    let (bed, _folder) = bed(&[("WXMINT_ONE_LOGIN", "true")]).await;
    let mut before = bed.log_in("lin").await.expect_login();
    let first = before.clone();
    for _ in 0..3 {
        bed.redis.move_clock(-300);
        let login = bed.log_in("lin").await.expect_login();
        assert!(bed.accepts(&login).await && !bed.accepts(&before).await, "{}", login.claims());
        assert_eq!(seconds(&login, "iat"), seconds(&first, "iat"), "no later than it has to be");
        assert!(seconds(&login, "exp") < seconds(&first, "exp"), "as if it were not dated ahead");
        before = login;
    }
    is_accepted_by_followers(&bed, &before, &first).await;
}

#[tokio::test]
async fn a_user_who_was_logged_out_everywhere_logs_in_again() {
    let (bed, _folder) = bed(&[]).await;
    let first = bed.log_in("lin").await.expect_login();
    let mut last = first.clone();
    for behind in [0, -300] {
        bed.redis.move_clock(behind);
        bed.log_in("mei").await.expect_login();
        bed.log_out(&last, true).await;
        // A process that has not seen the clock from before.
        let other = Service::start(&bed.configuration, bed.http.clone()).await;
        other.ready().await;
        for later in [0, 5, 10] {
            bed.redis.move_clock(behind + later);
            last = other.login(&bed.mint_code("lin").await).await.expect_login();
            assert!(bed.accepts(&last).await, "{behind} s, and {later} s later: {}", last.claims());
        }
    }
    is_accepted_by_followers(&bed, &last, &first).await;
    bed.log_out(&last, true).await;
    assert!(!bed.accepts(&last).await, "its end names it, though it is dated ahead");
}

#[tokio::test]
async fn a_token_that_would_be_dated_later_than_verifiers_accept_is_not_issued_until_then() {
    let (bed, _folder) = bed(&[]).await;
    let user = bed.log_in("lin").await.expect_login().member("user_id");
    bed.redis.move_clock(300);
    let ended = command_on(&bed.redis.url(), &["users", "end", &user]).output().expect("wxmint runs");
    assert!(ended.status.success(), "{ended:?}");
    bed.redis.move_clock(0);
    let refused = bed.log_in("lin").await.expect_problem(503, "store_unavailable");
    let wait = refused.header("retry-after").parse::<u64>().expect("seconds");
    assert!((230..=241).contains(&wait), "{wait}");
    bed.log_in("mei").await.expect_login();
    bed.redis.move_clock(280);
    let login = bed.log_in("lin").await.expect_login();
    assert!(seconds(&login, "iat") > wxmint::clock::now().timestamp() + 250, "{}", login.claims());
}

/// The ban, as far as the process has seen the clock before: a command that is started afterwards has not.
#[tokio::test]
async fn a_ban_ends_the_tokens_that_the_clock_has_dated_before_and_an_access_token_from_before_is_renewed_once() {
    const SECRET: &str = "planted-secret-of-an-operator-77e1";
    let (bed, _clock) =
        with_movable_clock(TestBed::builder().operators(&format!("on-call {SECRET} read,operate,wechat\n"))).await;
    let path = format!("/wechat/{APPID}/access-token");
    let access_token = async || {
        let lent = bed.service().operate("GET", &path, SECRET, &Value::Null).await;
        let left = lent.json()["expires_in"].as_u64().expect("seconds");
        (left <= 7200, bed.wechat.asked("/cgi-bin/stable_token").await)
    };
    let (login, (_, fetched)) = (bed.log_in("lin").await.expect_login(), access_token().await);
    bed.redis.move_clock(-20);
    bed.log_in("mei").await.expect_login();
    assert_eq!([access_token().await, access_token().await], [(true, fetched + 1); 2]);
    let path = format!("/users/{}/block", login.member("user_id"));
    assert_eq!(bed.service().operate("PUT", &path, SECRET, &Value::Null).await.status, 204);
    assert!(!bed.accepts(&login).await);
}

#[tokio::test]
async fn the_session_key_of_the_newest_login_is_the_current_one_and_verifiers_go_on_learning_of_ends() {
    let (bed, _folder) = bed(&[]).await;
    let first = bed.log_in("lin").await.expect_login();
    let follower = bed.sidecar().ready().await;
    bed.log_in("lin").await.expect_login();
    bed.redis.move_clock(-300);
    for _ in 0..2 {
        let token = bed.log_in("lin").await.expect_login().member("access_token");
        let session = bed.service().ask("GET", "/wechat/session", &token, &Value::Null).await;
        assert_eq!((session.status, session.json()), (200, json!({"valid": true})), "WeChat knows this key alone");
    }
    bed.log_out(&first, false).await;
    // Verifiers take no page that is dated a minute before one that they have.
    until_refused(&follower, &first).await;
    let page = bed.http.get(&bed.service().url("/revocations")).await.body;
    let behind = wxmint::clock::now().timestamp() - decoded(&page).1["iat"].as_i64().expect("seconds");
    assert!((-1..=10).contains(&behind), "{behind} s");
}

#[tokio::test]
async fn neither_an_address_nor_a_person_is_limited_by_what_was_counted_before() {
    for limit in ["WXMINT_LIMIT_IP", "WXMINT_LIMIT_OPENID"] {
        let (bed, _folder) = bed(&[(limit, "3/5m")]).await;
        for _ in 0..3 {
            bed.log_in("lin").await.expect_login();
        }
        bed.log_in("lin").await.expect_problem(429, "rate_limited");
        bed.redis.move_clock(-400);
        // The first one is counted by what this process knows of the time, and says that the clock has stepped back.
        eventually("a login", PATIENCE, async || (bed.log_in("lin").await.status == 200).then_some(())).await;
        bed.redis.move_clock(0);
        bed.log_in("mei").await.expect_login();
    }
}

/// A frozen replica keeps nobody out: what a failover would take back leaves an older token alive.
#[tokio::test]
async fn with_one_login_a_login_waits_for_no_replica() {
    let bed = TestBed::builder().env("WXMINT_ONE_LOGIN", "true").start().await;
    bed.log_in("lin").await.expect_login();
    let replica = RedisServer::replica_of(&bed.redis).await;
    replica.freeze();
    let before = bed.log_in("lin").await.expect_login();
    let login = bed.log_in("lin").await.expect_login();
    assert!(bed.accepts(&login).await && !bed.accepts(&before).await);
    // What was answered as logged out is certain, although its token was ended before.
    let refused = bed.service().ask("POST", "/logout", &before.member("access_token"), &Value::Null).await;
    refused.expect_problem(503, "store_unavailable");
    replica.thaw();
    eventually("the logout is confirmed", PATIENCE, async || {
        let answer = bed.service().ask("POST", "/logout", &before.member("access_token"), &Value::Null).await;
        (answer.status == 204).then_some(())
    })
    .await;
    is_accepted_by_followers(&bed, &login, &before).await;
}
