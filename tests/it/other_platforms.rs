//! Logins from mini programs of Douyin, QQ, Kuaishou, Bilibili and Alipay and from apps of Huawei, beside WeChat's.

use crate::doctor::Report;
use crate::support::prelude::*;
use crate::user_ids::ID_KEY;

const DOUYIN: &str = "tt0123456789abcdef";
const GAME: &str = "tt00000000000000aa";
const QQ: &str = "1112223334";
const KUAISHOU: &str = "ks712345678901234567";
const BILIBILI: &str = "bi1234567890abcdef";
const HUAWEI: &str = "100860000";
const SECRET: &str = "s3cret~of_the-other+platforms/=0";
/// The AppID, the platform and its word in the simulator.
const ALL: [(&str, &str, &str); 6] = [
    (DOUYIN, "douyin", "douyin"),
    (GAME, "douyin", "douyin_game"),
    (QQ, "qq", "qq"),
    (KUAISHOU, "kuaishou", "kuaishou"),
    (BILIBILI, "bilibili", "bilibili"),
    (HUAWEI, "huawei", "huawei"),
];
const DOUYIN_PATH: &str = "/_douyin/api/apps/v2/jscode2session";
const PATHS: [&str; 6] = [
    DOUYIN_PATH,
    "/_douyin/mgplatform/api/apps/jscode2session",
    "/_qq/sns/jscode2session",
    "/_kuaishou/oauth2/mp/code2session",
    "/_bilibili/api/sns/jscode2session",
    "/_huawei/oauth2/v3/token",
];

fn file(platform: &str, kind: &str) -> Value {
    json!({"platform": platform, "secret": SECRET, "game": kind == "douyin_game"})
}

/// A mini program of WeChat, and one of each other platform.
fn builder() -> (Builder, TempDir) {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let mut builder = TestBed::builder()
        .apps_folder(folder.path())
        .env("RUST_LOG", "trace");
    for (id, platform, kind) in ALL {
        write_private(&folder.path().join(id), &file(platform, kind).to_string());
        builder = builder.app(id, &format!("{SECRET}:{kind}"));
    }
    (builder, folder)
}

async fn users_of(bed: &TestBed, person: &str) -> BTreeMap<&'static str, String> {
    let mut users = BTreeMap::new();
    for app in [APPID, DOUYIN, GAME, QQ, KUAISHOU, BILIBILI, HUAWEI] {
        let login = bed.log_in_at(app, person, json!({})).await.expect_login();
        assert_eq!(login.claims()["client_id"], app);
        users.insert(app, login.member("user_id"));
    }
    users
}

#[tokio::test]
async fn each_platforms_person_logs_in_and_is_the_same_user_each_time_and_no_other_platforms() {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    let users = users_of(&bed, "lin").await;
    assert_eq!(users[DOUYIN], users[GAME], "one unionid at Douyin");
    let different: BTreeSet<_> = users.values().collect();
    assert_eq!(different.len(), 6, "{users:?}");
    assert_eq!(users_of(&bed, "lin").await, users);
    assert_ne!(users_of(&bed, "mei").await, users);
    let metrics = bed.service().metrics().await;
    for (_, platform, _) in ALL {
        let counted = format!("wxmint_logins_total{{platform=\"{platform}\"");
        assert!(metrics.contains(&counted), "{platform}");
        let timed = format!(
            "wxmint_other_platform_request_duration_seconds_count{{platform=\"{platform}\"}}"
        );
        assert!(metrics.contains(&timed), "{platform}");
    }
    bed.service().expect_no_faults().await;
}

#[tokio::test]
async fn computed_users_come_back_after_a_flush_and_belong_to_their_platform() {
    let (builder, _folder) = builder();
    let bed = builder.user_ids("openid", ID_KEY).start().await;
    let users = users_of(&bed, "lin").await;
    let different: BTreeSet<_> = users.values().collect();
    assert_eq!(different.len(), 7, "{users:?}");
    bed.redis.command::<()>(&["FLUSHALL"]);
    assert_eq!(users_of(&bed, "lin").await, users);
}

