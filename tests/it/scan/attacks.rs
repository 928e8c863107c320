//! Attacks by somebody who has the source (docs/scan-login.md, RFC 10027).

use reqwest::header::HeaderValue;

use super::*;
use crate::support::scan::Scan;

/// Somebody shows a victim the code of the attacker's own page: who does not see that page does not know its number.
/// The store's conformance suite holds that a request which was spoiled or denied stays so, and which of several
/// decisions counts.
#[tokio::test]
async fn a_wrong_number_or_a_denial_spoils_a_request_an_approval_may_be_repeated_and_codes_tell_nothing_apart()
 {
    let bed = builder().start().await;
    let phone = bed.log_in("lin").await.expect_login();
    let [wrong, denied, approved] = [bed.ask().await, bed.ask().await, bed.ask().await];
    let approve = async |scan: &Scan, number: Option<&str>| {
        bed.approve(Some(&phone), "lin", &scan.user_code(), number)
            .await
    };
    approve(&wrong, Some("00"))
        .await
        .expect_problem(403, "number_mismatch");
    assert_eq!(bed.deny(&phone, &denied.user_code()).await.status, 204);
    for spoiled in [&wrong, &denied] {
        approve(spoiled, spoiled.number().as_deref())
            .await
            .expect_problem(404, "unknown_device_code");
        bed.poll(spoiled).await.expect_oauth(400, "access_denied");
    }
    let missing = approve(&approved, None)
        .await
        .expect_problem(400, "invalid_request");
    assert!(missing.member("detail").contains("`match`"), "{missing:?}");
    // Repeated, because answers are lost.
    for _ in 0..2 {
        assert_eq!(
            approve(&approved, approved.number().as_deref())
                .await
                .status,
            204
        );
    }
    bed.deny(&phone, &approved.user_code())
        .await
        .expect_problem(404, "unknown_device_code");
    bed.poll(&approved).await.expect_login();
    assert_eq!(
        approve(&approved, approved.number().as_deref())
            .await
            .status,
        204,
        "also after the page has its token"
    );
    assert_eq!(
        bed.let_in("cli.1", "lin").await.claims()["client_id"],
        "cli.1",
        "which asks for no number"
    );

    // A code may never have been there, was denied or used, or is none. Each takes as long to refuse.
    let [wrong, denied, used] = [&wrong, &denied, &approved].map(Scan::user_code);
    let mut told = BTreeSet::new();
    for code in [&wrong, &denied, &used, "WDJB-MJHT", "nonsense", "%00"] {
        told.insert(
            bed.look(&phone, code)
                .await
                .expect_problem(404, "unknown_device_code")
                .told(),
        );
    }
    assert_eq!(told.len(), 1, "{told:?}");
    let mut told = BTreeSet::new();
    for code in [&*wrong, "WDJB-MJHT", "nonsense"] {
        let refused = bed.approve(Some(&phone), "lin", code, Some("47")).await;
        told.insert(refused.expect_problem(404, "unknown_device_code").told());
    }
    assert_eq!(told.len(), 1, "{told:?}");
    for code in [&denied, &used, "WDJB-MJHT"] {
        let before = bed.redis.calls();
        bed.look(&phone, code).await;
        assert_eq!(
            bed.redis.calls_since(&before).get("evalsha"),
            Some(&1),
            "each costs the same steps"
        );
    }
}

/// The code of one person beside the token of another, tokens of other mini programs and of pages, and no token.
#[tokio::test]
async fn only_a_person_of_the_mini_program_looks_approves_and_denies() {
    let bed = builder().two_apps().start().await;
    let phone = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
    let elsewhere = bed
        .log_in_at(OTHER_APPID, "lin", json!({}))
        .await
        .expect_login();
    let page = bed.let_in("shop-web", "lin").await;
    let request = bed.ask().await;
    let (code, number) = (request.user_code(), request.number());
    for stranger in [&elsewhere, &page] {
        bed.look(stranger, &code)
            .await
            .expect_problem(403, "forbidden");
        bed.deny(stranger, &code)
            .await
            .expect_problem(403, "forbidden");
        bed.approve(Some(stranger), "lin", &code, number.as_deref())
            .await
            .expect_problem(403, "forbidden");
    }
    let pending = bed
        .poll(&request)
        .await
        .expect_oauth(400, "authorization_pending");
    assert!(
        pending.json().get("scanned").is_none(),
        "a stranger's look is none"
    );
    bed.approve(Some(&phone), "mei", &code, number.as_deref())
        .await
        .expect_problem(403, "forbidden");
    let of_other_app = json!({"code": bed.wechat.mint_code_in(OTHER_APPID, "lin").await, "appid": OTHER_APPID, "match": number});
    let path = format!("/device/{code}/approve");
    let refused = bed
        .service()
        .ask("POST", &path, &phone.member("access_token"), &of_other_app)
        .await;
    refused.expect_problem(403, "forbidden");
    bed.service()
        .get(&format!("/device/{code}"))
        .await
        .expect_problem(401, "invalid_token");
    bed.form(&format!("/device/{code}/deny"), &[])
        .await
        .expect_problem(401, "invalid_token");
    assert_eq!(
        bed.approve(Some(&phone), "lin", &code, number.as_deref())
            .await
            .status,
        204,
        "nothing was spoiled"
    );
    // A page's token opens `/logout` alone of wxmint's own paths.
    let described = &bed.service().get("/openapi.json").await.json()["paths"];
    for (method, path) in [
        ("DELETE", "/binding"),
        ("GET", "/wechat/session"),
        ("POST", "/wechat/session/reset"),
    ] {
        let refused = bed
            .service()
            .ask(method, path, &page.member("access_token"), &Value::Null)
            .await;
        refused.expect_problem(403, "forbidden");
        assert!(
            described[path][method.to_lowercase()]["responses"]["403"].is_object(),
            "{path} in /openapi.json"
        );
    }
}

