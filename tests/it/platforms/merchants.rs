//! Other events of a merchant: its rights change, it has an AppSecret too, or is one of hundreds.

use super::*;
use crate::support::scan::two_pages;

const QUERY_AUTH: &str = "/cgi-bin/component/api_query_auth";
/// How `wxmint platform apps` shows an authorization code that was not asked about yet.
const ASKED: &str = "WeChat is asked about it";
const ACCOUNT: &str = "wxaaaaaaaaaaaaaaaa";

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_rights_brings_the_new_refresh_token_and_what_was_missed_is_found_in_wechats_list()
 {
    let mut bed = with_ticket(1).await;
    let lin = joined(&bed, APPID).await;
    bed.faults(json!([{"path": QUERY_AUTH, "kind": "errcode", "errcode": -1}]))
        .await;
    let asked = bed.wechat.asked(QUERY_AUTH).await;
    comes(&bed, APPID).await;
    until("the code was asked about", BUSY, async || {
        bed.wechat.asked(QUERY_AUTH).await > asked
    })
    .await;
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_login();
    let listed = apps_listed(&bed).await;
    assert!(
        listed.contains("logs in") && listed.contains(ASKED),
        "{listed}"
    );
    bed.faults(json!([])).await;
    until("the code was used", TEN_SECONDS * 2, async || {
        !apps_listed(&bed).await.contains(ASKED)
    })
    .await;
    bed.wechat
        .control(
            "platform/end_tokens",
            "POST",
            &json!({"what": "merchants", "how": "unknown"}),
        )
        .await;
    // Each replica learns of it within a quarter of a second.
    until("the new refresh token is in use", BUSY, async || {
        session(&bed, &lin).await.status == 200
    })
    .await;
    assert_eq!(
        bed.wechat
            .asked("/cgi-bin/component/api_get_authorizer_list")
            .await,
        1,
        "by the push alone"
    );

    // Both pushes are lost. Only who has left is taken away.
    bed.wechat
        .control(
            "platform/merchants",
            "POST",
            &json!({"appid": OTHER_APPID, "push": false}),
        )
        .await;
    bed.wechat
        .control(
            &format!("platform/merchants/{APPID}?push=false"),
            "DELETE",
            &Value::Null,
        )
        .await;
    bed.services[0] = bed.another().await;
    let at_other = async || log_in(&bed, bed.service(), OTHER_APPID, "lin").await.status == 200;
    // WeChat is asked at most twice a minute, however often a replica starts.
    until("who was missed is in", TEN_SECONDS * 4, at_other).await;
    let gone = async || log_in(&bed, bed.service(), APPID, "lin").await.status == 400;
    until("who has left is out", PATIENCE, gone).await;
}

/// As a merchant whose account WeChat has frozen. Too many of them would be no trouble of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_of_whom_wechat_says_something_odd_keeps_no_other_out() {
    let bed = push_to_first(
        TestBed::builder()
            .app(OTHER_APPID, OTHER_SECRET)
            .platform()
            .start()
            .await,
    )
    .await;
    for appid in [APPID, OTHER_APPID] {
        bed.wechat
            .control(
                "platform/merchants",
                "POST",
                &json!({"appid": appid, "push": false}),
            )
            .await;
    }
    let path = "/cgi-bin/component/api_get_authorizer_info";
    bed.faults(json!([{"path": path, "appid": OTHER_APPID, "kind": "errcode", "errcode": 61016}]))
        .await;
    bed.wechat
        .control("platform/ticket", "POST", &json!({}))
        .await;
    let_in(&bed, bed.service(), APPID, "lin").await;
    let compared = async || log_in(&bed, bed.service(), STRANGER, "lin").await.status == 400;
    until("an app of nobody's is unknown", PATIENCE, compared).await;
}

/// The lines that `wxmint platform apps` prints.
async fn apps_listed(bed: &TestBed) -> String {
    Ended::of(&mut bed.configuration.command_of(&["platform", "apps"]), "")
        .expect_success()
        .stdout
}

