//! The OAuth2 door: official accounts, websites and mobile apps beside mini programs, and still one user.

pub(crate) mod cross_origin;
mod example;

use crate::doctor::Report;
use crate::support::prelude::*;

const ACCOUNT: &str = "wxaaaaaaaaaaaaaaaa";
const SITE: &str = "wxbbbbbbbbbbbbbbbb";
const MOBILE: &str = "wxcccccccccccccccc";
const KINDS: [(&str, &str); 3] = [
    (ACCOUNT, "official_account"),
    (SITE, "website"),
    (MOBILE, "mobile_app"),
];
const ORIGIN: &str = "https://m.example.com";

/// A mini program, and an app of each other kind.
fn builder() -> (Builder, TempDir) {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let mut builder = TestBed::builder()
        .apps_folder(folder.path())
        .env("RUST_LOG", "trace");
    for (id, kind) in KINDS {
        let file = json!({"kind": kind, "secret": OTHER_SECRET, "origins": [ORIGIN]});
        write_private(&folder.path().join(id), &file.to_string());
        builder = builder.app(id, &format!("{OTHER_SECRET}:{kind}"));
    }
    (builder, folder)
}

async fn code(bed: &TestBed, appid: &str, members: Value) -> String {
    let mut wanted = json!({"person": "lin", "appid": appid});
    wanted
        .as_object_mut()
        .expect("an object")
        .extend(members.as_object().expect("an object").clone());
    bed.wechat.mint_codes(wanted).await.remove(0)
}

async fn log_in(bed: &TestBed, appid: &str, code: &str) -> Answer {
    bed.service()
        .log_in_with(&json!({"code": code, "appid": appid}))
        .await
}

/// By a code with this scope.
async fn by_scope(bed: &TestBed, appid: &str, scope: &str) -> Answer {
    log_in(bed, appid, &code(bed, appid, json!({"scope": scope})).await).await
}

#[tokio::test]
async fn an_app_without_session_keys_says_so_before_a_code_is_spent_and_its_logins_count() {
    let (builder, _folder) = builder();
    let accounts = AccountService::start();
    let variables = [
        ("WXMINT_ACCOUNTS", &*accounts.url()),
        ("WXMINT_AUTO_PROVISION", "true"),
        ("WXMINT_LIMIT_OPENID", "3/1h"),
    ];
    let bed = builder.envs(&variables).operator().start().await;
    let login = bed
        .log_in_at(ACCOUNT, "lin", json!({}))
        .await
        .expect_login();
    let (token, user) = (login.member("access_token"), login.member("user_id"));
    let userdata =
        json!({"encryptedData": "AAAAAAAAAAAAAAAAAAAAAA==", "iv": "AAAAAAAAAAAAAAAAAAAAAA=="});
    let phone_code = "bf7a7e8e3a1d4c0d9f6b2e5c8a7d4f10";
    for (method, path, body) in [
        ("POST", "/wechat/userdata", userdata),
        ("POST", "/wechat/phone", json!({"code": phone_code})),
        ("GET", "/wechat/session", Value::Null),
        ("POST", "/wechat/session/reset", Value::Null),
    ] {
        let refused = bed
            .service()
            .ask(method, path, &token, &body)
            .await
            .expect_problem(409, "session_key_missing");
        assert!(
            refused.member("detail").contains("no mini program"),
            "{path}: {refused:?}"
        );
    }
    let path = format!("/users/{user}/wechat/{ACCOUNT}/signature");
    let refused = bed
        .service()
        .operate("POST", &path, OPERATOR, &json!({"data": "a"}))
        .await;
    let refused = refused.expect_problem(409, "session_key_missing");
    assert!(
        refused.member("detail").contains("no mini program"),
        "{refused:?}"
    );
    for appid in [SITE, MOBILE] {
        let path = format!("/wechat/{appid}/access-token");
        bed.operate("GET", &path)
            .await
            .expect_problem(400, "invalid_request");
    }
    let code = code(&bed, ACCOUNT, json!({})).await;
    let phone = json!({"code": code, "appid": ACCOUNT, "phone_code": phone_code});
    bed.service()
        .log_in_with(&phone)
        .await
        .expect_problem(409, "session_key_missing");
    log_in(&bed, ACCOUNT, &code).await.expect_login();
    bed.log_in_at(ACCOUNT, "lin", json!({}))
        .await
        .expect_login();
    bed.log_in_at(ACCOUNT, "lin", json!({}))
        .await
        .expect_problem(429, "rate_limited");
    bed.log_in_at(ACCOUNT, "mei", json!({}))
        .await
        .expect_login();
    assert_eq!(
        bed.wechat.asked("/cgi-bin/stable_token").await,
        0,
        "nothing was asked for in vain"
    );
}

