//! A third-party platform: merchants come and go while wxmint runs, and log in by the platform's token.

mod attacks;
mod merchants;
mod refusals;
mod vendor;
mod week;

use crate::doctor::Report;
use crate::support::prelude::*;

const TEN_SECONDS: Duration = Duration::from_secs(10);
const COMPONENT_TOKEN: &str = "/cgi-bin/component/api_component_token";
/// Nobody's app.
const STRANGER: &str = "wx00000000000000aa";
const EXCHANGE: &str = "/sns/component/jscode2session";

/// The simulator pushes to the first service.
async fn push_to_first(bed: TestBed) -> TestBed {
    let push_to = bed.service().url(&format!("/wechat/platform/{PLATFORM}"));
    bed.wechat.control("platform", "PUT", &json!({"push_to": push_to})).await;
    bed
}

async fn platform(services: usize) -> TestBed {
    push_to_first(TestBed::builder().services(services).app(OTHER_APPID, OTHER_SECRET).platform().start().await).await
}

/// WeChat has pushed a ticket.
async fn ticketed(builder: Builder) -> TestBed {
    let bed = push_to_first(builder.platform().start().await).await;
    let pushed = bed.wechat.control("platform/ticket", "POST", &json!({})).await.json();
    assert_eq!(pushed, json!({"status": 200, "body": "success"}));
    bed
}

async fn with_ticket(services: usize) -> TestBed {
    let bed = ticketed(TestBed::builder().services(services).app(OTHER_APPID, OTHER_SECRET)).await;
    for service in &bed.services {
        let compared = async || log_in(&bed, service, STRANGER, "lin").await.status == 400;
        until("WeChat's list of merchants is compared", PATIENCE, compared).await;
    }
    bed
}

async fn comes(bed: &TestBed, appid: &str) {
    let authorised = bed.wechat.control("platform/merchants", "POST", &json!({"appid": appid})).await.json();
    assert_eq!(authorised["push"]["body"], "success", "{authorised}");
}

async fn log_in(bed: &TestBed, service: &Service, appid: &str, person: &str) -> Answer {
    let code = if appid == STRANGER { "0".repeat(32) } else { bed.wechat.mint_code_in(appid, person).await };
    service.log_in_with(&json!({"code": code, "appid": appid})).await
}

/// Once the merchant is known there.
async fn let_in(bed: &TestBed, service: &Service, appid: &str, person: &str) -> Answer {
    let known = async || Some(log_in(bed, service, appid, person).await).filter(|it| ![400, 503].contains(&it.status));
    eventually("the merchant is known", PATIENCE, known).await.expect_login()
}

/// The login of a person at the first service, of a merchant that comes now.
async fn joined(bed: &TestBed, appid: &str) -> Answer {
    comes(bed, appid).await;
    let_in(bed, bed.service(), appid, "lin").await
}

