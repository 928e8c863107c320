//! Through WeChat's own pages, by an official account or a website app.

use reqwest::header::HeaderValue;

use super::*;

const ACCOUNT: &str = "wxaaaaaaaaaaaaaaaa";
const SITE: &str = "wxbbbbbbbbbbbbbbbb";
const IN_WECHAT: &str = "Mozilla/5.0 (iPhone) MicroMessenger/8.0.50";

fn with_apps() -> (Builder, TempDir) {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let mut clients = clients();
    (clients[0]["web_apps"], clients[1]["web_apps"]) = (json!([ACCOUNT, SITE]), json!([SITE]));
    let mut builder = TestBed::builder()
        .apps_folder(folder.path())
        .clients(&clients);
    for (id, kind) in [(ACCOUNT, "official_account"), (SITE, "website")] {
        write_private(
            &folder.path().join(id),
            &json!({"kind": kind, "secret": OTHER_SECRET}).to_string(),
        );
        builder = builder.app(id, &format!("{OTHER_SECRET}:{kind}"));
    }
    (builder, folder)
}

/// A browser that is on its way through WeChat.
struct Sent {
    to: Url,
    cookie: String,
    state: String,
}

async fn sent<R>(bed: &TestBed<R>, path: &str, agent: &str) -> Sent {
    let get = bed.http.0.get(
        bed.service()
            .url(&format!("{path}?{}&ui_locales=zh", asks("grafana", BACK))),
    );
    let answer = bed.http.send(get.header("user-agent", agent)).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let (to, cookie) = (
        answer.header("location").to_owned(),
        answer.header("set-cookie").to_owned(),
    );
    let (own, attributes) = cookie.split_once("; ").expect("attributes");
    assert!(own.starts_with("__Host-wxmint-"), "{cookie}");
    assert_eq!(
        attributes,
        "Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax"
    );
    Sent {
        state: told(&to)["state"].clone(),
        to: to.parse().expect("a URL"),
        cookie: own.to_owned(),
    }
}

async fn back<R>(
    bed: &TestBed<R>,
    appid: &str,
    person: &str,
    state: &str,
    cookie: Option<&str>,
) -> Answer {
    let wanted = json!({"person": person, "appid": appid, "scope": if appid == SITE { "snsapi_login" } else { "snsapi_userinfo" }});
    let code = bed.wechat.mint_codes(wanted).await.remove(0);
    let url = bed
        .service()
        .url(&format!("/authorize/wechat?code={code}&state={state}"));
    // Beside it the cookie of another program on this host, which is no text to everybody.
    let cookies = ["nick=张三"]
        .into_iter()
        .chain(cookie)
        .collect::<Vec<_>>()
        .join("; ");
    let cookies = HeaderValue::from_bytes(cookies.as_bytes()).expect("a header");
    bed.http
        .send(bed.http.0.get(url).header("cookie", cookies))
        .await
}