/// The console too: `console.mjs`.
#[tokio::test]
async fn operators_are_told_what_kind_of_app_it_is() {
    let (builder, folder) = builder();
    let page = json!([{"client_id": "shop-web", "name": "Shop", "appid": ACCOUNT, "page": "pages/scan/index"}]);
    let bed = builder.operator().clients(&page).start().await;
    let infos = async || {
        let metrics = bed.service().metrics().await;
        let infos = metrics
            .lines()
            .filter(|line| line.starts_with("wxmint_app_info{"));
        let mut infos: Vec<_> = infos.map(str::to_owned).collect();
        infos.sort_unstable();
        infos
    };
    let info =
        |appid: &str, kind: &str| format!("wxmint_app_info{{app=\"{appid}\",kind=\"{kind}\"}} 1");
    let [own, account, site, mobile] = [(APPID, "mini_program"), KINDS[0], KINDS[1], KINDS[2]]
        .map(|(appid, kind)| info(appid, kind));
    assert_eq!(
        infos().await,
        [own.clone(), account.clone(), site, mobile.clone()]
    );
    let report = Report::of(&bed.configuration).await;
    for (appid, kind) in KINDS {
        let found = format!("{appid} ({kind}): WeChat takes AppID and AppSecret");
        assert!(report.output.contains(&found), "{}", report.output);
    }
    report.advice(
        "clients",
        "warning",
        &format!("{ACCOUNT}, is no mini program that is configured"),
    );
    for (appid, kind) in [(APPID, Value::Null), (SITE, "website".into())] {
        let login = bed.log_in_at(appid, "lin", json!({})).await.expect_login();
        bed.dissolve(&login).await;
        let path = format!("/users/{}/wechat/{appid}", login.member("user_id"));
        assert_eq!(bed.operate("DELETE", &path).await.status, 204);
        let told = eventually("each event of the app", BUSY, async || {
            let told = bed
                .service()
                .events()
                .into_iter()
                .filter(|event| event["unmapped"]["app"] == appid);
            let told: Vec<_> = told.collect();
            let is_told = |code: &str| {
                told.iter()
                    .any(|event| event["metadata"]["event_code"] == code)
            };
            ["login", "bind", "unbind", "dissolve"]
                .into_iter()
                .all(is_told)
                .then_some(told)
        })
        .await;
        assert!(
            told.iter()
                .all(|event| event["unmapped"]["app_kind"] == kind
                    && event["unmapped"]["platform"] == "wechat"),
            "{appid}: {told:?}"
        );
    }

    // A fault in one file does not keep the page of another from being told.
    fs::write(folder.path().join(ACCOUNT), "{").expect("written");
    fs::remove_file(folder.path().join(SITE)).expect("removed");
    until("the app is gone", PATIENCE, async || {
        infos().await == [own.clone(), account.clone(), mobile.clone()]
    })
    .await;
}

