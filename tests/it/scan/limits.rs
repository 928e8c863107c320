//! How often pages, phones and strangers may ask, and what happens where WeChat or Redis is away.

use super::*;

/// Nobody uses up what others have: a back end that names an address, and another site's page in a browser.
#[tokio::test]
async fn an_address_has_so_many_open_requests_and_asks_as_often_as_its_limit_allows_whatever_others_ask()
 {
    let bed = builder()
        .env("WXMINT_LIMIT_IP", "30/1h")
        .env("WXMINT_LIMIT_OPEN_REQUESTS", "20")
        .start()
        .await;
    let back_end = [
        ("client_id", "shop"),
        ("client_secret", SECRET),
        ("browser_address", "127.0.0.1"),
    ];
    let mut open = Vec::new();
    for _ in 0..20 {
        assert_eq!(
            bed.form("/device_authorization", &back_end).await.status,
            200
        );
        for site in ["https://evil.example", "null"] {
            let request = bed
                .http
                .0
                .post(bed.service().url("/device_authorization"))
                .header("origin", site);
            let refused = bed
                .http
                .send(with_form(request, &[("client_id", "shop-web")]))
                .await;
            refused.expect_oauth(400, "unauthorized_client");
        }
        open.push(bed.ask_as("cli.1").await);
    }
    for form in [&back_end[..], &[("client_id", "cli.1")]] {
        let refused = bed
            .form("/device_authorization", form)
            .await
            .expect_problem(429, "rate_limited");
        assert_eq!(refused.member("error"), "slow_down");
        let wait: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((100..=180).contains(&wait), "{form:?}: {wait}");
    }
    assert_eq!(
        bed.approve(None, "lin", &open[0].user_code(), None)
            .await
            .status,
        204
    );
    bed.poll(&open[0]).await.expect_login();
    bed.ask_as("cli.1").await;
    // Pictures and approvals without a token count apart from requests: with the approval above, 30.
    for number in 2..=30 {
        let path = format!("/device/{}/code.jpg", open[1 + number % 19].user_code());
        assert_eq!(bed.service().get(&path).await.status, 200, "{number}");
    }
    let path = format!("/device/{}/code.jpg", open[1].user_code());
    assert_eq!(bed.service().get(&path).await.status, 429);
    bed.log_in("lin").await.expect_login();
    let approve = bed
        .http
        .0
        .post(bed.service().url("/device/WDJBMJHT/approve"))
        .header("content-type", "text/plain");
    bed.http
        .send(approve.body("{\"code\":\"a\"}"))
        .await
        .expect_problem(415, "invalid_request");
}

/// They come within three minutes, and nobody has tapped a number yet.
#[tokio::test]
async fn an_office_of_two_hundred_people_behind_one_address_gets_its_codes_by_default() {
    let bed = builder().start().await;
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(bed.ask().await);
    }
    // The store's conformance suite holds that an address gets as many codes.
    let last = open.pop().expect("a page");
    let picture = bed
        .service()
        .get(&format!("/device/{}/code.jpg", last.user_code()))
        .await;
    assert_eq!(picture.status, 200, "{picture:?}");
    bed.approves(None, "lin", &last).await;
    bed.poll(&last).await.expect_login();
}

/// Whether there is a request is told to nobody without limit, and no code of wx.login is spent on it.
#[tokio::test]
async fn who_tries_user_codes_is_counted_by_person_or_without_a_token_by_address() {
    let bed = builder()
        .env("WXMINT_LIMIT_OPENID", "5/1h")
        .env("WXMINT_LIMIT_IP", "5/1h")
        .start()
        .await;
    let (lin, mei) = (
        bed.log_in("lin").await.expect_login(),
        bed.log_in("mei").await.expect_login(),
    );
    for _ in 0..5 {
        bed.look(&lin, "WDJB-MJHT")
            .await
            .expect_problem(404, "unknown_device_code");
    }
    bed.look(&lin, "WDJB-MJHT")
        .await
        .expect_problem(429, "rate_limited");
    bed.deny(&lin, "WDJB-MJHT")
        .await
        .expect_problem(429, "rate_limited");
    bed.approve(Some(&lin), "lin", "WDJB-MJHT", None)
        .await
        .expect_problem(429, "rate_limited");
    bed.look(&mei, "WDJB-MJHT")
        .await
        .expect_problem(404, "unknown_device_code");
    for _ in 0..5 {
        bed.approve(None, "lin", "WDJB-MJHT", None)
            .await
            .expect_problem(404, "unknown_device_code");
    }
    bed.approve(None, "lin", "WDJB-MJHT", None)
        .await
        .expect_problem(429, "rate_limited");
    assert_eq!(
        bed.wechat.stats().await["requests"]["/sns/jscode2session"],
        2,
        "the logins'"
    );
}

