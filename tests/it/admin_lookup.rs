//! `GET /users/{user_id}/wechat`: openids for peers that must name one to WeChat, on the admin listener alone.

use serde_json::{Value, json};

use tempfile::TempDir;

use crate::support::{APPID, Answer, TestBed, write_private};

const SECRET: &str = "secret-of-the-payment-service-0001";

/// A service whose admin listener knows [`SECRET`], with these settings.
async fn start(environment: &[(&str, &str)]) -> (TestBed, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.tokens");
    write_private(&path, &format!("payment {SECRET}\n"));
    let builder = TestBed::builder().env("WXMINT_ADMIN_TOKENS_FILE", &path.to_string_lossy());
    let builder = environment.iter().fold(builder, |builder, (name, value)| builder.env(name, value));
    (builder.start().await, folder)
}

async fn ask(bed: &TestBed, path: &str) -> Answer {
    let request = bed.http.0.get(format!("http://{}{path}", bed.service().admin));
    bed.http.send(request.bearer_auth(SECRET)).await
}

/// The openid and unionid that the simulator has given a person.
async fn known_to_wechat(bed: &TestBed, name: &str) -> (Value, Value) {
    let people = bed.http.get(&format!("{}/_simulator/people", bed.wechat.url())).await.json()["people"].take();
    let people = people.as_array().expect("people").clone();
    let person = people.into_iter().find(|person| person["name"] == name).expect("somebody who has logged in");
    let account = &person["apps"][APPID];
    (account["openid"].clone(), account["unionid"].clone())
}

#[tokio::test]
async fn a_users_wechat_identities_are_told_on_the_admin_listener_alone() {
    let (bed, _folder) = start(&[]).await;
    let user = bed.log_in("lin").await.expect_login().member("user_id");
    let path = format!("/users/{user}/wechat");
    let answer = ask(&bed, &path).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    let (openid, unionid) = known_to_wechat(&bed, "lin").await;
    let mut told = answer.json();
    let bound_at = told["wechat"][0]["bound_at"].take();
    let identity = json!({"appid": APPID, "openid": openid, "unionid": unionid, "bound_at": null});
    assert_eq!(told, json!({"user_id": user, "wechat": [identity]}));
    assert!(bound_at.as_i64().expect("seconds since 1970") > 1_700_000_000, "{bound_at}");
    assert_eq!(ask(&bed, &format!("/users/{user}")).await.json()["wechat"][0]["bound_at"], bound_at);

    let elsewhere = bed.service().get(&path).await.expect_problem(404, "invalid_request");
    assert!(elsewhere.member("detail").contains("/docs"), "{elsewhere:?}");
    let unknown = ask(&bed, "/docs").await.expect_problem(404, "invalid_request");
    assert!(unknown.member("detail").contains("/metrics"), "the viewer is not on this listener: {unknown:?}");
    let looked_up: Value = serde_json::from_str(&bed.service().says("\"look_up\"").await).expect("an event");
    assert_eq!((&looked_up["user"], &looked_up["by"]), (&user.as_str().into(), &"payment".into()));
    let log = bed.service().log();
    assert!(!log.contains(openid.as_str().expect("text")) && !log.contains(unionid.as_str().expect("text")), "{log}");
}

#[tokio::test]
async fn the_store_in_memory_tells_the_same() {
    let (bed, _folder) = start(&[("WXMINT_REDIS_URL", "memory:")]).await;
    let user = bed.log_in("lin").await.expect_login().member("user_id");
    let told = ask(&bed, &format!("/users/{user}/wechat")).await.json();
    assert_eq!(told["wechat"][0]["openid"], known_to_wechat(&bed, "lin").await.0);
}

#[tokio::test]
async fn who_is_bound_to_nobody_or_not_yet_is_not_told() {
    let (bed, _folder) = start(&[]).await;
    let empty = |user: &str| json!({"user_id": user, "wechat": []});
    assert_eq!(ask(&bed, "/users/nobody/wechat").await.json(), empty("nobody"));

    // Admitted, and the process died before it was written down with the person.
    bed.redis.command::<()>(&["HSET", "wxmint:user:{half}", &format!("{APPID}:o1"), "1+"]);
    bed.redis.command::<()>(&[
        "HSET",
        &format!("wxmint:{{{APPID}:o1}}:binding"),
        "generation",
        "1",
        "intent_user",
        "half",
    ]);
    assert_eq!(ask(&bed, "/users/half/wechat").await.json(), empty("half"));

    // Dissolved.
    let login = bed.log_in("lin").await.expect_login();
    assert_eq!(bed.service().unbind(&login.member("access_token")).await.status, 204);
    let user = login.member("user_id");
    assert_eq!(ask(&bed, &format!("/users/{user}/wechat")).await.json(), empty(&user));
}

#[tokio::test]
async fn any_user_id_can_be_asked_for_and_what_is_none_is_refused() {
    let (bed, _folder) = start(&[]).await;
    let odd = ask(&bed, "/users/a%2Fb%25c%3Fd/wechat").await;
    assert_eq!((odd.status, odd.member("user_id").as_str()), (200, "a/b%c?d"), "{odd:?}");
    for wrong in ["two%20words", "%E6%9E%97", "%FF", "%00", &"a".repeat(129)] {
        let refused = ask(&bed, &format!("/users/{wrong}/wechat")).await;
        let detail = refused.expect_problem(400, "invalid_request").member("detail");
        assert!(detail.starts_with("The user id must "), "{detail}");
    }
    ask(&bed, "/users//wechat").await.expect_problem(404, "invalid_request");
    let posted = bed.http.0.post(format!("http://{}/users/lin/wechat", bed.service().admin));
    let posted = bed.http.send(posted).await.expect_problem(405, "invalid_request");
    assert_eq!(posted.header("allow"), "GET, HEAD");
}

#[tokio::test]
async fn without_redis_the_answer_is_503() {
    let (mut bed, _folder) = start(&[]).await;
    bed.redis.kill();
    ask(&bed, "/users/lin/wechat").await.expect_problem(503, "store_unavailable");
}
