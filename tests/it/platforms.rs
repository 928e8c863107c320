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
const MERCHANT_TOKEN: &str = "/cgi-bin/component/api_authorizer_token";

/// The simulator pushes to the first service.
async fn push_to_first(bed: TestBed) -> TestBed {
    let push_to = bed.service().url(&format!("/wechat/platform/{PLATFORM}"));
    bed.wechat
        .control("platform", "PUT", &json!({"push_to": push_to}))
        .await;
    bed
}

async fn platform(services: usize) -> TestBed {
    let builder = TestBed::builder()
        .services(services)
        .app(OTHER_APPID, OTHER_SECRET)
        .env("RUST_LOG", "trace");
    push_to_first(builder.platform().start().await).await
}

/// WeChat has pushed a ticket.
pub(crate) async fn ticketed(builder: Builder) -> TestBed {
    let bed = push_to_first(builder.platform().start().await).await;
    let pushed = bed
        .wechat
        .control("platform/ticket", "POST", &json!({}))
        .await
        .json();
    assert_eq!(pushed, json!({"status": 200, "body": "success"}));
    bed
}

async fn with_ticket(services: usize) -> TestBed {
    let bed = ticketed(
        TestBed::builder()
            .services(services)
            .app(OTHER_APPID, OTHER_SECRET),
    )
    .await;
    for service in &bed.services {
        let compared = async || log_in(&bed, service, STRANGER, "lin").await.status == 400;
        until("WeChat's list of merchants is compared", PATIENCE, compared).await;
    }
    bed
}

/// Readiness says this until one has come.
const NO_TICKET: &str = "no ticket of the platform";

async fn has_ticket(bed: &TestBed) {
    until("all is known", TEN_SECONDS * 4, async || {
        !bed.service().readyz().await.body.contains("platform")
    })
    .await;
}

async fn comes(bed: &TestBed, appid: &str) {
    let authorised = bed
        .wechat
        .control("platform/merchants", "POST", &json!({"appid": appid}))
        .await
        .json();
    assert_eq!(authorised["push"]["body"], "success", "{authorised}");
}

async fn log_in(bed: &TestBed, service: &Service, appid: &str, person: &str) -> Answer {
    let code = if appid == STRANGER {
        "0".repeat(32)
    } else {
        bed.wechat.mint_code_in(appid, person).await
    };
    service
        .log_in_with(&json!({"code": code, "appid": appid}))
        .await
}

/// The answer to a login once the merchant is known there.
async fn answered(bed: &TestBed, service: &Service, appid: &str, person: &str) -> Answer {
    let known = async || {
        Some(log_in(bed, service, appid, person).await)
            .filter(|it| ![400, 503].contains(&it.status))
    };
    eventually("the merchant is known", PATIENCE, known).await
}

async fn let_in(bed: &TestBed, service: &Service, appid: &str, person: &str) -> Answer {
    answered(bed, service, appid, person).await.expect_login()
}

/// The login of a person at the first service, of a merchant that comes now.
async fn joined(bed: &TestBed, appid: &str) -> Answer {
    comes(bed, appid).await;
    let_in(bed, bed.service(), appid, "lin").await
}