#[tokio::test]
async fn a_mini_program_code_is_drawn_three_times_and_503_where_wechat_draws_none() {
    let bed = builder().start().await;
    let phone = bed.log_in("lin").await.expect_login();
    let request = bed.ask().await;
    let path = format!("/device/{}/code.jpg", request.user_code());
    for _ in 0..3 {
        let drawn = bed.service().get(&path).await;
        assert_eq!(
            (drawn.status, drawn.header("content-type")),
            (200, "image/jpeg"),
            "{drawn:?}"
        );
        assert_eq!(drawn.header("cache-control"), "private, max-age=180");
    }
    for _ in 0..3 {
        bed.service()
            .get(&path)
            .await
            .expect_problem(429, "rate_limited");
    }
    // Pages that reload take nothing of the codes that WeChat draws for the app in a minute.
    let budget = format!("wxmint:share:{{{APPID}}}:codes");
    assert_eq!(bed.redis.command::<u32>(&["ZCARD", &budget]), 3);
    for errcode in [41030, 45009, 40097] {
        bed.faults(
            json!([{"path": "/wxa/getwxacodeunlimit", "kind": "errcode", "errcode": errcode}]),
        )
        .await;
        let path = format!("/device/{}/code.jpg", bed.ask().await.user_code());
        bed.service()
            .get(&path)
            .await
            .expect_problem(503, "wechat_unavailable");
    }
    bed.faults(json!([{"path": "/wxa/getwxacodeunlimit", "kind": "huge"}]))
        .await;
    let path_of_huge = format!("/device/{}/code.jpg", bed.ask().await.user_code());
    bed.service()
        .get(&path_of_huge)
        .await
        .expect_problem(503, "wechat_unavailable");
    // As much as WeChat draws is read, and no more.
    let is_said = async || bed.service().log().contains("more than 128 KiB");
    until("the log says how much was read", PATIENCE, is_said).await;
    bed.faults(json!([])).await;
    bed.deny(&phone, &request.user_code()).await;
    for path in [
        &path,
        "/device/WDJB-MJHT/code.jpg",
        "/device/nonsense/code.jpg",
    ] {
        bed.service()
            .get(path)
            .await
            .expect_problem(404, "unknown_device_code");
    }
}

#[tokio::test]
async fn without_redis_everybody_is_told_to_wait() {
    let bed = builder().breakable_redis().start().await;
    let (phone, request) = (bed.log_in("lin").await.expect_login(), bed.ask().await);
    let number = request.number();
    bed.redis_link().cut().await;
    let asked = bed
        .form("/device_authorization", &[("client_id", "shop-web")])
        .await;
    for answer in [asked, bed.poll(&request).await] {
        assert_eq!(
            answer
                .expect_problem(503, "store_unavailable")
                .member("error"),
            "temporarily_unavailable"
        );
    }
    bed.look(&phone, &request.user_code())
        .await
        .expect_problem(503, "store_unavailable");
    bed.approve(None, "lin", &request.user_code(), number.as_deref())
        .await
        .expect_problem(503, "store_unavailable");
    bed.redis_link().restore().await;
    until("Redis is back", PATIENCE, async || {
        bed.approve(None, "lin", &request.user_code(), number.as_deref())
            .await
            .status
            == 204
    })
    .await;
    bed.poll(&request).await.expect_login();
}

/// WeChat's console wants to see them at one of two places.
#[tokio::test]
async fn check_files_are_served_and_nothing_else_of_their_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let [longest, longer] = [4096, 4097].map(|length| "x".repeat(length));
    for (name, content) in [
        ("abc123.txt", "check"),
        ("secret.pem", "key"),
        ("longest.txt", &longest),
        ("longer.txt", &longer),
    ] {
        fs::write(folder.path().join(name), content).expect("written");
    }
    fs::create_dir(folder.path().join("folder.txt")).expect("a folder");
    let bed = builder()
        .env("WXMINT_VERIFY_FILES_DIR", &folder.path().to_string_lossy())
        .start()
        .await;
    for path in ["/abc123.txt", "/device/abc123.txt"] {
        let answer = bed.service().get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "check"),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(bed.service().get("/longest.txt").await.body, longest);
    for path in [
        "/longer.txt",
        "/secret.pem",
        "/missing.txt",
        "/folder.txt",
        "/..%2Fsecret.txt",
    ] {
        bed.service()
            .get(path)
            .await
            .expect_problem(404, "invalid_request");
    }
    let page = bed.service().get("/device?user_code=%3Cscript%3E").await;
    assert!(
        page.status == 200 && !page.body.contains("<script"),
        "{page:?}"
    );
}
