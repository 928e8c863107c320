//! How often one person can log out and leave: nobody slows others down by it.

use crate::limits::expect_exact_wait;
use crate::support::prelude::*;

async fn ask(service: &Service, method: &str, path: &str, login: &Answer) -> Answer {
    service
        .ask(method, path, &login.member("access_token"), &Value::Null)
        .await
}

/// How often a limit refuses so many logouts, one after the other.
async fn refusals(service: &Service, logins: &[Answer]) -> usize {
    let mut refused = 0;
    for login in logins {
        let answer = ask(service, "POST", "/logout", login).await;
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
async fn a_person_has_so_many_logouts_of_which_a_repetition_is_one_look_up_and_dissolves_ten_bindings_a_day()
 {
    let mut bed = TestBed::builder()
        .env("WXMINT_LIMIT_OPENID", "3/1h")
        .start()
        .await;
    // Logins are counted, too: these by a replica that has another limit.
    bed.configuration.set("WXMINT_LIMIT_OPENID", "1000/1h");
    let generous = Service::start(&bed.configuration, bed.http.clone()).await;
    let log_in = async |person: &str| {
        generous
            .login(&bed.mint_code(person).await)
            .await
            .expect_login()
    };
    let mut logins = Vec::new();
    for _ in 0..5 {
        logins.push(log_in("lin").await);
    }
    assert_eq!(refusals(bed.service(), &logins).await, 2);
    assert!(
        bed.accepts(&logins[4]).await,
        "a logout that was refused ends nothing"
    );
    assert_eq!(
        refusals(bed.service(), &[bed.log_in("mei").await]).await,
        0,
        "nobody else is held up"
    );

    let before = bed.redis.calls();
    assert_eq!(
        refusals(bed.service(), &vec![logins[0].clone(); 10]).await,
        0
    );
    let calls = bed.redis.calls_since(&before);
    let [read, changed] =
        [["hgetall", "get"], ["evalsha", "set"]].map(|names| names.map(|name| calls.get(name)));
    assert_eq!((read, changed), ([Some(&10); 2], [None; 2]), "{calls:?}");
    let (token, everywhere) = (
        logins[4].member("access_token"),
        json!({"everywhere": true}),
    );
    bed.service()
        .ask("POST", "/logout", &token, &everywhere)
        .await
        .expect_problem(429, "rate_limited");
    bed.service().says("\"limit\":\"openid\"").await;

    let mut unbindings = Vec::new();
    for _ in 0..10 {
        unbindings.push(
            generous
                .unbind(&log_in("lin").await.member("access_token"))
                .await,
        );
        assert_eq!(
            unbindings.last().map(|answer| answer.status),
            Some(204),
            "{unbindings:?}"
        );
    }
    let login = log_in("lin").await;
    let refused = ask(&generous, "DELETE", "/binding", &login)
        .await
        .expect_problem(429, "rate_limited");
    expect_exact_wait(Duration::from_hours(24), &unbindings[0], &refused);
    assert_eq!(
        ask(&generous, "GET", "/wechat/session", &login)
            .await
            .status,
        200,
        "the binding is there"
    );
    assert_eq!(
        log_in("lin").await.member("user_id"),
        login.member("user_id"),
        "and the next login does not find an unbinding to complete"
    );
    assert_eq!(
        ask(&generous, "DELETE", "/binding", &log_in("mei").await)
            .await
            .status,
        204,
        "nobody else is held up"
    );
    generous.says("\"limit\":\"unbindings\"").await;
}
