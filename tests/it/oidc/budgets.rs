//! One person or address uses up only so much, and a request beside the paths and methods gets nothing.

use super::*;

/// At one site. Those of everybody else stay, and so do the person's own at another site.
#[tokio::test]
async fn of_more_than_a_hundred_logins_of_a_person_the_oldest_ends() {
    let bed = builder().start().await;
    let oldest = bed
        .renew(&bed.log_in_site("lin").await)
        .await
        .expect_login();
    let (_, id) = decoded(&oldest.member("id_token"));
    let list = format!(
        "wxmint:oidc:families:grafana:{}",
        id["sub"].as_str().expect("sub")
    );
    // As if there were 98 more, between this one and the next.
    let more = "for i = 1, 98 do redis.call('ZADD', KEYS[1], ARGV[1] - 30, i) end \
                return redis.call('ZADD', KEYS[1], ARGV[1] - 60, ARGV[2])";
    let (at, sid) = (
        id["auth_time"].to_string(),
        id["sid"].as_str().expect("sid"),
    );
    assert_eq!(
        bed.redis
            .command::<u64>(&["EVAL", more, "1", &list, &at, sid]),
        0,
        "the oldest is counted already"
    );
    let (other, hundredth) = (bed.log_in_site("mei").await, bed.log_in_site("lin").await);
    let back = told(&bed.let_in_site(&asks("spa", ORIGIN), "lin").await);
    bed.form(
        "/token",
        &[&grant(&back["code"], ORIGIN)[..], &[("client_id", "spa")]].concat(),
    )
    .await
    .expect_login();
    assert_eq!(
        bed.userinfo(&oldest).await.status,
        200,
        "the hundredth, and one at another site"
    );
    let newest = bed.log_in_site("lin").await;
    bed.expect_ended(&oldest, "a hundred and one").await;
    for tokens in [&other, &hundredth, &newest] {
        assert_eq!(
            bed.userinfo(tokens).await.status,
            200,
            "nobody else's, and none that is newer"
        );
    }
    let keys: Vec<String> = bed
        .redis
        .command(&["KEYS", &format!("wxmint:oidc:*{sid}*")]);
    assert_eq!(
        (bed.redis.command::<u64>(&["ZCARD", &list]), keys.len()),
        (100, 0),
        "nothing is left of it"
    );
    bed.revoke(&newest.member("access_token")).await;
    assert_eq!(
        bed.redis.command::<u64>(&["ZCARD", &list]),
        99,
        "one that has ended counts no more"
    );
}

/// Each renewal asks the account service, so nobody chooses how many there are. What is repeated is none.
#[tokio::test]
async fn a_person_renews_as_often_as_one_may_log_in() {
    let bed = builder().env("WXMINT_LIMIT_OPENID", "3/5m").start().await;
    let mut last = bed.log_in_site("lin").await;
    for _ in 0..3 {
        bed.renew(&last).await.expect_login();
        last = bed.renew(&last).await.expect_login();
    }
    let refused = bed.renew(&last).await;
    assert_eq!(
        (refused.status, refused.member("error").as_str()),
        (429, "slow_down"),
        "{refused:?}"
    );
    assert!(
        refused.member("detail").contains("renewals of a user"),
        "{refused:?}"
    );
    let described = bed.service().get("/openapi.json").await.json();
    assert!(
        described["paths"]["/token"]["post"]["responses"]["429"].is_object(),
        "in /openapi.json"
    );
    assert!(
        !refused.header("retry-after").is_empty() && bed.userinfo(&last).await.status == 200,
        "nothing has ended"
    );
    let first = bed.log_in_site("mei").await;
    let mut newest = bed.renew(&first).await.expect_login();
    for _ in 0..6 {
        assert_eq!(
            bed.renew(&first).await.expect_login().claims(),
            newest.claims(),
            "an answer that was lost"
        );
    }
    for _ in 0..2 {
        newest = bed.renew(&newest).await.expect_login();
    }
    assert_eq!(bed.renew(&newest).await.status, 429, "three renewals");
}

/// As the tabs of a browser do. One of them renews, and the others have the same answer. Nobody waits for minutes.
#[tokio::test]
async fn sixty_renewals_of_one_refresh_token_at_once_are_one() {
    let bed = builder().env("WXMINT_LIMIT_OPENID", "30/5m").start().await;
    let tokens = bed.log_in_site("lin").await;
    let answers = join_all((0..60).map(|_| bed.renew(&tokens))).await;
    let newest = answers[0].clone().expect_login();
    for answer in answers {
        assert_eq!(
            answer.expect_login().member("refresh_token"),
            newest.member("refresh_token")
        );
    }
    let mut last = newest;
    for _ in 0..29 {
        last = bed.renew(&last).await.expect_login();
    }
    assert_eq!(
        bed.renew(&last).await.status,
        429,
        "sixty were counted as one"
    );
    let other = bed.log_in_site("mei").await;
    bed.renew(&other).await.expect_login();
    let repeated = join_all((0..320).map(|_| bed.renew(&other))).await;
    let refused: Vec<_> = repeated
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert_eq!(refused.len(), 20, "whoever repeats without end");
    for answer in refused {
        let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=34).contains(&seconds), "{answer:?}");
    }
}