/// Without a list of people a token tells the user alone, and the code of an approval the person.
#[tokio::test]
async fn without_an_index_of_people_a_phone_looks_approves_and_denies_and_nobody_else() {
    let bed = builder()
        .user_ids("openid", crate::user_ids::ID_KEY)
        .env("WXMINT_USER_INDEX", "false");
    let bed = bed.env("WXMINT_LIMIT_OPENID", "12/1h").start().await;
    let (lin, mei) = (
        bed.log_in("lin").await.expect_login(),
        bed.log_in("mei").await.expect_login(),
    );
    let [approved, denied, foreign] = [bed.ask().await, bed.ask().await, bed.ask().await];
    assert_eq!(
        bed.look(&lin, &approved.user_code()).await.json()["client_id"],
        "shop-web"
    );
    let number = foreign.number();
    let refused = bed
        .approve(Some(&mei), "lin", &foreign.user_code(), number.as_deref())
        .await;
    refused.expect_problem(403, "forbidden");
    for _ in 0..2 {
        bed.approves(&lin, "lin", &approved).await;
        assert_eq!(
            bed.deny(&lin, &denied.user_code()).await.status,
            204,
            "also repeated"
        );
    }
    let page = bed.poll(&approved).await.expect_login();
    assert_eq!(page.claims()["sub"], lin.claims()["sub"]);
    bed.poll(&denied).await.expect_oauth(400, "access_denied");
    bed.look(&page, &foreign.user_code())
        .await
        .expect_problem(403, "forbidden");
    until("the user's looks are counted", PATIENCE, async || {
        bed.look(&lin, "WDJB-MJHT").await.status == 429
    })
    .await;
    bed.look(&mei, "WDJB-MJHT")
        .await
        .expect_problem(404, "unknown_device_code");
    bed.log_out(&lin, false).await;
    bed.look(&lin, &foreign.user_code())
        .await
        .expect_problem(401, "invalid_token");
}

/// Words of the stranger's own could tell the person which number to tap.
#[tokio::test]
async fn the_phone_shows_no_words_of_the_browser_that_asks_and_a_back_end_speaks_for_its_visitor() {
    let bed = builder().start().await;
    let phone = bed.log_in("lin").await.expect_login();
    let of_visitor = format!(
        "Tap 47 \u{202e} Mozilla/5.0 (Windows NT 10.0) Chrome/142.0 {}",
        "x".repeat(1000)
    );
    let back_end = [
        ("client_id", "shop"),
        ("client_secret", SECRET),
        ("browser_address", "2001:db8:1:2:3::4"),
        ("browser_user_agent", &of_visitor),
    ];
    let page = [
        ("client_id", "shop-web"),
        ("browser_address", "192.0.2.1"),
        ("browser_user_agent", "forged"),
    ];
    let of_back_end = (&back_end[..], "2001:db8:1:2::/64", "Chrome on Windows");
    for (form, address, browser) in [of_back_end, (&page, "127.0.0.1", "Firefox")] {
        let asked = bed.form("/device_authorization", form).await;
        let shown = bed.look(&phone, &asked.member("user_code")).await.json();
        assert_eq!(
            (&shown["address"], &shown["user_agent"]),
            (&address.into(), &browser.into())
        );
    }
    // In UTF-8, and in an encoding that nobody names.
    for agent in [
        "本人操作，请点 47 确认".as_bytes(),
        b"Fox\xe9 \xe7\x8e\x8b/1",
    ] {
        let agent = HeaderValue::from_bytes(agent).expect("a header");
        let request = bed
            .http
            .0
            .post(bed.service().url("/device_authorization"))
            .header("user-agent", agent);
        let asked = bed.http.send(with_form(request, &page)).await;
        let shown = bed.look(&phone, &asked.member("user_code")).await.json();
        assert_eq!(shown["user_agent"], "unknown device");
    }
}