/// `crates/wechat` holds what each errcode means, and `wechat_faults` what a login answers to each meaning.
#[tokio::test]
async fn a_snapshots_virtual_person_a_code_of_another_kind_and_whom_wechat_refuses_are_let_in_nowhere()
 {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    let snapshot = code(&bed, ACCOUNT, json!({"snapshot": true})).await;
    let refused = log_in(&bed, ACCOUNT, &snapshot)
        .await
        .expect_problem(403, "snapshot_user");
    assert!(
        refused.member("detail").contains("使用完整服务"),
        "{refused:?}"
    );
    let kept: Vec<String> = bed.redis.command(&["KEYS", &format!("*{ACCOUNT}*")]);
    assert!(
        kept.iter().all(|key| key.contains(":code:")),
        "only that the code is used: {kept:?}"
    );
    let real = bed
        .log_in_at(ACCOUNT, "lin", json!({}))
        .await
        .expect_login();
    assert_eq!(
        real.json()["new_user"],
        true,
        "the real person comes in later"
    );

    for (own, other) in [
        (APPID, ACCOUNT),
        (ACCOUNT, SITE),
        (SITE, MOBILE),
        (MOBILE, APPID),
    ] {
        let code = bed.wechat.mint_code_in(own, "lin").await;
        log_in(&bed, other, &code)
            .await
            .expect_problem(400, "code_invalid");
    }
    let code = bed.wechat.mint_code_in(SITE, "lin").await;
    log_in(&bed, SITE, &code).await.expect_login();
    log_in(&bed, SITE, &code)
        .await
        .expect_problem(400, "code_used");
    // Every website and mobile app is of an Open Platform account; an official account need not be.
    for (appid, status) in [(SITE, 503), (MOBILE, 503), (ACCOUNT, 200)] {
        bed.wechat.names_unionids(appid, false).await;
        assert_eq!(
            bed.log_in_at(appid, "lin", json!({})).await.status,
            status,
            "{appid}"
        );
    }

    let path = "/sns/oauth2/access_token";
    for (errcode, status, code) in [
        (42003, 400, "code_invalid"),
        (40001, 502, "wechat_misconfigured"),
    ] {
        bed.faults(json!([{"kind": "errcode", "errcode": errcode, "path": path}]))
            .await;
        bed.log_in_at(MOBILE, "lin", json!({}))
            .await
            .expect_problem(status, code);
    }
    bed.faults(json!([])).await;
    bed.wechat.block("lin", true).await;
    bed.log_in_at(MOBILE, "lin", json!({}))
        .await
        .expect_problem(403, "user_blocked");
    bed.service().expect_no_faults().await;
}

#[tokio::test]
async fn one_person_is_one_user_in_apps_of_every_kind_and_a_unionid_is_asked_for_where_the_scope_has_it()
 {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    let first = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
    bed.wechat
        .change_app(json!({"appid": ACCOUNT, "unionid_by_userinfo": true}))
        .await;
    bed.faults(json!([{"kind": "stall", "path": "/sns/userinfo"}]))
        .await;
    let refused = bed
        .log_in_at(ACCOUNT, "lin", json!({}))
        .await
        .expect_problem(503, "wechat_unavailable");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    for fault in [
        json!({"kind": "errcode", "errcode": 48001}),
        json!({"kind": "garbage"}),
    ] {
        let mut fault = fault;
        fault["path"] = "/sns/userinfo".into();
        bed.faults(json!([fault])).await;
        bed.log_in_at(ACCOUNT, "lin", json!({}))
            .await
            .expect_problem(503, "wechat_unavailable");
    }
    bed.faults(json!([])).await;
    let asked_again = async || bed.log_in_at(ACCOUNT, "lin", json!({})).await.status == 200;
    until("WeChat is asked again", PATIENCE, asked_again).await;

    let mut tokens = vec![first.clone()];
    for (appid, _) in KINDS {
        let login = bed.log_in_at(appid, "lin", json!({})).await.expect_login();
        assert_eq!(login.claims()["client_id"], appid);
        assert_eq!(
            login.member("user_id"),
            first.member("user_id"),
            "{appid}: nobody was bound meanwhile"
        );
        assert_eq!(
            (
                &login.json()["new_user"],
                login.json().as_object().map(serde_json::Map::len)
            ),
            (&false.into(), Some(5))
        );
        tokens.push(login);
    }
    let asked = bed.wechat.asked("/sns/userinfo").await;
    bed.wechat
        .change_app(json!({"appid": ACCOUNT, "unionid_by_userinfo": false}))
        .await;
    bed.log_in_at(ACCOUNT, "lin", json!({}))
        .await
        .expect_login();
    by_scope(&bed, ACCOUNT, "snsapi_base").await.expect_login();
    assert_eq!(
        bed.wechat.asked("/sns/userinfo").await,
        asked,
        "not where it is told, nor where it cannot be had"
    );
    bed.log_out(&tokens[2], true).await;
    for token in &tokens {
        assert!(!bed.accepts(token).await, "one logout ends all");
    }
    bed.service().expect_no_faults().await;
}

