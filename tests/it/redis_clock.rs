//! The clock of Redis steps back, as in a failover to a machine whose clock is behind: that costs nobody a login, a
//! token or a session key, and an end ends what the clock has dated before.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Answer, BUSY, Builder, PATIENCE, RedisServer, Service, Sidecar, TestBed, command_on, decoded, eventually,
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

const EIGHT_HOURS: i64 = 8 * 3600;

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

/// The logins of somebody who has logged out, everywhere or not, and of a blocked user.
async fn three_ended(bed: &TestBed) -> Vec<Answer> {
    let [lin, mei, zhao] = ["lin", "mei", "zhao"].map(|person| async { bed.log_in(person).await.expect_login() });
    let ended = vec![lin.await, mei.await, zhao.await];
    bed.log_out(&ended[0], false).await;
    bed.log_out(&ended[1], true).await;
    users(bed, "block", &ended[2], true);
    ended
}

/// The machine of Redis has local time in its hardware clock, and NTP has not come yet.
#[tokio::test]
async fn a_clock_hours_ahead_brings_no_ended_token_back_and_locks_nobody_out_later() {
    for one_login in ["false", "true"] {
        let (bed, _folder) = bed(&[("WXMINT_ONE_LOGIN", one_login)]).await;
        let ended = three_ended(&bed).await;
        let good = [bed.log_in("bao").await.expect_login(), bed.log_in("an").await.expect_login()];
        let follower = bed.sidecar().ready().await;
        for login in &ended {
            until_refused(&follower, login).await;
        }

        bed.redis.move_clock(EIGHT_HOURS);
        until("wxmint is not ready and names the clock", PATIENCE, async || {
            let readyz = bed.service().readyz().await;
            readyz.status == 503 && readyz.body.contains("behind the clock of Redis")
        })
        .await;
        for login in &ended {
            assert!(!bed.accepts(login).await, "{}", login.claims());
        }
        bed.log_in("lin").await.expect_problem(503, "store_unavailable");
        for (everywhere, login) in [false, true].into_iter().zip(&good) {
            let asked = json!({"everywhere": everywhere});
            let refused = bed.service().ask("POST", "/logout", &login.member("access_token"), &asked).await;
            let refused = refused.expect_problem(503, "store_unavailable");
            assert_eq!(refused.header("retry-after"), "1");
        }
        users(&bed, "end", &good[0], false);
        assert!(!feed(&bed).await.is_empty(), "verifiers that start now learn of the ends");

        bed.redis.move_clock(0);
        bed.service().ready().await;
        for person in ["lin", "mei", "bao", "an"] {
            let login = bed.log_in(person).await.expect_login();
            assert!(bed.accepts(&login).await && follower.verify(&login.member("access_token")).await.status == 200);
        }
        let late = bed.sidecar().ready().await;
        for login in &ended {
            until_refused(&late, login).await;
            assert!(!bed.accepts(login).await && follower.verify(&login.member("access_token")).await.status == 401);
        }
    }
}

async fn feed(bed: &TestBed) -> Vec<Value> {
    let page = bed.http.get(&bed.service().url("/revocations")).await.body;
    decoded(&page).1["ended"].as_array().expect("a list").clone()
}

/// By the command, a process that has not seen the clock from before.
fn users(bed: &TestBed, act: &str, login: &Answer, succeeds: bool) {
    let output = command_on(&bed.redis.url(), &["users", act, &login.member("user_id")]).output().expect("wxmint runs");
    assert_eq!(output.status.success(), succeeds, "{output:?}");
}

