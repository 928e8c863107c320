//! Nobody has something signed for somebody else, and nothing of this is on the public listener.

use super::{ALL, SHOP, Shop, signature_path};
use crate::support::prelude::*;

#[tokio::test]
async fn whoever_has_nobody_or_no_session_here_gets_the_same_answer_whatever_the_reason() {
    let shop = Shop::of(TestBed::builder().two_apps()).await;
    let log_in = async |app: &str, person: &str| {
        shop.bed.log_in_at(app, person, json!({})).await.expect_login().member("user_id")
    };
    let user = log_in(APPID, "lin").await;
    assert_eq!(shop.sign(&user, "data").await.status, 200);
    let refused = async |user: &str, status: u16| {
        let code = if status == 404 { "unknown_person" } else { "session_key_missing" };
        shop.sign(user, "data").await.expect_problem(status, code).member("detail")
    };
    let unknown = refused("nobody", 404).await;

    let elsewhere = log_in(OTHER_APPID, "mei").await;
    assert_eq!(refused(&elsewhere, 404).await, unknown, "a user of the other app");
    let other_path = signature_path(&user).replace(APPID, OTHER_APPID);
    shop.ask("POST", &other_path, SHOP, &json!({"data": "a"})).await.expect_problem(404, "unknown_person");

    let left = shop.bed.log_in_at(APPID, "left", json!({})).await.expect_login();
    assert_eq!(shop.bed.service().unbind(&left.member("access_token")).await.status, 204);
    assert_eq!(refused(&left.member("user_id"), 404).await, unknown, "a binding that was dissolved");

    let gone = shop.bed.log_in_at(APPID, "gone", json!({})).await.expect_login();
    assert_eq!(shop.bed.service().ask("POST", "/logout", &gone.member("access_token"), &json!({})).await.status, 204);
    let missing = refused(&gone.member("user_id"), 409).await;

    let blocked = log_in(APPID, "bad").await;
    assert_eq!(shop.ask("PUT", &format!("/users/{blocked}/block"), ALL, &Value::Null).await.status, 204);
    assert_eq!(refused(&blocked, 409).await, missing, "a blocked user");
    shop.ask("POST", &signature_path(&user).replace(APPID, "wx00"), SHOP, &json!({"data": "a"}))
        .await
        .expect_problem(400, "unknown_app");
}

#[tokio::test]
async fn no_trick_in_a_path_leads_to_another_user_or_another_route() {
    let shop = Shop::start().await;
    let user = shop.log_in("lin").await;
    let own = shop.sign(&user, "data").await.member("signature");
    let long = "a".repeat(129);
    let paths = [
        (format!("/users/nobody%2F..%2F{user}/wechat/{APPID}/signature"), 404),
        (format!("/users//{user}/wechat/{APPID}/signature"), 404),
        (format!("/users/{user}/wechat/{APPID}%2Fsignature"), 405),
        (format!("/users/{user}/wechat/{APPID};x/signature"), 400),
        (format!("/users/{user}%00/wechat/{APPID}/signature"), 400),
        (format!("/users/{user}/wechat/..%2F..%2F{APPID}/signature"), 400),
        (format!("/users/{long}/wechat/{APPID}/signature"), 400),
        ("/wechat/%00/access-token".to_owned(), 400),
        (format!("/wechat/..%2F{APPID}/access-token"), 400),
    ];
    let body = json!({"data": "data"}).to_string();
    for (path, status) in paths {
        // As bytes, because a client of HTTP would tidy the path up.
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SHOP}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Received::after(shop.bed.service().admin, request.as_bytes(), Pace::AtOnce, PATIENCE).await.text();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(!answer.contains(&own), "{path}: {answer}");
    }
    shop.bed.service().expect_no_faults().await;
}

#[tokio::test]
async fn the_admin_listener_answers_no_other_origin_no_token_of_a_user_and_no_secret_in_a_url() {
    let shop = Shop::start().await;
    let user = shop.log_in("lin").await;
    let url = format!("http://{}{}", shop.bed.service().admin, signature_path(&user));
    let asked = shop.bed.http.0.request("OPTIONS".parse().expect("a method"), url);
    let asked = shop.bed.http.send(asked.header("origin", "https://evil.example")).await;
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (405, ""));
    // Neither a user's own token nor a secret in the URL helps.
    let token = shop.bed.log_in("lin").await.expect_login().member("access_token");
    let body = json!({"data": "a"});
    shop.ask("POST", &signature_path(&user), &token, &body).await.expect_problem(401, "invalid_token");
    let url = format!("http://{}{}?access_token={SHOP}", shop.bed.service().admin, signature_path(&user));
    shop.bed.http.send(shop.bed.http.0.post(url).json(&body)).await.expect_problem(400, "invalid_request");
}