#[tokio::test]
async fn a_refused_code_is_the_clients_a_refused_secret_the_operators_and_all_else_the_platforms() {
    let (builder, folder) = builder();
    let bed = builder.start().await;
    for (app, path) in ALL.map(|(app, ..)| app).into_iter().zip(PATHS) {
        let log_in = async || bed.log_in_at(app, "lin", json!({})).await;
        let wrong = json!({"appid": app, "code": "a-code/that@nobody=minted+0"});
        let refused = bed.service().log_in_with(&wrong).await;
        let refused = refused.expect_problem(400, "code_invalid");
        assert!(
            refused
                .member("detail")
                .starts_with("The platform does not"),
            "{refused:?}"
        );
        let code = bed.wechat.mint_code_in(app, "lin").await;
        let body = json!({"appid": app, "code": code});
        bed.service().log_in_with(&body).await.expect_login();
        let again = bed.service().log_in_with(&body).await;
        let again = again.expect_problem(400, "code_used");
        assert!(!again.body.contains("wx.login"), "{again:?}");

        for (fault, status, code) in [
            (
                json!({"kind": "errcode", "errcode": -1}),
                503,
                "platform_unavailable",
            ),
            (
                json!({"kind": "errcode", "errcode": 424_242}),
                503,
                "platform_unavailable",
            ),
            (json!({"kind": "html"}), 503, "platform_unavailable"),
            (
                json!({"kind": "status", "status": 502}),
                503,
                "platform_unavailable",
            ),
            (json!({"kind": "empty"}), 503, "platform_unavailable"),
            (json!({"kind": "garbage"}), 503, "platform_unavailable"),
            (json!({"kind": "truncated"}), 503, "platform_unavailable"),
            (json!({"kind": "huge"}), 503, "platform_unavailable"),
            (json!({"kind": "reset"}), 503, "platform_unavailable"),
            (json!({"kind": "anonymous"}), 503, "platform_unavailable"),
        ] {
            if app == HUAWEI && fault["kind"] == "anonymous" {
                // The ID token names the person, and no device has one.
                continue;
            }
            let mut fault = fault;
            fault["path"] = path.into();
            bed.faults(json!([fault])).await;
            let refused = log_in().await.expect_problem(status, code);
            assert!(
                !refused.header("retry-after").is_empty(),
                "{fault}: {refused:?}"
            );
        }
        bed.faults(json!([])).await;
        bed.wechat
            .change_app(json!({"appid": app, "secret": "another-secret", "drop_old_secrets": true}))
            .await;
        log_in().await.expect_problem(502, "platform_misconfigured");
        bed.wechat
            .change_app(json!({"appid": app, "secret": SECRET}))
            .await;
        log_in().await.expect_login();
    }
    let metrics = bed.service().metrics().await;
    for error in ["40017", "40018", "other", "unanswered", "unusable", "-1"] {
        let counted = format!("platform=\"douyin\",error=\"{error}\",app=\"{DOUYIN}\"");
        assert!(metrics.contains(&counted), "{error}: {metrics}");
    }
    let log = bed.service().log();
    assert!(
        log.contains("douyin answered error 424242"),
        "the number that no list has"
    );
    assert!(!log.contains(SECRET), "a secret");
    bed.service().expect_no_faults().await;
    drop(folder);
}

#[tokio::test]
async fn a_code_is_sent_to_a_platform_once() {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    for fault in ["reset", "garbage", "truncated"] {
        bed.faults(json!([{"kind": fault, "path": DOUYIN_PATH}]))
            .await;
        let code = bed.wechat.mint_code_in(DOUYIN, "lin").await;
        let body = json!({"appid": DOUYIN, "code": code});
        let refused = bed.service().log_in_with(&body).await;
        refused.expect_problem(503, "platform_unavailable");
        let again = bed.service().log_in_with(&body).await;
        again.expect_problem(400, "code_used");
    }
    assert_eq!(bed.wechat.asked(DOUYIN_PATH).await, 3);
    assert_eq!(bed.wechat.stats().await["exchanges_by_code"], json!({}));
}

