//! Attacks by somebody who has the source (RFC 9700, RFC 10027).

use super::*;
use crate::support::secrets::Place;

#[track_caller]
fn invalid_grant(answer: &Answer, why: &str) {
    assert_eq!(
        (answer.status, answer.member("error").as_str()),
        (400, "invalid_grant"),
        "{why}: {answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_of_one_client_one_address_and_one_verifier_and_for_one_use() {
    let bed = builder().services(2).start().await;
    for (changed, why) in [
        (("redirect_uri", LEFT), "another address"),
        (
            ("redirect_uri", "http://127.0.0.1/cb"),
            "another client's address",
        ),
        (
            (
                "code_verifier",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            ),
            "the challenge as its verifier",
        ),
        (("code_verifier", "a"), "a short verifier"),
    ] {
        let code = bed.code("lin").await;
        let mut form = grant(&code, BACK).to_vec();
        form.retain(|(name, _)| *name != changed.0);
        form.push(changed);
        invalid_grant(&bed.token(&form).await, why);
        invalid_grant(&bed.redeem(&code).await, "and it is used up");
    }
    let code = bed.code("lin").await;
    let without = bed.token(&grant(&code, BACK)[..3]).await;
    assert_eq!(
        without.member("error"),
        "invalid_request",
        "without a verifier nothing was tried"
    );
    for (client, error) in [("spa", "invalid_grant"), ("grafana", "invalid_client")] {
        let form = [&grant(&code, BACK)[..], &[("client_id", client)]].concat();
        assert_eq!(
            bed.form("/token", &form).await.member("error"),
            error,
            "without a secret"
        );
    }
    let tokens = bed.redeem(&code).await.expect_login();
    assert_eq!(bed.userinfo(&tokens).await.status, 200);
    invalid_grant(&bed.redeem(&code).await, "twice");
    bed.expect_ended(&tokens, "the code came twice").await;
    for nonsense in ["A".repeat(43), "x".into()] {
        invalid_grant(&bed.redeem(&nonsense).await, "a guess");
    }
    // Two replicas are asked at once: one gives tokens at most, and none of them lives.
    for _ in 0..5 {
        let code = bed.code("lin").await;
        let form = [&GRAFANA[..], &grant(&code, BACK)].concat();
        let posts = bed
            .services
            .iter()
            .map(|service| with_form(bed.http.0.post(service.url("/token")), &form));
        let asked = posts.map(|post| bed.http.send(post));
        let given: Vec<_> = join_all(asked)
            .await
            .into_iter()
            .filter(|answer| answer.status == 200)
            .collect();
        assert!(given.len() <= 1, "{given:?}");
        for tokens in &given {
            bed.expect_ended(tokens, "two at once").await;
        }
    }
}

/// A page of `/authorize` fetches nothing that a page of the client's own has asked for: it would make a code of it
/// without the client's secret. Nor is it the other way round.
#[tokio::test]
async fn a_device_code_is_of_the_door_that_gave_it() {
    let bed = builder().start().await;
    for (client, back, proof) in [
        ("grafana", BACK, &GRAFANA[..]),
        ("spa", ORIGIN, &[("client_id", "spa")]),
    ] {
        let asked = asks(client, back);
        let own = bed.form("/device_authorization", proof).await;
        let of_page = bed.step("scan", &asked, &[]).await;
        let of_page_code = of_page.member("user_code");
        for (shown, user_code) in [(&own, own.member("user_code")), (&of_page, of_page_code)] {
            bed.approve(None, "lin", &user_code, shown.json()["match"].as_str())
                .await;
        }
        let polled = bed
            .step(
                "poll",
                &asked,
                &[("device_code", &*own.member("device_code"))],
            )
            .await;
        assert_eq!(polled.json(), json!({"state": "expired"}), "{client}");
        let fetch = async |code: &Answer| {
            let code = code.member("device_code");
            let grant = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                ("device_code", &*code),
            ];
            bed.form("/token", &[proof, &grant].concat()).await
        };
        invalid_grant(&fetch(&of_page).await, client);
        fetch(&own).await.expect_login();
        let polled = bed
            .step(
                "poll",
                &asked,
                &[("device_code", &*of_page.member("device_code"))],
            )
            .await;
        assert!(
            polled.member("location").contains("code="),
            "{client}: {polled:?}"
        );
    }
}

