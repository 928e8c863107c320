//! The one access token that all services of a business share.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{SHOP, Shop};
use crate::limits::expect_exact_wait;
use crate::support::{APPID, Answer, PATIENCE, TestBed, eventually, tell, until};

const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const PATH: &str = "/wechat/wx0123456789abcdef/access-token";
const ASKERS: usize = 1000;
/// As many at once at each replica.
const AT_ONCE: usize = 200;

async fn two_replicas() -> Shop {
    assert!(PATH.contains(APPID));
    Shop::of(TestBed::builder().services(2)).await
}

impl Shop {
    async fn lent(&self, replica: usize) -> Answer {
        self.ask_at(replica, "GET", PATH, SHOP, &Value::Null).await
    }

    async fn token(&self, replica: usize) -> String {
        self.lent(replica).await.member("access_token")
    }

    async fn refused(&self, replica: usize, token: &str) -> Answer {
        self.ask_at(replica, "POST", PATH, SHOP, &json!({"invalid": token})).await
    }

    /// A thousand askers over both replicas, each by its number. What they got. On a busy machine Redis may answer too late, and
    /// they ask again.
    async fn thousand(&self, ask: impl AsyncFn(usize) -> Answer) -> Vec<Answer> {
        let answered = async |asker| {
            let answer = async || Some(ask(asker).await).filter(|answer| answer.status != 503);
            eventually("an answer", 3 * PATIENCE, answer).await
        };
        stream::iter(0..ASKERS).map(answered).buffer_unordered(2 * AT_ONCE).collect().await
    }

    /// Whether WeChat takes the token for a call.
    async fn works(&self, token: &str) -> bool {
        let url = format!("{}/wxa/checksession?access_token={token}", self.bed.wechat.url());
        // The token is looked at first; then the openid is missing.
        self.bed.http.get(&url).await.json()["errcode"] == 41009
    }

