//! WeChat bills each phone number that it verifies. A person and an app may have so many in a day.

use crate::support::prelude::*;

const PHONE: &str = "/wechat/phone";
const NUMBERS_AT_WECHAT: &str = "/wxa/business/getuserphonenumber";

async fn token_of(bed: &TestBed, person: &str) -> String {
    bed.log_in(person)
        .await
        .expect_login()
        .member("access_token")
}

async fn ask(bed: &TestBed, token: &str, code: &str) -> Answer {
    bed.service()
        .ask("POST", PHONE, token, &json!({"code": code}))
        .await
}

#[tokio::test]
async fn a_person_has_so_many_phone_numbers_in_a_day_and_an_app_too_and_wechat_is_not_asked_for_more()
 {
    let limits = [
        ("WXMINT_PHONE_NUMBERS_PER_PERSON", "3"),
        ("WXMINT_PHONE_NUMBERS_PER_APP", "5"),
    ];
    let bed = TestBed::builder().envs(&limits).start().await;
    let (lin, mei) = (token_of(&bed, "lin").await, token_of(&bed, "mei").await);
    let new_number = async |person: &str, token: &str| {
        let code = bed.wechat.mint_phone_code(person).await;
        ask(&bed, token, &code).await
    };
    for _ in 0..3 {
        assert_eq!(new_number("lin", &lin).await.status, 200);
    }
    for _ in 0..3 {
        let refused = new_number("lin", &lin)
            .await
            .expect_problem(429, "rate_limited");
        let wait: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((80_000..=100_000).contains(&wait), "{wait}");
    }
    bed.service()
        .says("\"limit\":\"phone_numbers_per_person\"")
        .await;
    for _ in 0..2 {
        assert_eq!(
            new_number("mei", &mei).await.status,
            200,
            "what lin was refused does not count for the app"
        );
    }
    new_number("mei", &mei)
        .await
        .expect_problem(429, "rate_limited");
    bed.service()
        .says("\"limit\":\"phone_numbers_per_app\"")
        .await;
    assert_eq!(bed.wechat.asked(NUMBERS_AT_WECHAT).await, 5);
    assert_eq!(
        bed.service().metric("wxmint_phone_numbers_per_app").await,
        5.0
    );
}

/// Nothing is billed for a code that WeChat does not know. So it counts neither for the person nor
/// for the app, where it would take the numbers of others.
#[tokio::test]
async fn a_code_that_is_sent_again_counts_once_and_one_that_wechat_refuses_does_not_count() {
    let limits = [
        ("WXMINT_PHONE_NUMBERS_PER_PERSON", "2"),
        ("WXMINT_PHONE_NUMBERS_PER_APP", "3"),
    ];
    let bed = TestBed::builder().envs(&limits).start().await;
    let lin = token_of(&bed, "lin").await;
    let mei = token_of(&bed, "mei").await;
    let anothers = bed.wechat.mint_phone_code("mei").await;
    for _ in 0..4 {
        ask(&bed, &lin, &anothers)
            .await
            .expect_problem(400, "code_invalid");
    }
    let code = bed.wechat.mint_phone_code("lin").await;
    bed.faults(json!([{"path": NUMBERS_AT_WECHAT, "kind": "reset", "after": true}]))
        .await;
    for _ in 0..4 {
        ask(&bed, &lin, &code)
            .await
            .expect_problem(503, "wechat_unavailable");
    }
    bed.faults(json!([])).await;
    ask(&bed, &lin, &code)
        .await
        .expect_problem(400, "code_used");
    let second = bed.wechat.mint_phone_code("lin").await;
    assert_eq!(ask(&bed, &lin, &second).await.status, 200);
    ask(&bed, &lin, &bed.wechat.mint_phone_code("lin").await)
        .await
        .expect_problem(429, "rate_limited");
    // A code that was counted needs no room for another one.
    ask(&bed, &lin, &code)
        .await
        .expect_problem(400, "code_used");
    let of_mei = async || ask(&bed, &mei, &bed.wechat.mint_phone_code("mei").await).await;
    assert_eq!(of_mei().await.status, 200, "the third of the app");
    of_mei().await.expect_problem(429, "rate_limited");
}

/// Each is counted before its code is known as counted.
#[tokio::test]
async fn whoever_sends_a_code_many_times_at_once_gets_no_number_beyond_the_limit() {
    let bed = TestBed::builder()
        .services(2)
        .env("WXMINT_PHONE_NUMBERS_PER_PERSON", "1")
        .start()
        .await;
    let lin = token_of(&bed, "lin").await;
    ask(&bed, &lin, &bed.wechat.mint_phone_code("lin").await)
        .await
        .json();
    for _ in 0..3 {
        let body = json!({"code": bed.wechat.mint_phone_code("lin").await});
        let at_once = (0..8).map(|number| bed.services[number % 2].ask("POST", PHONE, &lin, &body));
        for answer in join_all(at_once).await {
            answer.expect_problem(429, "rate_limited");
        }
    }
    assert_eq!(bed.wechat.asked(NUMBERS_AT_WECHAT).await, 1);
}