#[tokio::test]
async fn answers_that_one_person_can_cause_pause_the_app_for_nobody() {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    let too_often = json!({"kind": "errcode", "errcode": 45011, "path": "/_qq/sns/jscode2session"});
    let device = json!({"kind": "anonymous", "path": DOUYIN_PATH});
    for (app, fault) in [(QQ, too_often), (DOUYIN, device)] {
        bed.faults(json!([fault])).await;
        for _ in 0..40 {
            let refused = bed.log_in_at(app, "mallory", json!({})).await;
            refused.expect_problem(503, "platform_unavailable");
        }
        bed.faults(json!([])).await;
        bed.log_in_at(app, "lin", json!({})).await.expect_login();
    }
}

/// The merchants' people log in at WeChat, although no file is of WeChat.
#[tokio::test]
async fn the_doctor_looks_at_wechat_if_a_third_party_platform_is_beside_apps_of_other_platforms() {
    let folder = apps_folder(&[]);
    let file = file("qq", "qq").to_string();
    write_private(&folder.path().join(QQ), &file);
    let builder = TestBed::builder()
        .app(QQ, &format!("{SECRET}:qq"))
        .apps_folder(folder.path());
    let bed = builder.start().await;
    let report = Report::of(&bed.configuration).await;
    assert_eq!(report.worst("wechat.reach")[1], "no app is of WeChat");
    let builder = TestBed::builder()
        .app(QQ, &format!("{SECRET}:qq"))
        .platform()
        .apps_folder(folder.path());
    let bed = builder.start().await;
    let report = Report::of(&bed.configuration).await;
    let found = report.worst("wechat.reach")[1];
    assert!(found.contains("answers"), "{found}");
}

#[tokio::test]
async fn a_code_that_was_not_sent_may_be_sent_again() {
    let (builder, _folder) = builder();
    let bed = builder
        .env("WXMINT_OTHER_PLATFORMS_URL", "http://127.0.0.1:1")
        .start()
        .await;
    let body = json!({"appid": DOUYIN, "code": "a-code-that-nobody-has-seen"});
    for _ in 0..2 {
        let refused = bed.service().log_in_with(&body).await;
        refused.expect_problem(503, "platform_unavailable");
    }
}

#[tokio::test]
async fn an_answer_in_a_form_that_was_seen_names_the_person_too() {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    for (app, path) in ALL.map(|(app, ..)| app).into_iter().zip(PATHS) {
        for kind in [
            "quoted_numbers",
            "empty_unionid",
            "null_unionid",
            "byte_order_mark",
        ] {
            bed.faults(json!([{"kind": kind, "path": path}])).await;
            bed.log_in_at(app, "lin", json!({})).await.expect_login();
        }
    }
    bed.faults(json!([{"kind": "no_data", "path": DOUYIN_PATH}]))
        .await;
    let refused = bed.log_in_at(DOUYIN, "lin", json!({})).await;
    refused.expect_problem(503, "platform_unavailable");
}

const ALIPAY: &str = "2021000000000001";
const OTHER_OF_ALIPAY: &str = "2021000000000002";
const ALIPAY_PATH: &str = "/_alipay/gateway.do";

/// wxmint's file of an app of Alipay, with the keys of the simulator.
async fn alipay_file(bed: &TestBed, app: &str) -> Value {
    let path = format!("alipay/{app}");
    bed.wechat.control(&path, "GET", &Value::Null).await.json()
}