    async fn asked(&self) -> u64 {
        self.bed.wechat.asked(STABLE_TOKEN).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_askers_at_two_replicas_cost_one_call_and_a_thousand_refusals_two() {
    let shop = two_replicas().await;
    shop.bed.faults(json!([{"kind": "latency", "ms": 100, "path": STABLE_TOKEN}])).await;
    let lent = shop.thousand(async |asker| shop.lent(asker % 2).await).await;
    let first = lent[0].member("access_token");
    for answer in &lent {
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
        assert_eq!(answer.member("access_token"), first);
        let members = answer.json();
        assert!((7100..=7200).contains(&members["expires_in"].as_u64().expect("seconds")), "{members}");
        assert_eq!(members.as_object().map(serde_json::Map::len), Some(2), "{members}");
    }
    let for_lending = shop.asked().await;
    assert_eq!(for_lending, 1);

    let replaced = shop.thousand(async |asker| shop.refused(asker % 2, &first).await).await;
    let second = replaced[0].member("access_token");
    assert_ne!(second, first);
    assert!(replaced.iter().all(|answer| answer.status == 200 && answer.member("access_token") == second));
    let for_replacing = shop.asked().await - for_lending;
    assert_eq!(for_replacing, 2, "one without force, which gave the same token again, and one by force");
    assert!(shop.works(&second).await && !shop.works(&first).await);
    assert_eq!([shop.token(0).await, shop.token(1).await], [second.clone(), second]);
    let slowest = lent.iter().chain(&replaced).map(|answer| answer.took).max().unwrap_or_default();
    tell(&format!(
        "one access token under {ASKERS} askers at two replicas: {for_lending} call of stable_token, its renewal under \
         {ASKERS} refusals {for_replacing} (one by force); the slowest asker waited {slowest:?}"
    ));
}

#[tokio::test]
async fn a_token_that_somebody_else_has_renewed_is_fetched_without_force() {
    let shop = two_replicas().await;
    let first = shop.token(0).await;
    let elsewhere = shop.bed.wechat.stable_token(true).await;
    assert!(elsewhere != first && !shop.works(&first).await);
    let before = shop.asked().await;
    assert_eq!(shop.refused(1, &first).await.member("access_token"), elsewhere);
    assert_eq!(shop.asked().await - before, 1);
    assert!(shop.works(&elsewhere).await);
    assert_eq!(shop.token(0).await, elsewhere, "the other replica has it too");
}

#[tokio::test]
async fn a_renewal_is_forced_as_often_as_wechat_allows_and_said_when_it_may_be_again() {
    let shop = two_replicas().await;
    let first = shop.token(0).await;
    let forced = shop.refused(0, &first).await;
    let second = forced.member("access_token");
    // Within 30 s WeChat would give the same one again, whoever asks.
    let refused = shop.refused(1, &second).await.expect_problem(503, "wechat_unavailable");
    expect_exact_wait(Duration::from_secs(30), &forced, &refused);
    assert_eq!(shop.token(1).await, second, "who has not been refused gets the one in use");
    assert_eq!(shop.refused(1, &first).await.member("access_token"), second);
    let audited = json!({"action": "replace_access_token", "by": "shop", "app": APPID, "outcome": "ok"});
    let event = shop.audited(audited).await;
    assert!(!event.to_string().contains(&first) && !event.to_string().contains(&second), "{event}");
}

#[tokio::test]
async fn where_others_have_used_up_the_forced_renewals_the_asker_is_told_to_wait() {
    let shop = two_replicas().await;
    let first = shop.token(0).await;
    shop.bed.faults(json!([{"kind": "errcode", "errcode": 45009, "path": STABLE_TOKEN}])).await;
    // The first call, without force, gets the fault as well: the quota of calls is used up, and the operator must know.
    shop.refused(0, &first).await.expect_problem(502, "wechat_misconfigured");
    shop.bed.faults(json!([])).await;
    assert!(shop.works(&first).await);

    // Somebody else forces it right before, so that wxmint's own force has no effect.
    let elsewhere = shop.bed.wechat.stable_token(true).await;
    until("the pause after a failure is over", PATIENCE, async || shop.refused(0, &first).await.status == 200).await;
    let refused = shop.refused(1, &elsewhere).await.expect_problem(503, "wechat_unavailable");
    assert_eq!(refused.header("retry-after"), "30", "{refused:?}");
    assert_eq!(shop.token(0).await, elsewhere);
}

#[tokio::test]
async fn without_redis_or_with_a_wrong_secret_the_answer_says_so() {
    let shop = Shop::of(TestBed::builder().breakable_redis()).await;
    shop.bed.wechat.change_app(json!({"secret": "0123456789abcdef0123456789abcdef", "drop_old_secrets": true})).await;
    shop.lent(0).await.expect_problem(502, "wechat_misconfigured");
    shop.bed.redis_link().cut().await;
    shop.lent(0).await.expect_problem(503, "store_unavailable");
    shop.refused(0, "a token").await.expect_problem(503, "store_unavailable");
}

#[tokio::test]
async fn a_body_that_names_no_token_is_refused_with_the_reason() {
    let shop = Shop::start().await;
    let long = json!({"invalid": "a".repeat(16 * 1024)}).to_string();
    for (body, status, reason) in [
        ("{}", 400, "`invalid` is missing"),
        (r#"{"invalid":""}"#, 400, "must not be empty"),
        (&long, 413, "larger than 16 KiB"),
    ] {
        let request = shop.bed.http.0.post(format!("http://{}{PATH}", shop.bed.service().admin)).bearer_auth(SHOP);
        let refused = shop.bed.http.send(request.body(body.to_owned())).await.expect_problem(status, "invalid_request");
        assert!(refused.member("detail").contains(reason), "{refused:?}");
    }
    assert_eq!(shop.asked().await, 0);
    for method in ["PUT", "DELETE", "PATCH"] {
        let refused = shop.ask(method, PATH, SHOP, &Value::Null).await.expect_problem(405, "invalid_request");
        assert_eq!(refused.header("allow"), "GET, HEAD, POST");
    }
    let head = shop.ask("HEAD", PATH, SHOP, &Value::Null).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}