async fn session(bed: &TestBed, login: &Answer) -> Answer {
    bed.service()
        .ask(
            "GET",
            "/wechat/session",
            &login.member("access_token"),
            &Value::Null,
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_that_comes_logs_in_at_every_replica_and_one_that_leaves_is_out() {
    let bed = with_ticket(2).await;
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_problem(400, "unknown_app");
    comes(&bed, APPID).await;
    let logins = join_all(
        bed.services
            .iter()
            .map(|service| let_in(&bed, service, APPID, "lin")),
    )
    .await;
    assert_eq!(logins[0].claims()["client_id"], APPID);
    assert_eq!(logins[0].member("user_id"), logins[1].member("user_id"));
    // By the merchant's own access token.
    for (login, service) in logins.iter().zip(&bed.services) {
        let answer = service
            .ask(
                "GET",
                "/wechat/session",
                &login.member("access_token"),
                &Value::Null,
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(
        bed.wechat.asked(MERCHANT_TOKEN).await,
        1,
        "one fetch for both"
    );
    assert_eq!(bed.wechat.asked("/cgi-bin/stable_token").await, 0);

    bed.wechat
        .control(
            &format!("platform/merchants/{APPID}"),
            "DELETE",
            &Value::Null,
        )
        .await;
    for service in &bed.services {
        let refused = async || {
            let asked = bed.wechat.asked(EXCHANGE).await;
            log_in(&bed, service, APPID, "lin")
                .await
                .expect_problem(400, "unknown_app");
            bed.wechat.asked(EXCHANGE).await == asked
        };
        until(
            "the merchant's logins are refused without asking WeChat",
            PATIENCE,
            refused,
        )
        .await;
    }
    for login in &logins {
        until("the token is revoked", TEN_SECONDS, async || {
            session(&bed, login).await.status == 401
        })
        .await;
    }

    // A person who comes back is the same user.
    comes(&bed, APPID).await;
    let back = let_in(&bed, &bed.services[1], APPID, "lin").await;
    assert_eq!(back.member("user_id"), logins[0].member("user_id"));
    bed.service().expect_no_faults().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_dies_early_is_renewed_once_for_all_logins_and_what_redis_has_lost_is_told_again()
 {
    let bed = with_ticket(2).await;
    comes(&bed, APPID).await;
    join_all(
        bed.services
            .iter()
            .map(|service| let_in(&bed, service, APPID, "lin")),
    )
    .await;
    for how in ["unknown", "expired"] {
        let before = bed.wechat.asked(COMPONENT_TOKEN).await;
        bed.wechat
            .control(
                "platform/end_tokens",
                "POST",
                &json!({"what": "component", "how": how}),
            )
            .await;
        let wanted = json!({"person": "p", "appid": APPID, "count": 60, "distinct_people": true});
        let codes = bed.wechat.mint_codes(wanted).await;
        let logins = codes.iter().enumerate().map(async |(number, code)| {
            bed.services[number % 2]
                .log_in_with(&json!({"code": code, "appid": APPID}))
                .await
                .expect_login();
        });
        join_all(logins).await;
        assert_eq!(bed.wechat.asked(COMPONENT_TOKEN).await, before + 1, "{how}");
    }

    let key = format!("wxmint:{{platform:{PLATFORM}}}");
    let fields = || {
        bed.redis
            .command::<BTreeMap<String, Vec<u8>>>(&["HGETALL", &key])
    };
    let held = fields();
    assert!(held.len() >= 3, "{:?}", held.keys());
    bed.redis.command::<()>(&["FLUSHALL"]);
    for service in &bed.services {
        log_in(&bed, service, APPID, "lin").await.expect_login();
    }
    until("all is there again", BUSY, async || {
        let mut now = fields();
        now.remove("v");
        now.iter()
            .all(|(name, value)| held.get(name) == Some(value))
            && now.len() + 1 == held.len()
    })
    .await;
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_login();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ticket_the_service_is_ready_and_refuses_logins_until_operators_ask_for_it_and_an_old_one_is_found()
 {
    let bed = push_to_first(
        TestBed::builder()
            .app(OTHER_APPID, OTHER_SECRET)
            .operator()
            .platform()
            .start()
            .await,
    )
    .await;
    bed.service().readyz_says(200, NO_TICKET).await;
    let advice = Report::of(&bed.configuration).await.advice(
        "wechat.platform",
        "fault",
        "no ticket has come",
    );
    assert!(advice.ends_with("wxmint platform start-push"), "{advice}");
    // The merchant's push is kept, and it waits for the ticket.
    comes(&bed, APPID).await;
    for appid in [APPID, STRANGER] {
        log_in(&bed, bed.service(), appid, "lin")
            .await
            .expect_problem(503, "wechat_unavailable");
        bed.operate("GET", &format!("/wechat/{appid}/access-token"))
            .await
            .expect_problem(503, "wechat_unavailable");
    }
    let run = |word| {
        Ended::of(&mut bed.configuration.command_of(&["platform", word]), "").expect_success()
    };
    run("start-push");
    let late = async || {
        Some(log_in(&bed, bed.service(), APPID, "lin").await).filter(|answer| answer.status == 200)
    };
    eventually("the merchant is let in", 3 * PATIENCE, late)
        .await
        .expect_login();
    has_ticket(&bed).await;
    run("apps").expect_end(0, &[APPID, "mini_program  logs in"]);
    let report = Report::of(&bed.configuration).await;
    let [status, found, _] = report.worst("wechat.platform");
    assert!(
        status == "ok" && found.ends_with("; it acts for 1 merchant"),
        "{found}"
    );
    // By a clock that is ahead.
    let mut late = bed.configuration.command_of(&["doctor", "--json"]);
    let said = Ended::of(late.envs(clock_off_by("+45m")), "").stdout;
    assert!(
        said.contains("the last ticket came 4") && said.contains("start-push"),
        "{said}"
    );
}
