//! `wxmint_requests_total`: what each route has answered, by names that no client chooses.

use crate::support::prelude::*;

#[tokio::test]
async fn every_route_counts_its_requests_by_what_was_answered() {
    let bed = TestBed::builder()
        .env("WXMINT_LOGIN_PATHS", "/user/login")
        .start()
        .await;
    let (http, service) = (&bed.http.0, bed.service());
    let token = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    let more = json!({"code": bed.mint_code("lin").await});
    bed.http
        .send(http.post(service.url("/user/login")).json(&more))
        .await
        .expect_login();
    bed.login("never-minted")
        .await
        .expect_problem(400, "code_invalid");

    let phone = http
        .post(service.url("/wechat/phone?secret=hunter2"))
        .bearer_auth(&token);
    bed.http
        .send(phone.json(&json!({"code": "never-minted"})))
        .await
        .expect_problem(400, "code_invalid");
    service
        .get("/wechat/phone")
        .await
        .expect_problem(405, "invalid_request");
    service
        .get("/wechat/session")
        .await
        .expect_problem(401, "invalid_token");
    let tag = service
        .get("/.well-known/jwks.json")
        .await
        .header("etag")
        .to_owned();
    let again = http
        .get(service.url("/.well-known/jwks.json"))
        .header("if-none-match", tag);
    assert_eq!(bed.http.send(again).await.status, 304);
    service
        .get("/hunter2")
        .await
        .expect_problem(404, "invalid_request");
    assert_eq!(service.unbind(&token).await.status, 204);
    bed.http
        .send(http.delete(service.url("/binding")))
        .await
        .expect_problem(401, "invalid_token");

    let expected = [
        ("/.well-known/jwks.json", "ok", 2),
        ("/binding", "invalid_token", 1),
        ("/binding", "ok", 1),
        ("/login", "code_invalid", 1),
        ("/login", "ok", 2),
        ("/wechat/phone", "code_invalid", 1),
        ("/wechat/phone", "invalid_request", 1),
        ("/wechat/session", "invalid_token", 1),
    ];
    let expected = expected.map(|(route, outcome, count)| {
        format!("{{route=\"{route}\",outcome=\"{outcome}\"}} {count}")
    });
    let metrics = service.metrics().await;
    let lines = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("wxmint_requests_total"));
    let mut counted: Vec<_> = lines.filter(|line| !line.ends_with(" 0")).collect();
    counted.sort_unstable();
    assert_eq!(counted, expected.each_ref().map(String::as_str));
    assert!(
        metrics.contains("wxmint_requests_total{route=\"/logout\",outcome=\"internal_error\"} 0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("wxmint_request_duration_seconds_count{route=\"/binding\"} 2\n"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("hunter2") && !metrics.contains("user/login"),
        "{metrics}"
    );
}
