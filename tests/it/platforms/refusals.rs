//! Refusals of WeChat to the platform or to one of its merchants, and by what name those on duty find it.

use super::*;
use crate::user_data::vault_keys::{new_vault_key, use_vault_keys};

const CHECK: &str = "wechat.platform";

async fn end_tokens(bed: &TestBed, of: &str) {
    bed.wechat
        .control(
            "platform/end_tokens",
            "POST",
            &json!({"what": of, "how": "expired"}),
        )
        .await;
}

async fn with_merchant() -> (TestBed, Answer) {
    let bed = with_ticket(1).await;
    let login = joined(&bed, APPID).await;
    (bed, login)
}

#[tokio::test(flavor = "multi_thread")]
async fn why_wechat_gives_no_token_is_in_the_log_readyz_and_the_doctor_and_a_stale_refresh_token_is_replaced()
 {
    let (bed, login) = with_merchant().await;
    let fault = json!([{"path": COMPONENT_TOKEN, "kind": "errcode", "errcode": 61006}]);
    bed.faults(fault).await;
    end_tokens(&bed, "component").await;
    let refused = async || {
        Some(log_in(&bed, bed.service(), APPID, "lin").await).filter(|answer| answer.status == 502)
    };
    eventually("the login is refused", BUSY, refused)
        .await
        .expect_problem(502, "wechat_misconfigured");
    // It stays ready, because the next ticket must reach it.
    let warning = "gives the platform no token";
    bed.service().readyz_says(200, warning).await;
    assert!(bed.service().log().contains("61006"));
    let advised = Report::of(&bed.configuration)
        .await
        .advice(CHECK, "fault", "errcode 61006");
    assert!(advised.contains("wxmint platform start-push"), "{advised}");
    bed.faults(json!([])).await;
    let healed = async || log_in(&bed, bed.service(), APPID, "lin").await.status == 200;
    until("logins go on", TEN_SECONDS * 4, healed).await;
    until("readyz warns no more", BUSY, async || {
        !bed.service().readyz().await.body.contains(warning)
    })
    .await;

    // The push that brought the merchant's new refresh token is lost: WeChat's list has it.
    let again = json!({"appid": APPID, "push": false});
    bed.wechat
        .control("platform/merchants", "POST", &again)
        .await;
    end_tokens(&bed, "merchants").await;
    session(&bed, &login)
        .await
        .expect_problem(503, "wechat_unavailable");
    found(&bed, "errcode 61023").await;
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_login();
    let mended = async || session(&bed, &login).await.status == 200;
    until("the refresh token is replaced", TEN_SECONDS * 4, mended).await;
}

/// After a planned change the list brings what is sealed by the new key, before the old one is gone. After a leak the
/// next ticket is needed too.
#[tokio::test(flavor = "multi_thread")]
async fn a_vault_key_that_is_replaced_costs_no_merchants_token_and_one_that_leaked_does_until_wechat_is_asked()
 {
    let mut bed = ticketed(TestBed::builder().operator()).await;
    joined(&bed, APPID).await;
    let path = format!("/wechat/{APPID}/access-token");
    let lent = async |bed: &TestBed| bed.operate("GET", &path).await.status;
    let file = fs::read_to_string(bed.configuration.value("WXMINT_VAULT_KEY_FILE")).expect("a key");
    let (old, new, other) = (file.trim(), new_vault_key(), new_vault_key());
    let (key, entry) = (
        format!("wxmint:{{platform:{PLATFORM}}}"),
        format!("merchant:{APPID}"),
    );
    let sealed = |bed: &TestBed| bed.redis.command::<Vec<u8>>(&["HGET", &key, &entry]);
    // Otherwise half a minute must pass.
    let list = format!("wxmint:{{{PLATFORM}}}:limit:eighths:merchant:list");
    let may_list = |bed: &TestBed| assert_eq!(bed.redis.command::<u64>(&["DEL", &list]), 1);

    use_vault_keys(&bed, &[&new, old]).await;
    let by_old = sealed(&bed);
    may_list(&bed);
    // It compares WeChat's list, as it does each hour.
    bed.services[0] = Service::start(&bed.configuration, bed.http.clone()).await;
    let bed = push_to_first(bed).await;
    until("it is sealed anew", TEN_SECONDS * 4, async || {
        sealed(&bed) != by_old
    })
    .await;
    bed.wechat
        .control("platform/ticket", "POST", &json!({}))
        .await;
    use_vault_keys(&bed, &[&new]).await;
    assert_eq!(lent(&bed).await, 200);

    use_vault_keys(&bed, &[&other]).await;
    may_list(&bed);
    assert_eq!(lent(&bed).await, 503);
    bed.service()
        .readyz_says(200, "no vault key opens it")
        .await;
    let advised = Report::of(&bed.configuration)
        .await
        .advice(CHECK, "fault", "no vault key opens");
    assert!(advised.contains("wxmint platform start-push"), "{advised}");
    bed.wechat
        .control("platform/ticket", "POST", &json!({}))
        .await;
    until(
        "a merchant's token is there again",
        TEN_SECONDS * 4,
        async || lent(&bed).await == 200,
    )
    .await;
}