/// WeChat told of them in no push. Its list comes in pages. Of those that leave at once one walk over Redis ends all
/// tokens, and a second one those of meanwhile; a walk for each would read more than 60 pages.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn six_hundred_merchants_are_found_in_wechats_list_and_thirty_that_leave_at_once_are_few_walks_over_redis()
 {
    let merchants: Vec<String> = (0..600).map(|number| format!("wx{number:016x}")).collect();
    let builder = merchants.iter().fold(TestBed::builder(), |builder, id| {
        builder.app(id, OTHER_SECRET)
    });
    let bed = push_to_first(builder.platform().start().await).await;
    for id in &merchants {
        bed.wechat
            .control(
                "platform/merchants",
                "POST",
                &json!({"appid": id, "push": false}),
            )
            .await;
    }
    // Last, because the list of merchants is asked for as soon as there is a ticket, and then in an hour.
    bed.wechat
        .control("platform/ticket", "POST", &json!({}))
        .await;
    let listed = async || apps_listed(&bed).await.matches("logs in").count() == merchants.len();
    until("all merchants are let in", TEN_SECONDS * 3, listed).await;
    // Too many apps for a label of each.
    let metrics = bed.service().metrics().await;
    assert!(!metrics.contains(&merchants[599]), "{metrics}");

    let (leaving, mut logins) = (&merchants[570..], Vec::new());
    for id in leaving {
        logins.push(let_in(&bed, bed.service(), id, "lin").await);
    }
    let before = bed.redis.calls();
    for id in leaving {
        bed.wechat
            .control(&format!("platform/merchants/{id}"), "DELETE", &Value::Null)
            .await;
    }
    let all_are_out = async || {
        let asked = logins
            .iter()
            .map(async |login| session(&bed, login).await.status == 401);
        join_all(asked).await.into_iter().all(|is_out| is_out)
    };
    until("all tokens are revoked", TEN_SECONDS + BUSY, all_are_out).await;
    let gone = async || apps_listed(&bed).await.matches("has left ").count() == leaving.len();
    until("nothing is left to do", TEN_SECONDS * 4, gone).await;
    let scans = bed
        .redis
        .calls_since(&before)
        .get("scan")
        .copied()
        .unwrap_or_default();
    assert!(scans <= 30, "{scans} pages for thirty merchants");
}

/// Its people log in by that as before, whatever becomes of the platform.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_an_app_secret_of_its_own_is_not_revoked_with_the_platforms_right() {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let bed = ticketed(
        TestBed::builder()
            .app(OTHER_APPID, OTHER_SECRET)
            .apps_folder(folder.path()),
    )
    .await;
    let lin = bed.log_in("lin").await.expect_login();
    comes(&bed, APPID).await;
    let other = joined(&bed, OTHER_APPID).await;
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_login();
    assert_eq!(
        bed.wechat.asked(EXCHANGE).await,
        1,
        "the own AppSecret comes first"
    );
    // The platform's token is at hand: nothing more but that the address is counted over all merchants, too.
    let silent = async |appid: &str| {
        let before = bed.redis.calls();
        for _ in 0..10 {
            log_in(&bed, bed.service(), appid, "lin")
                .await
                .expect_login();
        }
        let calls = bed.redis.calls_since(&before);
        ["evalsha", "set", "hincrby"].map(|name| calls.get(name).copied().unwrap_or_default())
    };
    // The platform's own work meanwhile only adds to it.
    let is_one_count_more = async || {
        let [scripts, claims, counts] = silent(APPID).await;
        silent(OTHER_APPID).await == [scripts, claims, counts + 10]
    };
    until(
        "a merchant's login costs one count more",
        PATIENCE,
        is_one_count_more,
    )
    .await;
    for appid in [APPID, OTHER_APPID] {
        bed.wechat
            .control(
                &format!("platform/merchants/{appid}"),
                "DELETE",
                &Value::Null,
            )
            .await;
    }
    let ended = async || session(&bed, &other).await.status == 401;
    until("the other app's token is revoked", TEN_SECONDS, ended).await;
    until("both are gone", TEN_SECONDS * 3, async || {
        apps_listed(&bed).await.matches("has left ").count() == 2
    })
    .await;
    assert_eq!(session(&bed, &lin).await.status, 200);
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_login();
}