/// The browser sends the scope, so that the user chooses it. Of a person's two users either may be banned. The website
/// is the first user's, and has come last. The proof of bindings has the bans of every order.
#[tokio::test]
async fn a_ban_holds_once_wechat_names_the_unionid_and_of_a_persons_two_users_it_lets_neither_in() {
    let (builder, _folder) = builder();
    let bed = builder.operator().start().await;
    let operate = async |method: &str, user: &str, act: &str| {
        assert_eq!(
            bed.operate(method, &format!("/users/{user}/{act}"))
                .await
                .status,
            204
        );
    };
    let conflicts = async || bed.service().metric("wxmint_unionid_conflicts_total").await;
    let first = bed
        .log_in_at(APPID, "lin", json!({}))
        .await
        .expect_login()
        .member("user_id");
    operate("PUT", &first, "block").await;
    bed.log_in_at(SITE, "lin", json!({}))
        .await
        .expect_problem(403, "user_blocked");
    let second = by_scope(&bed, ACCOUNT, "snsapi_base")
        .await
        .expect_login()
        .member("user_id");
    assert_ne!(first, second, "WeChat has not said who it is");
    for _ in 0..2 {
        by_scope(&bed, ACCOUNT, "snsapi_userinfo")
            .await
            .expect_problem(403, "user_blocked");
    }
    assert_eq!(conflicts().await, 0.0);
    operate("DELETE", &first, "block").await;
    let phone = bed
        .for_good(async || bed.log_in_at(APPID, "lin", json!({})).await)
        .await;
    let account = by_scope(&bed, ACCOUNT, "snsapi_userinfo")
        .await
        .expect_login();
    assert_eq!(
        (account.member("user_id"), conflicts().await),
        (second.clone(), 1.0)
    );
    let site = bed.log_in_at(SITE, "lin", json!({})).await.expect_login();
    assert_eq!(site.member("user_id"), first);

    let mut tokens = vec![phone, account, site];
    for user in [&first, &second] {
        operate("PUT", user, "block").await;
        for scope in ["snsapi_userinfo", "snsapi_base", "snsapi_userinfo"] {
            by_scope(&bed, ACCOUNT, scope)
                .await
                .expect_problem(403, "user_blocked");
        }
        for appid in [APPID, SITE] {
            bed.log_in_at(appid, "lin", json!({}))
                .await
                .expect_problem(403, "user_blocked");
        }
        for token in &tokens {
            assert!(!bed.accepts(token).await, "{user}");
        }
        operate("DELETE", user, "block").await;
        let phone = bed
            .for_good(async || bed.log_in_at(APPID, "lin", json!({})).await)
            .await;
        tokens = vec![
            phone,
            by_scope(&bed, ACCOUNT, "snsapi_userinfo")
                .await
                .expect_login(),
        ];
    }
    operate("POST", &first, "revoke").await;
    for token in &tokens {
        assert!(!bed.accepts(token).await, "an end reaches both too");
    }
}

#[tokio::test]
async fn where_the_file_wants_it_nobody_becomes_a_user_without_a_unionid() {
    for accounts in ["auto", "file"] {
        let (mut builder, folder) = builder();
        if accounts == "file" {
            builder = builder.users(&["lin"]);
        }
        let strict =
            json!({"kind": "official_account", "secret": OTHER_SECRET, "unionid_required": true});
        fs::write(folder.path().join(ACCOUNT), strict.to_string()).expect("written");
        let bed = builder.env("WXMINT_LIMIT_OPENID", "4/1h").start().await;
        for _ in 0..2 {
            let refused = by_scope(&bed, ACCOUNT, "snsapi_base")
                .await
                .expect_problem(403, "unionid_missing");
            assert!(
                refused.member("detail").contains("snsapi_userinfo"),
                "{accounts}: {refused:?}"
            );
        }
        let bound: Vec<String> = bed.redis.command(&["KEYS", "*:binding"]);
        assert!(bound.is_empty(), "{accounts}: {bound:?}");
        if accounts == "auto" {
            let first = by_scope(&bed, ACCOUNT, "snsapi_userinfo")
                .await
                .expect_login()
                .member("user_id");
            let back = by_scope(&bed, ACCOUNT, "snsapi_base")
                .await
                .expect_login()
                .member("user_id");
            assert_eq!(first, back, "who is a user comes back without");
        }
        // A refused person is counted, too.
        for status in if accounts == "auto" {
            &[429][..]
        } else {
            &[403, 403, 429]
        } {
            assert_eq!(
                by_scope(&bed, ACCOUNT, "snsapi_base").await.status,
                *status,
                "{accounts}"
            );
        }
    }
}