/// Each end of a token that was dated five seconds before the clock stepped back, by a process without a login since.
#[tokio::test]
async fn an_end_after_a_step_back_reaches_to_the_last_login_at_every_process() {
    const SECRET: &str = "planted-secret-of-an-operator-77e1";
    let (bed, _clock) = with_movable_clock(TestBed::builder().operators(&format!("on-call {SECRET} operate\n"))).await;
    let mut logins = Vec::new();
    for person in ["by command", "by an operator", "everywhere", "an unbinding", "a person's", "a ban"] {
        logins.push(bed.log_in(person).await.expect_login());
    }
    let follower = bed.sidecar().ready().await;
    for behind in [-5, -300] {
        bed.redis.move_clock(behind);
        let fresh = Service::start(&bed.configuration, bed.http.clone()).await;
        fresh.ready().await;
        let [command, operator, everywhere, unbinding, person, ban] = &logins[..] else { panic!("six") };
        users(&bed, "block", command, true);
        let of_user = |login: &Answer, act: &str| format!("/users/{}/{act}", login.member("user_id"));
        for (method, path) in
            [("POST", of_user(operator, "end")), ("PUT", of_user(ban, "block")), ("POST", of_user(person, "end"))]
        {
            assert_eq!(fresh.operate(method, &path, SECRET, &Value::Null).await.status, 204, "{path}");
        }
        for (login, method, path) in [(everywhere, "POST", "/logout"), (unbinding, "DELETE", "/binding")] {
            let token = login.member("access_token");
            assert_eq!(fresh.ask(method, path, &token, &json!({"everywhere": true})).await.status, 204, "{path}");
        }
        for login in &logins {
            assert!(!bed.accepts(login).await, "{behind}: {}", login.claims());
            until_refused(&follower, login).await;
        }
        logins.clear();
        for person in ["f", "g", "h", "i", "j", "k"] {
            logins.push(bed.log_in(&format!("{person}{behind}")).await.expect_login());
        }
    }
}

/// Somebody deletes the keys, or a failover has lost them.
#[tokio::test]
async fn ends_that_redis_has_lost_are_made_again_by_a_process_that_has_seen_them() {
    let bed = TestBed::start().await;
    let (one, all) = (bed.log_in("lin").await.expect_login(), bed.log_in("mei").await.expect_login());
    bed.log_out(&one, false).await;
    bed.log_out(&all, true).await;
    // Nobody else reads the stream.
    let reads = || bed.redis.calls().get("xrange").copied().unwrap_or_default();
    let before = reads();
    until("wxmint has read the stream twice", PATIENCE, async || reads() >= before + 4).await;
    let keys: Vec<String> = bed.redis.command(&["KEYS", "wxmint:*end*"]);
    assert!(keys.len() >= 3, "{keys:?}");
    for key in &keys {
        bed.redis.command::<()>(&["DEL", key]);
    }
    let late = bed.sidecar().ready().await;
    for login in [&one, &all] {
        until("wxmint knows the end again", PATIENCE, async || !bed.accepts(login).await).await;
        until_refused(&late, login).await;
    }
    bed.service().says("Redis has lost revocations").await;
}

fn info(bed: &TestBed, section: &str, name: &str) -> u64 {
    let info: String = bed.redis.command(&["INFO", section]);
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("a line").trim().parse().expect("a number")
}

/// Filled by strangers until Redis evicts whatever expires, under the policy that several clouds have by default.
#[tokio::test]
async fn a_full_redis_that_evicts_what_expires_keeps_every_end() {
    let bed = TestBed::builder().redis_options(&["--maxmemory-policy", "volatile-lru"]).start().await;
    let ended = three_ended(&bed).await;
    let used = info(&bed, "memory", "used_memory");
    bed.redis.command::<()>(&["CONFIG", "SET", "maxmemory", &(used + 300_000).to_string()]);
    let fill = "for i = 1, 200 do redis.call('SET', KEYS[1] .. i, string.rep('x', 100), 'EX', 600) end return 1";
    for stranger in 0..100 {
        bed.redis.command::<i64>(&["EVAL", fill, "1", &format!("wxmint:limit:stranger-{stranger}:")]);
    }
    assert!(info(&bed, "stats", "evicted_keys") > 1_000, "Redis evicts");
    for login in &ended {
        assert!(!bed.accepts(login).await, "{}", login.claims());
    }
    assert!(feed(&bed).await.len() >= 3);
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
    // A logout that was answered is certain, although its token was ended before.
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
