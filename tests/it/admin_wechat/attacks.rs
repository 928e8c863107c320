//! Nobody has something signed for somebody else, and nothing of this is on the public listener.

use super::{ALL, SHOP, Shop, signature_path};
use crate::support::prelude::*;

#[tokio::test]
async fn whoever_has_nobody_or_no_session_here_gets_the_same_answer_whatever_the_reason() {
    let shop = Shop::of(TestBed::builder().two_apps()).await;
    let log_in = async |app: &str, person: &str| {
        shop.bed
            .log_in_at(app, person, json!({}))
            .await
            .expect_login()
            .member("user_id")
    };
    let user = log_in(APPID, "lin").await;
    assert_eq!(shop.sign(&user, "data").await.status, 200);
    let refused = async |user: &str, status: u16| {
        let code = if status == 404 {
            "person_not_found"
        } else {
            "session_key_missing"
        };
        shop.sign(user, "data")
            .await
            .expect_problem(status, code)
            .member("detail")
    };
    let unknown = refused("nobody", 404).await;

    let elsewhere = log_in(OTHER_APPID, "mei").await;
    assert_eq!(
        refused(&elsewhere, 404).await,
        unknown,
        "a user of the other app"
    );
    let other_path = signature_path(&user).replace(APPID, OTHER_APPID);
    shop.ask("POST", &other_path, SHOP, &json!({"data": "a"}))
        .await
        .expect_problem(404, "person_not_found");

    let left = shop
        .bed
        .log_in_at(APPID, "left", json!({}))
        .await
        .expect_login();
    assert_eq!(
        shop.bed
            .service()
            .unbind(&left.member("access_token"))
            .await
            .status,
        204
    );
    assert_eq!(
        refused(&left.member("user_id"), 404).await,
        unknown,
        "a binding that was dissolved"
    );

    let gone = shop
        .bed
        .log_in_at(APPID, "gone", json!({}))
        .await
        .expect_login();
    shop.bed.log_out(&gone, false).await;
    let missing = refused(&gone.member("user_id"), 409).await;

    let blocked = log_in(APPID, "bad").await;
    assert_eq!(
        shop.ask("PUT", &format!("/users/{blocked}/block"), ALL, &Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(refused(&blocked, 409).await, missing, "a blocked user");
    let nowhere = signature_path(&user).replace(APPID, "wx00");
    shop.ask("POST", &nowhere, SHOP, &json!({"data": "a"}))
        .await
        .expect_problem(400, "unknown_app");
}

#[tokio::test]
async fn no_trick_in_a_path_no_other_origin_no_token_of_a_user_and_no_secret_in_a_url_has_anything_signed()
 {
    let shop = Shop::start().await;
    let login = shop.bed.log_in("lin").await.expect_login();
    let user = login.member("user_id");
    let (own, body) = (
        shop.sign(&user, "data").await.member("signature"),
        json!({"data": "data"}),
    );
    let long = "a".repeat(129);
    let paths = [
        (
            format!("/users/nobody%2F..%2F{user}/wechat/{APPID}/signature"),
            404,
        ),
        (format!("/users//{user}/wechat/{APPID}/signature"), 404),
        (format!("/users/{user}/wechat/{APPID}%2Fsignature"), 405),
        (format!("/users/{user}/wechat/{APPID};x/signature"), 400),
        (format!("/users/{user}%00/wechat/{APPID}/signature"), 400),
        (
            format!("/users/{user}/wechat/..%2F..%2F{APPID}/signature"),
            400,
        ),
        (format!("/users/{long}/wechat/{APPID}/signature"), 400),
        ("/wechat/%00/access-token".to_owned(), 400),
        (format!("/wechat/..%2F{APPID}/access-token"), 400),
    ];
    let length = body.to_string().len();
    let headers = format!(
        "Authorization: Bearer {SHOP}\r\nConnection: close\r\nContent-Length: {length}\r\n"
    );
    for (path, status) in paths {
        // As bytes, because a client of HTTP would tidy the path up.
        let request = wire_request(
            &format!("POST {path}"),
            "localhost",
            &headers,
            &body.to_string(),
        );
        let answer = Received::after(
            shop.bed.service().admin,
            request.as_bytes(),
            Pace::AtOnce,
            PATIENCE,
        )
        .await;
        assert!(
            answer.status() == Some(status) && !answer.text().contains(&own),
            "{path}: {answer:?}"
        );
    }

    let (http, url) = (
        &shop.bed.http,
        format!(
            "http://{}{}",
            shop.bed.service().admin,
            signature_path(&user)
        ),
    );
    let asked = http.0.request("OPTIONS".parse().expect("a method"), &url);
    let asked = http
        .send(asked.header("origin", "https://evil.example"))
        .await;
    assert_eq!(
        (asked.status, asked.header("access-control-allow-origin")),
        (405, "")
    );
    let own_token = login.member("access_token");
    shop.ask("POST", &signature_path(&user), &own_token, &body)
        .await
        .expect_problem(401, "invalid_token");
    let in_url = http
        .0
        .post(format!("{url}?access_token={SHOP}"))
        .json(&body);
    http.send(in_url)
        .await
        .expect_problem(400, "invalid_request");
    shop.bed.service().expect_no_faults().await;
}
