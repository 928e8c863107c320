//! Each secret may do what its rights say, and whoever is refused is audited.

use super::{ALL, DESK, READER, SHOP, Shop};
use crate::support::prelude::*;

/// A route of each right: its method, path, body, the right that it needs, and its act. `after_login::described` asks
/// for the right of every route.
fn routes(user: &str) -> [(&'static str, String, Value, &'static str, &'static str); 4] {
    let person = format!("/wechat/{APPID}/people/oLin");
    [
        ("GET", format!("/users/{user}"), Value::Null, "read", "show"),
        (
            "POST",
            format!("/users/{user}/wechat/{APPID}/signature"),
            json!({"data": "a"}),
            "wechat",
            "sign",
        ),
        (
            "POST",
            format!("/wechat/{APPID}/access-token"),
            json!({"invalid": "a"}),
            "wechat",
            "replace_access_token",
        ),
        ("DELETE", person, Value::Null, "operate", "erase_person"),
    ]
}

#[tokio::test]
async fn whoever_is_refused_is_told_why_and_audited_by_name_if_the_secret_is_one_of_the_file() {
    let shop = Shop::start().await;
    let user = shop.log_in("lin").await;
    for (method, path, body, right, act) in routes(&user) {
        let refused_by = |holder: Option<&str>, outcome: &str| {
            let about_user = path.starts_with("/users/").then_some(&user);
            let app = path.contains(APPID).then_some(APPID);
            json!({"action": act, "by": holder, "user": about_user, "app": app, "outcome": outcome})
        };
        let holders = [
            ("shop", SHOP, "wechat"),
            ("desk", DESK, "operate"),
            ("reader", READER, "read,operate"),
        ];
        for (name, secret, _) in holders
            .into_iter()
            .filter(|(_, _, rights)| !rights.contains(right))
        {
            let refused = shop
                .ask(method, &path, secret, &body)
                .await
                .expect_problem(403, "forbidden");
            assert!(
                refused.member("detail").contains(&format!("`{right}`")),
                "{refused:?}"
            );
            shop.audited(refused_by(Some(name), "forbidden")).await;
        }
        for wrong in [
            &SHOP[1..],
            &format!("{SHOP}0"),
            &SHOP.to_uppercase(),
            "shop",
        ] {
            let refused = shop
                .ask(method, &path, wrong, &body)
                .await
                .expect_problem(401, "invalid_token");
            assert!(
                refused
                    .header("www-authenticate")
                    .starts_with("Bearer error=\"invalid_token\""),
                "{refused:?}"
            );
        }
        let url = format!("http://{}{path}", shop.bed.service().admin);
        let bare = shop
            .bed
            .http
            .0
            .request(method.parse().expect("a method"), url);
        let bare = shop
            .bed
            .http
            .send(bare)
            .await
            .expect_problem(401, "invalid_token");
        assert_eq!(bare.header("www-authenticate"), "Bearer");
        shop.bed
            .service()
            .ask(method, &path, SHOP, &body)
            .await
            .expect_problem(404, "invalid_request");
        shop.audited(refused_by(None, "invalid_token")).await;
    }
    assert_eq!(
        shop.ask("GET", &format!("/users/{user}"), ALL, &Value::Null)
            .await
            .json()["blocked"],
        false
    );
    assert_eq!(
        shop.bed.wechat.asked("/cgi-bin/stable_token").await,
        0,
        "nothing was done"
    );
    let (log, metrics) = (shop.bed.service().log(), shop.bed.service().metrics().await);
    let traces = format!(
        "{log}\n{metrics}\n{}",
        String::from_utf8_lossy(&shop.bed.redis.held())
    );
    assert!(
        !traces.contains(&SHOP[1..]) && !traces.contains(&SHOP.to_uppercase()),
        "{traces}"
    );
}

#[tokio::test]
async fn a_secret_that_loses_a_right_or_its_line_while_in_use_is_refused_and_a_spoilt_file_changes_nothing()
 {
    let shop = Shop::start().await;
    let user = shop.log_in("lin").await;
    let status = async || shop.sign(&user, "data").await.status;
    let tokens = PathBuf::from(shop.bed.configuration.value("WXMINT_ADMIN_TOKENS_FILE"));
    let replace = |content: &str| replace(&tokens, content);
    let becomes = async |wanted: u16| {
        until(&wanted.to_string(), READ_AGAIN_WITHIN, async || {
            status().await == wanted
        })
        .await;
    };
    assert_eq!(status().await, 200);
    replace(&format!("shop {SHOP} read,operate\n"));
    becomes(403).await;
    replace(&format!("shop {SHOP} wechat\n"));
    becomes(200).await;
    let refused = async || {
        shop.bed
            .service()
            .metric("wxmint_reload_refused{what=\"admin_tokens\"}")
            .await
    };
    replace(&format!("shop {SHOP} wechat\ndesk too-short\nall {ALL}\n"));
    until("the file is refused", READ_AGAIN_WITHIN, async || {
        refused().await == 1.0
    })
    .await;
    assert_eq!(status().await, 200);
    assert_eq!(
        shop.ask("GET", &format!("/users/{user}"), ALL, &Value::Null)
            .await
            .status,
        401
    );
    replace(&format!("all {ALL} read\n"));
    becomes(401).await;
    let of_all = async || {
        shop.ask("GET", &format!("/users/{user}"), ALL, &Value::Null)
            .await
            .status
    };
    assert_eq!(of_all().await, 200);
    assert_eq!(refused().await, 0.0);
    replace("# nobody\n");
    until(
        "the last secret is taken away",
        READ_AGAIN_WITHIN,
        async || of_all().await == 401,
    )
    .await;
    shop.bed
        .service()
        .says("a secret must be at least 32")
        .await;
    let log = shop.bed.service().log();
    assert!(!log.contains(SHOP) && !log.contains("too-short"), "{log}");
}
