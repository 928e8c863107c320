//! What a logout costs Redis, and how often one person can log out: nobody slows others down by logging out.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::LocalSet;
use wxmint::{
    http::now,
    ids::{TokenId, UserId},
    store::{Ends, Issued, Redis, RedisAccess},
    telemetry::Metrics,
};

use crate::support::{APPID, Answer, PATIENCE, TestBed, until};

/// What one person can end in a day by logging in and out as often as the default limit allows.
const A_DAYS_WORTH: usize = 8_640;
/// The least of so many calls counts, because a busy machine interrupts some of them.
const CALLS: usize = 20;
/// Before the ends of tokens had keys of their own, a logout took Redis 4.8 ms after a day's worth.
const MOST: Duration = Duration::from_millis(1);

async fn ask(bed: &TestBed, method: &str, path: &str, login: &Answer) -> Answer {
    bed.service().ask(method, path, &login.member("access_token"), &Value::Null).await
}

/// The time that Redis has spent in commands. Those of a script count twice, because the script takes as long.
fn spent(bed: &TestBed) -> Duration {
    let stats: String = bed.redis.command(&["INFO", "commandstats"]);
    let commands = stats.lines().filter(|line| line.starts_with("cmdstat_") && !line.starts_with("cmdstat_info"));
    let micros = |line: &str| line.split_once("usec=")?.1.split(',').next()?.parse::<u64>().ok();
    Duration::from_micros(commands.filter_map(micros).sum())
}

/// The least time that Redis spends in a call.
async fn least(bed: &TestBed, method: &str, path: &str, logins: &[Answer]) -> Duration {
    let mut least = Duration::MAX;
    for login in logins {
        let before = spent(bed);
        assert!(ask(bed, method, path, login).await.status < 300);
        least = least.min(spent(bed) - before);
    }
    least
}

async fn log_in_often(bed: &TestBed, times: usize) -> Vec<Answer> {
    let mut logins = Vec::new();
    for code in bed.wechat.mint_codes(json!({"person": "lin", "count": times})).await {
        logins.push(bed.login(&code).await.expect_login());
    }
    logins
}

/// Ends tokens as `/logout` does.
async fn end_tokens(bed: &TestBed, user: &UserId, count: usize) {
    let access = RedisAccess::fixed(bed.redis.url().parse().expect("a URL"));
    let store = Redis::new(&access, Duration::from_secs(60), now, Metrics::default());
    let issued_at = now().timestamp();
    for number in 0..count {
        let id: TokenId = format!("token-{number:032}").parse().expect("a token id");
        let app = APPID.parse().expect("an AppID");
        let token = Issued { user: user.clone(), app, id, issued_at, expires_at: issued_at + 86_400 };
        until("a token is ended", PATIENCE, async || store.end_token(&token).await.is_ok()).await;
    }
}

#[tokio::test]
async fn a_logout_and_a_token_check_cost_redis_little_after_a_days_worth_of_logouts() {
    let bed = TestBed::builder().env("WXMINT_LIMIT_OPENID", "10000/1h").start().await;
    let logins = log_in_often(&bed, 2 * CALLS + 1).await;
    let (checked, rest) = logins.split_first().expect("a login");
    let (first, second) = rest.split_at(CALLS);
    let checks = vec![checked.clone(); CALLS];
    // The first call has Redis compile the scripts.
    let fresh = [least(&bed, "GET", "/wechat/session", &checks).await, least(&bed, "POST", "/logout", first).await];
    let user = checked.member("user_id").parse().expect("a user");
    LocalSet::new().run_until(end_tokens(&bed, &user, A_DAYS_WORTH)).await;
    log_in_often(&bed, 1).await;
    let after = [least(&bed, "GET", "/wechat/session", &checks).await, least(&bed, "POST", "/logout", second).await];
    println!("Redis spent {fresh:?} on a token check and a logout, and {after:?} after {A_DAYS_WORTH} logouts");
    assert!(after.iter().all(|spent| *spent < MOST), "{after:?}");
}

/// How often a limit refuses so many requests, one after the other.
async fn refusals(bed: &TestBed, method: &str, path: &str, logins: &[Answer]) -> usize {
    let mut refused = 0;
    for login in logins {
        let answer = ask(bed, method, path, login).await;
        if answer.status == 429 {
            answer.expect_problem(429, "rate_limited");
            refused += 1;
        } else {
            assert_eq!(answer.status, 204, "{answer:?}");
        }
    }
    refused
}