async fn session(bed: &TestBed, login: &Answer) -> Answer {
    bed.service().ask("GET", "/wechat/session", &login.member("access_token"), &Value::Null).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_that_comes_logs_in_at_every_replica_and_one_that_leaves_is_out() {
    let bed = with_ticket(2).await;
    log_in(&bed, bed.service(), APPID, "lin").await.expect_problem(400, "unknown_app");
    comes(&bed, APPID).await;
    let logins = join_all(bed.services.iter().map(|service| let_in(&bed, service, APPID, "lin"))).await;
    assert_eq!(logins[0].claims()["client_id"], APPID);
    assert_eq!(logins[0].member("user_id"), logins[1].member("user_id"));
    // By the merchant's own access token.
    for (login, service) in logins.iter().zip(&bed.services) {
        let answer = service.ask("GET", "/wechat/session", &login.member("access_token"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(bed.wechat.asked("/cgi-bin/component/api_authorizer_token").await, 1, "one fetch for both");
    assert_eq!(bed.wechat.asked("/cgi-bin/stable_token").await, 0);

    bed.wechat.control(&format!("platform/merchants/{APPID}"), "DELETE", &Value::Null).await;
    for service in &bed.services {
        let refused = async || {
            let asked = bed.wechat.asked(EXCHANGE).await;
            log_in(&bed, service, APPID, "lin").await.expect_problem(400, "unknown_app");
            bed.wechat.asked(EXCHANGE).await == asked
        };
        until("the merchant's logins are refused without asking WeChat", PATIENCE, refused).await;
    }
    for login in &logins {
        until("the token is revoked", TEN_SECONDS, async || session(&bed, login).await.status == 401).await;
    }

    // A person who comes back is the same user.
    comes(&bed, APPID).await;
    let back = let_in(&bed, &bed.services[1], APPID, "lin").await;
    assert_eq!(back.member("user_id"), logins[0].member("user_id"));
    bed.service().expect_no_faults().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_platform_that_dies_early_is_renewed_once_for_all_logins() {
    let bed = with_ticket(2).await;
    comes(&bed, APPID).await;
    join_all(bed.services.iter().map(|service| let_in(&bed, service, APPID, "lin"))).await;
    for how in ["unknown", "expired"] {
        let before = bed.wechat.asked(COMPONENT_TOKEN).await;
        bed.wechat.control("platform/end_tokens", "POST", &json!({"what": "component", "how": how})).await;
        let wanted = json!({"person": "p", "appid": APPID, "count": 60, "distinct_people": true});
        let codes = bed.wechat.mint_codes(wanted).await;
        let logins = codes.iter().enumerate().map(async |(number, code)| {
            bed.services[number % 2].log_in_with(&json!({"code": code, "appid": APPID})).await.expect_login();
        });
        join_all(logins).await;
        assert_eq!(bed.wechat.asked(COMPONENT_TOKEN).await, before + 1, "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ticket_the_service_is_ready_and_says_so_and_logins_are_refused_until_it_comes() {
    let bed = platform(1).await;
    let warned = async || bed.service().admin("/readyz").await.body.contains("no ticket of the platform");
    until("readyz warns", PATIENCE, warned).await;
    assert_eq!(bed.service().admin("/readyz").await.status, 200);
    // The merchant's push is kept, and it waits for the ticket.
    comes(&bed, APPID).await;
    for appid in [APPID, STRANGER] {
        log_in(&bed, bed.service(), appid, "lin").await.expect_problem(503, "wechat_unavailable");
    }
    bed.wechat.control("platform/ticket", "POST", &json!({})).await;
    let late = async || Some(log_in(&bed, bed.service(), APPID, "lin").await).filter(|answer| answer.status == 200);
    eventually("the merchant is let in", Duration::from_secs(30), late).await.expect_login();
    until("readyz warns no more", PATIENCE, async || !warned().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_found_in_wechats_list_and_only_who_has_left_is_taken_away() {
    let mut bed = with_ticket(1).await;
    joined(&bed, APPID).await;
    // Both pushes are lost.
    bed.wechat.control("platform/merchants", "POST", &json!({"appid": OTHER_APPID, "push": false})).await;
    bed.wechat.control(&format!("platform/merchants/{APPID}?push=false"), "DELETE", &Value::Null).await;
    bed.services[0] = Service::start(&bed.configuration, bed.http.clone()).await;
    bed.service().ready().await;
    let at_other = async || log_in(&bed, bed.service(), OTHER_APPID, "lin").await.status == 200;
    // WeChat is asked at most twice a minute, however often a replica starts.
    until("who was missed is in", TEN_SECONDS * 4, at_other).await;
    let gone = async || log_in(&bed, bed.service(), APPID, "lin").await.status == 400;
    until("who has left is out", PATIENCE, gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_list_merchants_ask_for_the_ticket_and_the_doctor_says_when_it_came() {
    let bed = platform(1).await;
    let report = Report::of(&bed.configuration).await;
    let advice = report.advice("wechat.platform", "fault", "no ticket has come");
    assert!(advice.ends_with("wxmint platform start-push"), "{advice}");
    let run = |word| Ended::of(&mut bed.configuration.command_of(&["platform", word]), "").expect_success();
    run("start-push");
    until("the ticket comes", PATIENCE, async || !bed.service().admin("/readyz").await.body.contains("no ticket"))
        .await;
    joined(&bed, APPID).await;
    run("apps").expect_end(0, &[APPID, "mini_program  logs in"]);
    let report = Report::of(&bed.configuration).await;
    let [status, found, _] = report.worst("wechat.platform");
    assert!(status == "ok" && found.ends_with("; it acts for 1 merchant"), "{found}");
}