/// A bed with an app of Alipay, whose file is read while the service runs.
async fn alipay_bed() -> (TestBed, TempDir) {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    let builder = TestBed::builder().apps_folder(folder.path());
    let builder = builder.env("RUST_LOG", "trace");
    let builder = builder
        .app(ALIPAY, "-:alipay")
        .app(OTHER_OF_ALIPAY, "-:alipay");
    let bed = builder.start().await;
    let file = alipay_file(&bed, ALIPAY).await;
    write_private(&folder.path().join(ALIPAY), &file.to_string());
    until("the app is known", READ_AGAIN_WITHIN, async || {
        bed.log_in_at(ALIPAY, "lin", json!({})).await.status == 200
    })
    .await;
    (bed, folder)
}

#[tokio::test]
async fn alipays_person_logs_in_by_a_signed_answer_and_by_no_other() {
    let (bed, _folder) = alipay_bed().await;
    let log_in = async || bed.log_in_at(ALIPAY, "lin", json!({})).await;
    let user = log_in().await.expect_login().member("user_id");
    for form in ["byte_order_mark", "escaped_slash"] {
        bed.faults(json!([{"kind": form, "path": ALIPAY_PATH}]))
            .await;
        assert_eq!(
            log_in().await.expect_login().member("user_id"),
            user,
            "{form}"
        );
    }
    for (fault, status, code) in [
        (json!({"kind": "no_sign"}), 503, "platform_unavailable"),
        (json!({"kind": "wrong_sign"}), 503, "platform_unavailable"),
        (json!({"kind": "error_in_node"}), 400, "code_invalid"),
        (
            json!({"kind": "errcode", "errcode": 20000}),
            503,
            "platform_unavailable",
        ),
        (
            json!({"kind": "errcode", "errcode": 40003}),
            503,
            "platform_unavailable",
        ),
        (json!({"kind": "html"}), 503, "platform_unavailable"),
        (json!({"kind": "truncated"}), 503, "platform_unavailable"),
        (json!({"kind": "huge"}), 503, "platform_unavailable"),
    ] {
        let mut fault = fault;
        fault["path"] = ALIPAY_PATH.into();
        bed.faults(json!([fault])).await;
        log_in().await.expect_problem(status, code);
    }
    bed.faults(json!([])).await;
    let wrong = json!({"appid": ALIPAY, "code": "0123456789abcdef0123456789abcdef"});
    let refused = bed.service().log_in_with(&wrong).await;
    refused.expect_problem(400, "code_invalid");
    let log = bed.service().log();
    assert!(!log.contains("0123456789abcdef0123456789abcdef"), "a code");
    bed.service().expect_no_faults().await;
}

#[tokio::test]
async fn alipays_other_id_never_stands_in_for_the_one_of_the_setting() {
    let (bed, _folder) = alipay_bed().await;
    let log_in = async || bed.log_in_at(ALIPAY, "lin", json!({})).await;
    let user = log_in().await.expect_login().member("user_id");
    let gives = async |ids: &str| {
        bed.wechat
            .change_app(json!({"appid": ALIPAY, "alipay_ids": ids}))
            .await;
    };
    gives("both").await;
    assert_eq!(log_in().await.expect_login().member("user_id"), user);
    gives("user_id").await;
    log_in().await.expect_problem(502, "platform_misconfigured");
    gives("open_id").await;
    assert_eq!(log_in().await.expect_login().member("user_id"), user);
}

#[tokio::test]
async fn an_app_of_alipay_with_another_apps_key_is_the_operators_to_mend_and_the_doctor_says_so() {
    let (bed, folder) = alipay_bed().await;
    let mut file = alipay_file(&bed, ALIPAY).await;
    file["private_key"] = alipay_file(&bed, OTHER_OF_ALIPAY).await["private_key"].take();
    fs::write(folder.path().join(ALIPAY), file.to_string()).expect("written");
    until("the other key is used", READ_AGAIN_WITHIN, async || {
        bed.log_in_at(ALIPAY, "lin", json!({})).await.status == 502
    })
    .await;
    let refused = bed.log_in_at(ALIPAY, "lin", json!({})).await;
    refused.expect_problem(502, "platform_misconfigured");
    let report = Report::of(&bed.configuration).await;
    report.advice("platforms.credentials", "fault", "isv.invalid-signature");
}

