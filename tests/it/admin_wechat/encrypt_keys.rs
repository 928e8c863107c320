//! The keys of `wx.getUserCryptoManager`.

use super::{SHOP, Shop};
use crate::support::prelude::*;

const GIVES_KEYS: &str = "/wxa/business/getuserencryptkey";

/// `user_data::wechat` holds what each errcode of a call by access token is answered by.
#[tokio::test]
async fn a_person_gets_the_last_three_keys_of_the_phone_so_often_and_what_wechat_refuses_has_a_problem_of_its_own()
 {
    let shop = Shop::of(TestBed::builder().env("WXMINT_LIMIT_OPENID", "3/1h")).await;
    let user = shop.log_in("lin").await;
    let wanted = json!({"person": "lin", "renew": true});
    let mut of_phone = Vec::new();
    for _ in 0..4 {
        of_phone.push(
            shop.bed
                .wechat
                .control("user-key", "POST", &wanted)
                .await
                .json(),
        );
    }
    let answer = shop.encrypt_keys(&user).await;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, "no-store"),
        "{answer:?}"
    );
    let given = answer.json();
    assert_eq!(
        given.as_object().map(serde_json::Map::len),
        Some(1),
        "{given}"
    );
    let keys = given["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 3);
    for (key, of_phone) in keys.iter().zip(of_phone.iter().rev()) {
        let names: Vec<_> = key
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            names,
            ["created_at", "encrypt_key", "expires_in", "iv", "version"]
        );
        for (ours, theirs) in [
            ("encrypt_key", "encryptKey"),
            ("iv", "iv"),
            ("version", "version"),
        ] {
            assert_eq!(key[ours], of_phone[theirs], "{ours}");
        }
        let seconds = |name: &str| key[name].as_i64().expect("seconds");
        let end = of_phone["expireTime"].as_i64().expect("seconds");
        assert_eq!(seconds("created_at") + 3600, end);
        assert!((3500..=3600).contains(&seconds("expires_in")), "{key}");
    }
    shop.audited(json!({"action": "encrypt_keys", "by": "shop", "user": user, "app": APPID, "outcome": "ok"})).await;

    shop.encrypt_keys("nobody")
        .await
        .expect_problem(404, "person_not_found");
    assert_eq!(
        shop.bed.wechat.asked(GIVES_KEYS).await,
        1,
        "WeChat is not asked without a session key"
    );
    shop.bed
        .faults(json!([{"kind": "errcode", "errcode": 50002, "path": GIVES_KEYS}]))
        .await;
    shop.encrypt_keys(&user)
        .await
        .expect_problem(403, "user_blocked");
    shop.bed.faults(json!([])).await;
    // An access token that WeChat has ended is replaced unnoticed.
    shop.bed.wechat.revoke_access_tokens().await;
    assert_eq!(shop.encrypt_keys(&user).await.status, 200);
    let unknown = format!("/users/{user}/wechat/{OTHER_APPID}/encrypt-keys");
    shop.ask("GET", &unknown, SHOP, &Value::Null)
        .await
        .expect_problem(400, "unknown_app");

    // A mini program that names versions which nobody has does not use up what the app may ask WeChat.
    let asked = shop.bed.wechat.asked(GIVES_KEYS).await;
    shop.encrypt_keys(&user)
        .await
        .expect_problem(429, "rate_limited");
    shop.audited(json!({"action": "encrypt_keys", "by": "shop", "user": user, "app": APPID, "outcome": "rate_limited", "limit": "openid"})).await;
    assert_eq!(shop.bed.wechat.asked(GIVES_KEYS).await, asked);
    let mei = shop.log_in("mei").await;
    assert_eq!(shop.encrypt_keys(&mei).await.status, 200);
}