/// By the doctor, which names the merchant.
async fn found(bed: &TestBed, trouble: &str) {
    let told = async || {
        let report = Report::of(&bed.configuration).await;
        let [status, found, _] = report.worst(CHECK);
        status == "warning" && found.contains(trouble) && found.contains(APPID)
    };
    until(trouble, BUSY, told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_withdrawn_is_named_and_a_wechat_that_refuses_every_token_is_asked_for_few()
{
    let (bed, login) = with_merchant().await;
    for path in ["/wxa/checksession", MERCHANT_TOKEN] {
        bed.faults(json!([{"path": path, "kind": "errcode", "errcode": 61007}]))
            .await;
        if path == MERCHANT_TOKEN {
            end_tokens(&bed, "merchants").await;
        }
        session(&bed, &login)
            .await
            .expect_problem(403, "permission_missing");
        found(&bed, "errcode 61007").await;
        log_in(&bed, bed.service(), APPID, "lin")
            .await
            .expect_login();
    }
    let missing = "wxmint_requests_total{route=\"/wechat/session\",outcome=\"permission_missing\"}";
    assert_eq!(bed.service().metric(missing).await, 2.0);

    // However often WeChat refuses what it has just given.
    bed.faults(json!([{"path": EXCHANGE, "kind": "errcode", "errcode": 40001}]))
        .await;
    let before = bed.wechat.asked(COMPONENT_TOKEN).await;
    for _ in 0..20 {
        let answer = log_in(&bed, bed.service(), APPID, "lin").await;
        assert_eq!(answer.status, 503, "{answer:?}");
    }
    let asked = bed.wechat.asked(COMPONENT_TOKEN).await - before;
    assert!((1..=3).contains(&asked), "{asked}");
}

/// One merchant's crowd, or its trouble at WeChat, is not the others'.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_at_one_merchant_leaves_the_others_alone() {
    let bed = ticketed(
        TestBed::builder()
            .env("WXMINT_LIMIT_IP", "60/1h")
            .app(OTHER_APPID, OTHER_SECRET),
    )
    .await;
    for appid in [APPID, OTHER_APPID] {
        joined(&bed, appid).await;
    }
    bed.faults(json!([{"path": EXCHANGE, "appid": APPID, "kind": "errcode", "errcode": -1}]))
        .await;
    let mut statuses = Vec::new();
    for _ in 0..70 {
        statuses.push(log_in(&bed, bed.service(), APPID, "lin").await.status);
    }
    assert!(
        statuses.contains(&503) && statuses.last() == Some(&429),
        "{statuses:?}"
    );
    log_in(&bed, bed.service(), OTHER_APPID, "lin")
        .await
        .expect_login();
}

/// Ten times what it may have at one merchant, whose own refusals do not count, and a refused login spends no code.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_a_limit_over_all_merchants_too() {
    let merchants: Vec<String> = (0..11).map(|number| format!("wx{number:016x}")).collect();
    let builder = merchants.iter().fold(TestBed::builder(), |builder, id| {
        builder.app(id, OTHER_SECRET)
    });
    let bed = ticketed(builder.env("WXMINT_LIMIT_IP", "1/1h")).await;
    let (last, others) = merchants.split_last().expect("eleven");
    for id in &merchants {
        comes(&bed, id).await;
    }
    for id in others {
        let_in(&bed, bed.service(), id, "lin").await;
        for _ in 0..3 {
            log_in(&bed, bed.service(), id, "lin")
                .await
                .expect_problem(429, "rate_limited");
        }
    }
    answered(&bed, bed.service(), last, "lin")
        .await
        .expect_problem(429, "rate_limited");
    assert_eq!(bed.wechat.asked(EXCHANGE).await, others.len() as u64);
}