#[tokio::test]
async fn a_device_is_no_person_and_an_app_must_be_named() {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    let device = json!({"appid": DOUYIN, "anonymous_code": "a-device"});
    let refused = bed.service().log_in_with(&device).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert!(
        refused.member("detail").contains("no person"),
        "{refused:?}"
    );
    let code = bed.wechat.mint_code_in(DOUYIN, "lin").await;
    bed.service()
        .login(&code)
        .await
        .expect_problem(400, "app_required");
    let unknown = json!({"appid": "tt9999999999999999", "code": code});
    bed.service()
        .log_in_with(&unknown)
        .await
        .expect_problem(400, "unknown_app");
    let of_wechat = bed.wechat.mint_code("lin").await;
    let crossed = json!({"appid": DOUYIN, "code": of_wechat});
    bed.service()
        .log_in_with(&crossed)
        .await
        .expect_problem(400, "code_invalid");
    let at_wechat = json!({"appid": APPID, "code": code});
    bed.service()
        .log_in_with(&at_wechat)
        .await
        .expect_problem(400, "code_invalid");
    let user_of_device = bed.wechat.stats().await;
    assert_eq!(user_of_device["exchanges_ok"], 0, "nobody was named");
}

#[tokio::test]
async fn wechats_own_calls_say_that_only_wechat_has_them() {
    let (builder, _folder) = builder();
    let bed = builder.operator().start().await;
    let login = bed.log_in_at(DOUYIN, "lin", json!({})).await.expect_login();
    let token = login.member("access_token");
    let user = login.member("user_id");
    let data =
        json!({"encryptedData": "AAAAAAAAAAAAAAAAAAAAAA==", "iv": "AAAAAAAAAAAAAAAAAAAAAA=="});
    for (method, path, body) in [
        ("POST", "/wechat/userdata", data),
        (
            "POST",
            "/wechat/phone",
            json!({"code": "bf7a7e8e3a1d4c0d9f6b2e5c8a7d4f10"}),
        ),
        ("GET", "/wechat/session", Value::Null),
        ("POST", "/wechat/session/reset", Value::Null),
    ] {
        let refused = bed.service().ask(method, path, &token, &body).await;
        refused.expect_problem(404, "only_at_wechat");
    }
    for (method, path, body) in [
        (
            "POST",
            format!("/users/{user}/wechat/{DOUYIN}/signature"),
            json!({"data": "a"}),
        ),
        ("GET", format!("/wechat/{DOUYIN}/access-token"), Value::Null),
    ] {
        let refused = bed.service().operate(method, &path, OPERATOR, &body).await;
        refused.expect_problem(404, "only_at_wechat");
    }
    let ended = bed
        .service()
        .ask("POST", "/logout", &token, &json!({"everywhere": true}))
        .await;
    assert_eq!(ended.status, 204, "{ended:?}");
}

