//! Mini programs written against older back ends: their paths, their names for the token, and a password in the query.

use crate::support::prelude::*;
use reqwest::Method;

const PASSWORD: &str = "planted-user-password-5b1e";
const USERNAME: &str = "planted-user-name-90c4";
const DANGEROUS: &str = "WXMINT_DANGEROUS_PASSWORD_IN_QUERY";

async fn bed() -> TestBed {
    let bed = TestBed::builder().env("WXMINT_LOGIN_PATHS", "/user/login,/api/v1/sign_in");
    bed.env("WXMINT_TOKEN_ALIASES", "sessionId,token")
        .start()
        .await
}

async fn asked(bed: &TestBed, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = bed.http.0.request(method, bed.service().url(path));
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    bed.http.send(request).await
}

#[tokio::test]
async fn further_paths_are_the_login_by_get_and_post() {
    let bed = bed().await;
    for path in ["/login", "/user/login", "/api/v1/sign_in"] {
        let (first, second) = (bed.mint_code("lin").await, bed.mint_code("lin").await);
        asked(&bed, Method::POST, path, Some(json!({"code": first})))
            .await
            .expect_login();
        bed.service()
            .get(&format!("{path}?code={second}"))
            .await
            .expect_login();
        for method in [Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS] {
            let refused = asked(&bed, method, path, None).await;
            assert_eq!(
                (refused.status, refused.header("allow")),
                (405, "GET, POST"),
                "{path}"
            );
        }
    }
    for path in [
        "/user",
        "/user/login/",
        "/user/login/x",
        "/api/v1/sign-in",
        "/User/login",
    ] {
        asked(&bed, Method::POST, path, Some(json!({"code": "a"})))
            .await
            .expect_problem(404, "invalid_request");
    }
}

#[tokio::test]
async fn the_answer_repeats_the_token_under_the_names_that_pages_read() {
    let bed = bed().await;
    let by_post = bed.log_in("lin").await;
    let by_get = bed
        .service()
        .get(&format!("/user/login?code={}", bed.mint_code("lin").await))
        .await;
    for answer in [by_post, by_get] {
        let answer = answer.expect_login();
        let token = answer.member("access_token");
        assert_eq!(
            (answer.member("sessionId"), answer.member("token")),
            (token.clone(), token)
        );
        let members: Vec<_> = answer
            .json()
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            members,
            [
                "access_token",
                "expires_in",
                "new_user",
                "sessionId",
                "token",
                "token_type",
                "user_id"
            ]
        );
    }
}

/// That it reaches the login shows in the refusal: `auto` has no use for a password.
#[tokio::test]
async fn the_dangerous_switch_lets_a_password_pass_in_the_query_of_get_and_warns_at_start() {
    let bed = TestBed::builder()
        .env(DANGEROUS, "true")
        .env("RUST_LOG", "trace")
        .start()
        .await;
    assert!(
        warnings(&bed)
            .iter()
            .any(|warning| warning.contains(DANGEROUS)),
        "{:?}",
        warnings(&bed)
    );
    let code = bed.mint_code("lin").await;
    let with_password = format!("/login?code={code}&username={USERNAME}&password={PASSWORD}");
    let refused = bed
        .service()
        .get(&with_password)
        .await
        .expect_problem(400, "invalid_request");
    assert!(
        refused
            .member("detail")
            .contains("`password` is not accepted here"),
        "{refused:?}"
    );
    let half = bed
        .service()
        .get(&format!("/login?code={code}&username={USERNAME}"))
        .await;
    assert!(
        half.expect_problem(400, "invalid_request")
            .member("detail")
            .contains("`password` is missing")
    );

    let body = Some(json!({"code": code}));
    let posted = asked(&bed, Method::POST, &with_password, body.clone()).await;
    let posted = posted.expect_problem(400, "credentials_in_query");
    assert!(
        posted.member("detail").contains("`data`"),
        "a POST has a body: {posted:?}"
    );
    asked(&bed, Method::POST, "/login?from=qr", body)
        .await
        .expect_login();
    let written = bed.service().log() + &bed.service().metrics().await;
    assert!(
        !written.contains(PASSWORD) && !written.contains(USERNAME) && !written.contains("from=qr"),
        "{written}"
    );
}

fn warnings(bed: &TestBed) -> Vec<String> {
    let events = bed.service().events();
    let warnings = events.iter().filter(|event| event["level"] == "WARN");
    warnings
        .map(|event| event["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}