#[tokio::test]
async fn a_used_code_ends_its_login_once_and_claims_are_counted_by_token() {
    let bed = builder().env("WXMINT_LIMIT_IP", "20/5m").start().await;
    let back = told(&bed.let_in_site(&asks("spa", ORIGIN), "lin").await);
    let form = [&grant(&back["code"], ORIGIN)[..], &[("client_id", "spa")]].concat();
    let tokens = bed.form("/token", &form).await.expect_login();
    let claims = join_all((0..21).map(|_| bed.userinfo(&tokens))).await;
    assert_eq!(
        claims.iter().filter(|answer| answer.status == 429).count(),
        1
    );
    for said in ["It was used before", "It is no code"] {
        assert!(
            bed.form("/token", &form)
                .await
                .member("error_description")
                .starts_with(said),
            "{said}"
        );
    }
}

/// Equal requests at the same time are one renewal, and one end.
#[tokio::test]
async fn what_a_site_asks_for_again_and_again_is_done_once() {
    let bed = builder().env("WXMINT_LIMIT_OPENID", "12/5m").start().await;
    let mut last = bed.log_in_site("lin").await;
    for _ in 0..4 {
        let all = join_all((0..8).map(|_| bed.renew(&last))).await;
        last = all.into_iter().next().expect("eight").expect_login();
    }
    let entries = || bed.redis.command::<u64>(&["XLEN", redis_keys::ENDS]);
    let before = entries();
    let asked = json!({"everywhere": true});
    let token = last.member("access_token");
    let log_outs =
        join_all((0..40).map(|_| bed.service().ask("POST", "/logout", &token, &asked))).await;
    let done = log_outs
        .iter()
        .filter(|answer| answer.status == 204)
        .count();
    // One that comes after the end is a repetition, which costs nothing.
    assert!(
        done > 0
            && log_outs
                .iter()
                .all(|answer| [204, 429].contains(&answer.status)),
        "{done}"
    );
    assert!(
        entries() <= before + 2,
        "{} more, in two seconds at most",
        entries() - before
    );
    let leave = async |tokens: &Answer| {
        let asked = query(&[("id_token_hint", &tokens.member("id_token"))]);
        bed.service()
            .get(&format!("/end_session?{asked}"))
            .await
            .status
    };
    let statuses = join_all((0..13).map(|_| leave(&last))).await;
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        leave(&bed.log_in_site("mei").await).await,
        200,
        "nobody keeps others from leaving"
    );
}

/// An open page costs nothing; of those that show a code, an address has as many as the setting says, at all sites and
/// other clients together. What a replica keeps for itself is no page's.
#[tokio::test]
async fn hundreds_of_open_pages_of_one_address_leave_nothing_behind() {
    let limits = builder()
        .env("WXMINT_LIMIT_IP", "100000/1m")
        .env("WXMINT_LIMIT_OPEN_REQUESTS", "20");
    let bed = limits.start().await;
    let (asked, of_back_end) = (asks("spa", ORIGIN), asks("grafana", BACK));
    let before = bed.redis.calls();
    for _ in 0..300 {
        assert_eq!(
            bed.service()
                .get(&format!("/authorize?{asked}"))
                .await
                .status,
            200
        );
    }
    let written: u64 = bed.redis.calls_since(&before).into_values().sum();
    assert!(
        written < 300,
        "a page asks Redis nothing: {written} commands"
    );
    for _ in 0..10 {
        assert_eq!(bed.step("scan", &asked, &[]).await.status, 200);
        assert_eq!(bed.step("scan", &of_back_end, &[]).await.status, 200);
    }
    let at_endpoint = bed
        .form("/device_authorization", &[("client_id", "spa")])
        .await;
    for refused in [
        bed.step("scan", &asked, &[]).await,
        bed.step("scan", &of_back_end, &[]).await,
        at_endpoint,
    ] {
        assert!(
            refused.status == 429 && !refused.header("retry-after").is_empty(),
            "{refused:?}"
        );
    }
}

/// HEAD shows whether the page is there. Nothing is done by a method that is not the step's, or beside a path.
#[tokio::test]
async fn each_path_has_its_methods_and_nothing_is_beside_it() {
    let bed = builder().start().await;
    let asked = asks("grafana", BACK);
    let ask = async |method: &str, path: &str| {
        bed.service()
            .ask(method, &format!("{path}?{asked}"), "x", &Value::Null)
            .await
    };
    let head = ask("HEAD", "/authorize").await;
    assert_eq!(
        (head.status, head.header("content-type"), &*head.body),
        (200, "text/html; charset=utf-8", "")
    );
    let of_methods = [
        ("GET, HEAD, POST", &["/authorize"][..]),
        ("GET, HEAD", &["/authorize/page.css", "/authorize/page.js"]),
        ("GET", &["/authorize/web", "/authorize/wechat"]),
        ("POST", &["/authorize/scan", "/authorize/poll", "/revoke"]),
        ("GET, POST", &["/userinfo", "/end_session"]),
    ];
    for (allowed, path) in of_methods
        .iter()
        .flat_map(|(allowed, paths)| paths.iter().map(move |path| (allowed, path)))
    {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"] {
            let answer = ask(method, path).await;
            match allowed.split(", ").any(|own| own == method) {
                true => assert!(
                    ![404, 405].contains(&answer.status),
                    "{method} {path}: {answer:?}"
                ),
                false => assert_eq!(
                    (answer.status, answer.header("allow")),
                    (405, *allowed),
                    "{method} {path}"
                ),
            }
        }
        for beside in [
            format!("{path}/"),
            path.to_uppercase(),
            format!("{path}%00"),
            format!("/{path}"),
        ] {
            assert_eq!(ask("GET", &beside).await.status, 404, "{beside}");
        }
    }
}