/// The kinds of keys of a person that are left in Redis after an operator has found and erased the person.
async fn left_of_an_erased_person(bed: &TestBed, app: &str) -> BTreeSet<String> {
    let login = bed.log_in_at(app, "lin", json!({})).await.expect_login();
    let account = bed.wechat.account_in(app, "lin").await;
    let openid = account["openid"].as_str().expect("an openid");
    let unionid = account["unionid"].as_str().expect("a unionid");
    let user = login.member("user_id");
    let operate = async |method, path: String| {
        bed.service()
            .operate(method, &path, OPERATOR, &Value::Null)
            .await
    };
    for id in [openid, unionid] {
        let found = operate("GET", format!("/find?q={id}")).await;
        assert!(found.body.contains(&user), "{id}: {found:?}");
    }
    let erased = operate("DELETE", format!("/wechat/{app}/people/{openid}")).await;
    assert_eq!(erased.status, 204, "{erased:?}");
    let keys: Vec<String> = bed.redis.command(&["KEYS", &format!("*{openid}*")]);
    let kinds = keys.iter().map(|key| {
        let (_, kind) = key.rsplit_once("}:").expect("a key of a person");
        kind.to_owned()
    });
    let again = bed.log_in_at(app, "lin", json!({})).await.expect_login();
    assert_ne!(
        again.member("user_id"),
        user,
        "an erased person is a stranger"
    );
    kinds.collect()
}

#[tokio::test]
async fn operators_find_and_erase_a_person_of_another_platform_as_one_of_wechat() {
    let (builder, _folder) = builder();
    let bed = builder.operator().start().await;
    let of_wechat = left_of_an_erased_person(&bed, APPID).await;
    assert_eq!(left_of_an_erased_person(&bed, DOUYIN).await, of_wechat);
}

#[tokio::test]
async fn equal_ids_of_two_platforms_are_two_persons_in_an_import_and_an_export() {
    let (builder, folder) = builder();
    let bed = builder.operator().start().await;
    let of_wechat = json!({"appid": APPID, "openid": "o1", "user_id": "u1", "unionid": "n1"});
    let of_douyin = json!({"platform": "douyin", "appid": DOUYIN, "openid": "o1", "user_id": "u2", "unionid": "n1"});
    let of_qq =
        json!({"platform": "qq", "appid": QQ, "openid": "o1", "user_id": "u3", "unionid": "n1"});
    let lines = [of_wechat, of_douyin, of_qq].map(|line| format!("{line}\n"));
    let table = folder.path().join(".table.ndjson");
    fs::write(&table, lines.concat()).expect("written");
    let run = async |words: &[&str]| {
        let mut command = bed
            .configuration
            .command_of(&[&["bindings"], words].concat());
        Ended::within_patience(&mut command).await
    };
    let imported = run(&["import", &table.to_string_lossy(), "--no-trailer"]).await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let out = folder.path().join(".now.ndjson");
    let exported = run(&["export", "--out", &out.to_string_lossy()]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let text = fs::read_to_string(&out).expect("an export");
    for (user, platform) in [
        ("u1", Value::Null),
        ("u2", "douyin".into()),
        ("u3", "qq".into()),
    ] {
        let of_user = |line: &Value| line["user_id"] == user;
        let mut lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let line = lines
            .find(of_user)
            .unwrap_or_else(|| panic!("{user}: {text}"));
        assert_eq!(line["platform"], platform, "{line}");
        assert_eq!(line["unionid_conflict"], Value::Null, "{line}");
    }
    let found = bed
        .service()
        .operate("GET", "/find?q=n1", OPERATOR, &Value::Null)
        .await;
    for user in ["u1", "u2", "u3"] {
        assert!(found.body.contains(user), "{found:?}");
    }
}

#[tokio::test]
async fn the_doctor_tells_a_secret_that_a_platform_takes_from_one_that_it_refuses() {
    let (builder, _folder) = builder();
    let bed = builder.start().await;
    let report = Report::of(&bed.configuration).await;
    assert_eq!(
        report.status("platforms.credentials"),
        "ok",
        "{}",
        report.output
    );
    for (id, ..) in ALL {
        assert!(
            report.output.contains(&format!("{id}: ")),
            "{id}: {}",
            report.output
        );
    }
    bed.wechat
        .change_app(
            json!({"appid": KUAISHOU, "secret": "another-secret", "drop_old_secrets": true}),
        )
        .await;
    let report = Report::of(&bed.configuration).await;
    report.advice("platforms.credentials", "fault", "100200101");
}
