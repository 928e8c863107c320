//! How often one person can log out and leave: nobody slows others down by it.

use crate::limits::expect_exact_wait;
use crate::support::prelude::*;

async fn ask(bed: &TestBed, method: &str, path: &str, login: &Answer) -> Answer {
    bed.service().ask(method, path, &login.member("access_token"), &Value::Null).await
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

#[tokio::test]
async fn logouts_are_counted_per_person_and_a_repetition_is_one_look_up() {
    let mut bed = TestBed::builder().env("WXMINT_LIMIT_OPENID", "3/1h").start().await;
    // Logins are counted, too: these by a replica that has another limit.
    bed.configuration.set("WXMINT_LIMIT_OPENID", "1000/1h");
    let generous = Service::start(&bed.configuration, bed.http.clone()).await;
    let mut logins = Vec::new();
    for _ in 0..5 {
        logins.push(generous.login(&bed.mint_code("lin").await).await.expect_login());
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
    let mut unbindings = Vec::new();
    for _ in 0..10 {
        let answer = ask(&bed, "DELETE", "/binding", &bed.log_in("lin").await).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        unbindings.push(answer);
    }
    let login = bed.log_in("lin").await;
    let refused = ask(&bed, "DELETE", "/binding", &login).await.expect_problem(429, "rate_limited");
    expect_exact_wait(Duration::from_secs(86_400), &unbindings[0], &refused);
    assert_eq!(ask(&bed, "GET", "/wechat/session", &login).await.status, 200, "the binding is there");
    let mei = bed.log_in("mei").await;
    assert_eq!(refusals(&bed, "DELETE", "/binding", &[mei]).await, 0, "nobody else is held up");
    names_limit(&bed, "unbindings").await;
}
