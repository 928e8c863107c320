//! The one access token that all services of a business share, as they ask for it.
//! `src/login/shared_access_token/tests.rs` holds how it is shared and renewed.

use super::{SHOP, Shop};
use crate::limits::expect_exact_wait;
use crate::support::prelude::*;

const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const PATH: &str = "/wechat/wx0123456789abcdef/access-token";

impl Shop {
    async fn lent(&self, replica: usize) -> Answer {
        self.ask_at(replica, "GET", PATH, SHOP, &Value::Null).await
    }

    async fn token(&self, replica: usize) -> String {
        self.lent(replica).await.member("access_token")
    }

    async fn refused(&self, replica: usize, token: &str) -> Answer {
        self.ask_at(replica, "POST", PATH, SHOP, &json!({"invalid": token}))
            .await
    }

    /// Whether WeChat takes the token for a call.
    async fn works(&self, token: &str) -> bool {
        let url = format!(
            "{}/wxa/checksession?access_token={token}",
            self.bed.wechat.url()
        );
        // The token is looked at first; then the openid is missing.
        self.bed.http.get(&url).await.json()["errcode"] == 41009
    }

    async fn asked(&self) -> u64 {
        self.bed.wechat.asked(STABLE_TOKEN).await
    }
}

#[tokio::test]
async fn a_token_that_somebody_else_has_renewed_is_fetched_without_force() {
    let shop = Shop::of(TestBed::builder().services(2)).await;
    let lent = shop.lent(0).await;
    let (first, members) = (lent.member("access_token"), lent.json());
    assert_eq!(
        (lent.status, lent.header("cache-control")),
        (200, "no-store"),
        "{lent:?}"
    );
    assert!(
        (7100..=7200).contains(&members["expires_in"].as_u64().expect("seconds")),
        "{members}"
    );
    assert_eq!(
        members.as_object().map(serde_json::Map::len),
        Some(2),
        "{members}"
    );
    assert_eq!(shop.token(1).await, first);
    let elsewhere = shop.bed.wechat.stable_token(true).await;
    assert!(elsewhere != first && !shop.works(&first).await);
    let before = shop.asked().await;
    assert_eq!(
        shop.refused(1, &first).await.member("access_token"),
        elsewhere
    );
    assert_eq!(shop.asked().await - before, 1);
    assert!(shop.works(&elsewhere).await);
    assert_eq!(
        shop.token(0).await,
        elsewhere,
        "the other replica has it too"
    );
}

#[tokio::test]
async fn a_renewal_is_forced_as_often_as_wechat_allows_and_a_wrong_secret_and_a_redis_that_is_away_are_told()
 {
    let shop = Shop::of(TestBed::builder().services(2).breakable_redis()).await;
    let has_secret = async |secret: &str| {
        shop.bed
            .wechat
            .change_app(json!({"secret": secret, "drop_old_secrets": true}))
            .await;
    };
    has_secret("0123456789abcdef0123456789abcdef").await;
    shop.lent(0)
        .await
        .expect_problem(502, "wechat_misconfigured");
    has_secret(APP_SECRET).await;
    until("WeChat is asked again", PATIENCE, async || {
        shop.lent(0).await.status == 200
    })
    .await;
    let first = shop.token(0).await;
    let forced = shop.refused(0, &first).await;
    let second = forced.member("access_token");
    // Within 30 s WeChat would give the same one again, whoever asks.
    let refused = shop
        .refused(1, &second)
        .await
        .expect_problem(503, "wechat_unavailable");
    expect_exact_wait(Duration::from_secs(30), &forced, &refused);
    assert_eq!(
        shop.token(1).await,
        second,
        "who has not been refused gets the one in use"
    );
    assert_eq!(shop.refused(1, &first).await.member("access_token"), second);
    let audited =
        json!({"action": "replace_access_token", "by": "shop", "app": APPID, "outcome": "ok"});
    let event = shop.audited(audited).await;
    assert!(
        !event.to_string().contains(&first) && !event.to_string().contains(&second),
        "{event}"
    );
    shop.bed.redis_link().cut().await;
    shop.lent(0).await.expect_problem(503, "store_unavailable");
    shop.refused(0, "a token")
        .await
        .expect_problem(503, "store_unavailable");
}