/// Whoever holds a merchant's AppSecret can have session keys, and so could name anybody's unionid in data.
#[tokio::test(flavor = "multi_thread")]
async fn a_unionid_in_the_data_of_a_merchants_app_links_nobody() {
    let bed = with_ticket(1).await;
    bed.wechat.names_unionids(APPID, false).await;
    let here = joined(&bed, APPID).await;
    let data = bed
        .wechat
        .hand_over(json!({"person": "lin", "kind": "user_info", "unionid": true}))
        .await;
    let told = json!({"encryptedData": data["encryptedData"], "iv": data["iv"]});
    let opened = bed
        .service()
        .ask(
            "POST",
            "/wechat/userdata",
            &here.member("access_token"),
            &told,
        )
        .await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let there = joined(&bed, OTHER_APPID).await;
    assert_ne!(there.member("user_id"), here.member("user_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchants_people_use_phone_numbers_scan_to_log_in_and_come_by_its_official_account() {
    let builder = TestBed::builder().app(ACCOUNT, &format!("{OTHER_SECRET}:official_account"));
    let mut clients = two_pages();
    (clients[1]["redirect_uris"], clients[1]["web_apps"]) =
        (json!(["https://s.example"]), json!([ACCOUNT]));
    let bed = ticketed(builder.clients(&clients)).await;
    let lin = joined(&bed, APPID).await;
    bed.wechat.phone_of("lin", "13800000001").await;
    let code = json!({"code": bed.wechat.mint_phone_code("lin").await});
    let phone = bed
        .service()
        .ask("POST", "/wechat/phone", &lin.member("access_token"), &code)
        .await;
    assert!(
        phone.status == 200 && phone.body.contains("13800000001"),
        "{phone:?}"
    );

    let scan = bed.ask().await;
    let picture = bed
        .service()
        .get(&format!("/device/{}/code.jpg", scan.user_code()))
        .await;
    assert_eq!(
        (picture.status, picture.header("content-type")),
        (200, "image/jpeg")
    );
    assert_eq!(bed.look(&lin, &scan.user_code()).await.status, 200);
    bed.approves(&lin, "lin", &scan).await;
    assert_eq!(
        bed.poll(&scan).await.expect_login().member("user_id"),
        lin.member("user_id")
    );
    assert_eq!(
        bed.wechat.asked(MERCHANT_TOKEN).await,
        1,
        "one token for all of it"
    );

    let page = joined(&bed, ACCOUNT).await;
    assert_eq!(
        page.member("user_id"),
        lin.member("user_id"),
        "by the unionid"
    );
    assert_eq!(
        bed.wechat.asked("/sns/oauth2/component/access_token").await,
        1
    );
    session(&bed, &page)
        .await
        .expect_problem(409, "session_key_missing");

    bed.wechat
        .change_app(json!({"appid": ACCOUNT, "domains": ["login.example.com"]}))
        .await;
    let site = "client_id=tv&redirect_uri=https%3A%2F%2Fs.example&response_type=code&scope=openid&code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let get = |url: String| bed.http.0.get(url).header("user-agent", "MicroMessenger");
    let sent = bed
        .http
        .send(get(bed.service().url(&format!("/authorize?{site}"))))
        .await;
    let agreed = bed
        .http
        .send(get(sent.header("location").replace('#', "&person=lin#")))
        .await;
    let back = agreed
        .header("location")
        .replace(ISSUER, &bed.service().url(""));
    let left = bed
        .http
        .send(get(back).header("cookie", sent.header("set-cookie")))
        .await;
    assert!(
        left.status == 303 && left.header("location").contains("?code="),
        "{left:?}"
    );
}

/// A token that a peer reports to be refused, again and again, is not taken from what wxmint itself may replace.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_reports_every_token_costs_no_login() {
    let bed = ticketed(TestBed::builder().operator()).await;
    joined(&bed, APPID).await;
    let path = format!("/wechat/{PLATFORM}/access-token");
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let used = bed.operate("GET", &path).await.member("access_token");
        statuses.push(
            bed.service()
                .operate("POST", &path, OPERATOR, &json!({"invalid": used}))
                .await
                .status,
        );
    }
    assert!(
        statuses.contains(&200) && statuses.contains(&503),
        "{statuses:?}"
    );
    bed.wechat
        .control(
            "platform/end_tokens",
            "POST",
            &json!({"what": "component", "how": "unknown"}),
        )
        .await;
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_login();
}
