//! `GET /users/{user_id}/wechat`: openids for peers that must name one to WeChat, on the admin listener alone.

use serde_json::{Value, json};

use super::{NAME, Office};
use crate::support::{APPID, audit::in_short};

#[tokio::test]
async fn a_users_wechat_identities_are_told_on_the_admin_listener_alone() {
    let office = Office::start().await;
    let user = office.bed.log_in("lin").await.expect_login().member("user_id");
    let path = format!("/users/{user}/wechat");
    let answer = office.ask("GET", &path).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    let known = office.bed.wechat.account("lin").await;
    let [openid, unionid] = ["openid", "unionid"].map(|name| known[name].clone());
    let mut told = answer.json();
    let bound_at = told["wechat"][0]["bound_at"].take();
    let identity = json!({"appid": APPID, "openid": openid, "unionid": unionid, "bound_at": null});
    assert_eq!(told, json!({"user_id": user, "wechat": [identity]}));
    assert!(bound_at.as_i64().expect("seconds since 1970") > 1_700_000_000, "{bound_at}");
    assert_eq!(office.ask("GET", &format!("/users/{user}")).await.json()["wechat"][0]["bound_at"], bound_at);

    let elsewhere = office.bed.service().get(&path).await.expect_problem(404, "invalid_request");
    assert!(elsewhere.member("detail").contains("/docs"), "{elsewhere:?}");
    let unknown = office.ask("GET", "/login").await.expect_problem(404, "invalid_request");
    assert!(unknown.member("detail").contains("/metrics"), "what is on this listener: {unknown:?}");
    let looked_up: Value = serde_json::from_str(&office.bed.service().says("\"look_up\"").await).expect("an event");
    let looked_up = in_short(&looked_up);
    assert_eq!((&looked_up["user"], &looked_up["by"]), (&user.as_str().into(), &NAME.into()));
    let log = office.bed.service().log();
    assert!(!log.contains(openid.as_str().expect("text")) && !log.contains(unionid.as_str().expect("text")), "{log}");
}

#[tokio::test]
async fn who_is_bound_to_nobody_or_not_yet_is_not_told() {
    let office = Office::start().await;
    let empty = |user: &str| json!({"user_id": user, "wechat": []});
    assert_eq!(office.ask("GET", "/users/nobody/wechat").await.json(), empty("nobody"));

    // Admitted, and the process died before it was written down with the person.
    office.bed.redis.command::<()>(&["HSET", "wxmint:user:{half}", &format!("{APPID}:o1"), "1+"]);
    office.bed.redis.command::<()>(&[
        "HSET",
        &format!("wxmint:{{{APPID}:o1}}:binding"),
        "generation",
        "1",
        "intent_user",
        "half",
    ]);
    assert_eq!(office.ask("GET", "/users/half/wechat").await.json(), empty("half"));

    // Dissolved.
    let login = office.bed.log_in("lin").await.expect_login();
    assert_eq!(office.bed.service().unbind(&login.member("access_token")).await.status, 204);
    let user = login.member("user_id");
    assert_eq!(office.ask("GET", &format!("/users/{user}/wechat")).await.json(), empty(&user));
}

#[tokio::test]
async fn any_user_id_can_be_asked_for_and_what_is_none_is_refused() {
    let office = Office::start().await;
    let odd = office.ask("GET", "/users/a%2Fb%25c%3Fd/wechat").await;
    assert_eq!((odd.status, odd.member("user_id").as_str()), (200, "a/b%c?d"), "{odd:?}");
    for wrong in ["two%20words", "%E6%9E%97", "%FF", "%00", &"a".repeat(129)] {
        let refused = office.ask("GET", &format!("/users/{wrong}/wechat")).await;
        let detail = refused.expect_problem(400, "invalid_request").member("detail");
        assert!(detail.starts_with("The user id must "), "{detail}");
    }
    office.ask("GET", "/users//wechat").await.expect_problem(404, "invalid_request");
    let posted = office.bed.http.0.post(format!("http://{}/users/lin/wechat", office.bed.service().admin));
    let posted = office.bed.http.send(posted).await.expect_problem(405, "invalid_request");
    assert_eq!(posted.header("allow"), "GET, HEAD");
}
