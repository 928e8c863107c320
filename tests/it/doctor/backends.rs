//! Faults of WeChat, the account backend, and what the issuer publishes.

use super::{Report, follow, healthy};
use crate::support::prelude::*;

#[tokio::test]
async fn credentials_that_wechat_refuses_are_named_for_each_app() {
    let bed = TestBed::builder().services(0).two_apps().start().await;
    let report = Report::of(&bed.configuration).await;
    report.expect_healthy();
    assert_eq!(
        report
            .names()
            .iter()
            .filter(|name| **name == "wechat.credentials")
            .count(),
        2
    );
    let new = "ffeeddccbbaa99887766554433221100";
    bed.wechat
        .change_app(json!({"appid": OTHER_APPID, "secret": new, "drop_old_secrets": true}))
        .await;
    let report = Report::of(&bed.configuration).await;
    let advice = report.advice(
        "wechat.credentials",
        "fault",
        &format!("{OTHER_APPID}: WeChat answered errcode 40125"),
    );
    assert!(
        advice.contains("AppSecret into WXMINT_APP_SECRET"),
        "{advice}"
    );
    assert!(!report.output.contains(OTHER_SECRET) && !report.output.contains(APP_SECRET));
    let is_ok = |check: &serde_json::Value| {
        check["found"]
            .as_str()
            .is_some_and(|found| found.contains(APPID))
    };
    assert!(
        report
            .checks
            .iter()
            .any(|check| is_ok(check) && check["status"] == "ok"),
        "{}",
        report.output
    );
    let folder = bed.configuration.value("WXMINT_APPS_DIR");
    std::fs::write(format!("{folder}/{OTHER_APPID}"), new).expect("written");
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test]
async fn the_address_for_the_whitelist_is_named_a_quota_is_a_warning_and_a_wechat_that_is_away_or_hangs_is_not_reached()
 {
    let bed = TestBed::builder()
        .services(0)
        .breakable_wechat()
        .start()
        .await;
    let refuses = async |errcode: i32| {
        bed.faults(json!([{"kind": "errcode", "errcode": errcode}]))
            .await;
    };
    refuses(40164).await;
    let advice =
        Report::of(&bed.configuration)
            .await
            .advice("wechat.credentials", "fault", "40164");
    assert_eq!(
        advice,
        "put 127.0.0.1 on the IP whitelist of the app at mp.weixin.qq.com"
    );
    refuses(45009).await;
    Report::of(&bed.configuration)
        .await
        .advice("wechat.credentials", "warning", "45009");
    for kind in ["stall", "html", "reset"] {
        bed.faults(json!([{"kind": kind}])).await;
        let report = Report::of(&bed.configuration).await;
        report.advice("wechat.credentials", "warning", "not checked");
        assert_eq!(
            report.status("wechat.reach"),
            "ok",
            "{kind}: something answers"
        );
    }
    bed.faults(json!([])).await;
    bed.wechat_link().stall().await;
    Report::of(&bed.configuration)
        .await
        .advice("wechat.reach", "fault", "127.0.0.1");
    bed.wechat_link().cut().await;
    let report = Report::of(&bed.configuration).await;
    report.advice("wechat.reach", "fault", "not sent");
    assert_eq!(
        ["wechat.credentials", "wechat.clock"].map(|name| report.status(name)),
        ["warning"; 2]
    );
    bed.wechat_link().restore().await;
    Report::of(&bed.configuration).await.expect_healthy();
}

/// src/cli/doctor/accounts.rs has a row for each wrong answer of an account service.
#[tokio::test]
async fn an_account_service_that_is_away_or_answers_wrongly_is_named_and_the_issuer_is_asked_what_it_publishes()
 {
    let mut bed = healthy().await;
    bed.configuration.set("WXMINT_ACCOUNTS_CHECK", "true");
    let service = AccountService::start();
    bed.configuration.set("WXMINT_ACCOUNTS", &service.url());
    Report::of(&bed.configuration).await.expect_healthy();
    let asked: Vec<_> = service
        .take_calls()
        .into_iter()
        .map(|call| call.path)
        .collect();
    assert_eq!(
        asked,
        ["/wxmint/password-checks", "/wxmint/login-checks"],
        "nobody is made"
    );
    for (reply, words, advice) in [
        (Reply::Status(401), "401", "audience"),
        (
            Reply::Text("{\"user_id\":\"u-1\"}"),
            "takes a random password",
            "docs/accounts.md",
        ),
        (
            Reply::STALLED,
            "no usable answer",
            "let this machine reach it",
        ),
    ] {
        service.misbehave(reply);
        let said = Report::of(&bed.configuration)
            .await
            .advice("accounts", "fault", words);
        assert!(said.contains(advice), "{words}: {said}");
    }
    service.heal();
    Report::of(&bed.configuration).await.expect_healthy();
    bed.configuration
        .set("WXMINT_ACCOUNTS", "http://127.0.0.1:1/wxmint");
    Report::of(&bed.configuration)
        .await
        .advice("accounts", "fault", "no usable answer");

    for name in ["WXMINT_ACCOUNTS", "WXMINT_ACCOUNTS_CHECK"] {
        bed.configuration.unset(name);
    }
    let port = free_port();
    bed.configuration
        .set("WXMINT_ISSUER", &format!("http://127.0.0.1:{port}"));
    bed.configuration
        .set("WXMINT_LISTEN", &format!("127.0.0.1:{port}"));
    bed.configuration.set("WXMINT_REDIS_CONFIRM", "0");
    let public = async || {
        Report::run(
            &mut bed
                .configuration
                .command_of(&["doctor", "--public", "--json"]),
        )
        .await
    };
    let report = public().await;
    assert_eq!(
        report.code, 1,
        "the tokens that are issued can be verified by nobody, but they are issued"
    );
    let advice = report.advice("public", "warning", "/.well-known/");
    assert!(advice.contains("pass this path"), "{advice}");
    let _service = bed.another().await;
    public().await.expect_healthy();
    // Another wxmint, with other keys, behind the same URL.
    std::fs::remove_file(bed.configuration.value("WXMINT_KEYS")).expect("it was there");
    follow(&format!(
        "run: wxmint keys generate --keys {}",
        bed.configuration.value("WXMINT_KEYS")
    ));
    public()
        .await
        .advice("public", "warning", "jwks.json: the key that signs");
}
