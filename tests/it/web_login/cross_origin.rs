//! Which sites may read which answers.

use reqwest::Method;
use serde_json::json;

use super::{ACCOUNT, ORIGIN, SITE, builder};
use crate::support::{APPID, Answer, TestBed};

const STRANGERS: [&str; 6] = [
    "https://evil.example.com",
    "https://m.example.com.evil.example",
    "http://m.example.com",
    "https://x.m.example.com",
    "null",
    "*",
];

/// A request of a page of this site.
async fn of_page(bed: &TestBed, method: Method, path: &str, origin: &str, token: Option<&str>, body: &str) -> Answer {
    let request = bed.http.0.request(method, bed.service().url(path)).header("origin", origin).body(body.to_owned());
    let request = if body.is_empty() { request } else { request.header("content-type", "application/json") };
    bed.http.send(token.into_iter().fold(request, |request, token| request.bearer_auth(token))).await
}

/// The site that may read the answer.
fn reader(answer: &Answer) -> Option<&str> {
    assert!(!answer.headers.contains_key("access-control-allow-credentials"), "{answer:?}");
    let reader = answer.headers.get("access-control-allow-origin")?.to_str().expect("ASCII");
    assert_eq!(answer.header("access-control-expose-headers"), "Retry-After, X-Request-Id");
    assert!(answer.header("vary").contains("Origin"), "{answer:?}");
    Some(reader)
}

async fn log_in(bed: &TestBed, appid: &str, origin: &str) -> Answer {
    let code = bed.wechat.mint_code_in(appid, "lin").await;
    let body = json!({"code": code, "appid": appid}).to_string();
    of_page(bed, Method::POST, "/login", origin, None, &body).await.expect_login()
}

#[tokio::test]
async fn pages_of_an_apps_own_sites_read_what_is_answered_to_its_logins_and_nobody_else_does() {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    assert_eq!(reader(&log_in(&bed, ACCOUNT, ORIGIN).await), Some(ORIGIN));
    let never = json!({"code": "never", "appid": ACCOUNT}).to_string();
    let refused = of_page(&bed, Method::POST, "/login", ORIGIN, None, &never).await;
    assert_eq!(reader(&refused.expect_problem(400, "code_invalid")), Some(ORIGIN), "a refusal too");
    for stranger in STRANGERS {
        assert_eq!(reader(&log_in(&bed, ACCOUNT, stranger).await), None, "{stranger}");
    }
    assert_eq!(reader(&log_in(&bed, APPID, ORIGIN).await), None, "another app's answer");
}

#[tokio::test]
async fn pages_of_an_apps_own_sites_leave_and_read_that_they_have_left() {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    for (method, path) in [(Method::DELETE, "/binding"), (Method::POST, "/logout")] {
        let preflight = of_page(&bed, Method::OPTIONS, path, ORIGIN, None, "").await;
        assert_eq!((preflight.status, reader(&preflight)), (204, Some(ORIGIN)));
        assert!(preflight.header("access-control-allow-methods").contains(method.as_str()), "{preflight:?}");
        for stranger in STRANGERS {
            let preflight = of_page(&bed, Method::OPTIONS, path, stranger, None, "").await;
            assert_eq!(reader(&preflight), None, "{path} {stranger}");
        }
        let refused = of_page(&bed, method.clone(), path, ORIGIN, Some("a.b.c"), "").await;
        assert_eq!(reader(&refused.expect_problem(401, "invalid_token")), None, "nobody's token");
        for (appid, may) in [(APPID, None), (SITE, Some(ORIGIN))] {
            let token = log_in(&bed, appid, ORIGIN).await.member("access_token");
            let left = of_page(&bed, method.clone(), path, ORIGIN, Some(&token), "").await;
            assert_eq!((left.status, reader(&left)), (204, may), "{path} {appid}");
        }
    }
    let elsewhere = of_page(&bed, Method::OPTIONS, "/wechat/userdata", ORIGIN, None, "").await;
    assert_eq!(reader(&elsewhere), None, "no other path is theirs");
}

#[tokio::test]
async fn without_a_folder_of_apps_no_preflight_is_answered() {
    let bed = TestBed::start().await;
    for path in ["/login", "/logout", "/binding"] {
        let answer = of_page(&bed, Method::OPTIONS, path, ORIGIN, None, "").await;
        assert_eq!((answer.status, reader(&answer)), (405, None), "{path}");
    }
}