/// The same user as by the phone, and the same ends.
#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "the test is a story that reads from top to bottom"
)]
async fn a_browser_comes_back_from_wechat_once_and_alone_and_the_person_is_the_same_user() {
    let (builder, _folder) = with_apps();
    let bed = builder.start().await;
    for (person, path, agent, page, appid) in [
        (
            "lin",
            "/authorize",
            IN_WECHAT,
            "/connect/oauth2/authorize",
            ACCOUNT,
        ),
        (
            "mei",
            "/authorize/web",
            "Firefox 150",
            "/connect/qrconnect",
            SITE,
        ),
    ] {
        let phone = bed.log_in_at(APPID, person, json!({})).await.expect_login();
        let Sent { to, cookie, state } = sent(&bed, path, agent).await;
        let members = told(to.as_str());
        assert_eq!(
            (to.path(), to.fragment()),
            (page, Some("wechat_redirect")),
            "{to}"
        );
        assert_eq!(members["appid"], appid);
        assert_eq!(
            members["redirect_uri"],
            format!("{ISSUER}/authorize/wechat")
        );
        let answer = back(&bed, appid, person, &state, Some(&cookie)).await;
        assert!(
            answer.status == 303 && answer.header("set-cookie").contains("Max-Age=0"),
            "{answer:?}"
        );
        let at_site = told(answer.header("location"));
        assert_eq!(
            (at_site["state"].as_str(), at_site["iss"].as_str()),
            ("s t&1", ISSUER)
        );
        let tokens = bed.redeem(&at_site["code"]).await.expect_login();
        assert_eq!(tokens.claims()["sub"], phone.claims()["sub"], "{appid}");
        let tokens = bed.renew(&tokens).await.expect_login();
        let by_app = bed.log_in_at(appid, person, json!({})).await.expect_login();
        assert_eq!(
            bed.service()
                .unbind(&by_app.member("access_token"))
                .await
                .status,
            204
        );
        bed.expect_ended(&tokens, "the binding of this app is gone")
            .await;
    }
    let page = bed
        .service()
        .get(&format!("/authorize?{}", asks("grafana", BACK)))
        .await;
    assert!(
        page.status == 200 && page.body.contains("/authorize/web?client_id=grafana&amp;"),
        "{page:?}"
    );

    // Whoever sends a victim the address that WeChat has brought back would log the victim in as somebody else.
    let (mine, other) = (
        sent(&bed, "/authorize/web", "Firefox").await,
        sent(&bed, "/authorize/web", "Firefox").await,
    );
    let [(name, _), (_, value)] =
        [&mine, &other].map(|sent| sent.cookie.split_once('=').expect("a cookie"));
    let renamed = format!("{name}={value}");
    for cookie in [
        None,
        Some(other.cookie.as_str()),
        Some(&renamed),
        Some("__Host-wxmint-=x"),
    ] {
        let page = back(&bed, SITE, "chen", &mine.state, cookie).await;
        assert_eq!(
            (page.status, page.header("location")),
            (400, ""),
            "{cookie:?}: {page:?}"
        );
    }
    assert_eq!(
        back(&bed, SITE, "chen", &mine.state, Some(&mine.cookie))
            .await
            .status,
        303,
        "nothing was spoiled"
    );
    let again = back(&bed, SITE, "chen", &mine.state, Some(&mine.cookie)).await;
    assert_eq!((again.status, again.header("location")), (400, ""));
    assert!(
        again.body.contains("/authorize?client_id=grafana&amp;"),
        "the way to begin anew: {}",
        again.body
    );
    let url = bed
        .service()
        .url(&format!("/authorize/wechat?state={}", other.state));
    let denied = bed
        .http
        .send(bed.http.0.get(url).header("cookie", &other.cookie))
        .await;
    assert_eq!(
        told(denied.header("location"))["error"],
        "access_denied",
        "the person has said no at WeChat"
    );
    for (path, status) in [("/authorize", 200), ("/authorize/web", 400)] {
        let get = bed.http.0.get(
            bed.service()
                .url(&format!("{path}?{}", asks("spa", ORIGIN))),
        );
        let page = bed.http.send(get.header("user-agent", IN_WECHAT)).await;
        assert!(
            page.status == status && !page.body.contains("/authorize/web"),
            "{page:?}"
        );
    }
    bed.service().expect_no_faults().await;
}

/// Nothing is kept for a browser until it comes back, so that nobody takes anything from anybody by beginning ways.
#[tokio::test]
async fn a_neighbours_flood_voids_no_login_that_is_on_wechats_page() {
    let (builder, _folder) = with_apps();
    let bed = builder.start().await;
    let mut on_their_way = Vec::new();
    for _ in 0..30 {
        on_their_way.push(sent(&bed, "/authorize", IN_WECHAT).await);
    }
    for _ in 0..700 {
        sent(&bed, "/authorize", IN_WECHAT).await;
    }
    let keys: Vec<String> = bed.redis.command(&["KEYS", "wxmint:oidc:*"]);
    assert_eq!(keys, Vec::<String>::new());
    for (number, Sent { cookie, state, .. }) in on_their_way.iter().enumerate() {
        let answer = back(
            &bed,
            ACCOUNT,
            &format!("person-{number}"),
            state,
            Some(cookie),
        )
        .await;
        assert!(
            answer.status == 303 && !told(answer.header("location"))["code"].is_empty(),
            "{number}: {answer:?}"
        );
    }
    assert_eq!(
        bed.step("scan", &asks("spa", ORIGIN), &[]).await.status,
        200,
        "scans have a count of their own"
    );
}

