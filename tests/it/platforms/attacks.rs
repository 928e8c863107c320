//! Requests of strangers to the address for WeChat's pushes, and pushes twice, late, slowly or of another platform.

use wxmint_simulator::{Envelope, Platform, push_xml, seal_push};

use super::{COMPONENT_TOKEN, NO_TICKET, joined, log_in, platform, with_ticket};
use crate::services::now;
use crate::support::prelude::*;

const OTHER: &str = "wxc0ffee00000000fe";
const NONCE: &str = "1372623149";

fn sender(id: &str, token: &str) -> Platform {
    [id, PLATFORM_SECRET, token, PLATFORM_KEY]
        .join(":")
        .parse()
        .expect("a platform")
}

fn ours() -> Platform {
    sender(PLATFORM, PLATFORM_TOKEN)
}

fn ticket(created: i64) -> String {
    push_xml(
        PLATFORM,
        created,
        "component_verify_ticket",
        &[("ComponentVerifyTicket", "ticket@@@forged")],
    )
}

async fn send(bed: &TestBed, (query, body): (String, String)) -> Answer {
    send_to(bed, &format!("/wechat/platform/{PLATFORM}"), &query, body).await
}

async fn send_to(bed: &TestBed, path: &str, query: &str, body: String) -> Answer {
    let url = bed.service().url(&format!("{path}?{query}"));
    bed.http
        .send(
            bed.http
                .0
                .post(url)
                .header("Content-Type", "text/xml")
                .body(body),
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_changes_nothing() {
    let mut bed = platform(1).await;
    let (us, at) = (ours(), now());
    let said = ticket(at);
    let good = || Envelope::new(&us, &said, at, NONCE);
    for (what, pushed) in [
        (
            "another token",
            seal_push(&sender(PLATFORM, "anothertoken"), &ticket(at), at, NONCE),
        ),
        (
            "another platform's",
            seal_push(&sender(OTHER, PLATFORM_TOKEN), &ticket(at), at, NONCE),
        ),
        (
            "another AppID inside",
            Envelope {
                appid: OTHER,
                ..good()
            }
            .seal(&us),
        ),
        ("old", seal_push(&us, &ticket(at - 700), at - 700, NONCE)),
        ("old inside", seal_push(&us, &ticket(at - 700), at, NONCE)),
        ("of no time", seal_push(&us, &ticket(at), i64::MIN, NONCE)),
        (
            "entities",
            seal_push(
                &us,
                "<!DOCTYPE xml [<!ENTITY a \"b\">]><xml><AppId>&a;</AppId></xml>",
                at,
                NONCE,
            ),
        ),
    ] {
        let refused = send(&bed, pushed)
            .await
            .expect_problem(400, "invalid_request");
        assert!(
            !refused.body.contains(PLATFORM_TOKEN),
            "{what}: {refused:?}"
        );
    }
    let (query, body) = good().seal(&us);
    let [path, other] = [PLATFORM, OTHER].map(|id| format!("/wechat/platform/{id}"));
    send_to(&bed, &other, &query, body.clone())
        .await
        .expect_problem(404, "invalid_request");
    send_to(&bed, &path, "timestamp=1", body.clone())
        .await
        .expect_problem(400, "invalid_request");
    send_to(&bed, &path, &query, format!("{body}{}", " ".repeat(70_000)))
        .await
        .expect_problem(413, "invalid_request");
    let doctype = body.replacen("<xml>", "<!DOCTYPE a><xml>", 1);
    send_to(&bed, &path, &query, doctype)
        .await
        .expect_problem(400, "invalid_request");
    assert!(
        bed.service().readyz().await.body.contains(NO_TICKET),
        "nothing was kept"
    );
    bed.redis.kill();
    // Nor is a good one answered as kept while Redis is away.
    send(&bed, good().seal(&us))
        .await
        .expect_problem(503, "store_unavailable");
    bed.service().expect_no_faults().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_comes_again_or_late_or_with_a_code_that_is_not_wechats_changes_nothing() {
    let bed = with_ticket(1).await;
    let (us, at) = (ours(), now());
    let merchant = |info: &str, appid: &str, at: i64| {
        let members = [
            ("AuthorizerAppid", appid),
            ("AuthorizationCode", "queryauthcode@@@made-up"),
        ];
        push_xml(PLATFORM, at, info, &members)
    };
    joined(&bed, APPID).await;
    // An earlier departure that was under way for long.
    let early = seal_push(&us, &merchant("unauthorized", APPID, at - 60), at, NONCE);
    assert_eq!(send(&bed, early.clone()).await.body, "success");
    assert_eq!(send(&bed, early).await.body, "success", "again");
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_login();
    // A ticket that is earlier than the newest one.
    let stale = seal_push(&us, &ticket(at - 300), at, "2");
    assert_eq!(send(&bed, stale).await.body, "success");
    bed.wechat
        .control(
            "platform/end_tokens",
            "POST",
            &json!({"what": "component", "how": "unknown"}),
        )
        .await;
    let asked = bed.wechat.asked(COMPONENT_TOKEN).await;
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_login();
    assert_eq!(
        bed.wechat.asked(COMPONENT_TOKEN).await,
        asked + 1,
        "by the newest ticket"
    );

    // A code that was used stays so when WeChat pushes it again in another envelope.
    let authorised = json!({"appid": APPID, "push": false});
    let authorised = bed
        .wechat
        .control("platform/merchants", "POST", &authorised)
        .await
        .json();
    let (at, code) = (
        now(),
        authorised["authorization_code"].as_str().expect("a code"),
    );
    let members = [("AuthorizerAppid", APPID), ("AuthorizationCode", code)];
    let changed = push_xml(PLATFORM, at, "updateauthorized", &members);
    let (key, entry) = (
        format!("wxmint:{{platform:{PLATFORM}}}"),
        format!("code:{APPID}"),
    );
    let held = || bed.redis.command::<Vec<u8>>(&["HGET", &key, &entry]);
    let is_used = || held().starts_with(format!("{at} =").as_bytes());
    assert_eq!(
        send(&bed, seal_push(&us, &changed, at, "5")).await.body,
        "success"
    );
    until("the code was used", BUSY, async || is_used()).await;
    assert_eq!(
        send(&bed, seal_push(&us, &changed, at, "6")).await.body,
        "success"
    );
    assert!(is_used());

    // A code that is made up leads to no merchant, and leaves the one that is there as it is.
    let ways = ["api_get_authorizer_info", "api_query_auth"]
        .map(|call| format!("/cgi-bin/component/{call}"));
    let questions = async || bed.wechat.asked(&ways[0]).await + bed.wechat.asked(&ways[1]).await;
    let (asked, at) = (questions().await, now() + 2);
    for (nonce, appid) in [("3", APPID), ("4", OTHER_APPID)] {
        let pushed = seal_push(&us, &merchant("authorized", appid, at), at, nonce);
        assert_eq!(send(&bed, pushed).await.body, "success");
    }
    until("WeChat was asked three times", BUSY, async || {
        questions().await == asked + 3
    })
    .await;
    log_in(&bed, bed.service(), APPID, "lin")
        .await
        .expect_login();
    log_in(&bed, bed.service(), OTHER_APPID, "lin")
        .await
        .expect_problem(400, "unknown_app");
}