/// Logs `lin` in as if she had done so long ago.
async fn log_in_uncounted(bed: &TestBed) -> Answer {
    let openid = bed.wechat.account("lin").await["openid"].as_str().expect("an openid").to_owned();
    bed.redis.command::<()>(&["DEL", &format!("wxmint:{{{APPID}:{openid}}}:limit:logins")]);
    bed.log_in("lin").await.expect_login()
}

#[tokio::test]
async fn logouts_are_counted_per_person_and_a_repetition_is_one_look_up() {
    let bed = TestBed::builder().env("WXMINT_LIMIT_OPENID", "3/1h").start().await;
    let mut logins = Vec::new();
    for _ in 0..5 {
        logins.push(log_in_uncounted(&bed).await);
    }
    assert_eq!(refusals(&bed, "POST", "/logout", &logins).await, 2);
    assert_eq!(
        ask(&bed, "GET", "/wechat/session", &logins[4]).await.status,
        200,
        "a logout that was refused ends nothing"
    );
    let mei = bed.log_in("mei").await;
    assert_eq!(ask(&bed, "POST", "/logout", &mei).await.status, 204, "nobody else is held up");

    let repeated = vec![logins[0].clone(); 10];
    let before = bed.redis.calls();
    assert_eq!(refusals(&bed, "POST", "/logout", &repeated).await, 0);
    let calls = bed.redis.calls_since(&before);
    let [read, changed] = [["hgetall", "get"], ["evalsha", "set"]].map(|names| names.map(|name| calls.get(name)));
    assert_eq!((read, changed), ([Some(&10); 2], [None; 2]), "{calls:?}");
    let everywhere = json!({"everywhere": true});
    let refused = bed.service().ask("POST", "/logout", &logins[4].member("access_token"), &everywhere).await;
    refused.expect_problem(429, "rate_limited");
    names_limit(&bed, "openid").await;
}

async fn names_limit(bed: &TestBed, limit: &str) {
    let line = format!("\"limit\":\"{limit}\"");
    until("the log names the limit", PATIENCE, async || bed.service().log().contains(&line)).await;
}

#[tokio::test]
async fn a_person_dissolves_ten_bindings_a_day() {
    let bed = TestBed::start().await;
    for _ in 0..10 {
        let login = bed.log_in("lin").await;
        assert_eq!(refusals(&bed, "DELETE", "/binding", &[login]).await, 0);
    }
    let login = bed.log_in("lin").await;
    assert_eq!(refusals(&bed, "DELETE", "/binding", std::slice::from_ref(&login)).await, 1);
    assert_eq!(ask(&bed, "GET", "/wechat/session", &login).await.status, 200, "the binding is there");
    let mei = bed.log_in("mei").await;
    assert_eq!(refusals(&bed, "DELETE", "/binding", &[mei]).await, 0, "nobody else is held up");
    names_limit(&bed, "unbindings").await;
}

#[tokio::test]
async fn what_is_kept_of_a_made_user_who_has_nobody_left_expires() {
    for with_unionid in [false, true] {
        let bed = TestBed::start().await;
        bed.wechat.change_app(json!({"appid": APPID, "unionid": with_unionid})).await;
        let first = bed.log_in("lin").await.expect_login();
        let (user, list) = (first.member("user_id"), format!("wxmint:user:{{{}}}", first.member("user_id")));
        assert_eq!(refusals(&bed, "DELETE", "/binding", &[first]).await, 0);
        let of_user: Vec<String> = bed.redis.command(&["KEYS", &format!("{list}*")]);
        assert_eq!(of_user.len(), 3, "the list, who has left it, and the end of its tokens: {of_user:?}");
        for key in &of_user {
            assert!((1..=2_592_000).contains(&bed.redis.command::<i64>(&["TTL", key])), "{key}");
        }
        assert_eq!(bed.redis.command::<Vec<String>>(&["KEYS", "wxmint:union:*"]).len(), 0);
        let second = bed.log_in("lin").await.expect_login();
        assert_ne!(second.member("user_id"), user);
        assert_eq!(bed.redis.command::<Vec<String>>(&["KEYS", "wxmint:union:*"]).len(), usize::from(with_unionid));
    }
}