/// Pictures, frames and scripts of a stranger's page would push a browser's own ways out of its cookies.
#[tokio::test]
async fn a_part_of_another_page_begins_no_way() {
    const PARTS: [&str; 9] = [
        "image", "iframe", "frame", "script", "style", "embed", "object", "worker",
        "empty", // what `fetch` asks for
    ];
    let (builder, _folder) = with_apps();
    let bed = builder.start().await;
    for (path, agent) in [("/authorize", IN_WECHAT), ("/authorize/web", "Firefox 150")] {
        for (kind, status) in PARTS
            .map(|part| (part, 400))
            .into_iter()
            .chain([("document", 303)])
        {
            let get = bed
                .http
                .0
                .get(
                    bed.service()
                        .url(&format!("{path}?{}", asks("grafana", BACK))),
                )
                .header("user-agent", agent)
                .header("sec-fetch-dest", kind);
            let answer = bed.http.send(get).await;
            assert_eq!(
                (answer.status, answer.header("set-cookie").is_empty()),
                (status, status == 400),
                "{path} {kind}: {answer:?}"
            );
        }
    }
}

/// WeCom cannot open an official account's page, although it has WeChat's name too.
#[tokio::test]
async fn wecoms_browser_gets_the_page_with_the_code() {
    const WECOM: &str =
        "Mozilla/5.0 (iPhone) Mobile/15E148 wxwork/4.1.36 MicroMessenger/7.0.1 Language/zh";
    let (builder, _folder) = with_apps();
    let bed = builder.start().await;
    let get = bed.http.0.get(
        bed.service()
            .url(&format!("/authorize?{}", asks("grafana", BACK))),
    );
    let page = bed.http.send(get.header("user-agent", WECOM)).await;
    assert!(
        page.status == 200 && page.body.contains("id=\"code\""),
        "{page:?}"
    );
}

/// Browsers and scanners of links ask before a person does. What they would spend is the person's.
#[tokio::test]
async fn a_request_that_is_sent_ahead_of_time_spends_begins_and_ends_nothing() {
    const AHEAD: [(&str, &str); 5] = [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
        ("x-purpose", "preview"),
    ];
    let (builder, _folder) = with_apps();
    let bed = builder.start().await;
    let phone = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
    let shown = bed.step("scan", &asks("grafana", BACK), &[]).await;
    let user_code = shown.member("user_code");
    let way = sent(&bed, "/authorize", IN_WECHAT).await;
    let wanted = json!({"person": "mei", "appid": ACCOUNT, "scope": "snsapi_userinfo"});
    let code = bed.wechat.mint_codes(wanted).await.remove(0);
    let site = bed.log_in_site("chen").await;
    let own_code = bed.mint_code("lin").await;
    let hint = query(&[("id_token_hint", &site.member("id_token"))]);
    let back = format!("/authorize/wechat?code={code}&state={}", way.state);
    let [login, leave] = [
        format!("/login?code={own_code}&appid={APPID}"),
        format!("/end_session?{hint}"),
    ];
    let [page, web] =
        ["", "/web"].map(|step| format!("/authorize{step}?{}", asks("grafana", BACK)));
    let [look, picture] = ["", "/code.jpg"].map(|file| format!("/device/{user_code}{file}"));
    for (name, value) in AHEAD {
        for path in [
            &back,
            &login,
            &leave,
            &page,
            &web,
            &look,
            &picture,
            "/userinfo",
            "/wechat/session",
        ] {
            let get = bed
                .http
                .0
                .get(bed.service().url(path))
                .header(name, value)
                .header("cookie", &way.cookie);
            let answer = bed
                .http
                .send(get.bearer_auth(phone.member("access_token")))
                .await;
            assert_eq!(
                (answer.status, answer.header("cache-control"), &*answer.body),
                (204, "no-store", ""),
                "{path}"
            );
            assert!(
                answer.header("set-cookie").is_empty() && answer.header("location").is_empty(),
                "{path}"
            );
        }
        let document = bed
            .http
            .0
            .get(bed.service().url("/.well-known/jwks.json"))
            .header(name, value);
        assert_eq!(
            bed.http.send(document).await.status,
            200,
            "a document may be fetched ahead of time"
        );
    }
    let device_code = [("device_code", &*shown.member("device_code"))];
    assert_eq!(
        bed.step("poll", &asks("grafana", BACK), &device_code)
            .await
            .json(),
        json!({"state": "wait"})
    );
    let drawn = bed.wechat.stats().await["requests"]["/wxa/getwxacodeunlimit"].as_u64();
    assert_eq!(drawn.unwrap_or_default(), 0, "no code was drawn");
    assert_eq!(
        bed.userinfo(&site).await.status,
        200,
        "nobody is logged out"
    );
    bed.service().get(&login).await.expect_login();
    let answer = bed
        .http
        .send(
            bed.http
                .0
                .get(bed.service().url(&back))
                .header("cookie", &way.cookie),
        )
        .await;
    assert_eq!(answer.status, 303, "{answer:?}");
    bed.service().get(&leave).await;
    bed.expect_ended(&site, "the person has come").await;
}