/// Used first by the thief, second, and once more after the successor was used: somebody has two, and nobody keeps one.
#[tokio::test]
async fn a_stolen_refresh_token_ends_the_login_whoever_uses_it_first() {
    let bed = builder().start().await;
    let stolen = bed.log_in_site("lin").await;
    let (thief, owner) = (
        bed.renew(&stolen).await.expect_login(),
        bed.renew(&stolen).await.expect_login(),
    );
    assert_eq!(
        thief.claims()["jti"],
        owner.claims()["jti"],
        "at once: one pair of tokens"
    );
    let next = bed.renew(&thief).await.expect_login();
    invalid_grant(&bed.renew(&stolen).await, "its successor was used");
    bed.expect_ended(&next, "reuse").await;
    assert_eq!(bed.userinfo(&thief).await.status, 401);

    // Another client's, a forged one, and one that names a family whose tokens nobody has shown.
    let tokens = bed.log_in_site("lin").await;
    let refresh = tokens.member("refresh_token");
    let other = [
        ("grant_type", "refresh_token"),
        ("client_id", "spa"),
        ("refresh_token", &refresh),
    ];
    invalid_grant(&bed.form("/token", &other).await, "another client");
    let parts: Vec<_> = refresh.split('~').collect();
    let forged = format!(
        "{}~{}~{}~{}",
        parts[0],
        parts[1],
        "A".repeat(43),
        "A".repeat(43)
    );
    for wrong in [forged.as_str(), "x", "", &"A".repeat(200)] {
        let answer = bed
            .token(&[("grant_type", "refresh_token"), ("refresh_token", wrong)])
            .await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert_eq!(
        bed.renew(&tokens).await.status,
        200,
        "who knows the sid alone ends nothing"
    );
    for part in &parts[2..] {
        bed.http
            .1
            .note("part of a refresh token", &[Place::Answer], *part);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_half_a_minute_the_same_refresh_token_is_reuse_and_a_code_lives_a_whole_one() {
    let (clock, bed) = Clock::around(builder()).await;
    let first = bed.log_in_site("lin").await;
    let second = bed.renew(&first).await.expect_login();
    clock.is_later(&bed, 25);
    assert_eq!(
        bed.renew(&first).await.expect_login().claims(),
        second.claims()
    );
    clock.is_later(&bed, 35);
    invalid_grant(&bed.renew(&first).await, "35 s later");
    bed.expect_ended(&second, "reuse").await;
    for (later, status) in [(85, 200), (155, 400)] {
        let code = bed.code("lin").await;
        clock.is_later(&bed, later);
        assert_eq!(bed.redeem(&code).await.status, status, "{later}");
    }
}

/// The page says so, and the browser stays: whoever could choose the address would have the code.
#[tokio::test]
async fn an_address_that_is_not_registered_is_never_gone_to_and_a_state_is_the_sites_own_business()
{
    let bed = builder().start().await;
    for address in [
        "https://grafana.example.com/login/generic_oauth/",
        "https://evil.example/",
        "javascript:alert(1)",
    ] {
        let page = bed
            .service()
            .get(&format!("/authorize?{}", asks("grafana", address)))
            .await;
        assert_eq!(
            (page.status, page.header("location")),
            (400, ""),
            "{page:?}"
        );
        assert!(
            page.body.contains("redirect_uri") && !page.body.contains("evil"),
            "{page:?}"
        );
        assert_eq!(
            bed.step("scan", &asks("grafana", address), &[])
                .await
                .status,
            400
        );
    }
    for client in ["nobody", "tv", "%3Cscript%3E"] {
        let page = bed
            .service()
            .get(&format!("/authorize?{}", asks(client, BACK)))
            .await;
        assert!(
            page.status == 400 && page.body.contains("client_id") && !page.body.contains("<script"),
            "{page:?}"
        );
    }

    // Whatever `state` is, it comes back as it was, in one line, and is no part of a page.
    let long = "s".repeat(2048);
    for state in [
        "\0",
        "a\r\nSet-Cookie: x=1",
        "\"><script>alert(1)</script>",
        "%00&code=x",
        "微信",
        &long,
    ] {
        let asked =
            asks("grafana", BACK).replace("s+t%261", query(&[("", state)]).trim_start_matches('='));
        let page = bed.service().get(&format!("/authorize?{asked}")).await;
        assert!(
            page.status == 200 && !page.body.contains("<script>") && !page.body.contains('\0'),
            "{page:?}"
        );
        let silent = bed
            .service()
            .get(&format!("/authorize?{asked}&prompt=none"))
            .await;
        let back = told(silent.header("location"));
        assert_eq!(
            (back.len(), &*back["error"], &*back["state"]),
            (4, "login_required", state)
        );
        assert!(
            silent.header("set-cookie").is_empty()
                && silent.header("referrer-policy") == "no-referrer"
        );
    }
    let longer = asks("grafana", BACK).replace("s+t%261", &format!("{long}s"));
    let refused = bed.service().get(&format!("/authorize?{longer}")).await;
    assert_eq!(told(refused.header("location"))["error"], "invalid_request");
    // Nothing that a stranger sends calls somebody on duty.
    bed.service().expect_no_faults().await;
    let refused = "wxmint_requests_total{route=\"/authorize\",outcome=\"invalid_request\"}";
    assert_eq!(bed.service().metric(refused).await, 6.0);
}

/// Another site's page would use up what its visitor's address has; a device code is for the client that asked.
#[tokio::test]
async fn the_steps_of_the_page_are_the_pages_own_and_another_user_than_the_one_of_the_hint_gets_no_code()
 {
    let bed = builder().start().await;
    // OpenID Connect Core section 3.1.2.2: no tokens of another user than the one whom the site names.
    let id = bed.log_in_site("lin").await.member("id_token");
    let asked = format!(
        "{}&{}",
        asks("grafana", BACK),
        query(&[("id_token_hint", &id)])
    );
    let back = told(&bed.let_in_site(&asked, "mei").await);
    assert_eq!(
        ["error", "state", "iss"].map(|name| &*back[name]),
        ["login_required", "s t&1", ISSUER]
    );
    assert_eq!(back.get("code"), None);
    for (hint, why) in [
        (asked, "the same user"),
        (
            format!("{}&id_token_hint=x", asks("grafana", BACK)),
            "unreadable",
        ),
    ] {
        let back = told(&bed.let_in_site(&hint, "lin").await);
        assert_eq!(bed.redeem(&back["code"]).await.status, 200, "{why}");
    }

    let asked = asks("grafana", BACK);
    let [longer, port] = [".evil.example", ":8443"].map(|end| format!("{ISSUER}{end}"));
    let plain = ISSUER.replace("https:", "http:");
    for (origin, status) in [
        ("https://evil.example", 400),
        ("null", 400),
        (&longer, 400),
        (&port, 400),
        (&plain, 400),
        (ISSUER, 200),
    ] {
        let post = bed
            .http
            .0
            .post(bed.service().url(&format!("/authorize/scan?{asked}")))
            .header("origin", origin);
        assert_eq!(
            bed.http.send(with_form(post, &[])).await.status,
            status,
            "{origin}"
        );
    }
    let shown = bed.step("scan", &asked, &[]).await;
    let user_code = shown.member("user_code");
    bed.approve(None, "lin", &user_code, shown.json()["match"].as_str())
        .await;
    let code = [("device_code", &*shown.member("device_code"))];
    assert_eq!(
        bed.step("poll", &asks("spa", ORIGIN), &code).await.json(),
        json!({"state": "expired"})
    );
    let tokens = bed
        .redeem(&told(&bed.step("poll", &asked, &code).await.member("location"))["code"])
        .await
        .expect_login();
    assert_eq!(
        bed.step("poll", &asked, &code).await.json(),
        json!({"state": "expired"}),
        "a second time"
    );
    bed.expect_ended(&tokens, "its device code came twice")
        .await;
    // A victim scans the attacker's page: the number is not on the victim's screen (RFC 10027).
    let shown = bed.step("scan", &asked, &[]).await;
    let user_code = shown.member("user_code");
    bed.approve(None, "lin", &user_code, Some("00"))
        .await
        .expect_problem(403, "number_mismatch");
    let code = [("device_code", &*shown.member("device_code"))];
    assert_eq!(
        bed.step("poll", &asked, &code).await.json(),
        json!({"state": "denied"})
    );
}

/// Also where access tokens have the same `typ`.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_opens_nothing() {
    for typ in ["at+jwt", "JWT"] {
        let bed = builder().env("WXMINT_TOKEN_TYP", typ).start().await;
        let id = bed.log_in_site("lin").await.member("id_token");
        let paths = [
            ("GET", "/userinfo"),
            ("POST", "/logout"),
            ("DELETE", "/binding"),
            ("GET", "/device/WDJBMJHT"),
        ];
        for (method, path) in paths {
            let refused = bed.service().ask(method, path, &id, &Value::Null).await;
            assert_eq!(refused.status, 401, "{typ} {path}: {refused:?}");
        }
        let sidecar = bed
            .sidecar()
            .with("WXMINT_AUDIENCE", "grafana")
            .with("WXMINT_TOKEN_TYP", typ)
            .ready()
            .await;
        assert_eq!(sidecar.verify(&id).await.status, 401, "{typ}");
        let phone = bed.log_in("lin").await.expect_login();
        assert_eq!(
            bed.userinfo(&phone).await.status,
            401,
            "nor does a phone's token at a site's path"
        );
    }
}

/// A hint that was made by somebody else, of another client, or an access token, ends nothing.
#[tokio::test]
async fn a_logout_needs_the_sites_own_id_token() {
    let bed = builder().start().await;
    let tokens = bed.log_in_site("lin").await;
    let id = tokens.member("id_token");
    let (body, _) = id.rsplit_once('.').expect("a JWT");
    let torn = format!("{body}.{}", "A".repeat(86));
    let (access, refresh) = (
        tokens.member("access_token"),
        tokens.member("refresh_token"),
    );
    for hint in [
        ("id_token_hint", torn.as_str()),
        ("id_token_hint", &access),
        ("id_token_hint", "x"),
    ] {
        let page = bed
            .service()
            .get(&format!("/end_session?{}", query(&[hint])))
            .await;
        assert_eq!(
            (page.status, page.header("location")),
            (400, ""),
            "{page:?}"
        );
    }
    // A page says that somebody is logged out only where that is true.
    let to = ("post_logout_redirect_uri", LEFT);
    for (torn, status) in [
        (
            vec![("id_token_hint", id.as_str()), ("client_id", "spa")],
            400,
        ),
        (
            vec![("id_token_hint", &id), ("client_id", "no client!")],
            400,
        ),
        (vec![("id_token_hint", &id), ("id_token_hint", &id)], 400),
        (vec![], 400),
        (vec![("client_id", "grafana")], 400),
        (
            vec![
                ("client_id", "grafana"),
                ("post_logout_redirect_uri", "https://evil.example/"),
            ],
            400,
        ),
        (vec![to], 400),
        (vec![("client_id", "spa"), to], 400),
        (vec![("client_id", "grafana"), to], 303),
    ] {
        assert_eq!(
            bed.service()
                .get(&format!("/end_session?{}", query(&torn)))
                .await
                .status,
            status,
            "{torn:?}"
        );
    }
    for (client, token) in [("spa", &refresh), ("spa", &access), ("spa", &id)] {
        assert_eq!(
            bed.form("/revoke", &[("client_id", client), ("token", token)])
                .await
                .status,
            200
        );
    }
    assert_eq!(
        bed.form("/revoke", &[("client_id", "grafana"), ("token", &refresh)])
            .await
            .status,
        401
    );
    assert_eq!(bed.userinfo(&tokens).await.status, 200, "nothing has ended");
    let elsewhere = query(&[
        ("id_token_hint", &id),
        ("post_logout_redirect_uri", "https://evil.example/"),
    ]);
    let page = bed
        .service()
        .get(&format!("/end_session?{elsewhere}"))
        .await;
    assert_eq!(
        (page.status, page.header("location")),
        (200, ""),
        "{page:?}"
    );
    bed.expect_ended(&tokens, "the hint was right, the address was not")
        .await;
}