/// An auditor asks who was at this site, and who was turned away there.
#[tokio::test]
async fn the_audit_names_the_site_of_each_login_through_wechats_own_page() {
    let (builder, _folder) = with_apps();
    let bed = builder.users(&["lin"]).start().await;
    for (appid, path, agent, refused) in [
        (ACCOUNT, "/authorize", IN_WECHAT, Some("binding_required")),
        (ACCOUNT, "/authorize", IN_WECHAT, None),
        (SITE, "/authorize/web", "Firefox 150", None),
    ] {
        if refused.is_none() {
            bed.log_in_at(APPID, "lin", password_of("lin"))
                .await
                .expect_login();
        }
        let Sent { cookie, state, .. } = sent(&bed, path, agent).await;
        let answer = back(&bed, appid, "lin", &state, Some(&cookie)).await;
        let status = if refused.is_some() { 403 } else { 303 };
        assert_eq!(answer.status, status, "{appid}: {answer:?}");
        let is_it = |event: &Value| {
            event["metadata"]["event_code"] == "login"
                && event["unmapped"]["app"] == appid
                && event["status_detail"].as_str() == refused
        };
        let event = eventually("the event of the login", BUSY, async || {
            bed.service().events().into_iter().find(is_it)
        })
        .await;
        assert_eq!(event["unmapped"]["client"], "grafana", "{event}");
    }
}

/// The page says what to do, and the site gets nothing.
#[tokio::test]
async fn who_may_not_log_in_is_told_what_to_do() {
    let (builder, _folder) = with_apps();
    let bed = builder.users(&["lin"]).start().await;
    let Sent { cookie, state, .. } = sent(&bed, "/authorize", IN_WECHAT).await;
    let page = back(&bed, ACCOUNT, "lin", &state, Some(&cookie)).await;
    assert!(
        page.status == 403 && page.body.contains("请先打开小程序登录一次"),
        "{page:?}"
    );
    assert!(
        page.body.contains(&format!(
            "/authorize?{}",
            asks("grafana", BACK).replace('&', "&amp;")
        )),
        "{page:?}"
    );
    assert!(
        bed.form("/end_session", &[("ui_locales", "zh")])
            .await
            .body
            .contains("lang=\"zh-CN\"")
    );
    bed.service().expect_no_faults().await;
    let refused = "wxmint_requests_total{route=\"/authorize/wechat\",outcome=\"binding_required\"}";
    assert_eq!(bed.service().metric(refused).await, 1.0);
}
